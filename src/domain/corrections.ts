import {
  coverOwed,
  isClosedIn,
  owedIn,
  spend,
  viewOf,
  type BudgetRow,
  type Cover,
} from './budget-rows.js';
import { roomOf } from './budgets.js';
import {
  burnDown,
  creditAccountOf,
  isUsableIn,
  lessParts,
  unburn,
  withCorrected,
  withGrant,
  withTakenFromHolds,
  type Grant,
  type GrantPart,
} from './credits.js';
import { unbilled, type LedgerAccount } from './ledger.js';
import { type PicoUsd } from './money.js';

/** What an account's closed period has left for late facts, as the ledger tells it. */
export interface ClosedPeriodBooks {
  /** Plan credit that expired unused, with what corrections have taken of it and given back since. */
  readonly unusedPlanCreditPicoUsd: PicoUsd;
  /** Pay-as-you-go of the period, its corrections included. */
  readonly payAsYouGoPicoUsd: PicoUsd;
  /** Promotional and prepaid grants that the period burned, with what it burned of each. */
  readonly burned: readonly { readonly grant: Grant; readonly burnedPicoUsd: PicoUsd }[];
}

/** One side of a correction; the other is the provider's payable. */
export interface CorrectionPart {
  readonly account: LedgerAccount;
  readonly grantId: string | null;
  /** Above 0. */
  readonly amountPicoUsd: PicoUsd;
}

export interface CorrectionPlan {
  /** Debited (upward) or credited (downward) against the provider's payable; they sum to the amount. */
  readonly parts: readonly CorrectionPart[];
  /** The period on whose invoice it is a line. */
  readonly landsIn: string;
  /** The line, of the amount's sign: what goes through `unbilled`, and credit of the same period. */
  readonly linePicoUsd: PicoUsd;
  /** What we bear of an upward correction. */
  readonly absorbedPicoUsd: PicoUsd;
  /** What credit that was given back covers at once. */
  readonly covers: readonly Cover[];
  readonly row: BudgetRow;
}

/**
 * Splits a late cost as its own period would have split it. While that period is open it burns its
 * credit and the rest is owed; after the close it takes the plan credit that the period left unused,
 * then promotional and prepaid credit, and the rest lands on the next invoice. Limits do not count.
 *
 * An account without pay-as-you-go never owes: the rest is ours, and so is what only credit could
 * pay that open holds count on, because their requests must be able to pay. With pay-as-you-go the
 * correction takes that credit too (what is owed beside usable credit would be wrong at this
 * commit), and it is remembered, so that no request passes the limit for it.
 */
export function planUpward(
  amountPicoUsd: PicoUsd,
  period: string,
  row: BudgetRow,
  open: { readonly period: string; readonly books: ClosedPeriodBooks },
): CorrectionPlan {
  const { subjectId } = row;
  const parts: CorrectionPart[] = [];
  let rest = amountPicoUsd;
  const take = (account: LedgerAccount, amount: PicoUsd, grantId: string | null = null): void => {
    if (amount === 0n) return;
    parts.push({ account, amountPicoUsd: amount, grantId });
    rest -= amount;
  };
  const isClosed = isClosedIn(row, period);
  const landsIn = isClosed ? open.period : period;
  let grants = row.credit.grants;
  let ownCreditPicoUsd = 0n;
  const free = row.isPayAsYouGo ? rest : availableIn(row, landsIn);
  if (isClosed) {
    take('promo_cost', min(rest, open.books.unusedPlanCreditPicoUsd));
    const others = grants.filter(({ kind }) => kind !== 'plan');
    const { burns } = burnDown(min(rest, free), others, landsIn);
    grants = lessParts(grants, burns);
    for (const part of burns) takePart(part);
  } else {
    const burnt = burnDown(min(rest, free), grants, period);
    grants = burnt.grants;
    for (const part of burnt.burns) {
      takePart(part);
      ownCreditPicoUsd += part.amountPicoUsd;
    }
  }
  const owedPicoUsd = row.isPayAsYouGo ? rest : 0n;
  take(unbilled(subjectId, landsIn), owedPicoUsd);
  const isCountedOn = row.isPayAsYouGo && (row.heldPicoUsd ?? 0n) > 0n;
  const credit = withTakenFromHolds({ ...row.credit, grants }, isCountedOn ? takenOf(parts) : 0n);
  const absorbedPicoUsd = rest;
  take('absorbed_cost', absorbedPicoUsd);
  return {
    parts,
    landsIn,
    linePicoUsd: owedPicoUsd + ownCreditPicoUsd,
    absorbedPicoUsd,
    covers: [],
    row: { ...row, credit: isClosed ? credit : withCorrected(credit, period, owedPicoUsd) },
  };

  function takePart(part: GrantPart): void {
    take(creditAccountOf(subjectId, part), part.amountPicoUsd, part.grantId);
  }
}

/**
 * Gives back what a period was charged too much: first its pay-as-you-go, then the credit that it
 * burned, as far as that can still be used, and the rest as promotional cost of ours.
 */
export function planDownward(
  amountPicoUsd: PicoUsd,
  period: string,
  row: BudgetRow,
  open: { readonly period: string; readonly books: ClosedPeriodBooks },
): CorrectionPlan {
  const { subjectId } = row;
  const parts: CorrectionPart[] = [];
  let rest = amountPicoUsd;
  const give = (account: LedgerAccount, amount: PicoUsd, grantId: string | null = null): void => {
    if (amount === 0n) return;
    parts.push({ account, amountPicoUsd: amount, grantId });
    rest -= amount;
  };
  const isClosed = isClosedIn(row, period);
  const landsIn = isClosed ? open.period : period;
  const owed = isClosed ? open.books.payAsYouGoPicoUsd : owedIn(row, period);
  const givenPicoUsd = min(rest, owed);
  give(unbilled(subjectId, landsIn), givenPicoUsd);
  let next = row;
  let ownCreditPicoUsd = 0n;
  if (isClosed) {
    for (const { grant, burnedPicoUsd } of open.books.burned) {
      if (grant.kind === 'plan' || !isUsableIn(grant, landsIn)) continue;
      const amount = min(rest, burnedPicoUsd);
      give(creditAccountOf(subjectId, grant), amount, grant.id);
      if (amount > 0n) next = restored(next, grant, amount);
    }
  } else {
    // Corrections count towards no limit: what earlier ones had charged goes back first.
    const ofCorrected = min(givenPicoUsd, next.credit.correctedPicoUsd[period] ?? 0n);
    next = spend(next, period, 0n, ofCorrected - givenPicoUsd);
    next = { ...next, credit: withCorrected(next.credit, period, -ofCorrected) };
    const { grants, burns } = unburn(rest, next.credit.grants, period);
    next = { ...next, credit: { ...next.credit, grants } };
    for (const part of burns) {
      give(creditAccountOf(subjectId, part), part.amountPicoUsd, part.grantId);
      ownCreditPicoUsd += part.amountPicoUsd;
    }
  }
  give('promo_cost', rest);
  next = { ...next, credit: withTakenFromHolds(next.credit, -takenOf(parts)) };
  const covered = coverOwed(next);
  return {
    parts,
    landsIn,
    linePicoUsd: -(givenPicoUsd + ownCreditPicoUsd),
    absorbedPicoUsd: 0n,
    covers: covered.covers,
    row: covered.row,
  };
}

/** What a period could still spend next to every open hold; at least 0. */
function availableIn(row: BudgetRow, period: string): PicoUsd {
  const available = roomOf(viewOf(row, period))?.availablePicoUsd ?? 0n;
  return available > 0n ? available : 0n;
}

/** The part that is credit of grants. */
function takenOf(parts: readonly CorrectionPart[]): PicoUsd {
  return parts.reduce(
    (sum, { grantId, amountPicoUsd }) => (grantId === null ? sum : sum + amountPicoUsd),
    0n,
  );
}

/** A grant gets back what was burned of it, also when it had been used up and forgotten. */
function restored(row: BudgetRow, grant: Grant, amountPicoUsd: PicoUsd): BudgetRow {
  const { grants } = row.credit;
  const isLive = grants.some(({ id }) => id === grant.id);
  const next = isLive
    ? grants.map((one) =>
        one.id === grant.id
          ? { ...one, remainingPicoUsd: one.remainingPicoUsd + amountPicoUsd }
          : one,
      )
    : withGrant(grants, { ...grant, remainingPicoUsd: amountPicoUsd, burnedPicoUsd: {} });
  return { ...row, credit: { ...row.credit, grants: next } };
}

function min(one: PicoUsd, other: PicoUsd): PicoUsd {
  return one < other ? one : other;
}
