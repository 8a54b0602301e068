import type { Transaction } from './transactions.repository.js';

export interface NewBudget {
  readonly subjectId: string;
  readonly scope: 'account' | 'member' | 'token';
  readonly accountId: string;
  readonly limitPicoUsd: bigint | null;
  readonly isPayAsYouGo: boolean;
  readonly period: string;
  /** An account's, as it is stored. */
  readonly credit?: string;
}

export interface BudgetLimit {
  readonly limitPicoUsd: bigint | null;
  readonly isPayAsYouGo: boolean;
}

/** Holds are summed while the budget is limited; nothing is held by something new. */
export async function insertBudget(tx: Transaction, budget: NewBudget): Promise<void> {
  await tx.$executeRawUnsafe(
    `INSERT INTO budgets (subject_id, scope, account_id, limit_pico_usd, is_pay_as_you_go, period, held_pico_usd, credit)
     SELECT b.id, b.scope, b.account_id, b.max, b.is_on, b.period,
       CASE WHEN b.max IS NOT NULL OR (b.scope = 'account' AND NOT b.is_on) THEN 0 END, $7::text::jsonb
     FROM (SELECT $1::text::uuid AS id, $2::text AS scope, $3::text::uuid AS account_id, $4::text::numeric AS max,
       $5::boolean AS is_on, $6::text AS period) b`,
    budget.subjectId,
    budget.scope,
    budget.accountId,
    budget.limitPicoUsd?.toString() ?? null,
    budget.isPayAsYouGo,
    budget.period,
    budget.credit ?? null,
  );
}

/**
 * A budget's limit, its row locked until the end of the transaction. The journal locks the
 * unlimited rows of its admissions FOR KEY SHARE, which only FOR UPDATE waits for: after this no
 * admission is under way that took the budget for what it is about to be no longer.
 */
export async function lockBudget(tx: Transaction, subjectId: string): Promise<BudgetLimit> {
  const [row] = await tx.$queryRawUnsafe<{ max: string | null; is_pay_as_you_go: boolean }[]>(
    `SELECT limit_pico_usd::text AS max, is_pay_as_you_go FROM budgets WHERE subject_id = $1::text::uuid FOR UPDATE`,
    subjectId,
  );
  if (row === undefined) throw new Error(`budget ${subjectId} is missing`);
  return {
    limitPicoUsd: row.max === null ? null : BigInt(row.max),
    isPayAsYouGo: row.is_pay_as_you_go,
  };
}

/**
 * Changes the limit of a budget under `lockBudget`. A statement of its own, so that it sees every
 * admission that the lock waited for: a budget that becomes limited starts with all that is held.
 */
export async function writeLimit(
  tx: Transaction,
  subjectId: string,
  next: BudgetLimit,
): Promise<void> {
  await tx.$executeRawUnsafe(
    `UPDATE budgets b SET limit_pico_usd = $2::text::numeric, is_pay_as_you_go = $3::boolean,
       held_pico_usd = CASE
         WHEN $2::text IS NULL AND (b.scope <> 'account' OR $3::boolean) THEN NULL
         WHEN b.held_pico_usd IS NOT NULL THEN b.held_pico_usd
         ELSE (${heldIn('open_events', 'TRUE')}) + (${heldIn('usage_events', `e.state = 'unpriced'`)})
       END
     WHERE b.subject_id = $1::text::uuid`,
    subjectId,
    next.limitPicoUsd?.toString() ?? null,
    next.isPayAsYouGo,
  );
}

/** Closes budgets of tokens and members: from this commit on nothing is admitted in them. */
export async function closeBudgets(tx: Transaction, subjectIds: readonly string[]): Promise<void> {
  const ids = `{${subjectIds.join(',')}}`;
  await tx.$queryRawUnsafe(
    `SELECT 1 FROM budgets WHERE subject_id = ANY($1::text::uuid[]) ORDER BY subject_id FOR UPDATE`,
    ids,
  );
  await tx.$executeRawUnsafe(
    `UPDATE budgets SET is_closed = TRUE WHERE subject_id = ANY($1::text::uuid[])`,
    ids,
  );
}

/** Sum of the holds of one table in the scope of budget `b`. */
function heldIn(table: 'open_events' | 'usage_events', condition: string): string {
  return `SELECT coalesce(sum(e.hold_pico_usd), 0) FROM ${table} e
    WHERE ${condition} AND b.subject_id = CASE b.scope WHEN 'account' THEN e.account_id WHEN 'member' THEN e.member_id ELSE e.token_id END`;
}
