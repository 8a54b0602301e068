import { daysLeftOf, daysOf, endOfMonthMs, monthAfter, monthOf, startOfMonthMs } from './months.js';

/** What the price list says; of Team per seat. */
export interface ModelPlan {
  readonly slug: 'free' | 'pro' | 'team';
  readonly price: bigint;
  readonly credit: bigint;
  readonly isPerSeat: boolean;
}

const USD = 1_000_000_000_000n;

export const MODEL_PLANS: readonly ModelPlan[] = [
  { slug: 'free', price: 0n, credit: USD / 10n, isPerSeat: false },
  { slug: 'pro', price: 9n * USD, credit: 2n * USD, isPerSeat: false },
  { slug: 'team', price: 20n * USD, credit: 2n * USD, isPerSeat: true },
];

/** A plan with its seats from an instant on. */
export interface ModelChange {
  readonly plan: ModelPlan;
  readonly seats: number;
  readonly effectiveMs: number;
}

type PlanAndSeats = Pick<ModelChange, 'plan' | 'seats'>;

/** Upgrades at once, downgrades with the next month; a request cancels what was still to come. */
export function changed(
  changes: readonly ModelChange[],
  next: PlanAndSeats,
  atMs: number,
): readonly ModelChange[] {
  const current = inForceAt(changes, atMs);
  if (current === null) throw new Error('model: an account without a plan');
  const isCheaper = monthlyPrice(next) < monthlyPrice(current);
  const isPoorer =
    monthlyPrice(next) === monthlyPrice(current) && monthlyCredit(next) < monthlyCredit(current);
  const effectiveMs = isCheaper || isPoorer ? startOfMonthMs(monthAfter(monthOf(atMs))) : atMs;
  return [...changes.filter((one) => one.effectiveMs <= atMs), { ...next, effectiveMs }];
}

export function inForceAt(changes: readonly ModelChange[], atMs: number): ModelChange | null {
  let found: ModelChange | null = null;
  for (const change of changes) if (change.effectiveMs <= atMs) found = change;
  return found;
}

/** What was in force for any time of a month, in order, with when that began. */
function during(
  changes: readonly ModelChange[],
  month: string,
): readonly { change: ModelChange; sinceMs: number }[] {
  const found: { change: ModelChange; sinceMs: number }[] = [];
  changes.forEach((change, index) => {
    const sinceMs = Math.max(change.effectiveMs, startOfMonthMs(month));
    const untilMs = Math.min(
      changes[index + 1]?.effectiveMs ?? Number.POSITIVE_INFINITY,
      endOfMonthMs(month),
    );
    if (sinceMs < untilMs) found.push({ change, sinceMs });
  });
  return found;
}

/** Plan fees of a month: what was in force when it began (or began in it), then every difference. */
export function feesOf(changes: readonly ModelChange[], month: string): readonly bigint[] {
  const fees: bigint[] = [];
  let highest = 0n;
  for (const { change, sinceMs } of during(changes, month)) {
    const price = monthlyPrice(change);
    if (price <= highest) continue;
    fees.push(((price - highest) * BigInt(daysLeftOf(month, sinceMs))) / BigInt(daysOf(month)));
    highest = price;
  }
  return fees.filter((fee) => fee > 0n);
}

/**
 * Credit that a month is entitled to: the highest that any plan of it reached. Pro's and Free's are
 * whole; of Team every seat counts from the day on which it was added.
 */
export function entitlementOf(changes: readonly ModelChange[], month: string): bigint {
  let highest = 0n;
  let teamSeats = 0;
  let teamCredit = 0n;
  for (const { change, sinceMs } of during(changes, month)) {
    let credit = change.plan.credit;
    if (change.plan.isPerSeat) {
      const added = Math.max(0, change.seats - teamSeats);
      teamSeats += added;
      teamCredit +=
        (change.plan.credit * BigInt(added) * BigInt(daysLeftOf(month, sinceMs))) /
        BigInt(daysOf(month));
      credit = teamCredit;
    }
    if (credit > highest) highest = credit;
  }
  return highest;
}

function monthlyPrice({ plan, seats }: PlanAndSeats): bigint {
  return plan.isPerSeat ? plan.price * BigInt(seats) : plan.price;
}

function monthlyCredit({ plan, seats }: PlanAndSeats): bigint {
  return plan.isPerSeat ? plan.credit * BigInt(seats) : plan.credit;
}
