import type { World } from './world.js';

/** What the store says of some accounts, in one round trip. Amounts are decimal text. */
export interface Books {
  readonly budgets: readonly BudgetFacts[];
  readonly balances: readonly {
    readonly account_id: string;
    readonly ledger_account: string;
    readonly balance: string;
  }[];
  /** Transfers, summed by what they are and where they go. */
  readonly flows: readonly Flow[];
  readonly events: readonly {
    readonly account_id: string;
    readonly period: string;
    readonly state: string;
    readonly count: number;
    readonly cost: string;
    readonly parts: string;
    readonly absorbed: string;
  }[];
  /** Holds that count: of requests under way, and of those that wait for a price. */
  readonly holds: readonly {
    readonly account_id: string;
    readonly member_id: string | null;
    readonly token_id: string;
    readonly count: number;
    readonly hold: string;
  }[];
  readonly grants: readonly {
    readonly account_id: string;
    readonly id: string;
    readonly kind: string;
    readonly period: string | null;
    readonly amount: string;
    readonly granted_ms: string;
    readonly expires_ms: string | null;
  }[];
  readonly corrections: readonly {
    readonly account_id: string;
    readonly kind: string;
    readonly lands_in: string;
    readonly is_decision: boolean;
    readonly amount: string;
    readonly line: string;
  }[];
}

export interface BudgetFacts {
  readonly subject_id: string;
  readonly account_id: string;
  readonly scope: string;
  readonly max: string | null;
  readonly is_pay_as_you_go: boolean;
  readonly period: string;
  readonly used: string;
  readonly previous_used: string;
  readonly held: string | null;
  readonly closed_through: string | null;
  readonly credit: {
    readonly grants: readonly { readonly id: string; readonly remainingPicoUsd: string }[];
  } | null;
}

export interface Flow {
  readonly account_id: string;
  readonly kind: string;
  readonly debit: string;
  readonly credit: string;
  readonly period: string;
  readonly grant_id: string | null;
  readonly amount: string;
  readonly least: string;
  readonly count: number;
}

const PARTS: Readonly<Record<keyof Books, string>> = {
  budgets: `SELECT subject_id, account_id, scope, limit_pico_usd::text AS max, is_pay_as_you_go, period, used_pico_usd::text AS used,
      previous_used_pico_usd::text AS previous_used, held_pico_usd::text AS held, closed_through, credit
    FROM budgets WHERE account_id = ANY($1)`,
  balances: `SELECT account_id, ledger_account, balance_pico_usd::text AS balance FROM ledger_balances WHERE account_id = ANY($1)`,
  flows: `SELECT account_id, kind, debit, credit, period, grant_id, sum(amount_pico_usd)::text AS amount,
      min(amount_pico_usd)::text AS least, count(*)::int AS count
    FROM ledger_transfers WHERE account_id = ANY($1) GROUP BY 1, 2, 3, 4, 5, 6`,
  events: `SELECT account_id, period, state, count(*)::int AS count, coalesce(sum(cost_pico_usd), 0)::text AS cost,
      coalesce(sum(credit_pico_usd + pay_as_you_go_pico_usd), 0)::text AS parts, coalesce(sum(absorbed_pico_usd), 0)::text AS absorbed
    FROM usage_events WHERE account_id = ANY($1) GROUP BY 1, 2, 3`,
  holds: `SELECT account_id, member_id, token_id, count(*)::int AS count, sum(hold_pico_usd)::text AS hold FROM (
      SELECT account_id, member_id, token_id, hold_pico_usd FROM open_events WHERE account_id = ANY($1)
      UNION ALL
      SELECT account_id, member_id, token_id, hold_pico_usd FROM usage_events WHERE account_id = ANY($1) AND state = 'unpriced' AND NOT is_late
    ) held GROUP BY 1, 2, 3`,
  grants: `SELECT account_id, id, kind, period, amount_pico_usd::text AS amount,
      (extract(epoch FROM granted_at) * 1000)::bigint::text AS granted_ms, (extract(epoch FROM expires_at) * 1000)::bigint::text AS expires_ms
    FROM credit_grants WHERE account_id = ANY($1) ORDER BY id`,
  corrections: `SELECT account_id, kind, lands_in, coalesce(idempotency_key LIKE 'decision:%', false) AS is_decision,
      sum(amount_pico_usd)::text AS amount, sum(line_pico_usd)::text AS line
    FROM corrections WHERE account_id = ANY($1) GROUP BY 1, 2, 3, 4`,
};

const READ_BOOKS = {
  name: 'simulation_books',
  text: `SELECT ${Object.entries(PARTS)
    .map(([name, sql]) => `(SELECT coalesce(json_agg(t), '[]') FROM (${sql}) t) AS ${name}`)
    .join(',\n')}`,
};

export async function readBooks(world: World, accountIds: readonly string[]): Promise<Books> {
  const { rows } = await world.pool.query<Books>({ ...READ_BOOKS, values: [accountIds] });
  const [books] = rows;
  if (books === undefined) throw new Error('simulation: the books cannot be read');
  return books;
}

/** Debits minus credits of every ledger account, of these transfers. */
export function fold(
  flows: readonly { readonly debit: string; readonly credit: string; readonly amount: string }[],
): Map<string, bigint> {
  const balances = new Map<string, bigint>();
  for (const { debit, credit, amount } of flows) {
    balances.set(debit, (balances.get(debit) ?? 0n) + BigInt(amount));
    balances.set(credit, (balances.get(credit) ?? 0n) - BigInt(amount));
  }
  return balances;
}
