import type { BudgetRow } from '../domain/budget-rows.js';
import { parseCredit } from '../domain/credits.js';

/** An account's budget `b` as queries that show it read it. */
export const BUDGET_FIELDS = `b.subject_id::text, b.limit_pico_usd::text AS limit, b.is_pay_as_you_go, b.is_closed, b.period::text,
  b.used_pico_usd::text AS used, b.previous_used_pico_usd::text AS previous_used, b.held_pico_usd::text AS held,
  b.credit::text AS credit, b.closed_through::text AS closed_through`;

export interface BudgetRecord {
  readonly subject_id: string;
  readonly limit: string | null;
  readonly is_pay_as_you_go: boolean;
  readonly is_closed: boolean;
  readonly period: string;
  readonly used: string;
  readonly previous_used: string;
  readonly held: string | null;
  readonly credit: string | null;
  readonly closed_through: string | null;
}

export function budgetRowOf(record: BudgetRecord): BudgetRow {
  return {
    subjectId: record.subject_id,
    scope: 'account',
    limitPicoUsd: record.limit === null ? null : BigInt(record.limit),
    isPayAsYouGo: record.is_pay_as_you_go,
    isClosed: record.is_closed,
    period: record.period,
    usedPicoUsd: BigInt(record.used),
    previousUsedPicoUsd: BigInt(record.previous_used),
    heldPicoUsd: record.held === null ? null : BigInt(record.held),
    credit: parseCredit(record.credit),
    closedThrough: record.closed_through,
  };
}
