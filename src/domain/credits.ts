import { planCredit, prepaidCredit, promoCredit, type LedgerAccount } from './ledger.js';
import { type PicoUsd } from './money.js';
import { periodBounds } from './periods.js';

export type GrantKind = 'plan' | 'promotional' | 'prepaid';

/** Credit that an account was given, with what is left of it. */
export interface Grant {
  readonly id: string;
  readonly kind: GrantKind;
  readonly amountPicoUsd: PicoUsd;
  readonly remainingPicoUsd: PicoUsd;
  readonly grantedAt: Date;
  /** Null: never. */
  readonly expiresAt: Date | null;
  /** The only period that a plan grant is usable in; null for the others. */
  readonly period: string | null;
  /** What the cost of each open period burned of it. */
  readonly burnedPicoUsd: Readonly<Record<string, PicoUsd>>;
}

/** What a plan grants from a period on, until a later entry. */
export interface Entitlement {
  readonly from: string;
  readonly amountPicoUsd: PicoUsd;
}

/** All that is to be known of one account's credit, kept under the lock of its budget. */
export interface CreditState {
  /** In the order in which they burn. */
  readonly grants: readonly Grant[];
  /** By period, ascending. */
  readonly entitlements: readonly Entitlement[];
  /** Plan credit granted so far, by open period: what tops a period up is the difference. */
  readonly grantedPicoUsd: Readonly<Record<string, PicoUsd>>;
  /**
   * What corrections of an open period left owed, by period: a later grant covers it as it covers
   * settled cost, but it counts towards no limit.
   */
  readonly correctedPicoUsd: Readonly<Record<string, PicoUsd>>;
  /**
   * Credit that corrections took while open holds counted on it. What their requests then owe past
   * the account's limit is owed by those corrections: a correction takes nobody past a limit.
   */
  readonly takenFromHoldsPicoUsd: PicoUsd;
}

/** Part of one grant: burned, or given back. */
export interface GrantPart {
  readonly grantId: string;
  readonly kind: GrantKind;
  readonly period: string | null;
  /** Above 0. */
  readonly amountPicoUsd: PicoUsd;
}

export interface BurnDown {
  readonly grants: readonly Grant[];
  readonly burns: readonly GrantPart[];
  /** What no grant covers. */
  readonly restPicoUsd: PicoUsd;
}

export const NO_CREDIT: CreditState = {
  grants: [],
  entitlements: [],
  grantedPicoUsd: {},
  correctedPicoUsd: {},
  takenFromHoldsPicoUsd: 0n,
};

const PRIORITY: Readonly<Record<GrantKind, number>> = { plan: 10, promotional: 20, prepaid: 30 };

/** The ledger account that a grant is part of. */
export function creditAccountOf(
  accountId: string,
  grant: { readonly kind: GrantKind; readonly period: string | null },
): LedgerAccount {
  switch (grant.kind) {
    case 'plan':
      if (grant.period === null) throw new Error('credits: a plan grant without a period');
      return planCredit(accountId, grant.period);
    case 'promotional':
      return promoCredit(accountId);
    case 'prepaid':
      return prepaidCredit(accountId);
  }
}

/** Which of two grants burns first: priority, then soonest expiry, then oldest. */
export function burnOrder(one: Grant, other: Grant): number {
  const byPriority = PRIORITY[one.kind] - PRIORITY[other.kind];
  if (byPriority !== 0) return byPriority;
  const byExpiry = expiryMs(one) - expiryMs(other);
  if (byExpiry !== 0 && !Number.isNaN(byExpiry)) return byExpiry;
  const byAge = one.grantedAt.getTime() - other.grantedAt.getTime();
  if (byAge !== 0) return byAge;
  return one.id < other.id ? -1 : 1;
}

function expiryMs({ expiresAt }: Grant): number {
  return expiresAt?.getTime() ?? Number.POSITIVE_INFINITY;
}

/**
 * A grant is usable in a period that ends after it was granted and begins before it expires: expiry
 * acts at the close of a period, never inside one. A plan grant is usable in its own period only.
 */
export function isUsableIn(
  grant: Pick<Grant, 'kind' | 'period' | 'grantedAt' | 'expiresAt'>,
  period: string,
): boolean {
  if (grant.kind === 'plan') return grant.period === period;
  const { start, end } = periodBounds(period);
  return (
    end.getTime() > grant.grantedAt.getTime() &&
    (grant.expiresAt === null || start.getTime() < grant.expiresAt.getTime())
  );
}

/** Credit that a cost of the period could still burn. */
export function usableIn({ grants }: CreditState, period: string): PicoUsd {
  let usable = 0n;
  for (const grant of grants) {
    if (grant.remainingPicoUsd > 0n && isUsableIn(grant, period)) usable += grant.remainingPicoUsd;
  }
  return usable;
}

/**
 * Splits one cost over the grants usable in its period, in their order. The burns plus the rest are
 * exactly the cost; no grant goes below 0.
 */
export function burnDown(costPicoUsd: PicoUsd, grants: readonly Grant[], period: string): BurnDown {
  let restPicoUsd = costPicoUsd;
  if (restPicoUsd <= 0n || grants.length === 0) return { grants, burns: [], restPicoUsd };
  const burns: GrantPart[] = [];
  const next = grants.map((grant) => {
    if (restPicoUsd === 0n || grant.remainingPicoUsd === 0n || !isUsableIn(grant, period)) {
      return grant;
    }
    const amount = grant.remainingPicoUsd < restPicoUsd ? grant.remainingPicoUsd : restPicoUsd;
    restPicoUsd -= amount;
    burns.push(partOf(grant, amount));
    return burned(grant, period, amount);
  });
  return burns.length === 0 ? { grants, burns, restPicoUsd } : { grants: next, burns, restPicoUsd };
}

/**
 * Gives back what a cost of the period burned, last burned first: after a charge is taken back the
 * credit used is again min(usable, cost). `restPicoUsd` is what the period had not burned.
 */
export function unburn(amountPicoUsd: PicoUsd, grants: readonly Grant[], period: string): BurnDown {
  let restPicoUsd = amountPicoUsd;
  const burns: GrantPart[] = [];
  const next = [...grants];
  for (let index = next.length - 1; index >= 0 && restPicoUsd > 0n; index -= 1) {
    const grant = next[index];
    const had = grant?.burnedPicoUsd[period] ?? 0n;
    if (grant === undefined || had === 0n) continue;
    const amount = had < restPicoUsd ? had : restPicoUsd;
    restPicoUsd -= amount;
    burns.push(partOf(grant, amount));
    next[index] = burned(grant, period, -amount);
  }
  return { grants: next, burns, restPicoUsd };
}

function burned(grant: Grant, period: string, amountPicoUsd: PicoUsd): Grant {
  return {
    ...grant,
    remainingPicoUsd: grant.remainingPicoUsd - amountPicoUsd,
    burnedPicoUsd: {
      ...grant.burnedPicoUsd,
      [period]: (grant.burnedPicoUsd[period] ?? 0n) + amountPicoUsd,
    },
  };
}

/** The grants with parts taken off what remains of them. */
export function lessParts(grants: readonly Grant[], parts: readonly GrantPart[]): readonly Grant[] {
  const taken = new Map(parts.map(({ grantId, amountPicoUsd }) => [grantId, amountPicoUsd]));
  return grants.map((grant) => ({
    ...grant,
    remainingPicoUsd: grant.remainingPicoUsd - (taken.get(grant.id) ?? 0n),
  }));
}

/** The grants with another one in its place. */
export function withGrant(grants: readonly Grant[], grant: Grant): readonly Grant[] {
  return [...grants, grant].sort(burnOrder);
}

/** Credit of the period that its cost has used. */
export function burnedIn({ grants }: CreditState, period: string): PicoUsd {
  let sum = 0n;
  for (const { burnedPicoUsd } of grants) sum += burnedPicoUsd[period] ?? 0n;
  return sum;
}

/** What the plan grants for a period; 0 before the first entry. */
export function entitlementFor({ entitlements }: CreditState, period: string): PicoUsd {
  let amount = 0n;
  for (const entitlement of entitlements) {
    if (entitlement.from > period) break;
    amount = entitlement.amountPicoUsd;
  }
  return amount;
}

/** The plan grant that tops a period up to its entitlement; null when it has it. */
export interface PlanGrantDue {
  readonly amountPicoUsd: PicoUsd;
  readonly entitlementPicoUsd: PicoUsd;
  readonly expiresAt: Date;
}

export function planGrantDue(state: CreditState, period: string): PlanGrantDue | null {
  const entitlementPicoUsd = entitlementFor(state, period);
  const amountPicoUsd = entitlementPicoUsd - (state.grantedPicoUsd[period] ?? 0n);
  if (amountPicoUsd <= 0n) return null;
  return { amountPicoUsd, entitlementPicoUsd, expiresAt: periodBounds(period).end };
}

/** The state with a plan grant made. */
export function withPlanGrant(
  state: CreditState,
  period: string,
  due: PlanGrantDue,
  grant: { readonly id: string; readonly at: Date },
): CreditState {
  return {
    ...state,
    grants: withGrant(state.grants, {
      id: grant.id,
      kind: 'plan',
      amountPicoUsd: due.amountPicoUsd,
      remainingPicoUsd: due.amountPicoUsd,
      grantedAt: grant.at,
      expiresAt: due.expiresAt,
      period,
      burnedPicoUsd: {},
    }),
    grantedPicoUsd: { ...state.grantedPicoUsd, [period]: due.entitlementPicoUsd },
  };
}

export interface ClosedCredit {
  readonly state: CreditState;
  /** What is left of grants that no later period can use. */
  readonly expired: readonly GrantPart[];
  /** What the period's cost had burned, by grant. */
  readonly burned: readonly GrantPart[];
}

/**
 * The credit after the close of a period: what no later period can use expires, grants that are
 * used up or expired are forgotten, and what the period burned is no longer open.
 */
export function closeCredit(state: CreditState, period: string, next: string): ClosedCredit {
  const expired: GrantPart[] = [];
  const burnedParts: GrantPart[] = [];
  const nextStartMs = periodBounds(next).start.getTime();
  const grants = state.grants.flatMap((grant): readonly Grant[] => {
    const burnedAmount = grant.burnedPicoUsd[period] ?? 0n;
    if (burnedAmount > 0n) burnedParts.push(partOf(grant, burnedAmount));
    const isOver =
      grant.kind === 'plan'
        ? grant.period !== null && grant.period <= period
        : grant.expiresAt !== null && grant.expiresAt.getTime() <= nextStartMs;
    if (isOver && grant.remainingPicoUsd > 0n) expired.push(partOf(grant, grant.remainingPicoUsd));
    const stillOpen = after(grant.burnedPicoUsd, period);
    const isForgotten =
      isOver || (grant.remainingPicoUsd === 0n && Object.keys(stillOpen).length === 0);
    return isForgotten ? [] : [{ ...grant, burnedPicoUsd: stillOpen }];
  });
  return {
    state: {
      grants,
      entitlements: entitlementsFrom(state.entitlements, next),
      grantedPicoUsd: after(state.grantedPicoUsd, period),
      correctedPicoUsd: after(state.correctedPicoUsd, period),
      takenFromHoldsPicoUsd: state.takenFromHoldsPicoUsd,
    },
    expired,
    burned: burnedParts,
  };
}

/** Of the periods after one. */
function after(
  amounts: Readonly<Record<string, PicoUsd>>,
  period: string,
): Readonly<Record<string, PicoUsd>> {
  return Object.fromEntries(Object.entries(amounts).filter(([of]) => of > period));
}

/** The state with more (or less) owed by corrections of a period. */
export function withCorrected(
  state: CreditState,
  period: string,
  deltaPicoUsd: PicoUsd,
): CreditState {
  if (deltaPicoUsd === 0n) return state;
  const corrected = (state.correctedPicoUsd[period] ?? 0n) + deltaPicoUsd;
  return { ...state, correctedPicoUsd: { ...state.correctedPicoUsd, [period]: corrected } };
}

/** The state with more (or less, at least 0) of what corrections took while holds counted on it. */
export function withTakenFromHolds(state: CreditState, deltaPicoUsd: PicoUsd): CreditState {
  if (deltaPicoUsd === 0n) return state;
  const taken = state.takenFromHoldsPicoUsd + deltaPicoUsd;
  return { ...state, takenFromHoldsPicoUsd: taken > 0n ? taken : 0n };
}

/** Without the entries that no period from `period` on can need. */
function entitlementsFrom(
  entitlements: readonly Entitlement[],
  period: string,
): readonly Entitlement[] {
  return entitlements.filter(({ from }, index) => {
    const later = entitlements[index + 1];
    return from >= period || later === undefined || later.from > period;
  });
}

function partOf(grant: Grant, amountPicoUsd: PicoUsd): GrantPart {
  return { grantId: grant.id, kind: grant.kind, period: grant.period, amountPicoUsd };
}

/** The stored form: JSON with amounts as decimal text of pico-USD and times in ISO 8601. */
export function creditText(state: CreditState): string {
  return JSON.stringify(state, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}

interface StoredCredit {
  readonly grants: readonly (Record<
    'id' | 'amountPicoUsd' | 'remainingPicoUsd' | 'grantedAt',
    string
  > & {
    readonly kind: GrantKind;
    readonly expiresAt: string | null;
    readonly period: string | null;
    readonly burnedPicoUsd: Readonly<Record<string, string>>;
  })[];
  readonly entitlements: readonly { readonly from: string; readonly amountPicoUsd: string }[];
  readonly grantedPicoUsd: Readonly<Record<string, string>>;
  readonly correctedPicoUsd: Readonly<Record<string, string>>;
  readonly takenFromHoldsPicoUsd?: string;
}

/** Reads what `creditText` wrote; null is an account without credit. */
export function parseCredit(text: string | null): CreditState {
  if (text === null) return NO_CREDIT;
  const stored = JSON.parse(text) as StoredCredit;
  return {
    grants: stored.grants
      .map((grant) => ({
        ...grant,
        amountPicoUsd: BigInt(grant.amountPicoUsd),
        remainingPicoUsd: BigInt(grant.remainingPicoUsd),
        grantedAt: new Date(grant.grantedAt),
        expiresAt: grant.expiresAt === null ? null : new Date(grant.expiresAt),
        burnedPicoUsd: amountsOf(grant.burnedPicoUsd),
      }))
      .sort(burnOrder),
    entitlements: stored.entitlements.map(({ from, amountPicoUsd }) => ({
      from,
      amountPicoUsd: BigInt(amountPicoUsd),
    })),
    grantedPicoUsd: amountsOf(stored.grantedPicoUsd),
    correctedPicoUsd: amountsOf(stored.correctedPicoUsd),
    // Credit that was stored before there was such a thing.
    takenFromHoldsPicoUsd: BigInt(stored.takenFromHoldsPicoUsd ?? '0'),
  };
}

function amountsOf(texts: Readonly<Record<string, string>>): Readonly<Record<string, PicoUsd>> {
  return Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, BigInt(text)]));
}
