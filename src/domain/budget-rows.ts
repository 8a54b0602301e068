import { type Budget } from './budgets.js';
import {
  burnDown,
  creditAccountOf,
  planGrantDue,
  usableIn,
  withCorrected,
  withGrant,
  withPlanGrant,
  withTakenFromHolds,
  type CreditState,
  type Grant,
  type GrantKind,
  type GrantPart,
} from './credits.js';
import { unbilled, type Transfer, type TransferKind } from './ledger.js';
import { type PicoUsd } from './money.js';
import { nextPeriod, previousPeriod } from './periods.js';

/** A row of `budgets` under lock. `heldPicoUsd` is null while the budget is unlimited. */
export interface BudgetRow {
  readonly subjectId: string;
  readonly scope: Budget['scope'];
  readonly limitPicoUsd: PicoUsd | null;
  readonly isPayAsYouGo: boolean;
  readonly isClosed: boolean;
  readonly period: string;
  /** Of `period`. Of an account the pay-as-you-go, past credit; else the cost settled. */
  readonly usedPicoUsd: PicoUsd;
  readonly previousUsedPicoUsd: PicoUsd;
  readonly heldPicoUsd: PicoUsd | null;
  /** An account's; of members and tokens without content. */
  readonly credit: CreditState;
  /** The last period of an account that is closed; null: none. */
  readonly closedThrough: string | null;
}

/** A grant as it is recorded when it is made. */
export interface NewGrant {
  readonly id: string;
  readonly accountId: string;
  readonly kind: GrantKind;
  readonly amountPicoUsd: PicoUsd;
  readonly period: string | null;
  readonly entitlementPicoUsd: PicoUsd | null;
  readonly grantedAt: Date;
  readonly expiresAt: Date | null;
}

export interface Granted {
  readonly row: BudgetRow;
  readonly grants: readonly NewGrant[];
  readonly transfers: readonly Transfer[];
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
    creditUsablePicoUsd: usableIn(row.credit, period),
    payAsYouGo: { isOn: row.isPayAsYouGo, limitPicoUsd: row.limitPicoUsd, usedPicoUsd },
    heldPicoUsd,
  };
}

export function isClosedIn(
  { closedThrough }: Pick<BudgetRow, 'closedThrough'>,
  period: string,
): boolean {
  return closedThrough !== null && closedThrough >= period;
}

/** A row remembers two periods: no event stays open for longer than that. */
export function usedIn(row: BudgetRow, period: string): PicoUsd {
  if (row.period === period) return row.usedPicoUsd;
  return nextPeriod(period) === row.period ? row.previousUsedPicoUsd : 0n;
}

/** All that a grant of the period could cover: settled cost, and what its corrections left owed. */
export function owedIn(row: BudgetRow, period: string): PicoUsd {
  return usedIn(row, period) + (row.credit.correctedPicoUsd[period] ?? 0n);
}

/** The row with less owed in a period: settled cost first, which makes room in the limit. */
export function lessOwed(row: BudgetRow, period: string, amountPicoUsd: PicoUsd): BudgetRow {
  const used = usedIn(row, period);
  const ofUsed = used < amountPicoUsd ? used : amountPicoUsd;
  const next = ofUsed === 0n ? row : spend(row, period, 0n, -ofUsed);
  return { ...next, credit: withCorrected(next.credit, period, ofUsed - amountPicoUsd) };
}

/**
 * An account's row after a settlement: its hold is given back and what no credit paid is owed;
 * below 0, it is owed less. What passes the limit because a correction took the credit meanwhile
 * counts as owed by that correction.
 */
export function settleOwed(
  row: BudgetRow,
  period: string,
  releasedPicoUsd: PicoUsd,
  owedPicoUsd: PicoUsd,
): BudgetRow {
  if (owedPicoUsd < 0n) {
    return lessOwed(spend(row, period, releasedPicoUsd, 0n), period, -owedPicoUsd);
  }
  const ofCorrections = owedByCorrections(row, period, owedPicoUsd);
  const next = spend(row, period, releasedPicoUsd, owedPicoUsd - ofCorrections);
  if (ofCorrections === 0n) return next;
  const credit = withTakenFromHolds(next.credit, -ofCorrections);
  return { ...next, credit: withCorrected(credit, period, ofCorrections) };
}

function owedByCorrections(row: BudgetRow, period: string, owedPicoUsd: PicoUsd): PicoUsd {
  const { limitPicoUsd, isPayAsYouGo } = row;
  const { takenFromHoldsPicoUsd: taken } = row.credit;
  if (taken === 0n || limitPicoUsd === null || !isPayAsYouGo) return 0n;
  const over = usedIn(row, period) + owedPicoUsd - limitPicoUsd;
  return max(0n, [over, owedPicoUsd, taken].reduce(min));
}

/** The row with holds given back; once none is left, none counts on any credit. */
export function release(row: BudgetRow, releasedPicoUsd: PicoUsd): BudgetRow {
  if (row.heldPicoUsd === null) return row;
  const heldPicoUsd = row.heldPicoUsd - releasedPicoUsd;
  const { credit } = row;
  if (heldPicoUsd > 0n) return { ...row, heldPicoUsd };
  return {
    ...row,
    heldPicoUsd,
    credit: withTakenFromHolds(credit, -credit.takenFromHoldsPicoUsd),
  };
}

/** The row with more (or less) used in a period, and with a hold given back. */
export function spend(
  row: BudgetRow,
  period: string,
  releasedPicoUsd: PicoUsd,
  usedDeltaPicoUsd: PicoUsd,
): BudgetRow {
  const rolled = release(rolledTo(row, period), releasedPicoUsd);
  if (rolled.period === period) {
    return { ...rolled, usedPicoUsd: rolled.usedPicoUsd + usedDeltaPicoUsd };
  }
  const isPrevious = nextPeriod(period) === rolled.period;
  return {
    ...rolled,
    previousUsedPicoUsd: rolled.previousUsedPicoUsd + (isPrevious ? usedDeltaPicoUsd : 0n),
  };
}

/** Moves a row on to a later period; never back (the clock of another process may be behind). */
export function rolledTo(row: BudgetRow, period: string): BudgetRow {
  if (row.period >= period) return row;
  return {
    ...row,
    period,
    usedPicoUsd: 0n,
    previousUsedPicoUsd: nextPeriod(row.period) === period ? row.usedPicoUsd : 0n,
  };
}

/**
 * Makes the plan grant that a period is entitled to and does not have yet, and lets it cover what
 * the period already owes. Nothing when the period has it, or is closed. A grant that is made after
 * its period ended, by a late settlement or the close, was granted in the period all the same.
 */
export function topUp(row: BudgetRow, period: string, at: Date, newId: () => string): Granted {
  const due = isClosedIn(row, period) ? null : planGrantDue(row.credit, period);
  if (due === null) return { row, grants: [], transfers: [] };
  const grant: NewGrant = {
    id: newId(),
    accountId: row.subjectId,
    kind: 'plan',
    amountPicoUsd: due.amountPicoUsd,
    period,
    entitlementPicoUsd: due.entitlementPicoUsd,
    grantedAt: at < due.expiresAt ? at : new Date(due.expiresAt.getTime() - 1),
    expiresAt: due.expiresAt,
  };
  const made = { id: grant.id, at: grant.grantedAt };
  const credit = withPlanGrant(row.credit, period, due, made);
  return granted({ ...row, credit }, grant, at, newId);
}

/** Adds a promotional or prepaid grant and lets it cover what open periods already owe. */
export function addGrant(
  row: BudgetRow,
  grant: NewGrant,
  periodNow: string,
  newId: () => string,
): Granted {
  const rolled = rolledTo(row, periodNow);
  const credit: CreditState = {
    ...rolled.credit,
    grants: withGrant(rolled.credit.grants, liveGrantOf(grant)),
  };
  return granted({ ...rolled, credit }, grant, grant.grantedAt, newId);
}

/** Part of a grant that covers what was settled before it was there. */
export interface Cover {
  readonly period: string;
  readonly part: GrantPart;
}

/**
 * Lets credit that has become usable cover what the open periods owe, the earlier first: afterwards
 * no period has both uncovered cost and usable credit.
 */
export function coverOwed(row: BudgetRow): {
  readonly row: BudgetRow;
  readonly covers: readonly Cover[];
} {
  let next = row;
  const covers: Cover[] = [];
  for (const period of [previousPeriod(row.period), row.period]) {
    const owed = isClosedIn(next, period) ? 0n : owedIn(next, period);
    const { grants, burns, restPicoUsd } = burnDown(owed, next.credit.grants, period);
    next = lessOwed(next, period, owed - restPicoUsd);
    for (const part of burns) {
      covers.push({ period, part });
    }
    if (burns.length > 0) next = { ...next, credit: { ...next.credit, grants } };
  }
  return { row: next, covers };
}

function liveGrantOf(grant: NewGrant): Grant {
  return {
    id: grant.id,
    kind: grant.kind,
    amountPicoUsd: grant.amountPicoUsd,
    remainingPicoUsd: grant.amountPicoUsd,
    grantedAt: grant.grantedAt,
    expiresAt: grant.expiresAt,
    period: grant.period,
    burnedPicoUsd: {},
  };
}

const GRANTED_BY: Readonly<Record<GrantKind, { kind: TransferKind; debit: string }>> = {
  plan: { kind: 'plan_grant', debit: 'promo_cost' },
  promotional: { kind: 'promotional_grant', debit: 'promo_cost' },
  // A top-up by hand; one that Stripe confirms is debited to its clearing account.
  prepaid: { kind: 'top_up', debit: 'cash' },
};

/** The transfer of the grant itself, and of what it covers at once, period by period. */
function granted(row: BudgetRow, grant: NewGrant, at: Date, newId: () => string): Granted {
  const { accountId } = grant;
  const { kind, debit } = GRANTED_BY[grant.kind];
  const made: Transfer = {
    id: newId(),
    createdAt: at,
    period: grant.period ?? row.period,
    kind,
    debit,
    credit: creditAccountOf(accountId, grant),
    amountPicoUsd: grant.amountPicoUsd,
    accountId,
    grantId: grant.id,
    idempotencyId: `grant:${grant.id}`,
  };
  const { row: next, covers } = coverOwed(row);
  const covering = coverTransfers(accountId, covers, { at, newId, cause: grant.id });
  return { row: next, grants: [grant], transfers: [made, ...covering] };
}

/** @param by when, and the business fact that made the credit usable. */
export function coverTransfers(
  accountId: string,
  covers: readonly Cover[],
  by: { readonly at: Date; readonly newId: () => string; readonly cause: string },
): readonly Transfer[] {
  return covers.map(({ period, part }) => ({
    id: by.newId(),
    createdAt: by.at,
    period,
    kind: 'covered',
    debit: creditAccountOf(accountId, part),
    credit: unbilled(accountId, period),
    amountPicoUsd: part.amountPicoUsd,
    accountId,
    grantId: part.grantId,
    idempotencyId: `cover:${by.cause}:${period}:${part.grantId}`,
  }));
}

function min(one: PicoUsd, other: PicoUsd): PicoUsd {
  return one < other ? one : other;
}

function max(one: PicoUsd, other: PicoUsd): PicoUsd {
  return one > other ? one : other;
}
