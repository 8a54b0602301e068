import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addGrant,
  type BudgetRow,
  coverOwed,
  type Granted,
  isClosedIn,
  lessOwed,
  type NewGrant,
  owedIn,
  rolledTo,
  spend,
  topUp,
  usedIn,
  viewOf,
} from './budget-rows.js';
import { burnDown, burnedIn, NO_CREDIT, usableIn } from './credits.js';
import { foldTransfers, planCredit, promoCredit, unbilled } from './ledger.js';
import { nextPeriod, periodBounds, previousPeriod } from './periods.js';

const ACCOUNT = 'account';
const OCTOBER = '2026-10';
const NOVEMBER = '2026-11';
const AT = new Date('2026-11-10T12:00:00Z');

function row(parts: Partial<BudgetRow> = {}): BudgetRow {
  return {
    subjectId: ACCOUNT,
    scope: 'account',
    limitPicoUsd: null,
    isPayAsYouGo: true,
    isClosed: false,
    period: NOVEMBER,
    usedPicoUsd: 0n,
    previousUsedPicoUsd: 0n,
    heldPicoUsd: null,
    credit: NO_CREDIT,
    closedThrough: null,
    ...parts,
  };
}

function entitledTo(amountPicoUsd: bigint, parts: Partial<BudgetRow> = {}): BudgetRow {
  const credit = { ...NO_CREDIT, entitlements: [{ from: '2026-09', amountPicoUsd }] };
  return row({ credit, ...parts });
}

function ids(): () => string {
  let last = 0;
  return () => {
    last += 1;
    return `id${last}`;
  };
}

function promotional(amountPicoUsd: bigint, parts: Partial<NewGrant> = {}): NewGrant {
  return {
    id: 'promo',
    accountId: ACCOUNT,
    kind: 'promotional',
    amountPicoUsd,
    period: null,
    entitlementPicoUsd: null,
    grantedAt: AT,
    expiresAt: null,
    ...parts,
  };
}

const amount = fc.bigInt(0n, 1_000n);
const period = fc.constantFrom('2026-08', '2026-09', OCTOBER, NOVEMBER, '2026-12');

describe('what a budget has used', () => {
  it('is kept for two periods, and a settlement moves that of its own period alone', () => {
    fc.assert(
      fc.property(period, amount, amount, period, amount, (at, used, previous, of, more) => {
        const before = row({ period: at, usedPicoUsd: used, previousUsedPicoUsd: previous });
        const after = spend(before, of, 0n, more);
        const isKept = of >= previousPeriod(at);
        expect(usedIn(after, of)).toBe(isKept ? usedIn(before, of) + more : usedIn(before, of));
        for (const other of [after.period, previousPeriod(after.period)]) {
          if (other !== of) expect(usedIn(after, other)).toBe(usedIn(before, other));
        }
        expect(after.period).toBe(of > at ? of : at);
      }),
    );
  });

  it('never moves back to an earlier period', () => {
    const now = row({ period: '2026-12', usedPicoUsd: 5n, previousUsedPicoUsd: 4n });
    expect(rolledTo(now, NOVEMBER)).toBe(now);
    expect(rolledTo(now, '2027-01')).toMatchObject({ usedPicoUsd: 0n, previousUsedPicoUsd: 5n });
    expect(rolledTo(now, '2027-02')).toMatchObject({ usedPicoUsd: 0n, previousUsedPicoUsd: 0n });
  });

  it('gives a hold back in whatever period it is settled, and keeps no sum while unlimited', () => {
    fc.assert(
      fc.property(period, fc.option(fc.bigInt(500n, 900n)), amount, (of, held, used) => {
        const after = spend(row({ heldPicoUsd: held }), of, 300n, used);
        expect(after.heldPicoUsd).toBe(held === null ? null : held - 300n);
      }),
    );
  });

  it('shows the admission rule its credit, its pay-as-you-go and every hold', () => {
    const account = row({
      usedPicoUsd: 7n,
      previousUsedPicoUsd: 9n,
      limitPicoUsd: 50n,
      heldPicoUsd: 3n,
    });
    const { row: granted } = addGrant(account, promotional(20n), NOVEMBER, ids());
    expect(viewOf(granted, NOVEMBER)).toEqual({
      scope: 'account',
      creditUsablePicoUsd: 13n,
      payAsYouGo: { isOn: true, limitPicoUsd: 50n, usedPicoUsd: 0n },
      heldPicoUsd: 3n,
    });
    expect(viewOf(granted, OCTOBER)).toMatchObject({
      creditUsablePicoUsd: 0n,
      payAsYouGo: { usedPicoUsd: 9n },
      heldPicoUsd: 3n,
    });
    const member = row({ scope: 'member', limitPicoUsd: 8n, usedPicoUsd: 5n, heldPicoUsd: 1n });
    expect(viewOf(member, NOVEMBER)).toEqual({
      scope: 'member',
      limitPicoUsd: 8n,
      usedPicoUsd: 5n,
      heldPicoUsd: 1n,
    });
  });
});

/** Books of a grant: what it makes, what it covers at once, and the row it leaves. */
function checkGranted(before: BudgetRow, { row: after, grants, transfers }: Granted): void {
  const fold = foldTransfers(transfers);
  let covered = 0n;
  for (const each of [OCTOBER, NOVEMBER]) {
    const less = usedIn(before, each) - usedIn(after, each);
    expect(fold.get(unbilled(ACCOUNT, each)) ?? 0n).toBe(-less);
    expect(burnedIn(after.credit, each) - burnedIn(before.credit, each)).toBe(less);
    expect(less >= 0n).toBe(true);
    covered += less;
    if (isClosedIn(after, each)) expect(less).toBe(0n);
    else expect(usedIn(after, each) > 0n && usableIn(after.credit, each) > 0n).toBe(false);
  }
  const granted = grants.reduce((total, { amountPicoUsd }) => total + amountPicoUsd, 0n);
  const creditCodes = [...fold].filter(([code]) => code.includes('_credit:'));
  expect(creditCodes.reduce((total, [, balance]) => total + balance, 0n)).toBe(covered - granted);
  expect(new Set(transfers.map(({ id }) => id)).size).toBe(transfers.length);
  expect(new Set(transfers.map(({ idempotencyId }) => idempotencyId)).size).toBe(transfers.length);
  for (const { amountPicoUsd, createdAt } of transfers) {
    expect(amountPicoUsd > 0n).toBe(true);
    expect(createdAt).toEqual(AT);
  }
}

describe('the plan grant of a period', () => {
  it('is made once, covers what the period owes already, and its transfers fold to the row', () => {
    fc.assert(
      fc.property(amount, amount, amount, (entitlement, used, previous) => {
        const before = entitledTo(entitlement, {
          usedPicoUsd: used,
          previousUsedPicoUsd: previous,
        });
        const made = topUp(before, NOVEMBER, AT, ids());
        checkGranted(before, made);
        expect(made.grants.map((one) => one.amountPicoUsd)).toEqual(
          entitlement === 0n ? [] : [entitlement],
        );
        expect(usedIn(made.row, NOVEMBER)).toBe(used > entitlement ? used - entitlement : 0n);
        expect(usedIn(made.row, OCTOBER)).toBe(previous);
        const again = topUp(made.row, NOVEMBER, AT, ids());
        expect(again).toEqual({ row: made.row, grants: [], transfers: [] });
      }),
    );
  });

  it('tops up to the highest entitlement, however often it is asked for in between', () => {
    fc.assert(
      fc.property(fc.array(amount, { minLength: 1, maxLength: 5 }), amount, (steps, used) => {
        const newId = ids();
        let current = row({ usedPicoUsd: used });
        let granted = 0n;
        for (const amountPicoUsd of steps) {
          const entitlements = [{ from: NOVEMBER, amountPicoUsd }];
          current = { ...current, credit: { ...current.credit, entitlements } };
          const made = topUp(current, NOVEMBER, AT, newId);
          checkGranted(current, made);
          granted += made.grants.reduce((sum, one) => sum + one.amountPicoUsd, 0n);
          current = made.row;
        }
        const highest = steps.reduce((one, other) => (one > other ? one : other));
        expect(granted).toBe(highest);
        expect(burnedIn(current.credit, NOVEMBER)).toBe(used < highest ? used : highest);
      }),
    );
  });

  it('of a period that is over was granted in it, and is booked when it is made', () => {
    const { end } = periodBounds(OCTOBER);
    const { grants, transfers, row: after } = topUp(entitledTo(5n), OCTOBER, AT, ids());
    expect(grants).toMatchObject([{ period: OCTOBER, expiresAt: end }]);
    expect(grants[0]!.grantedAt < end).toBe(true);
    expect(transfers).toMatchObject([
      { createdAt: AT, credit: planCredit(ACCOUNT, OCTOBER), debit: 'promo_cost' },
    ]);
    expect(after.credit.grants[0]!.grantedAt).toEqual(grants[0]!.grantedAt);
  });

  it('is not made in a period that is closed', () => {
    const closed = entitledTo(5n, { closedThrough: OCTOBER });
    expect(topUp(closed, OCTOBER, AT, ids()).grants).toEqual([]);
    expect(topUp(closed, NOVEMBER, AT, ids()).grants).toHaveLength(1);
  });
});

describe('a grant that comes late', () => {
  it('covers what the open periods that it is usable in owe, and no closed one', () => {
    fc.assert(
      fc.property(
        amount,
        amount,
        amount,
        fc.boolean(),
        fc.constantFrom(new Date('2026-10-20T00:00:00Z'), AT),
        (used, previous, credit, isClosed, grantedAt) => {
          fc.pre(credit > 0n);
          const before = row({
            usedPicoUsd: used,
            previousUsedPicoUsd: previous,
            closedThrough: isClosed ? OCTOBER : null,
          });
          const grant = promotional(credit, { grantedAt });
          const made = addGrant(before, grant, NOVEMBER, ids());
          // Both are booked at the instant of the grant; the helper knows one instant only.
          const transfers = made.transfers.map((one) => ({ ...one, createdAt: AT }));
          checkGranted(before, { ...made, transfers });
          const isUsable = grantedAt < periodBounds(OCTOBER).end && !isClosed;
          const first = isUsable ? (previous < credit ? previous : credit) : 0n;
          expect(usedIn(made.row, OCTOBER)).toBe(previous - first);
          const second = used < credit - first ? used : credit - first;
          expect(usedIn(made.row, NOVEMBER)).toBe(used - second);
        },
      ),
    );
  });

  it('rolls a row of the month before, so that it covers the right month', () => {
    const before = row({ period: OCTOBER, usedPicoUsd: 8n });
    const { row: after } = addGrant(before, promotional(5n), NOVEMBER, ids());
    expect(after).toMatchObject({
      period: NOVEMBER,
      usedPicoUsd: 0n,
      previousUsedPicoUsd: 8n,
    });
  });

  it.each([
    ['promotional', 'promo_cost', promoCredit(ACCOUNT), 'promotional_grant'],
    ['prepaid', 'cash', `prepaid_credit:${ACCOUNT}`, 'top_up'],
  ] as const)('%s is booked from %s', (kind, debit, credit, transferKind) => {
    const { transfers } = addGrant(row(), promotional(5n, { kind }), NOVEMBER, ids());
    expect(transfers).toMatchObject([{ kind: transferKind, debit, credit, amountPicoUsd: 5n }]);
  });
});

describe('what is owed', () => {
  const owing = row({
    usedPicoUsd: 30n,
    previousUsedPicoUsd: 7n,
    credit: { ...NO_CREDIT, correctedPicoUsd: { [NOVEMBER]: 20n } },
  });

  it('is what settlements and corrections left; corrections count towards no limit', () => {
    expect([owedIn(owing, NOVEMBER), usedIn(owing, NOVEMBER)]).toEqual([50n, 30n]);
    expect([owedIn(owing, OCTOBER), usedIn(owing, OCTOBER)]).toEqual([7n, 7n]);
  });

  it('is covered settled cost first, then that of corrections', () => {
    const figures = (covered: bigint): readonly bigint[] => {
      const after = lessOwed(owing, NOVEMBER, covered);
      return [usedIn(after, NOVEMBER), after.credit.correctedPicoUsd[NOVEMBER]!];
    };
    expect([0n, 10n, 30n, 45n, 50n].map(figures)).toEqual([
      [30n, 20n],
      [20n, 20n],
      [0n, 20n],
      [0n, 5n],
      [0n, 0n],
    ]);
    const { row: after, transfers } = addGrant(owing, promotional(45n), NOVEMBER, ids());
    expect([usedIn(after, NOVEMBER), owedIn(after, NOVEMBER)]).toEqual([0n, 5n]);
    expect(burnedIn(after.credit, NOVEMBER)).toBe(45n);
    expect(foldTransfers(transfers).get(unbilled(ACCOUNT, NOVEMBER))).toBe(-45n);
  });
});

describe('covering what is owed', () => {
  it('does nothing where nothing is owed or nothing can be used', () => {
    const owing = row({ usedPicoUsd: 4n });
    expect(coverOwed(owing)).toEqual({ row: owing, covers: [] });
    const { row: granted } = addGrant(row(), promotional(5n), NOVEMBER, ids());
    expect(coverOwed(granted)).toEqual({ row: granted, covers: [] });
  });

  it('leaves credit used at min(usable, cost), whatever was burned before', () => {
    fc.assert(
      fc.property(amount, amount, amount, (credit, cost, owed) => {
        const { row: granted } = addGrant(row(), promotional(credit + 1n), NOVEMBER, ids());
        const burnt = burnDown(cost, granted.credit.grants, NOVEMBER);
        const used = burnt.restPicoUsd + owed;
        const before = {
          ...granted,
          usedPicoUsd: used,
          credit: { ...granted.credit, grants: burnt.grants },
        };
        const { row: after } = coverOwed(before);
        const total = cost + owed;
        const expected = total < credit + 1n ? total : credit + 1n;
        expect(burnedIn(after.credit, NOVEMBER)).toBe(expected);
        expect(usedIn(after, NOVEMBER)).toBe(total - expected);
        expect(nextPeriod(OCTOBER)).toBe(after.period);
      }),
    );
  });
});
