import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addDays, daysInPeriod, nextPeriod, periodBounds, previousPeriod } from './periods.js';
import {
  effectiveAtOf,
  entitlementIn,
  type Plan,
  planAt,
  type PlanChange,
  planFees,
} from './plans.js';

const USD = 10n ** 12n;
const FREE = plan('free', 0n, USD / 10n, false);
const PRO = plan('pro', 9n * USD, 2n * USD, false);
const TEAM = plan('team', 20n * USD, 2n * USD, true);
/** Dearer than the other, with an amount that no month divides. */
const SCALE = plan('scale', 33n * USD + 1n, 3n * USD + 1n, true);

function plan(slug: string, pricePicoUsd: bigint, creditPicoUsd: bigint, isPerSeat: boolean): Plan {
  const name = slug.charAt(0).toUpperCase() + slug.slice(1);
  const isPayAsYouGoDefault = slug !== 'free';
  return { slug, name, pricePicoUsd, creditPicoUsd, isPerSeat, isPayAsYouGoDefault };
}

function from(time: string, of: Plan, seats = 1): PlanChange {
  return { plan: of, seats, effectiveAt: new Date(time) };
}

/** Any changes: also what `effectiveAtOf` never makes, such as a downgrade inside a month. */
const change = fc.record({
  plan: fc.constantFrom(FREE, PRO, TEAM, SCALE),
  seats: fc.integer({ min: 1, max: 100_000 }),
  effectiveAt: fc
    .date({ min: new Date('2028-01-20'), max: new Date('2028-04-10'), noInvalidDate: true })
    // Equal instants and first instants of days and months are the cases that matter.
    .chain((at) => fc.constantFrom(at, new Date(at.getTime() - (at.getTime() % 86_400_000)))),
});
const byTime = (one: PlanChange, other: PlanChange): number =>
  one.effectiveAt.getTime() - other.effectiveAt.getTime();
const history = fc.array(change, { maxLength: 8 }).map((changes) => changes.sort(byTime));
const period = fc.constantFrom('2028-01', '2028-02', '2028-03', '2028-04', '2028-05');

function total({ plan: of, seats }: PlanChange): bigint {
  return of.isPerSeat ? of.pricePicoUsd * BigInt(seats) : of.pricePicoUsd;
}

function sumOf(changes: readonly PlanChange[], of: string): bigint {
  return planFees(changes, of).reduce((sum, { amountPicoUsd }) => sum + amountPicoUsd, 0n);
}

describe('the plan in force', () => {
  it('is none before the account began and the later of two at one instant', () => {
    const changes = [
      from('2026-05-03T10:00:00Z', FREE),
      from('2026-05-10T10:00:00Z', PRO),
      from('2026-05-10T10:00:00Z', TEAM, 4),
    ];
    expect(planAt(changes, new Date('2026-05-03T09:59:59.999Z'))).toBeNull();
    expect(planAt(changes, new Date('2026-05-10T09:59:59.999Z'))?.plan).toBe(FREE);
    expect(planAt(changes, new Date('2026-05-10T10:00:00Z'))?.plan).toBe(TEAM);
  });
});

describe('a requested change', () => {
  const at = new Date('2026-05-17T12:34:56.789Z');
  const nextMonth = new Date('2026-06-01T00:00:00Z');
  it.each([
    ['a dearer plan', from('2026-01-01', FREE), { plan: PRO, seats: 1 }, at],
    ['more seats', from('2026-01-01', TEAM, 3), { plan: TEAM, seats: 4 }, at],
    ['the same', from('2026-01-01', TEAM, 3), { plan: TEAM, seats: 3 }, at],
    ['seats of a plan without', from('2026-01-01', PRO, 3), { plan: PRO, seats: 1 }, at],
    ['a cheaper plan', from('2026-01-01', PRO), { plan: FREE, seats: 1 }, nextMonth],
    ['fewer seats', from('2026-01-01', TEAM, 3), { plan: TEAM, seats: 2 }, nextMonth],
    ['a cheaper total', from('2026-01-01', TEAM, 5), { plan: PRO, seats: 1 }, nextMonth],
    ['a dearer total', from('2026-01-01', SCALE, 2), { plan: TEAM, seats: 4 }, at],
  ])('for %s takes effect in its time', (_what, current, next, effectiveAt) => {
    expect(effectiveAtOf(current, next, at)).toEqual(effectiveAt);
  });

  it('of an equal price is decided by the credit', () => {
    const rich = { ...PRO, slug: 'rich', creditPicoUsd: 3n * USD };
    const pro = from('2026-01-01', PRO);
    expect(effectiveAtOf(pro, { plan: rich, seats: 1 }, at)).toEqual(at);
    expect(effectiveAtOf({ ...pro, plan: rich }, { plan: PRO, seats: 1 }, at)).toEqual(nextMonth);
  });

  it('with seats that cannot be is an error', () => {
    const team = from('2026-01-01', TEAM, 1);
    for (const seats of [0, -1, 1.5, 100_001, Number.NaN]) {
      expect(() => effectiveAtOf(team, { plan: TEAM, seats }, at)).toThrow(RangeError);
    }
  });
});

describe('plan fees', () => {
  it('of a month without a change are the whole price, of a free plan none', () => {
    expect(planFees([from('2026-03-10T10:00:00Z', PRO)], '2026-05')).toEqual([
      {
        kind: 'month',
        plan: PRO,
        seats: 1,
        from: new Date('2026-05-01T00:00:00Z'),
        days: 31,
        daysInPeriod: 31,
        amountPicoUsd: 9n * USD,
        description: 'Pro, 2026-05',
      },
    ]);
    expect(planFees([from('2026-03-10T10:00:00Z', FREE)], '2026-05')).toEqual([]);
    expect(planFees([from('2026-03-10T10:00:00Z', PRO)], '2026-02')).toEqual([]);
    expect(planFees([], '2026-05')).toEqual([]);
  });

  it('of the first month count the days left, the starting day too', () => {
    expect(planFees([from('2026-05-17T23:59:59.999Z', TEAM, 5)], '2026-05')).toEqual([
      expect.objectContaining({
        kind: 'first_month',
        seats: 5,
        days: 15,
        daysInPeriod: 31,
        amountPicoUsd: (100n * USD * 15n) / 31n,
        description: 'Team (5 seats), 2026-05-17 to end of 2026-05, 15 of 31 days',
      }),
    ]);
    const onTheFirst = planFees([from('2026-05-01T10:00:00Z', PRO)], '2026-05');
    expect(onTheFirst).toMatchObject([
      { kind: 'first_month', amountPicoUsd: 9n * USD, description: 'Pro, 2026-05' },
    ]);
  });

  it('have no line of 0 for what days leave nothing of', () => {
    const cheap = plan('cheap', 30n, 0n, false);
    const changes = [from('2026-05-31T10:00:00Z', cheap)];
    expect(planFees(changes, '2026-05')).toEqual([]);
    expect(planFees(changes, '2026-06')).toMatchObject([{ amountPicoUsd: 30n }]);
  });

  it('have a line for the difference of each upgrade inside the month', () => {
    const changes = [
      from('2026-03-10T10:00:00Z', PRO),
      from('2026-05-10T10:00:00Z', TEAM, 1),
      from('2026-05-30T10:00:00Z', TEAM, 3),
    ];
    const fees = planFees(changes, '2026-05');
    expect(fees.map(({ kind, amountPicoUsd }) => [kind, amountPicoUsd])).toEqual([
      ['month', 9n * USD],
      ['change', (11n * USD * 22n) / 31n],
      ['change', (40n * USD * 2n) / 31n],
    ]);
    expect(fees[1]?.description).toBe(
      'Change from Pro to Team (1 seat), 2026-05-10 to end of 2026-05, 22 of 31 days',
    );
    expect(planFees(changes, '2026-06')).toMatchObject([{ kind: 'month', seats: 3 }]);
  });

  it('are a change, not a first month, after a free start in the same month', () => {
    const changes = [from('2026-05-03T10:00:00Z', FREE), from('2026-05-10T10:00:00Z', PRO)];
    expect(planFees(changes, '2026-05')).toMatchObject([
      { kind: 'change', amountPicoUsd: (9n * USD * 22n) / 31n },
    ]);
  });

  it('leave out what was never in force', () => {
    const changes = [
      from('2026-05-01T00:00:00Z', TEAM, 9),
      from('2026-05-01T00:00:00Z', FREE),
      from('2026-05-10T10:00:00Z', TEAM, 7),
      from('2026-05-10T10:00:00Z', PRO),
    ];
    expect(planFees(changes, '2026-05')).toMatchObject([{ kind: 'change', plan: PRO }]);
  });

  it('are one month of the dearest plan so far for each day, short of a pico-dollar per line', () => {
    fc.assert(
      fc.property(history, period, (changes, of) => {
        const { start, end } = periodBounds(of);
        const days = daysInPeriod(of);
        // Day by day, with the plan of the day being the dearest that was in force on or before it.
        let dayPrices = 0n;
        for (let day = 0; day < days; day += 1) {
          const dayEnd = addDays(start, day + 1).getTime();
          const inForce = changes.filter(({ effectiveAt }, index) => {
            const until = changes[index + 1]?.effectiveAt.getTime() ?? Infinity;
            const since = effectiveAt.getTime();
            return since < until && until > start.getTime() && since < dayEnd;
          });
          dayPrices += inForce.map(total).reduce((a, b) => (a > b ? a : b), 0n);
        }
        const fees = planFees(changes, of);
        const short = dayPrices - sumOf(changes, of) * BigInt(days);
        expect(short >= 0n && short <= BigInt(fees.length * days)).toBe(true);
        for (const fee of fees) {
          expect(fee.amountPicoUsd > 0n).toBe(true);
          expect(fee.from >= start && fee.from < end).toBe(true);
          expect(fee.days >= 1 && fee.days <= fee.daysInPeriod).toBe(true);
        }
        expect(fees.slice(1).every(({ kind }) => kind === 'change')).toBe(true);
      }),
    );
  });

  it('do not depend on what comes after the period', () => {
    fc.assert(
      fc.property(history, period, (changes, of) => {
        const { end } = periodBounds(of);
        const until = changes.filter(({ effectiveAt }) => effectiveAt < end);
        expect(planFees(changes, of)).toEqual(planFees(until, of));
        expect(entitlementIn(changes, of, end)).toBe(entitlementIn(until, of, end));
      }),
    );
  });
});

describe('the credit entitlement', () => {
  const endOfMay = new Date('2026-05-31T23:59:59.999Z');

  it('of Free and Pro is whole, whenever they begin', () => {
    const changes = [from('2026-05-30T10:00:00Z', FREE), from('2026-05-31T10:00:00Z', PRO)];
    expect(entitlementIn(changes, '2026-05', new Date('2026-05-30T10:00:00Z'))).toBe(USD / 10n);
    expect(entitlementIn(changes, '2026-05', new Date('2026-05-31T10:00:00Z'))).toBe(2n * USD);
    expect(entitlementIn(changes, '2026-05', new Date('2026-05-30T09:59:59Z'))).toBe(0n);
  });

  it('of Team is whole for seats of the first day and prorated for those added later', () => {
    const changes = [
      from('2026-04-17T10:00:00Z', TEAM, 3),
      from('2026-05-01T10:00:00Z', TEAM, 4),
      from('2026-05-17T10:00:00Z', TEAM, 6),
    ];
    const added = (4n * USD * 15n) / 31n;
    expect(entitlementIn(changes, '2026-05', endOfMay)).toBe(8n * USD + added);
    expect(entitlementIn(changes, '2026-06', new Date('2026-06-01'))).toBe(12n * USD);
    expect(entitlementIn(changes, '2026-04', endOfMay)).toBe((6n * USD * 14n) / 30n);
  });

  it('of a move from Pro to Team is the higher of the two, not their sum', () => {
    const upgrade = (seats: number): readonly PlanChange[] => [
      from('2026-04-17T10:00:00Z', PRO),
      from('2026-05-17T10:00:00Z', TEAM, seats),
    ];
    expect(entitlementIn(upgrade(2), '2026-05', endOfMay)).toBe(2n * USD);
    expect(entitlementIn(upgrade(5), '2026-05', endOfMay)).toBe((10n * USD * 15n) / 31n);
  });

  it('gives nothing for the same seats twice', () => {
    const changes = [
      from('2026-05-01T00:00:00Z', TEAM, 3),
      from('2026-05-10T00:00:00Z', TEAM, 1),
      from('2026-05-20T00:00:00Z', TEAM, 4),
    ];
    expect(entitlementIn(changes, '2026-05', endOfMay)).toBe(6n * USD + (2n * USD * 12n) / 31n);
  });

  it('is there from the first instant of the period and not before', () => {
    const changes = [from('2026-01-17T10:00:00Z', TEAM, 3), from('2026-06-01T00:00:00Z', FREE)];
    const start = new Date('2026-05-01T00:00:00Z');
    expect(entitlementIn(changes, '2026-05', new Date(start.getTime() - 1))).toBe(0n);
    expect(entitlementIn(changes, '2026-05', start)).toBe(6n * USD);
    expect(entitlementIn(changes, '2026-06', new Date('2026-06-01T00:00:00Z'))).toBe(USD / 10n);
  });

  it('never falls within a period, and is at most one whole month of the best that was reached', () => {
    const offsets = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 }));
    fc.assert(
      fc.property(history, period, offsets, (changes, of, [one, other]) => {
        const { start } = periodBounds(of);
        const [early, late] = one < other ? [one, other] : [other, one];
        const reached = entitlementIn(changes, of, addDays(start, early));
        const later = entitlementIn(changes, of, addDays(start, late));
        expect(later >= reached).toBe(true);
        const whole = changes.map(({ plan: { isPerSeat, creditPicoUsd }, seats }) =>
          isPerSeat ? creditPicoUsd * BigInt(seats) : creditPicoUsd,
        );
        expect(whole.reduce((a, b) => (a > b ? a : b), 0n) >= later).toBe(true);
      }),
    );
  });

  it('of seats that only rise is a month for each seat from its day on, short of a pico-dollar each', () => {
    const additions = fc.array(
      fc.record({ day: fc.integer({ min: -3, max: 35 }), seats: fc.integer({ min: 1, max: 50 }) }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(additions, period, (parts, of) => {
        const { start, end } = periodBounds(of);
        const days = daysInPeriod(of);
        let seats = 0;
        let seatDays = 0n;
        const changes = parts
          .sort((a, b) => a.day - b.day)
          .map((part) => {
            seats += part.seats;
            const daysHeld = Math.min(days, Math.max(0, days - part.day));
            seatDays += BigInt(part.seats * daysHeld);
            return { plan: SCALE, seats, effectiveAt: addDays(start, part.day) };
          });
        const short =
          seatDays * SCALE.creditPicoUsd - entitlementIn(changes, of, end) * BigInt(days);
        expect(short >= 0n && short < BigInt(parts.length * days)).toBe(true);
      }),
    );
  });

  it('of a plan that does not change is that of the month before', () => {
    const changes = [from('2027-12-17T10:00:00Z', TEAM, 7)];
    for (let of = '2028-01'; of !== '2029-02'; of = nextPeriod(of)) {
      expect(entitlementIn(changes, of, periodBounds(of).start)).toBe(14n * USD);
      expect(sumOf(changes, of)).toBe(140n * USD);
    }
    expect(sumOf(changes, previousPeriod('2028-01'))).toBe((140n * USD * 15n) / 31n);
  });
});
