import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { LedgerSum } from './ledger.repository.js';

/** An account of the ledger at a checkpoint, beside what all transfers up to it say. */
export interface CheckpointDifference {
  readonly checkpoint: LedgerSum;
  readonly folded: LedgerSum;
}

const TIMEOUT_MS = 300_000;

/** On from the checkpoint before, if there is one. */
const WRITE = `
WITH base AS (SELECT coalesce(max(at), '-infinity') AS at FROM ledger_checkpoints WHERE at < $1::text::timestamptz),
since AS (
  SELECT debit, credit, amount_pico_usd FROM ledger_transfers
  WHERE created_at > (SELECT at FROM base) AND created_at <= $1::text::timestamptz
)
INSERT INTO ledger_checkpoints (at, ledger_account, debits_pico_usd, credits_pico_usd)
SELECT $1::text::timestamptz, account, sum(debits), sum(credits) FROM (
  SELECT ledger_account AS account, debits_pico_usd AS debits, credits_pico_usd AS credits
  FROM ledger_checkpoints WHERE at = (SELECT at FROM base)
  UNION ALL SELECT debit, sum(amount_pico_usd), 0 FROM since GROUP BY debit
  UNION ALL SELECT credit, 0, sum(amount_pico_usd) FROM since GROUP BY credit
) parts GROUP BY account
ON CONFLICT DO NOTHING`;

const DIFFERENCES = `
WITH last AS (SELECT max(at) AS at FROM ledger_checkpoints),
kept AS (
  SELECT ledger_account AS account, debits_pico_usd AS debits, credits_pico_usd AS credits
  FROM ledger_checkpoints WHERE at = (SELECT at FROM last)
),
folded AS (
  SELECT account, sum(debits) AS debits, sum(credits) AS credits FROM (
    SELECT debit AS account, sum(amount_pico_usd) AS debits, 0 AS credits FROM ledger_transfers
    WHERE created_at <= (SELECT at FROM last) GROUP BY debit
    UNION ALL
    SELECT credit, 0, sum(amount_pico_usd) FROM ledger_transfers WHERE created_at <= (SELECT at FROM last) GROUP BY credit
  ) sides GROUP BY account
)
SELECT coalesce(k.account, f.account) AS account, coalesce(k.debits, 0)::text AS debits, coalesce(k.credits, 0)::text AS credits,
  coalesce(f.debits, 0)::text AS folded_debits, coalesce(f.credits, 0)::text AS folded_credits
FROM kept k FULL JOIN folded f ON f.account = k.account
WHERE (k.debits, k.credits) IS DISTINCT FROM (f.debits, f.credits)
ORDER BY 1 LIMIT $1::int`;

/** Sums of the ledger up to instants that lie behind every running transaction. */
@Injectable()
export class LedgerCheckpointsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Writes the sums up to and with an instant; nothing when they are written. */
  async write(at: Date): Promise<void> {
    await this.database.prisma.$transaction((tx) => tx.$executeRawUnsafe(WRITE, at.toISOString()), {
      isolationLevel: 'RepeatableRead',
      maxWait: 10_000,
      timeout: TIMEOUT_MS,
    });
  }

  /** Where the latest one is not the fold of all transfers up to it: something was booked back in time. */
  async differences(limit: number): Promise<readonly CheckpointDifference[]> {
    const records = await this.database.prisma.$queryRawUnsafe<
      {
        account: string;
        debits: string;
        credits: string;
        folded_debits: string;
        folded_credits: string;
      }[]
    >(DIFFERENCES, limit);
    return records.map((record) => ({
      checkpoint: {
        account: record.account,
        debitsPicoUsd: BigInt(record.debits),
        creditsPicoUsd: BigInt(record.credits),
      },
      folded: {
        account: record.account,
        debitsPicoUsd: BigInt(record.folded_debits),
        creditsPicoUsd: BigInt(record.folded_credits),
      },
    }));
  }

  /** They are computed: without them sums are read from the beginning. */
  async forgetAll(): Promise<void> {
    await this.database.prisma.ledgerCheckpoint.deleteMany();
  }

  /** Keeps the first of each month, and the days since an instant. */
  async thin(before: Date): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `DELETE FROM ledger_checkpoints WHERE at < $1::text::timestamptz AND extract(day FROM at AT TIME ZONE 'UTC') <> 1`,
      before.toISOString(),
    );
  }
}
