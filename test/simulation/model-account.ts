import { endOfMonthMs, monthAfter, startOfMonthMs } from './months.js';
import { entitlementOf, type ModelChange } from './model-plans.js';

/** A promotional or prepaid grant. */
export interface ModelGrant {
  /** As recorded; null until the store told it. */
  id: string | null;
  readonly kind: 'promotional' | 'prepaid';
  readonly amount: bigint;
  readonly grantedMs: number;
  readonly expiresMs: number | null;
  left: bigint;
  /** Used for each month, later corrections of it included. */
  readonly usedFor: Map<string, bigint>;
}

/** What the model knows of one account's month. */
export interface ModelMonth {
  readonly month: string;
  /** Charged for requests. */
  cost: bigint;
  /** Of the requests: what no credit paid. */
  requestsOwed: bigint;
  /**
   * Of corrections booked while the month was open: what no credit paid. And of requests that would
   * have passed the limit: what a correction had taken the credit for meanwhile.
   */
  correctionsOwed: bigint;
  /** Corrections booked while the month was open, charged less given back: lines of its own. */
  corrected: bigint;
  planUsed: bigint;
  /** Lines of late facts of other months, and of credit notes. */
  landed: bigint;
  /** Totals of invoices that were voided while this was the open month. */
  voided: bigint;
  /** A correction stands here, be its line 0. */
  hasCorrection: boolean;
  isClosed: boolean;
  /**
   * Promotional cost of the month that nobody used: what corrections gave back that could not come
   * back otherwise, and from the close on the plan credit left. Later corrections take of it.
   */
  promoUnused: bigint;
  /** After the close: pay-as-you-go that corrections of this month added or gave back. */
  lateOwed: bigint;
  carried: bigint;
  invoice: ModelInvoice | null;
}

export interface ModelInvoice {
  readonly month: string;
  readonly sum: bigint;
  readonly totalCents: bigint;
  readonly carried: bigint;
  state: 'finalized' | 'paid' | 'void' | 'uncollectible';
  creditedCents: bigint;
  paidCents: bigint;
}

export interface ModelLimit {
  readonly id: string;
  limit: bigint | null;
}

/** One payer: what it has, what it was charged, and how credit paid for it. */
export class ModelAccount {
  readonly grants: ModelGrant[] = [];
  readonly members: ModelLimit[] = [];
  readonly tokens: (ModelLimit & { readonly memberId: string | null; isRevoked: boolean })[] = [];
  closedThrough: string | null = null;
  receivable = 0n;
  /** What we bear of corrections that are about no request. */
  correctionsAbsorbed = 0n;
  /** Credit that corrections took while requests under way counted on it. */
  takenFromHolds = 0n;
  /** What it may spend was changed: requests of before may pass what it is now. */
  areLimitsChanged = false;
  /** What this account moved on our own accounts, debits less credits; plan credit granted left out. */
  readonly house = {
    promo_cost: 0n,
    breakage: 0n,
    subscription_revenue: 0n,
    cash: 0n,
    write_off: 0n,
  };
  private readonly months = new Map<string, ModelMonth>();

  constructor(
    readonly id: string,
    readonly name: string,
    readonly createdMs: number,
    public changes: readonly ModelChange[],
    public isPayAsYouGo: boolean,
    public limit: bigint | null,
  ) {}

  get isUnlimited(): boolean {
    return this.isPayAsYouGo && this.limit === null;
  }

  month(month: string): ModelMonth {
    let found = this.months.get(month);
    if (found === undefined) {
      found = {
        month,
        cost: 0n,
        requestsOwed: 0n,
        correctionsOwed: 0n,
        corrected: 0n,
        planUsed: 0n,
        landed: 0n,
        voided: 0n,
        hasCorrection: false,
        isClosed: false,
        promoUnused: 0n,
        lateOwed: 0n,
        carried: 0n,
        invoice: null,
      };
      this.months.set(month, found);
    }
    return found;
  }

  /** In order of time. */
  allMonths(): readonly ModelMonth[] {
    return [...this.months.values()].sort((one, other) => (one.month < other.month ? -1 : 1));
  }

  isClosed(month: string): boolean {
    return this.closedThrough !== null && this.closedThrough >= month;
  }

  planLeft(month: string): bigint {
    if (this.isClosed(month)) return 0n;
    return entitlementOf(this.changes, month) - this.month(month).planUsed;
  }

  isUsable(grant: ModelGrant, month: string): boolean {
    const isGrantedBeforeEnd = grant.grantedMs < endOfMonthMs(month);
    const beginsBeforeExpiry = grant.expiresMs === null || startOfMonthMs(month) < grant.expiresMs;
    return isGrantedBeforeEnd && beginsBeforeExpiry;
  }

  /** Credit that the month could still use. */
  usable(month: string): bigint {
    let usable = this.planLeft(month);
    for (const grant of this.grants) if (this.isUsable(grant, month)) usable += grant.left;
    return usable;
  }

  /** Uses credit for a cost of the month, in the order of the plan; answers with what it did not pay. */
  use(month: string, amount: bigint): bigint {
    const facts = this.month(month);
    const fromPlan = least(amount, this.planLeft(month));
    facts.planUsed += fromPlan;
    let rest = amount - fromPlan;
    for (const grant of this.inOrder()) {
      if (!this.isUsable(grant, month)) continue;
      const part = least(rest, grant.left);
      this.take(grant, month, part);
      rest -= part;
    }
    return rest;
  }

  /** Gives back credit that the month used, last used first; answers with what it had not used. */
  giveBack(month: string, amount: bigint): bigint {
    const facts = this.month(month);
    let rest = amount;
    for (const grant of [...this.inOrder()].reverse()) {
      const part = least(rest, grant.usedFor.get(month) ?? 0n);
      this.take(grant, month, -part);
      rest -= part;
    }
    const fromPlan = least(rest, facts.planUsed);
    facts.planUsed -= fromPlan;
    return rest - fromPlan;
  }

  take(grant: ModelGrant, month: string, amount: bigint): void {
    grant.left -= amount;
    grant.usedFor.set(month, (grant.usedFor.get(month) ?? 0n) + amount);
  }

  /** No month holds uncovered cost beside credit that it could use: the earliest open one first. */
  coverWhatIsOwed(): void {
    for (const facts of this.allMonths()) {
      if (facts.isClosed) continue;
      facts.requestsOwed = this.use(facts.month, facts.requestsOwed);
      facts.correctionsOwed = this.use(facts.month, facts.correctionsOwed);
    }
  }

  /** Credit that paid for the month while it was open. */
  creditUsed(month: string): bigint {
    const { cost, corrected, requestsOwed, correctionsOwed } = this.month(month);
    return cost + corrected - requestsOwed - correctionsOwed;
  }

  /** Promotional before prepaid, soonest expiry, oldest. */
  inOrder(): readonly ModelGrant[] {
    const byKind = (grant: ModelGrant): number => (grant.kind === 'promotional' ? 0 : 1);
    const byExpiry = (grant: ModelGrant): number => grant.expiresMs ?? Number.MAX_SAFE_INTEGER;
    return [...this.grants].sort(
      (one, other) =>
        byKind(one) - byKind(other) ||
        byExpiry(one) - byExpiry(other) ||
        one.grantedMs - other.grantedMs,
    );
  }

  /** The account's earliest month that is not closed. */
  openMonth(): string {
    if (this.closedThrough !== null) return monthAfter(this.closedThrough);
    return new Date(this.createdMs).toISOString().slice(0, 7);
  }
}

export function least(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}
