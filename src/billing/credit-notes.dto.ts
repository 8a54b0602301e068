import { ApiProperty } from '@nestjs/swagger';
import { formatCents } from '../domain/invoices.js';
import { IsLine } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import type { CreditNoteRequest, RecordedCreditNote } from './credit-notes.repository.js';
import { centsOf, IsWholeCents } from './money-rules.js';

const REASON_MAX_CHARS = 500;

export class CreateCreditNote {
  @ApiProperty({ type: String, example: '12.50', description: 'Above 0, in whole cents.' })
  @IsWholeCents()
  amountUsd!: string;

  @ApiProperty({ type: String, maxLength: REASON_MAX_CHARS })
  @IsLine(REASON_MAX_CHARS)
  reason!: string;
}

export class CreditNoteView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String, example: 'CN-000012' })
  number!: string;
  @ApiProperty({ type: String, format: 'uuid' })
  invoiceId!: string;
  @ApiProperty({ type: String })
  amountUsd!: string;
  @ApiProperty({ type: String, description: 'What no correction pays for.' })
  goodwillUsd!: string;
  @ApiProperty({ type: String })
  reason!: string;
  @ApiProperty({ type: String, format: 'date-time' })
  issuedAt!: string;
  @ApiProperty({ type: String, description: 'SHA-256 of the content as canonical JSON.' })
  hash!: string;
}

export class CreditNotesPage {
  @ApiProperty({ type: [CreditNoteView] })
  data!: readonly CreditNoteView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function creditNoteRequestOf(
  { amountUsd, reason }: CreateCreditNote,
  idempotencyKey: string | null,
): CreditNoteRequest {
  return { amountCents: centsOf(amountUsd), reason, idempotencyKey };
}

export function viewOfCreditNote(note: RecordedCreditNote): Plain<CreditNoteView> {
  return {
    id: note.id,
    number: note.content.number ?? '',
    invoiceId: note.invoiceId,
    amountUsd: formatCents(note.amountCents),
    goodwillUsd: formatCents(note.goodwillCents),
    reason: note.reason,
    issuedAt: note.issuedAt.toISOString(),
    hash: note.hash,
  };
}
