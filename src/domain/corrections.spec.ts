import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addGrant, type BudgetRow, owedIn, spend, topUp, usedIn } from './budget-rows.js';
import {
  type ClosedPeriodBooks,
  type CorrectionPlan,
  planDownward,
  planUpward,
} from './corrections.js';
import { burnDown, burnedIn, closeCredit, type Grant, NO_CREDIT, usableIn } from './credits.js';
import { nextPeriod } from './periods.js';

const ACCOUNT = 'account';
const OCTOBER = '2026-10';
const NOVEMBER = '2026-11';
const UNBILLED = `unbilled:${ACCOUNT}:${NOVEMBER}`;
const PROMO = `promo_credit:${ACCOUNT}`;
const PREPAID = `prepaid_credit:${ACCOUNT}`;
const NOTHING: ClosedPeriodBooks = {
  unusedPlanCreditPicoUsd: 0n,
  payAsYouGoPicoUsd: 0n,
  burned: [],
};

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
    closedThrough: OCTOBER,
    ...parts,
  };
}

function grant(id: string, parts: Partial<Grant> = {}): Grant {
  const amountPicoUsd = parts.amountPicoUsd ?? 100n;
  return {
    id,
    kind: 'promotional',
    amountPicoUsd,
    remainingPicoUsd: amountPicoUsd,
    grantedAt: new Date('2026-10-05T00:00:00Z'),
    expiresAt: null,
    period: null,
    burnedPicoUsd: {},
    ...parts,
  };
}

function withGrants(grants: readonly Grant[], parts: Partial<BudgetRow> = {}): BudgetRow {
  return row({ credit: { ...NO_CREDIT, grants }, ...parts });
}

function open(books: Partial<ClosedPeriodBooks> = {}, period = NOVEMBER) {
  return { period, books: { ...NOTHING, ...books } };
}

/** Parts as `account amount`. */
function told({ parts }: CorrectionPlan): string[] {
  return parts.map(({ account, amountPicoUsd }) => `${account} ${amountPicoUsd}`);
}

const amount = fc.bigInt(1n, 500n);
const some = fc.bigInt(0n, 300n);

describe('an upward correction of a closed period', () => {
  it('takes plan credit it left unused, promotional, prepaid, and owes the rest', () => {
    const grants = [
      grant('promo', { amountPicoUsd: 20n }),
      grant('prepaid', { kind: 'prepaid', amountPicoUsd: 30n }),
    ];
    const plan = planUpward(
      100n,
      OCTOBER,
      withGrants(grants),
      open({ unusedPlanCreditPicoUsd: 10n }),
    );
    expect(told(plan)).toEqual(['promo_cost 10', `${PROMO} 20`, `${PREPAID} 30`, `${UNBILLED} 40`]);
    expect(plan).toMatchObject({ landsIn: NOVEMBER, linePicoUsd: 40n, absorbedPicoUsd: 0n });
    expect(plan.row.credit.grants.map((one) => one.remainingPicoUsd)).toEqual([0n, 0n]);
  });

  it('leaves the plan credit of the open period and what cannot be used in it alone', () => {
    const grants = [
      grant('plan', { kind: 'plan', period: NOVEMBER, expiresAt: new Date('2026-12-01') }),
      grant('expired', { expiresAt: new Date('2026-11-01T00:00:00Z') }),
      grant('to come', { grantedAt: new Date('2026-12-01T00:00:00Z') }),
    ];
    const plan = planUpward(9n, OCTOBER, withGrants(grants), open());
    expect(told(plan)).toEqual([`${UNBILLED} 9`]);
    expect(plan.row.credit.grants).toEqual(grants);
  });

  it('of an account without pay-as-you-go is ours past its credit', () => {
    const account = withGrants([grant('promo', { amountPicoUsd: 20n })], { isPayAsYouGo: false });
    const plan = planUpward(50n, OCTOBER, account, open({ unusedPlanCreditPicoUsd: 10n }));
    expect(told(plan)).toEqual(['promo_cost 10', `${PROMO} 20`, 'absorbed_cost 20']);
    expect(plan).toMatchObject({ linePicoUsd: 0n, absorbedPicoUsd: 20n });
  });

  it('counts against no limit and as no cost of the open period', () => {
    const account = withGrants([grant('promo', { amountPicoUsd: 20n })], { usedPicoUsd: 7n });
    const { row: after } = planUpward(50n, OCTOBER, account, open());
    expect(usedIn(after, NOVEMBER)).toBe(7n);
    expect(burnedIn(after.credit, NOVEMBER)).toBe(0n);
  });
});

describe('a downward correction of a closed period', () => {
  it('gives back pay-as-you-go, prepaid and promotional credit, and the rest costs us', () => {
    const prepaid = grant('prepaid', { kind: 'prepaid', remainingPicoUsd: 0n });
    const promo = grant('promo', { remainingPicoUsd: 0n });
    const expired = grant('expired', { expiresAt: new Date('2026-11-01T00:00:00Z') });
    const books = {
      payAsYouGoPicoUsd: 40n,
      burned: [
        { grant: prepaid, burnedPicoUsd: 30n },
        { grant: expired, burnedPicoUsd: 25n },
        { grant: promo, burnedPicoUsd: 20n },
      ],
    };
    const plan = planDownward(100n, OCTOBER, row(), open(books));
    expect(told(plan)).toEqual([`${UNBILLED} 40`, `${PREPAID} 30`, `${PROMO} 20`, 'promo_cost 10']);
    expect(plan).toMatchObject({ landsIn: NOVEMBER, linePicoUsd: -40n, absorbedPicoUsd: 0n });
    // Both had been used up and forgotten; they come back in their order.
    expect(plan.row.credit.grants).toMatchObject([
      { id: 'promo', remainingPicoUsd: 20n },
      { id: 'prepaid', remainingPicoUsd: 30n },
    ]);
  });

  it('adds to a grant that is still live', () => {
    const live = grant('prepaid', { kind: 'prepaid', remainingPicoUsd: 55n });
    const books = { burned: [{ grant: { ...live, remainingPicoUsd: 0n }, burnedPicoUsd: 30n }] };
    const plan = planDownward(12n, OCTOBER, withGrants([live]), open(books));
    expect(plan.row.credit.grants).toEqual([{ ...live, remainingPicoUsd: 67n }]);
  });

  it('lets the credit that it gives back cover what open periods owe', () => {
    const prepaid = grant('prepaid', { kind: 'prepaid', remainingPicoUsd: 0n });
    const plan = planDownward(
      30n,
      OCTOBER,
      row({ usedPicoUsd: 18n }),
      open({ burned: [{ grant: prepaid, burnedPicoUsd: 100n }] }),
    );
    expect(told(plan)).toEqual([`${PREPAID} 30`]);
    expect(plan.covers).toMatchObject([
      { period: NOVEMBER, part: { grantId: 'prepaid', amountPicoUsd: 18n } },
    ]);
    expect(usedIn(plan.row, NOVEMBER)).toBe(0n);
    expect(usableIn(plan.row.credit, NOVEMBER)).toBe(12n);
    expect(burnedIn(plan.row.credit, NOVEMBER)).toBe(18n);
  });
});

describe('a correction', () => {
  const anyRow = fc
    .record({
      isPayAsYouGo: fc.boolean(),
      used: some,
      previous: some,
      credits: fc.array(fc.tuple(some, fc.constantFrom('promotional', 'prepaid')), {
        maxLength: 3,
      }),
      closedThrough: fc.constantFrom(null, '2026-09', OCTOBER),
    })
    .map(({ isPayAsYouGo, used, previous, credits, closedThrough }) =>
      withGrants(
        credits.map(([remainingPicoUsd, kind], index) =>
          grant(`g${index}`, {
            kind,
            remainingPicoUsd,
            amountPicoUsd: remainingPicoUsd + 40n,
            burnedPicoUsd: closedThrough === OCTOBER ? {} : { [OCTOBER]: 40n },
          }),
        ),
        { isPayAsYouGo, usedPicoUsd: used, previousUsedPicoUsd: previous, closedThrough },
      ),
    );
  const books = fc
    .record({ unused: some, payg: some, burned: fc.array(some, { maxLength: 3 }) })
    .map(({ unused, payg, burned }): ClosedPeriodBooks => ({
      unusedPlanCreditPicoUsd: unused,
      payAsYouGoPicoUsd: payg,
      burned: burned.map((burnedPicoUsd, index) => ({
        grant: grant(`g${index}`, { kind: 'prepaid', remainingPicoUsd: 0n }),
        burnedPicoUsd,
      })),
    }));

  it('has parts above 0 that sum to its amount, and a line of what goes through unbilled', () => {
    fc.assert(
      fc.property(amount, fc.boolean(), anyRow, books, (size, isUp, before, of) => {
        const isClosed = before.closedThrough === OCTOBER;
        const at = { period: isClosed ? NOVEMBER : OCTOBER, books: of };
        const owed = isClosed ? of.payAsYouGoPicoUsd : owedIn(before, OCTOBER);
        const plan = (isUp ? planUpward : planDownward)(size, OCTOBER, before, at);
        expect(plan.parts.reduce((sum, part) => sum + part.amountPicoUsd, 0n)).toBe(size);
        expect(plan.parts.every((part) => part.amountPicoUsd > 0n)).toBe(true);
        expect(plan.landsIn).toBe(at.period);
        const through = plan.parts
          .filter(({ account }) => account.startsWith('unbilled:'))
          .reduce((sum, part) => sum + part.amountPicoUsd, 0n);
        const credited = plan.parts
          .filter(({ grantId }) => grantId !== null)
          .reduce((sum, part) => sum + part.amountPicoUsd, 0n);
        const line = isClosed ? through : through + credited;
        expect(plan.linePicoUsd).toBe(isUp ? line : -line);
        if (!isUp) expect(through <= owed).toBe(true);
        if (isUp && !before.isPayAsYouGo) expect(through).toBe(0n);
        for (const one of plan.row.credit.grants) expect(one.remainingPicoUsd >= 0n).toBe(true);
        expect(usedIn(plan.row, OCTOBER) >= 0n && usedIn(plan.row, NOVEMBER) >= 0n).toBe(true);
      }),
    );
  });
});

/** Books as the ledger keeps them, moved by the parts of corrections. */
class Books {
  unused: bigint;
  owed: bigint;
  promo: bigint;

  constructor(
    readonly promoGrant: Grant,
    split: { readonly unused: bigint; readonly owed: bigint; readonly promo: bigint },
  ) {
    ({ unused: this.unused, owed: this.owed, promo: this.promo } = split);
  }

  get books(): ClosedPeriodBooks {
    return {
      unusedPlanCreditPicoUsd: this.unused,
      payAsYouGoPicoUsd: this.owed,
      burned: [{ grant: { ...this.promoGrant, remainingPicoUsd: 0n }, burnedPicoUsd: this.promo }],
    };
  }

  book({ parts }: CorrectionPlan, sign: bigint): void {
    for (const { account, amountPicoUsd } of parts) {
      if (account === 'promo_cost') this.unused -= sign * amountPicoUsd;
      else if (account === PROMO) this.promo += sign * amountPicoUsd;
      else this.owed += sign * amountPicoUsd;
    }
  }
}

let lastId = 0;
const newId = (): string => `id${(lastId += 1)}`;

/** With a promotional grant of October. */
function granted(before: BudgetRow, id: string, amountPicoUsd: bigint): BudgetRow {
  const grant = {
    id,
    accountId: ACCOUNT,
    kind: 'promotional',
    amountPicoUsd,
    period: null,
    entitlementPicoUsd: null,
    grantedAt: new Date('2026-10-05T00:00:00Z'),
    expiresAt: null,
  } as const;
  return addGrant(before, grant, OCTOBER, newId).row;
}

function settle(before: BudgetRow, costPicoUsd: bigint): BudgetRow {
  const burnt = burnDown(costPicoUsd, before.credit.grants, OCTOBER);
  const spent = { ...before, credit: { ...before.credit, grants: burnt.grants } };
  return spend(spent, OCTOBER, 0n, burnt.restPicoUsd);
}

/** October with a plan grant and a promotional one, and a cost: split as it is settled. */
function october(plan: bigint, promo: bigint, cost: bigint): BudgetRow {
  const credit = { ...NO_CREDIT, entitlements: [{ from: OCTOBER, amountPicoUsd: plan }] };
  const start = row({ period: OCTOBER, credit, closedThrough: null });
  const monthly = topUp(start, OCTOBER, new Date('2026-10-05T00:00:00Z'), newId).row;
  return settle(granted(monthly, 'promo', promo), cost);
}

/** What a cost burns of the promotional grant, and what it owes past all credit. */
function splitOf(plan: bigint, promo: bigint, cost: bigint): { promo: bigint; owed: bigint } {
  const afterPlan = cost > plan ? cost - plan : 0n;
  const fromPromo = afterPlan < promo ? afterPlan : promo;
  return { promo: fromPromo, owed: afterPlan - fromPromo };
}

describe('corrections up and down in any order', () => {
  const plan = fc.bigInt(1n, 200n);
  const steps = fc.array(fc.bigInt(-150n, 150n), { maxLength: 8 });

  it('of a closed period leave what one settlement of the sum would have left', () => {
    fc.assert(
      fc.property(plan, plan, some, steps, (monthly, promo, cost, deltas) => {
        const before = october(monthly, promo, cost);
        const first = splitOf(monthly, promo, cost);
        const unused = monthly > cost ? monthly - cost : 0n;
        const closed = closeCredit(before.credit, OCTOBER, nextPeriod(OCTOBER));
        const promoGrant = before.credit.grants.find(({ id }) => id === 'promo')!;
        const books = new Books(promoGrant, { ...first, unused });
        let current = row({ credit: closed.state });
        let total = cost;
        for (const delta of deltas) {
          if (delta === 0n || total + delta < 0n) continue;
          total += delta;
          const correct = delta > 0n ? planUpward : planDownward;
          const size = delta > 0n ? delta : -delta;
          const done = correct(size, OCTOBER, current, open(books.books));
          books.book(done, delta > 0n ? 1n : -1n);
          current = done.row;
        }
        const expected = splitOf(monthly, promo, total);
        expect({ promo: books.promo, owed: books.owed }).toEqual(expected);
        expect(usableIn(current.credit, NOVEMBER)).toBe(promo - expected.promo);
      }),
    );
  });

  it('of an open period, with grants in between, keep its credit used at min(usable, cost)', () => {
    const either = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('correction'), amount: fc.bigInt(-150n, 150n) }),
        fc.record({ kind: fc.constant('grant'), amount: fc.bigInt(1n, 80n) }),
        fc.record({ kind: fc.constant('settlement'), amount: fc.bigInt(1n, 80n) }),
      ),
      { maxLength: 10 },
    );
    fc.assert(
      fc.property(plan, plan, some, either, (monthly, promo, cost, list) => {
        let current = october(monthly, promo, cost);
        let usable = monthly + promo;
        let total = cost;
        for (const [index, { kind, amount: size }] of list.entries()) {
          if (kind === 'grant') {
            current = granted(current, `later${index}`, size);
            usable += size;
          } else if (kind === 'settlement') {
            current = settle(current, size);
            total += size;
          } else if (size !== 0n && total + size >= 0n) {
            const correct = size > 0n ? planUpward : planDownward;
            const done = correct(size > 0n ? size : -size, OCTOBER, current, open({}, OCTOBER));
            expect(done.linePicoUsd).toBe(size);
            current = done.row;
            total += size;
          }
          expect(burnedIn(current.credit, OCTOBER)).toBe(total < usable ? total : usable);
          expect(owedIn(current, OCTOBER)).toBe(total > usable ? total - usable : 0n);
          expect(usedIn(current, OCTOBER) >= 0n).toBe(true);
          expect((current.credit.correctedPicoUsd[OCTOBER] ?? 0n) >= 0n).toBe(true);
        }
      }),
    );
  });

  it('takes back its own charge without making room under the limit', () => {
    const owing = row({ period: OCTOBER, usedPicoUsd: 50n, closedThrough: null });
    const up = planUpward(20n, OCTOBER, owing, open({}, OCTOBER));
    expect([usedIn(up.row, OCTOBER), owedIn(up.row, OCTOBER)]).toEqual([50n, 70n]);
    const down = planDownward(20n, OCTOBER, up.row, open({}, OCTOBER));
    expect(told(down)).toEqual([`unbilled:${ACCOUNT}:${OCTOBER} 20`]);
    expect(usedIn(down.row, OCTOBER)).toBe(50n);
  });
});
