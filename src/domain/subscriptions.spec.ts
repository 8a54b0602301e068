import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BudgetRow, topUp } from './budget-rows.js';
import { entitlementFor, NO_CREDIT } from './credits.js';
import { nextPeriod, periodOf } from './periods.js';
import { effectiveAtOf, entitlementIn, type Plan, planAt, type PlanChange } from './plans.js';
import { creditOfNew, withEntitlements } from './subscriptions.js';

const USD = 10n ** 12n;
const FREE = plan('free', 0n, USD / 10n, false);
const PRO = plan('pro', 9n * USD, 2n * USD, false);
const TEAM = plan('team', 20n * USD, 2n * USD, true);

function plan(slug: string, pricePicoUsd: bigint, creditPicoUsd: bigint, isPerSeat: boolean): Plan {
  return { slug, name: slug, pricePicoUsd, creditPicoUsd, isPerSeat, isPayAsYouGoDefault: true };
}

function change(time: string, of: Plan, seats = 1): PlanChange {
  return { plan: of, seats, effectiveAt: new Date(time) };
}

const OCTOBER = '2026-10';
const NOVEMBER = '2026-11';

describe('what an account is entitled to', () => {
  it('is the credit of its plan from its first month on, per seat by days of that month', () => {
    const pro = creditOfNew(change('2026-10-31T23:00:00Z', PRO));
    expect([entitlementFor(pro, OCTOBER), entitlementFor(pro, NOVEMBER)]).toEqual([
      2n * USD,
      2n * USD,
    ]);
    const team = creditOfNew(change('2026-11-16T00:00:00Z', TEAM, 3));
    expect(entitlementFor(team, OCTOBER)).toBe(0n);
    expect(entitlementFor(team, NOVEMBER)).toBe(3n * USD);
    expect(entitlementFor(team, '2026-12')).toBe(6n * USD);
    expect(entitlementFor(team, '2027-07')).toBe(6n * USD);
  });

  it('rises at once with an upgrade and falls with the next month', () => {
    const start = change('2026-10-03T00:00:00Z', FREE);
    const up = change('2026-11-10T00:00:00Z', PRO);
    const raised = withEntitlements(creditOfNew(start), [start, up], up.effectiveAt);
    expect([OCTOBER, NOVEMBER, '2026-12'].map((of) => entitlementFor(raised, of))).toEqual([
      USD / 10n,
      2n * USD,
      2n * USD,
    ]);
    const down = change('2026-12-01T00:00:00Z', FREE);
    const lowered = withEntitlements(raised, [start, up, down], new Date('2026-11-20T00:00:00Z'));
    expect([OCTOBER, NOVEMBER, '2026-12'].map((of) => entitlementFor(lowered, of))).toEqual([
      USD / 10n,
      2n * USD,
      USD / 10n,
    ]);
  });

  it('says nothing of what is granted already', () => {
    const before = { ...creditOfNew(change('2026-10-03T00:00:00Z', PRO)), grantedPicoUsd: {} };
    const after = withEntitlements(
      { ...before, grantedPicoUsd: { [OCTOBER]: 5n } },
      [change('2026-10-03T00:00:00Z', PRO)],
      new Date('2026-10-04T00:00:00Z'),
    );
    expect(after.grantedPicoUsd).toEqual({ [OCTOBER]: 5n });
    expect(after.grants).toEqual(NO_CREDIT.grants);
  });
});

/** Requests for a plan, in order of time, as a person makes them. */
const requests = fc
  .array(
    fc.record({
      at: fc.date({
        min: new Date('2026-10-01T00:00:00Z'),
        max: new Date('2026-12-31T00:00:00Z'),
        noInvalidDate: true,
      }),
      plan: fc.constantFrom(FREE, PRO, TEAM),
      seats: fc.integer({ min: 1, max: 6 }),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((list) => list.sort((one, other) => one.at.getTime() - other.at.getTime()));

describe('changes of plan', () => {
  it('leave every month with one grant sum: the highest entitlement it reached', () => {
    fc.assert(
      fc.property(requests, (list) => {
        const [first, ...later] = list;
        let changes: readonly PlanChange[] = [{ ...first!, effectiveAt: first!.at }];
        let id = 0;
        let row: BudgetRow = {
          subjectId: 'account',
          scope: 'account',
          limitPicoUsd: null,
          isPayAsYouGo: true,
          isClosed: false,
          period: periodOf(first!.at),
          usedPicoUsd: 0n,
          previousUsedPicoUsd: 0n,
          heldPicoUsd: null,
          credit: creditOfNew(changes[0]!),
          closedThrough: null,
        };
        const granted: Record<string, bigint> = {};
        const grant = (at: Date): void => {
          const made = topUp(row, periodOf(at), at, () => `id${(id += 1)}`);
          row = made.row;
          for (const one of made.grants) {
            granted[one.period!] = (granted[one.period!] ?? 0n) + one.amountPicoUsd;
          }
        };
        grant(first!.at);
        for (const { at, plan: to, seats } of later) {
          const current = planAt(changes, at)!;
          const next = { plan: to, seats };
          // A request cancels what is scheduled after it.
          changes = [
            ...changes.filter(({ effectiveAt }) => effectiveAt <= at),
            { ...next, effectiveAt: effectiveAtOf(current, next, at) },
          ];
          row = { ...row, credit: withEntitlements(row.credit, changes, at) };
          grant(at);
        }
        const last = list.at(-1)!.at;
        const [now, following] = [periodOf(last), nextPeriod(periodOf(last))];
        expect(granted[now] ?? 0n).toBe(entitlementIn(changes, now, last));
        grant(new Date(`${following}-01T00:00:00Z`));
        const start = new Date(`${following}-01T00:00:00Z`);
        expect(granted[following] ?? 0n).toBe(entitlementIn(changes, following, start));
      }),
    );
  });
});
