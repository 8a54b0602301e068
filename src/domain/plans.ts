import { type PicoUsd } from './money.js';
import { daysInPeriod, daysLeftInPeriod, periodBounds, periodOf, utcDayOf } from './periods.js';

/** Amounts are data and may change between two changes of an account; each keeps those it was made with. */
export interface Plan {
  readonly slug: string;
  readonly name: string;
  /** A month, per seat where `isPerSeat`. */
  readonly pricePicoUsd: PicoUsd;
  /** A month, per seat where `isPerSeat`. */
  readonly creditPicoUsd: PicoUsd;
  readonly isPerSeat: boolean;
  readonly isPayAsYouGoDefault: boolean;
}

/**
 * Plan and seats of an account from an instant on. A list holds what took effect and what is
 * scheduled (nothing that was cancelled), sorted by `effectiveAt`; of equal instants the later entry
 * wins and the earlier was never in force. The first entry is the start of the account.
 */
export interface PlanChange {
  readonly plan: Plan;
  /** 1 to `SEATS_MAX`; of no effect on a plan that is not per seat. */
  readonly seats: number;
  readonly effectiveAt: Date;
}

export const SEATS_MAX = 100_000;

/** The plan in force at an instant; null before the account began. */
export function planAt(changes: readonly PlanChange[], at: Date): PlanChange | null {
  return changes.findLast(({ effectiveAt }) => effectiveAt.getTime() <= at.getTime()) ?? null;
}

/**
 * When a requested change takes effect: an upgrade at once, a downgrade at the start of the next
 * period. Which of the two it is, the monthly total decides (of a change of both plan and seats too),
 * then the monthly credit; a change of neither is made at once.
 */
export function effectiveAtOf(
  current: PlanChange,
  next: Pick<PlanChange, 'plan' | 'seats'>,
  at: Date,
): Date {
  const byPrice = monthlyPrice(next) - monthlyPrice(current);
  const change = byPrice === 0n ? monthlyCredit(next) - monthlyCredit(current) : byPrice;
  return change < 0n ? periodBounds(periodOf(at)).end : at;
}

export interface PlanFee {
  /**
   * `month`: the plan in force when the period began, whole. `first_month`: the account began inside
   * the period. `change`: the difference of an upgrade inside the period.
   */
  readonly kind: 'month' | 'first_month' | 'change';
  readonly plan: Plan;
  readonly seats: number;
  readonly from: Date;
  /** Of `daysInPeriod`, the starting UTC day counted. */
  readonly days: number;
  readonly daysInPeriod: number;
  /** Above 0: the monthly amount x days / daysInPeriod, floored. */
  readonly amountPicoUsd: PicoUsd;
  readonly description: string;
}

/**
 * The plan fees of one period, in order of time; none of 0. Within a period a fee only rises: what
 * falls in between (no change does by itself, see `effectiveAtOf`) is neither paid back nor charged
 * again when it rises back.
 */
export function planFees(changes: readonly PlanChange[], period: string): readonly PlanFee[] {
  const { start } = periodBounds(period);
  const monthDays = daysInPeriod(period);
  const fees: PlanFee[] = [];
  let chargedPicoUsd = 0n;
  let before: PlanChange | null = null;
  for (const change of inForceDuring(changes, period)) {
    const isWhole = change.effectiveAt.getTime() <= start.getTime();
    const days = isWhole ? monthDays : daysLeftInPeriod(period, change.effectiveAt);
    const differencePicoUsd = monthlyPrice(change) - chargedPicoUsd;
    if (differencePicoUsd > 0n) {
      const amountPicoUsd = prorated(differencePicoUsd, days, monthDays);
      const kind = before !== null ? 'change' : isWhole ? 'month' : 'first_month';
      const from = isWhole ? start : change.effectiveAt;
      const fee = { kind, from, days, daysInPeriod: monthDays, amountPicoUsd } as const;
      const { plan, seats } = change;
      const description = describe(change, before, fee, period);
      if (amountPicoUsd > 0n) fees.push({ ...fee, plan, seats, description });
      chargedPicoUsd += differencePicoUsd;
    }
    before = change;
  }
  return fees;
}

/**
 * The highest credit entitlement that the changes in effect by `at` have reached in the period. A
 * plan's credit is whole whenever it begins; per seat it is whole for the seats held since the period
 * began and prorated by days for those added later, floored once per addition, so that a plan per
 * seat that begins inside the period is prorated altogether. It never falls within a period: the
 * same seats give nothing twice, and neither do two plans add up.
 */
export function entitlementIn(changes: readonly PlanChange[], period: string, at: Date): PicoUsd {
  const { start } = periodBounds(period);
  const monthDays = daysInPeriod(period);
  const reached = changes.filter(({ effectiveAt }) => effectiveAt.getTime() <= at.getTime());
  const pools = new Map<string, { seats: number; creditPicoUsd: PicoUsd }>();
  let highestPicoUsd = 0n;
  if (at.getTime() < start.getTime()) return highestPicoUsd;
  for (const { plan, seats, effectiveAt } of inForceDuring(reached, period)) {
    let creditPicoUsd = plan.creditPicoUsd;
    if (plan.isPerSeat) {
      const pool = pools.get(plan.slug) ?? { seats: 0, creditPicoUsd: 0n };
      const added = seatsOf(seats) - BigInt(pool.seats);
      if (added > 0n) {
        const days = daysLeftInPeriod(period, effectiveAt);
        pool.creditPicoUsd += prorated(plan.creditPicoUsd * added, days, monthDays);
        pool.seats = seats;
        pools.set(plan.slug, pool);
      }
      creditPicoUsd = pool.creditPicoUsd;
    }
    if (creditPicoUsd > highestPicoUsd) highestPicoUsd = creditPicoUsd;
  }
  return highestPicoUsd;
}

/** What was in force for any time in a period: the plan at its start first, where there is one. */
function inForceDuring(changes: readonly PlanChange[], period: string): readonly PlanChange[] {
  const { start, end } = periodBounds(period);
  const atStart = planAt(changes, start);
  const later = changes.filter(({ effectiveAt }, index) => {
    const next = changes[index + 1];
    const isReplacedAtOnce = next?.effectiveAt.getTime() === effectiveAt.getTime();
    return effectiveAt > start && effectiveAt < end && !isReplacedAtOnce;
  });
  return atStart === null ? later : [atStart, ...later];
}

function monthlyPrice({ plan, seats }: Pick<PlanChange, 'plan' | 'seats'>): PicoUsd {
  return plan.isPerSeat ? plan.pricePicoUsd * seatsOf(seats) : plan.pricePicoUsd;
}

function monthlyCredit({ plan, seats }: Pick<PlanChange, 'plan' | 'seats'>): PicoUsd {
  return plan.isPerSeat ? plan.creditPicoUsd * seatsOf(seats) : plan.creditPicoUsd;
}

function seatsOf(seats: number): bigint {
  if (!Number.isInteger(seats) || seats < 1 || seats > SEATS_MAX) {
    throw new RangeError(`plan: seats outside 1-${SEATS_MAX}`);
  }
  return BigInt(seats);
}

function prorated(monthlyPicoUsd: PicoUsd, days: number, monthDays: number): PicoUsd {
  return (monthlyPicoUsd * BigInt(days)) / BigInt(monthDays);
}

function describe(
  change: PlanChange,
  before: PlanChange | null,
  fee: Pick<PlanFee, 'from' | 'days' | 'daysInPeriod'>,
  period: string,
): string {
  const to = nameOf(change);
  const isWhole = fee.days === fee.daysInPeriod;
  const days = `${fee.days} of ${fee.daysInPeriod} days`;
  const span = isWhole ? period : `${utcDayOf(fee.from)} to end of ${period}, ${days}`;
  if (before === null) return `${to}, ${span}`;
  return `Change from ${nameOf(before)} to ${to}, ${span}`;
}

function nameOf({ plan, seats }: PlanChange): string {
  if (!plan.isPerSeat) return plan.name;
  return `${plan.name} (${seats} ${seats === 1 ? 'seat' : 'seats'})`;
}
