import { admitBatch, type Refused } from '../domain/admission.js';
import { type Budget, settlementCharge } from '../domain/budgets.js';
import { type PicoUsd } from '../domain/money.js';
import { nextPeriod, periodBounds, periodOf } from '../domain/periods.js';
import type { AdmissionRequest, Ending, OpenEventRef } from './journal.js';

/** A row of `budgets` under lock. `heldPicoUsd` is null while the budget is unlimited. */
export interface BudgetRow {
  readonly subjectId: string;
  readonly scope: 'account' | 'member' | 'token';
  readonly limitPicoUsd: PicoUsd | null;
  readonly isPayAsYouGo: boolean;
  readonly isClosed: boolean;
  readonly period: string;
  readonly usedPicoUsd: PicoUsd;
  readonly previousUsedPicoUsd: PicoUsd;
  readonly heldPicoUsd: PicoUsd | null;
}

/** A settlement as the writer takes it; `from` is the state its event must be in. */
export interface Settlement {
  readonly event: OpenEventRef;
  readonly ending: Ending;
  readonly from: 'open' | 'released' | 'unpriced' | 'settled';
  /** The caller never got the answer: the account pays nothing. */
  readonly isWithheld: boolean;
  /** What a charge that is taken back had been; 0 unless `from` is settled. */
  readonly chargedBeforePicoUsd: PicoUsd;
}

export interface EndedEvent {
  readonly settlement: Settlement;
  readonly costPicoUsd: PicoUsd | null;
  readonly absorbedPicoUsd: PicoUsd | null;
  readonly isOverrun: boolean;
}

export type AdmissionDecision =
  | {
      readonly kind: 'admitted';
      readonly holdPicoUsd: PicoUsd;
      readonly maxOutputTokensWritten: number | null;
    }
  | { readonly kind: 'refused'; readonly refused: Refused; readonly resetsAt: Date }
  | { readonly kind: 'token_closed' };

export interface BatchDecision {
  readonly at: Date;
  readonly period: string;
  readonly ended: readonly EndedEvent[];
  /** One per admission, in their order. */
  readonly admissions: readonly AdmissionDecision[];
  /** The rows that changed, as they are to be written. */
  readonly budgets: readonly BudgetRow[];
}

/** The budgets in scope of a request, payer first. */
export function subjectsOf(scope: {
  readonly accountId: string;
  readonly memberId: string | null;
  readonly tokenId: string;
}): readonly string[] {
  return scope.memberId === null
    ? [scope.accountId, scope.tokenId]
    : [scope.accountId, scope.memberId, scope.tokenId];
}

/**
 * What one batch does: settlements first, in their order, then admissions against the budgets as
 * those left them. Pure: all of `rows` is held under lock by the caller, `at` is the one instant of
 * this commit. Every subject of the batch must be in `rows`.
 */
export function decideBatch(
  settlements: readonly Settlement[],
  admissions: readonly AdmissionRequest[],
  rows: ReadonlyMap<string, BudgetRow>,
  at: Date,
): BatchDecision {
  const period = periodOf(at);
  const book = new Map(rows);
  const changed = new Set<string>();
  const ended = settlements.map((settlement) => endOne(settlement, book, changed));
  const decisions = admitAll(admissions, book, changed, period);
  return {
    at,
    period,
    ended,
    admissions: decisions,
    budgets: [...changed].map((subjectId) => rowOf(book, subjectId)),
  };
}

/** What the account pays for one event, and what that does to the budgets in its scope. */
function endOne(
  settlement: Settlement,
  book: Map<string, BudgetRow>,
  changed: Set<string>,
): EndedEvent {
  const { event, ending, from, isWithheld } = settlement;
  const isSettling = ending.state === 'settled';
  // An unpriced event keeps its hold as provisional cost; a released one has none left.
  const releasesHold = (from === 'open' || from === 'unpriced') && ending.state !== 'unpriced';
  const holdPicoUsd = releasesHold ? event.holdPicoUsd : 0n;
  let costPicoUsd: PicoUsd | null = null;
  let absorbedPicoUsd: PicoUsd | null = null;
  let isOverrun = false;
  if (isSettling) {
    const rated = ending.ratedCostPicoUsd;
    if (rated === null) throw new Error(`journal: event ${event.id} settles without a cost`);
    const account = viewOf(rowOf(book, event.accountId), event.period);
    if (account.scope !== 'account') throw new Error(`journal: ${event.accountId} is no account`);
    if (isWithheld) {
      costPicoUsd = 0n;
      absorbedPicoUsd = rated;
    } else {
      const charge = settlementCharge(rated, holdPicoUsd, account);
      costPicoUsd = charge.chargedPicoUsd;
      absorbedPicoUsd = charge.absorbedPicoUsd;
      isOverrun = charge.isOverrun;
    }
  }
  // Taking back a charge that had committed before the caller was told 503.
  const usedDelta = (costPicoUsd ?? 0n) - settlement.chargedBeforePicoUsd;
  if (holdPicoUsd !== 0n || usedDelta !== 0n) {
    for (const subjectId of subjectsOf(event)) {
      book.set(subjectId, spend(rowOf(book, subjectId), event.period, holdPicoUsd, usedDelta));
      changed.add(subjectId);
    }
  }
  return { settlement, costPicoUsd, absorbedPicoUsd, isOverrun };
}

function admitAll(
  admissions: readonly AdmissionRequest[],
  book: Map<string, BudgetRow>,
  changed: Set<string>,
  period: string,
): readonly AdmissionDecision[] {
  const open = admissions.filter((request) => !rowOf(book, request.tokenId).isClosed);
  const subjects = new Set(open.flatMap(subjectsOf));
  const budgets = new Map(
    [...subjects].map((id) => [id, viewOf(rowOf(book, id), period)] as const),
  );
  const result = admitBatch(
    open.map((request) => ({ budgetKeys: subjectsOf(request), hold: request.hold })),
    budgets,
  );
  for (const [subjectId, budget] of result.budgets) {
    const row = rowOf(book, subjectId);
    // An unlimited budget keeps no sum of holds, so that its admissions need not lock it.
    if (row.heldPicoUsd === null || row.heldPicoUsd === budget.heldPicoUsd) continue;
    book.set(subjectId, { ...rolledTo(row, period), heldPicoUsd: budget.heldPicoUsd });
    changed.add(subjectId);
  }
  const resetsAt = periodBounds(nextPeriod(period)).start;
  const byId = new Map(
    open.map((request, index) => [request.id, result.admissions[index]] as const),
  );
  return admissions.map((request): AdmissionDecision => {
    const admission = byId.get(request.id);
    if (admission === undefined) return { kind: 'token_closed' };
    return admission.kind === 'admitted'
      ? admission
      : { kind: 'refused', refused: admission, resetsAt };
  });
}

/** The budget of one period as the admission rule sees it. */
export function viewOf(row: BudgetRow, period: string): Budget {
  const usedPicoUsd = usedIn(row, period);
  const heldPicoUsd = row.heldPicoUsd ?? 0n;
  if (row.scope !== 'account') {
    return { scope: row.scope, limitPicoUsd: row.limitPicoUsd, usedPicoUsd, heldPicoUsd };
  }
  return {
    scope: 'account',
    creditUsablePicoUsd: 0n,
    payAsYouGo: { isOn: row.isPayAsYouGo, limitPicoUsd: row.limitPicoUsd, usedPicoUsd },
    heldPicoUsd,
  };
}

/** A row remembers two periods: no event stays open for longer than that. */
function usedIn(row: BudgetRow, period: string): PicoUsd {
  if (row.period === period) return row.usedPicoUsd;
  return nextPeriod(period) === row.period ? row.previousUsedPicoUsd : 0n;
}

function spend(
  row: BudgetRow,
  period: string,
  releasedPicoUsd: PicoUsd,
  usedDelta: PicoUsd,
): BudgetRow {
  const rolled = rolledTo(row, period);
  const held = rolled.heldPicoUsd === null ? null : rolled.heldPicoUsd - releasedPicoUsd;
  if (rolled.period === period) {
    return { ...rolled, heldPicoUsd: held, usedPicoUsd: rolled.usedPicoUsd + usedDelta };
  }
  const isPrevious = nextPeriod(period) === rolled.period;
  return {
    ...rolled,
    heldPicoUsd: held,
    previousUsedPicoUsd: rolled.previousUsedPicoUsd + (isPrevious ? usedDelta : 0n),
  };
}

/** Moves a row on to a later period; never back (the clock of another process may be behind). */
function rolledTo(row: BudgetRow, period: string): BudgetRow {
  if (row.period >= period) return row;
  return {
    ...row,
    period,
    usedPicoUsd: 0n,
    previousUsedPicoUsd: nextPeriod(row.period) === period ? row.usedPicoUsd : 0n,
  };
}

function rowOf(book: ReadonlyMap<string, BudgetRow>, subjectId: string): BudgetRow {
  const row = book.get(subjectId);
  if (row === undefined) throw new Error(`journal: budget ${subjectId} is not locked`);
  return row;
}
