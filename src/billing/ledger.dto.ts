import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { formatUsd } from '../domain/money.js';
import { MayBeAbsent } from '../http/field-rules.js';
import { PageQuery } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { invalidField } from '../http/validation.pipe.js';
import { instantOf, IsInstantOrDay } from '../usage/query-rules.js';
import type { LedgerSum, ListedTransfer } from './ledger.repository.js';
import { IsPeriod } from './period-rules.js';

const SPAN_DAYS_MAX = 400;
const DAY_MS = 86_400_000;

export class LedgerQuery extends PageQuery {
  @ApiPropertyOptional({ type: String, example: '2026-11', description: 'Without it this month.' })
  @MayBeAbsent()
  @IsPeriod()
  period?: string;
}

export class TrialBalanceQuery {
  @ApiPropertyOptional({
    type: String,
    description:
      'What was booked up to this instant, itself included; a day is its first instant in UTC. Without it everything.',
  })
  @MayBeAbsent()
  @IsInstantOrDay()
  at?: string;
}

export class JournalQuery {
  @ApiProperty({ type: String, example: '2026-10-01', description: 'Inclusive.' })
  @IsInstantOrDay()
  from!: string;

  @ApiProperty({
    type: String,
    example: '2026-11-01',
    description: `Exclusive; at most ${SPAN_DAYS_MAX} days later.`,
  })
  @IsInstantOrDay()
  to!: string;
}

export class TransferView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;
  @ApiProperty({ type: String })
  period!: string;
  @ApiProperty({ type: String, example: 'settlement' })
  kind!: string;
  @ApiProperty({ type: String, example: 'unbilled:<account id>:2026-11' })
  debit!: string;
  @ApiProperty({ type: String, example: 'provider_payable:default:together' })
  credit!: string;
  @ApiProperty({ type: String })
  amountUsd!: string;
  @ApiProperty({ type: String, format: 'uuid', nullable: true })
  grantId!: string | null;
}

export class TransfersPage {
  @ApiProperty({ type: [TransferView] })
  data!: readonly TransferView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export class LedgerTotalsView {
  @ApiProperty({ type: String })
  debitsUsd!: string;
  @ApiProperty({ type: String })
  creditsUsd!: string;
  @ApiProperty({ type: String, description: 'Debits - credits.' })
  balanceUsd!: string;
}

export class LedgerSumView extends LedgerTotalsView {
  @ApiProperty({ type: String, example: 'cash' })
  account!: string;
}

export class TrialBalanceView {
  @ApiProperty({ type: String, format: 'date-time' })
  at!: string;
  @ApiProperty({ type: [LedgerSumView], description: 'Every account that was ever moved.' })
  data!: readonly LedgerSumView[];
  @ApiProperty({ type: LedgerTotalsView, description: 'The balance is 0.' })
  totals!: LedgerTotalsView;
}

/** @throws TollgateError invalid_request for a span that is empty or too long. */
export function spanOf({ from, to }: JournalQuery): { readonly from: Date; readonly to: Date } {
  const span = { from: instantOf(from), to: instantOf(to) };
  const lengthMs = span.to.getTime() - span.from.getTime();
  if (lengthMs <= 0)
    throw invalidField('to', 'must be after from: from is inclusive, to exclusive');
  if (lengthMs > SPAN_DAYS_MAX * DAY_MS) {
    throw invalidField('to', `must be at most ${SPAN_DAYS_MAX} days after from`);
  }
  return span;
}

export function viewOfTransfer(transfer: ListedTransfer): Plain<TransferView> {
  return {
    id: transfer.id,
    createdAt: transfer.createdAt.toISOString(),
    period: transfer.period,
    kind: transfer.kind,
    debit: transfer.debit,
    credit: transfer.credit,
    amountUsd: formatUsd(transfer.amountPicoUsd),
    grantId: transfer.grantId,
  };
}

export function viewOfTrialBalance(sums: readonly LedgerSum[], at: Date): Plain<TrialBalanceView> {
  const debitsPicoUsd = sums.reduce((sum, one) => sum + one.debitsPicoUsd, 0n);
  const creditsPicoUsd = sums.reduce((sum, one) => sum + one.creditsPicoUsd, 0n);
  return {
    at: at.toISOString(),
    data: sums.map((one) => ({ account: one.account, ...sidesOf(one) })),
    totals: sidesOf({ debitsPicoUsd, creditsPicoUsd }),
  };
}

function sidesOf({
  debitsPicoUsd,
  creditsPicoUsd,
}: Pick<LedgerSum, 'debitsPicoUsd' | 'creditsPicoUsd'>): Plain<LedgerTotalsView> {
  return {
    debitsUsd: formatUsd(debitsPicoUsd),
    creditsUsd: formatUsd(creditsPicoUsd),
    balanceUsd: formatUsd(debitsPicoUsd - creditsPicoUsd),
  };
}
