import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  burnDown,
  burnedIn,
  burnOrder,
  closeCredit,
  creditAccountOf,
  creditText,
  type CreditState,
  entitlementFor,
  type Grant,
  type GrantKind,
  isUsableIn,
  NO_CREDIT,
  parseCredit,
  planGrantDue,
  unburn,
  usableIn,
  withGrant,
  withPlanGrant,
} from './credits.js';
import { nextPeriod, periodBounds } from './periods.js';

const PERIODS = ['2026-09', '2026-10', '2026-11', '2026-12', '2027-01'] as const;
const NOVEMBER = '2026-11';

function grant(id: string, parts: Partial<Grant> = {}): Grant {
  const amountPicoUsd = parts.amountPicoUsd ?? 100n;
  return {
    id,
    kind: 'promotional',
    amountPicoUsd,
    remainingPicoUsd: amountPicoUsd,
    grantedAt: new Date('2026-11-02T00:00:00Z'),
    expiresAt: null,
    period: null,
    burnedPicoUsd: {},
    ...parts,
  };
}

const money = fc.bigInt(0n, 300n);
const period = fc.constantFrom(...PERIODS);
/** First instants of months and the milliseconds around them are where usability turns. */
const instant = fc
  .tuple(period, fc.constantFrom(-1, 0, 1, 40_000_000, 1_300_000_000))
  .map(([of, ms]) => new Date(periodBounds(of).start.getTime() + ms));

const grantOf = fc
  .record({
    kind: fc.constantFrom<GrantKind>('plan', 'promotional', 'prepaid'),
    period,
    grantedAt: instant,
    expiresAt: fc.option(instant),
    remaining: money,
    burned: fc.dictionary(period, fc.bigInt(1n, 90n), { maxKeys: 2 }),
  })
  .map(({ kind, period: of, grantedAt, expiresAt, remaining, burned }): Omit<Grant, 'id'> => {
    const burnedSum = Object.values(burned).reduce((sum, amount) => sum + amount, 0n);
    const isPlan = kind === 'plan';
    return {
      kind,
      amountPicoUsd: remaining + burnedSum,
      remainingPicoUsd: remaining,
      grantedAt,
      expiresAt: isPlan ? periodBounds(of).end : expiresAt,
      period: isPlan ? of : null,
      burnedPicoUsd: burned,
    };
  });
const grantList = fc
  .array(grantOf, { maxLength: 7 })
  .map((list) => list.map((one, index) => ({ ...one, id: `g${index}` })).sort(burnOrder));

const entitlements = fc
  .array(fc.record({ from: period, amountPicoUsd: money }), { maxLength: 4 })
  .map((list) =>
    [...new Map(list.map((one) => [one.from, one])).values()].sort((one, other) =>
      one.from < other.from ? -1 : 1,
    ),
  );
const creditState: fc.Arbitrary<CreditState> = fc.record({
  grants: grantList,
  entitlements,
  grantedPicoUsd: fc.dictionary(period, money, { maxKeys: 3 }),
  correctedPicoUsd: fc.dictionary(period, money, { maxKeys: 3 }),
  takenFromHoldsPicoUsd: money,
});

function state(grants: readonly Grant[]): CreditState {
  return { ...NO_CREDIT, grants };
}

function sum(parts: readonly { readonly amountPicoUsd: bigint }[]): bigint {
  return parts.reduce((total, { amountPicoUsd }) => total + amountPicoUsd, 0n);
}

/** The same grants whether a period burned 0 of one or was never heard of. */
function plainly(grants: readonly Grant[]): readonly Grant[] {
  return grants.map((one) => ({
    ...one,
    burnedPicoUsd: Object.fromEntries(
      Object.entries(one.burnedPicoUsd).filter(([, amount]) => amount !== 0n),
    ),
  }));
}

describe('the order of credit', () => {
  it('is priority, then soonest expiry, then oldest', () => {
    const soon = new Date('2026-12-05T00:00:00Z');
    const late = new Date('2027-06-01T00:00:00Z');
    const old = new Date('2026-10-01T00:00:00Z');
    const grants = [
      grant('prepaid', { kind: 'prepaid', expiresAt: soon, grantedAt: old }),
      grant('never'),
      grant('never, older', { grantedAt: old }),
      grant('late', { expiresAt: late }),
      grant('soon', { expiresAt: soon }),
      grant('soon, older', { expiresAt: soon, grantedAt: old }),
      grant('plan', { kind: 'plan', period: NOVEMBER, expiresAt: late }),
    ];
    const sorted = grants.reduce<readonly Grant[]>(withGrant, []).map(({ id }) => id);
    expect(sorted).toEqual([
      'plan',
      'soon, older',
      'soon',
      'late',
      'never, older',
      'never',
      'prepaid',
    ]);
  });

  it('does not depend on the order in which grants arrive', () => {
    const shuffled = grantList.chain((list) =>
      fc.tuple(
        fc.constant(list),
        fc.shuffledSubarray([...list], { minLength: list.length, maxLength: list.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([list, other]) => {
        expect(other.reduce<readonly Grant[]>(withGrant, [])).toEqual(list);
      }),
    );
  });
});

describe('a grant', () => {
  it.each([
    ['granted in the last instant of the period', '2026-11-30T23:59:59.999Z', null, true],
    ['granted when the period is over', '2026-12-01T00:00:00.000Z', null, false],
    [
      'that expires in the first instant',
      '2026-10-01T00:00:00.000Z',
      '2026-11-01T00:00:00.000Z',
      false,
    ],
    ['that expires just after', '2026-10-01T00:00:00.000Z', '2026-11-01T00:00:00.001Z', true],
    ['that expires inside', '2026-11-02T00:00:00.000Z', '2026-11-03T00:00:00.000Z', true],
  ])('%s', (_what, grantedAt, expiresAt, isUsable) => {
    const one = grant('g', {
      grantedAt: new Date(grantedAt),
      expiresAt: expiresAt === null ? null : new Date(expiresAt),
    });
    expect(isUsableIn(one, NOVEMBER)).toBe(isUsable);
  });

  it('of a plan is usable in its own period only', () => {
    const plan = grant('p', { kind: 'plan', period: NOVEMBER, expiresAt: new Date('2026-12-01') });
    expect(PERIODS.filter((of) => isUsableIn(plan, of))).toEqual([NOVEMBER]);
    expect(creditAccountOf('a', plan)).toBe('plan_credit:a:2026-11');
    expect(() => creditAccountOf('a', { kind: 'plan', period: null })).toThrow(/without a period/);
  });
});

describe('burning down', () => {
  it('splits a cost into burns and a rest, exactly, and no grant falls below 0', () => {
    fc.assert(
      fc.property(grantList, fc.bigInt(0n, 1_500n), period, (grants, cost, of) => {
        const before = state(grants);
        const burnt = burnDown(cost, grants, of);
        const usable = usableIn(before, of);
        expect(sum(burnt.burns) + burnt.restPicoUsd).toBe(cost);
        expect(sum(burnt.burns)).toBe(cost < usable ? cost : usable);
        expect(usableIn(state(burnt.grants), of)).toBe(usable - sum(burnt.burns));
        expect(burnedIn(state(burnt.grants), of)).toBe(burnedIn(before, of) + sum(burnt.burns));
        burnt.grants.forEach((after, index) => {
          const was = grants[index]!;
          expect(after.remainingPicoUsd >= 0n).toBe(true);
          const burned = Object.values(after.burnedPicoUsd).reduce((a, b) => a + b, 0n);
          expect(after.remainingPicoUsd + burned).toBe(was.amountPicoUsd);
        });
      }),
    );
  });

  it('takes from a grant only when those before it that can be used are used up', () => {
    fc.assert(
      fc.property(grantList, fc.bigInt(1n, 1_500n), period, (grants, cost, of) => {
        const { grants: after, burns } = burnDown(cost, grants, of);
        const last = burns.at(-1);
        if (last === undefined) return;
        expect(burns.every(({ amountPicoUsd }) => amountPicoUsd > 0n)).toBe(true);
        const usable = after.filter((one) => isUsableIn(one, of));
        const lastIndex = usable.findIndex(({ id }) => id === last.grantId);
        for (const one of usable.slice(0, lastIndex)) expect(one.remainingPicoUsd).toBe(0n);
        for (const one of usable.slice(lastIndex + 1)) {
          expect(burns.some(({ grantId }) => grantId === one.id)).toBe(false);
        }
      }),
    );
  });

  it('is undone by giving back all of it, and giving back a part equals having burned less', () => {
    fc.assert(
      fc.property(
        grantList,
        fc.bigInt(0n, 1_500n),
        fc.bigInt(0n, 1_500n),
        period,
        (list, cost, back, of) => {
          // What this period had burned before would be given back too, once the rest is.
          const grants = list.map((one) => ({ ...one, burnedPicoUsd: {} }));
          const burnt = burnDown(cost, grants, of);
          const burned = sum(burnt.burns);
          const kept = back < burned ? burned - back : 0n;
          const undone = unburn(back, burnt.grants, of);
          expect(plainly(undone.grants)).toEqual(plainly(burnDown(kept, grants, of).grants));
          expect(undone.restPicoUsd).toBe(back - (burned - kept));
          expect(sum(undone.burns) + undone.restPicoUsd).toBe(back);
        },
      ),
    );
  });
});

describe('the plan grant of a period', () => {
  const at = new Date('2026-11-10T00:00:00Z');
  const entitled: CreditState = {
    grants: [],
    entitlements: [
      { from: NOVEMBER, amountPicoUsd: 200n },
      { from: '2026-12', amountPicoUsd: 50n },
    ],
    grantedPicoUsd: {},
    correctedPicoUsd: {},
    takenFromHoldsPicoUsd: 0n,
  };

  it('is the entitlement of the latest entry, and nothing before the first', () => {
    const due = PERIODS.map((of) => planGrantDue(entitled, of)?.amountPicoUsd ?? null);
    expect(due).toEqual([null, null, 200n, 50n, 50n]);
  });

  it('tops up to the highest entitlement, once', () => {
    const first = withPlanGrant(entitled, NOVEMBER, planGrantDue(entitled, NOVEMBER)!, {
      id: 'one',
      at,
    });
    expect(planGrantDue(first, NOVEMBER)).toBeNull();
    const raised = { ...first, entitlements: [{ from: NOVEMBER, amountPicoUsd: 320n }] };
    const due = planGrantDue(raised, NOVEMBER)!;
    expect(due).toMatchObject({ amountPicoUsd: 120n, entitlementPicoUsd: 320n });
    const second = withPlanGrant(raised, NOVEMBER, due, { id: 'two', at });
    expect(planGrantDue(second, NOVEMBER)).toBeNull();
    expect(usableIn(second, NOVEMBER)).toBe(320n);
    const lowered = { ...second, entitlements: [{ from: NOVEMBER, amountPicoUsd: 10n }] };
    expect(planGrantDue(lowered, NOVEMBER)).toBeNull();
  });
});

describe('the close of a period', () => {
  it('lets exactly that expire which no later period can use, and keeps the rest', () => {
    fc.assert(
      fc.property(creditState, fc.constantFrom('2026-10', '2026-11'), (before, of) => {
        const next = nextPeriod(of);
        const closed = closeCredit(before, of, next);
        const later = [next, ...PERIODS.filter((one) => one > next), '2030-01'];
        for (const one of before.grants) {
          const expired = closed.expired.find(({ grantId }) => grantId === one.id);
          const live = closed.state.grants.find(({ id }) => id === one.id);
          const canBeUsed =
            one.kind === 'plan'
              ? later.some((late) => isUsableIn(one, late))
              : one.expiresAt === null || later.some((late) => isUsableIn(one, late));
          // A grant of a later day than these periods is not met; it would be usable in its own.
          if (one.grantedAt >= periodBounds(next).end && one.kind !== 'plan') continue;
          if (one.remainingPicoUsd > 0n) {
            expect(expired?.amountPicoUsd ?? 0n).toBe(canBeUsed ? 0n : one.remainingPicoUsd);
            expect(live?.remainingPicoUsd ?? 0n).toBe(canBeUsed ? one.remainingPicoUsd : 0n);
          } else expect(expired).toBeUndefined();
        }
      }),
    );
  });

  it('tells what the period burned of each grant, and leaves what later ones burned', () => {
    fc.assert(
      fc.property(creditState, fc.constantFrom('2026-10', '2026-11'), (before, of) => {
        const closed = closeCredit(before, of, nextPeriod(of));
        expect(sum(closed.burned)).toBe(burnedIn(before, of));
        expect(burnedIn(closed.state, of)).toBe(0n);
        for (const later of PERIODS.filter((one) => one > of)) {
          const usable = before.grants.filter((one) => isUsableIn(one, later));
          const left = closed.state.grants.filter((one) => isUsableIn(one, later));
          expect(burnedIn(state(left), later)).toBe(burnedIn(state(usable), later));
        }
      }),
    );
  });

  it('changes no later entitlement, and what was granted for later periods stays granted', () => {
    fc.assert(
      fc.property(creditState, fc.constantFrom('2026-10', '2026-11'), (before, of) => {
        const { state: after } = closeCredit(before, of, nextPeriod(of));
        for (const later of PERIODS.filter((one) => one > of)) {
          expect(entitlementFor(after, later)).toBe(entitlementFor(before, later));
          expect(planGrantDue(after, later)).toEqual(planGrantDue(before, later));
        }
        expect(Object.keys(after.grantedPicoUsd).every((one) => one > of)).toBe(true);
      }),
    );
  });
});

describe('stored credit', () => {
  it('reads back as it was written', () => {
    fc.assert(
      fc.property(creditState, (before) => {
        expect(parseCredit(creditText(before))).toEqual(before);
        expect(parseCredit(creditText(parseCredit(creditText(before))))).toEqual(before);
      }),
    );
  });

  it('of an account that has none is empty, and amounts past 2^53 are exact', () => {
    expect(parseCredit(null)).toEqual({
      grants: [],
      entitlements: [],
      grantedPicoUsd: {},
      correctedPicoUsd: {},
      takenFromHoldsPicoUsd: 0n,
    });
    const { takenFromHoldsPicoUsd: _new, ...older } = state([]);
    expect(parseCredit(JSON.stringify(older))).toEqual(state([]));
    const large = grant('large', { amountPicoUsd: 2n ** 63n - 1n });
    const text = creditText(state([large]));
    expect(parseCredit(text).grants).toEqual([large]);
  });
});
