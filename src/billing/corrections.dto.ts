import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsUUID, Matches } from 'class-validator';
import { formatUsd } from '../domain/money.js';
import { IsLine, MayBeAbsent, MayBeAbsentOrNull } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import type { RecordedCorrection } from './correction-records.repository.js';
import type { CorrectionOrder } from './corrections.service.js';
import { IsSignedUsd, usdOf } from './money-rules.js';
import { IsPeriod } from './period-rules.js';

const REASON_MAX_CHARS = 500;
const SLUG = /^[a-z0-9-]{2,40}$/;
const SLUG_RULE = { message: 'must be a slug: 2 to 40 of a-z, 0-9 and "-"' };

export class CreateCorrection {
  @ApiProperty({
    type: String,
    example: '-1.25',
    description: 'Above 0 is charged, below 0 is given back.',
  })
  @IsSignedUsd()
  amountUsd!: string;

  @ApiProperty({ type: String, example: '2026-10', description: 'The month that it is about.' })
  @IsPeriod()
  period!: string;

  @ApiProperty({ type: String, maxLength: REASON_MAX_CHARS })
  @IsLine(REASON_MAX_CHARS)
  reason!: string;

  @ApiPropertyOptional({
    type: String,
    format: 'uuid',
    nullable: true,
    description: 'The request that it is about, of that month.',
  })
  @MayBeAbsentOrNull()
  @IsUUID('all', { message: 'must be the id of a request' })
  requestId?: string | null;

  @ApiPropertyOptional({ type: String, description: 'Whose payable it moves; with `provider`.' })
  @MayBeAbsent()
  @Matches(SLUG, SLUG_RULE)
  upstream?: string;

  @ApiPropertyOptional({ type: String })
  @MayBeAbsent()
  @Matches(SLUG, SLUG_RULE)
  provider?: string;
}

export class CorrectionView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ enum: ['correction', 'void', 'void_carry', 'credit_note'] })
  kind!: RecordedCorrection['kind'];
  @ApiProperty({ type: String, description: 'The month that it is about.' })
  period!: string;
  @ApiProperty({ type: String, description: 'The month on whose invoice it is a line.' })
  landsIn!: string;
  @ApiProperty({ type: String })
  amountUsd!: string;
  @ApiProperty({ type: String, description: 'The line: what is owed, or owed back, of it.' })
  lineUsd!: string;
  @ApiProperty({ type: String, description: 'What the line says: the month, and the reason.' })
  description!: string;
  @ApiProperty({ type: String, format: 'uuid', nullable: true })
  requestId!: string | null;
  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;
}

export class CorrectionsPage {
  @ApiProperty({ type: [CorrectionView] })
  data!: readonly CorrectionView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function correctionOrderOf(
  body: CreateCorrection,
  idempotencyKey: string | null,
): CorrectionOrder {
  return {
    amountPicoUsd: usdOf(body.amountUsd),
    period: body.period,
    // The line stands on the invoice of another month.
    reason: `Correction of ${body.period}: ${body.reason}`,
    requestId: body.requestId?.toLowerCase() ?? null,
    upstream: body.upstream ?? null,
    provider: body.provider ?? null,
    idempotencyKey,
  };
}

export function viewOfCorrection(correction: RecordedCorrection): Plain<CorrectionView> {
  const { id, kind, period, landsIn, description, requestId, createdAt } = correction;
  return {
    id,
    kind,
    period,
    landsIn,
    amountUsd: formatUsd(correction.amountPicoUsd),
    lineUsd: formatUsd(correction.linePicoUsd),
    description,
    requestId,
    createdAt: createdAt.toISOString(),
  };
}
