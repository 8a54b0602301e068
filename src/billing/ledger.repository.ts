import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { unbilled, type Transfer, type TransferKind } from '../domain/ledger.js';

/** A transfer with the slug of its payer. */
export interface ListedTransfer extends Transfer {
  readonly organization: string | null;
}

/** Where a list of transfers goes on: after this one. */
export interface TransferPosition {
  readonly createdAt: Date;
  readonly id: string;
}

/** What was debited and credited to one account of the ledger. */
export interface LedgerSum {
  readonly account: string;
  readonly debitsPicoUsd: bigint;
  readonly creditsPicoUsd: bigint;
}

interface TransferRecord {
  readonly id: string;
  readonly created_at_ms: bigint;
  readonly period: string;
  readonly kind: TransferKind;
  readonly debit: string;
  readonly credit: string;
  readonly amount: string;
  readonly account_id: string | null;
  readonly grant_id: string | null;
  readonly idempotency_id: string | null;
  readonly organization: string | null;
}

const FIELDS = `t.id::text, (extract(epoch FROM t.created_at) * 1000)::bigint AS created_at_ms, t.period::text AS period, t.kind,
  t.debit, t.credit, t.amount_pico_usd::text AS amount, t.account_id::text, t.grant_id::text, t.idempotency_id, a.slug AS organization`;

/**
 * A period's transfers, and those of other periods that move what it owes: a carry into it, late facts
 * that land in it. The kinds of which there are many never leave their own period.
 */
const OF_ACCOUNT = `
SELECT ${FIELDS} FROM (
  (SELECT * FROM ledger_transfers
   WHERE account_id = $1::text::uuid AND period = $2::text::bpchar AND id < $4::text::uuid ORDER BY id DESC LIMIT $5::int)
  UNION ALL
  (SELECT * FROM ledger_transfers
   WHERE account_id = $1::text::uuid AND period <> $2::text::bpchar AND (debit = $3::text OR credit = $3::text)
     AND kind NOT IN ('settlement', 'absorbed', 'taken_back', 'covered') AND id < $4::text::uuid ORDER BY id DESC LIMIT $5::int)
) t LEFT JOIN accounts a ON a.id = t.account_id
ORDER BY t.id DESC LIMIT $5::int`;

const BETWEEN = `
SELECT ${FIELDS} FROM ledger_transfers t LEFT JOIN accounts a ON a.id = t.account_id
WHERE t.created_at >= $1::text::timestamptz AND t.created_at < $2::text::timestamptz
  AND (t.created_at, t.id) > ($3::text::timestamptz, $4::text::uuid)
ORDER BY t.created_at, t.id LIMIT $5::int`;

/** Sums up to and with an instant, on from the latest checkpoint before it. */
const SUMS = `
WITH base AS (SELECT coalesce(max(at), '-infinity') AS at FROM ledger_checkpoints WHERE at <= $1::text::timestamptz),
since AS (
  SELECT debit, credit, amount_pico_usd FROM ledger_transfers
  WHERE created_at > (SELECT at FROM base) AND created_at <= $1::text::timestamptz
)
SELECT account, sum(debits)::text AS debits, sum(credits)::text AS credits FROM (
  SELECT ledger_account AS account, debits_pico_usd AS debits, credits_pico_usd AS credits
  FROM ledger_checkpoints WHERE at = (SELECT at FROM base)
  UNION ALL SELECT debit, sum(amount_pico_usd), 0 FROM since GROUP BY debit
  UNION ALL SELECT credit, 0, sum(amount_pico_usd) FROM since GROUP BY credit
) parts GROUP BY account ORDER BY account`;

const PAST_EVERY_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
const BEFORE_EVERY_ID = '00000000-0000-0000-0000-000000000000';

/** Reads what was booked. Nothing here writes. */
@Injectable()
export class LedgerRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Of one account and period, newest first by id. */
  async listOf(
    accountId: string,
    period: string,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly ListedTransfer[]> {
    const records = await this.database.prisma.$queryRawUnsafe<TransferRecord[]>(
      OF_ACCOUNT,
      accountId,
      period,
      unbilled(accountId, period),
      beforeId ?? PAST_EVERY_ID,
      limit,
    );
    return records.map(transferOf);
  }

  /** Of all accounts in a half-open span, in order of booking. */
  async listBetween(
    from: Date,
    to: Date,
    limit: number,
    after: TransferPosition | null,
  ): Promise<readonly ListedTransfer[]> {
    const records = await this.database.prisma.$queryRawUnsafe<TransferRecord[]>(
      BETWEEN,
      from.toISOString(),
      to.toISOString(),
      after?.createdAt.toISOString() ?? '-infinity',
      after?.id ?? BEFORE_EVERY_ID,
      limit,
    );
    return records.map(transferOf);
  }

  /** By account. @param at null: everything booked so far. */
  async sumsAt(at: Date | null): Promise<readonly LedgerSum[]> {
    const records = await this.database.prisma.$queryRawUnsafe<
      { account: string; debits: string; credits: string }[]
    >(SUMS, at?.toISOString() ?? 'infinity');
    return records.map(({ account, debits, credits }) => ({
      account,
      debitsPicoUsd: BigInt(debits),
      creditsPicoUsd: BigInt(credits),
    }));
  }
}

function transferOf(record: TransferRecord): ListedTransfer {
  return {
    id: record.id,
    createdAt: new Date(Number(record.created_at_ms)),
    period: record.period,
    kind: record.kind,
    debit: record.debit,
    credit: record.credit,
    amountPicoUsd: BigInt(record.amount),
    accountId: record.account_id,
    grantId: record.grant_id,
    idempotencyId: record.idempotency_id,
    organization: record.organization,
  };
}
