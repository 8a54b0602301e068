import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn } from 'class-validator';
import type { GrantKind } from '../domain/credits.js';
import { formatUsd } from '../domain/money.js';
import { IsLine, MayBeAbsentOrNull } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import type { GrantRequest } from './credits.repository.js';
import type { ListedGrant } from './grants.service.js';
import { IsBookableInstant, IsPositiveUsd, usdOf } from './money-rules.js';

const KINDS = ['promotional', 'prepaid'] as const;
const REASON_MAX_CHARS = 500;

export class CreateGrant {
  @ApiProperty({ type: String, example: '25.00', description: 'Above 0.' })
  @IsPositiveUsd()
  amountUsd!: string;

  @ApiProperty({ enum: KINDS, description: 'Prepaid: a payment that arrived by hand.' })
  @IsIn(KINDS, { message: `must be one of: ${KINDS.join(', ')}` })
  kind!: (typeof KINDS)[number];

  @ApiPropertyOptional({
    type: String,
    format: 'date-time',
    nullable: true,
    description: 'In the future. Acts at the close of a month; null: never.',
  })
  @MayBeAbsentOrNull()
  @IsBookableInstant()
  expiresAt?: string | null;

  @ApiProperty({ type: String, maxLength: REASON_MAX_CHARS })
  @IsLine(REASON_MAX_CHARS)
  reason!: string;
}

/** Credit that an account was given. */
export class GrantView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;

  @ApiProperty({ enum: ['plan', 'promotional', 'prepaid'] })
  kind!: GrantKind;

  @ApiProperty({ type: String })
  amountUsd!: string;

  @ApiProperty({ type: String, description: 'Not used and not expired yet.' })
  remainingUsd!: string;

  @ApiProperty({ type: String, nullable: true, description: 'The only month of a plan grant.' })
  period!: string | null;

  @ApiProperty({ type: String, format: 'date-time' })
  grantedAt!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  expiresAt!: string | null;

  @ApiProperty({ type: String })
  reason!: string;
}

export class GrantsPage {
  @ApiProperty({ type: [GrantView] })
  data!: readonly GrantView[];

  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function grantRequestOf(body: CreateGrant, idempotencyKey: string | null): GrantRequest {
  const { kind, reason, amountUsd, expiresAt } = body;
  return {
    kind,
    reason,
    amountPicoUsd: usdOf(amountUsd),
    expiresAt: expiresAt == null ? null : new Date(expiresAt),
    idempotencyKey,
  };
}

export function viewOfGrant({ grant, remainingPicoUsd }: ListedGrant): Plain<GrantView> {
  return {
    id: grant.id,
    kind: grant.kind,
    amountUsd: formatUsd(grant.amountPicoUsd),
    remainingUsd: formatUsd(remainingPicoUsd),
    period: grant.period,
    grantedAt: grant.grantedAt.toISOString(),
    expiresAt: grant.expiresAt?.toISOString() ?? null,
    reason: grant.reason,
  };
}
