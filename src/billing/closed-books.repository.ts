import type { ClosedPeriodBooks } from '../domain/corrections.js';
import type { Grant, GrantKind } from '../domain/credits.js';
import { nextPeriod, periodOf } from '../domain/periods.js';
import type { Transaction } from './transactions.repository.js';

/** The account's earliest period that is not closed: where late facts land. */
export async function readOpenPeriod(tx: Transaction, accountId: string): Promise<string> {
  const [record] = await tx.$queryRawUnsafe<{ closed_through: string | null; created_at: Date }[]>(
    `SELECT b.closed_through::text AS closed_through, a.created_at FROM budgets b JOIN accounts a ON a.id = b.subject_id
     WHERE b.subject_id = $1::text::uuid`,
    accountId,
  );
  if (record === undefined) throw new Error(`billing: there is no account ${accountId}`);
  return record.closed_through === null
    ? periodOf(record.created_at)
    : nextPeriod(record.closed_through);
}

/** An open period's budget tells all: its books are not asked. */
export const STILL_OPEN: ClosedPeriodBooks = {
  unusedPlanCreditPicoUsd: 0n,
  payAsYouGoPicoUsd: 0n,
  burned: [],
};

/** What the ledger tells of a closed period, with what corrections have made of it since. */
export async function readClosedBooks(
  tx: Transaction,
  accountId: string,
  period: string,
): Promise<ClosedPeriodBooks> {
  const [sums] = await tx.$queryRawUnsafe<{ unused: string; owed: string }[]>(
    `SELECT
       (coalesce(sum(amount_pico_usd) FILTER (WHERE kind = 'expiry' AND debit = 'plan_credit:' || $1 || ':' || $2), 0)
        - coalesce(sum(amount_pico_usd) FILTER (WHERE kind = 'correction' AND debit = 'promo_cost'), 0)
        + coalesce(sum(amount_pico_usd) FILTER (WHERE kind = 'correction' AND credit = 'promo_cost'), 0))::text AS unused,
       (coalesce(sum(amount_pico_usd) FILTER (WHERE kind IN ('settlement', 'correction') AND debit LIKE 'unbilled:%'), 0)
        - coalesce(sum(amount_pico_usd) FILTER (WHERE kind IN ('covered', 'taken_back', 'correction') AND credit LIKE 'unbilled:%'), 0))::text AS owed
     FROM ledger_transfers WHERE account_id = $1::text::uuid AND period = $2::text::bpchar`,
    accountId,
    period,
  );
  const burned = await tx.$queryRawUnsafe<
    {
      id: string;
      kind: GrantKind;
      amount: string;
      granted_at: Date;
      expires_at: Date | null;
      burned: string;
    }[]
  >(
    `SELECT g.id::text, g.kind, g.amount_pico_usd::text AS amount, g.granted_at, g.expires_at,
       sum(CASE WHEN t.kind IN ('settlement', 'covered') OR (t.kind = 'correction' AND t.debit NOT LIKE 'provider_payable:%')
         THEN t.amount_pico_usd ELSE -t.amount_pico_usd END)::text AS burned
     FROM ledger_transfers t JOIN credit_grants g ON g.id = t.grant_id
     WHERE t.account_id = $1::text::uuid AND t.period = $2::text::bpchar AND g.kind <> 'plan'
       AND t.kind IN ('settlement', 'covered', 'taken_back', 'correction')
     GROUP BY g.id ORDER BY g.kind = 'promotional', g.id`,
    accountId,
    period,
  );
  return {
    unusedPlanCreditPicoUsd: BigInt(sums?.unused ?? '0'),
    payAsYouGoPicoUsd: BigInt(sums?.owed ?? '0'),
    burned: burned.map((record) => ({
      burnedPicoUsd: BigInt(record.burned),
      grant: grantOf(record),
    })),
  };
}

function grantOf(record: {
  readonly id: string;
  readonly kind: GrantKind;
  readonly amount: string;
  readonly granted_at: Date;
  readonly expires_at: Date | null;
}): Grant {
  return {
    id: record.id,
    kind: record.kind,
    amountPicoUsd: BigInt(record.amount),
    remainingPicoUsd: 0n,
    grantedAt: record.granted_at,
    expiresAt: record.expires_at,
    period: null,
    burnedPicoUsd: {},
  };
}
