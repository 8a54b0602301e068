import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsLine, MayBeAbsent } from '../http/field-rules.js';
import type { InvoiceContent, InvoiceState } from './invoice-document.js';
import type { Payment } from './invoices.repository.js';
import { IsBookableInstant } from './money-rules.js';

const METHOD_MAX_CHARS = 64;
const REASON_MAX_CHARS = 500;
const STATES = ['draft', 'finalized', 'paid', 'void', 'uncollectible'] as const;
const LINE_KINDS = [
  'plan',
  'payment',
  'usage',
  'credit',
  'correction',
  'credit_note',
  'carry',
] as const;
const TEXT = { type: String, nullable: true } as const;
const TIME = { type: String, format: 'date-time', nullable: true } as const;

export class PayInvoice {
  @ApiProperty({ type: String, example: 'bank_transfer', maxLength: METHOD_MAX_CHARS })
  @IsLine(METHOD_MAX_CHARS)
  method!: string;

  @ApiProperty({ type: String, description: 'Where the payment is found: a line of a statement.' })
  @IsLine()
  reference!: string;

  @ApiProperty({ type: String, format: 'date-time', description: 'Not in the future.' })
  @IsBookableInstant()
  paidAt!: string;
}

export class VoidInvoice {
  @ApiPropertyOptional({ type: String, maxLength: REASON_MAX_CHARS })
  @MayBeAbsent()
  @IsLine(REASON_MAX_CHARS)
  reason?: string;
}

export class InvoicePartView {
  @ApiProperty({ type: String, example: 'input' })
  unit!: string;
  @ApiProperty({ type: String, example: '1200' })
  quantity!: string;
  @ApiProperty({ type: String, example: '0.0000009' })
  unitPriceUsd!: string;
  @ApiPropertyOptional({ type: String, description: 'What the price is of; absent: one unit.' })
  perUnits?: string;
  @ApiProperty({ type: String })
  exactUsd!: string;
}

export class InvoiceLineView {
  @ApiProperty({ enum: LINE_KINDS })
  kind!: (typeof LINE_KINDS)[number];
  @ApiProperty({ type: String })
  description!: string;
  @ApiPropertyOptional({ type: String })
  upstream?: string;
  @ApiPropertyOptional({ type: String })
  provider?: string;
  @ApiPropertyOptional({ type: String })
  model?: string;
  @ApiPropertyOptional({ type: 'integer' })
  requests?: number;
  @ApiPropertyOptional({ type: [String] })
  priceRowIds?: readonly string[];
  @ApiPropertyOptional({ type: [InvoicePartView], description: 'They sum to the line exactly.' })
  parts?: readonly InvoicePartView[];
  @ApiProperty({ type: String, description: 'Up to 12 decimals.' })
  exactUsd!: string;
  @ApiProperty({ type: String, description: 'Whole cents, for reading.' })
  displayUsd!: string;
}

export class IssuerView {
  @ApiProperty(TEXT)
  name!: string | null;
  @ApiProperty(TEXT)
  address!: string | null;
  @ApiProperty(TEXT)
  taxId!: string | null;
}

export class CustomerView {
  @ApiProperty({ type: String })
  slug!: string;
  @ApiProperty({ type: String })
  name!: string;
  @ApiProperty(TEXT)
  address!: string | null;
  @ApiProperty(TEXT)
  email!: string | null;
  @ApiProperty(TEXT)
  taxId!: string | null;
  @ApiProperty(TEXT)
  reference!: string | null;
}

/** An invoice: its content never changes; state, paidUsd and amountDueUsd do. */
export class InvoiceView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ enum: ['invoice', 'credit_note'] })
  kind!: InvoiceContent['kind'];
  @ApiProperty({ ...TEXT, example: 'INV-000123' })
  number!: string | null;
  @ApiProperty({ enum: STATES })
  state!: InvoiceState;
  @ApiProperty({ type: String, example: '2026-11' })
  period!: string;
  @ApiProperty({ enum: ['USD'] })
  currency!: 'USD';
  @ApiProperty(TIME)
  issuedAt!: string | null;
  @ApiProperty(TIME)
  dueAt!: string | null;
  @ApiProperty({ type: IssuerView })
  issuer!: IssuerView;
  @ApiProperty({ type: CustomerView })
  customer!: CustomerView;
  @ApiProperty({ type: [InvoiceLineView] })
  lines!: readonly InvoiceLineView[];
  @ApiProperty({ type: String, description: 'Of the lines, exact.' })
  exactSumUsd!: string;
  @ApiProperty({ type: String, description: 'Exact sum - total: on the next invoice.' })
  carriedUsd!: string;
  @ApiProperty({ type: String, description: 'Whole cents.' })
  totalUsd!: string;
  @ApiProperty({ type: [String] })
  notes!: readonly string[];
  @ApiProperty({ type: String })
  paidUsd!: string;
  @ApiProperty({ type: String })
  amountDueUsd!: string;
  @ApiProperty(TEXT)
  payUrl!: string | null;
  @ApiProperty({ ...TEXT, description: 'SHA-256 of the content as canonical JSON.' })
  hash!: string | null;
}

export class InvoicesPage {
  @ApiProperty({ type: [InvoiceView] })
  data!: readonly InvoiceView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function paymentOf({ method, reference, paidAt }: PayInvoice): Payment {
  return { method, reference, paidAt: new Date(paidAt) };
}
