import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideBatch, type EndedEvent, type Settlement } from '../metering/batch-decision.js';
import type { Ending } from '../metering/journal.js';
import { addGrant, type BudgetRow, type Granted } from './budget-rows.js';
import { creditAccountOf } from './credits.js';
import {
  differencesOf,
  totalDifference,
  type AccountControl,
  type MovedSum,
} from './daily-control.js';
import { foldTransfers, payerOf, type Transfer } from './ledger.js';
import type { PlanChange } from './plans.js';
import { creditOfNew } from './subscriptions.js';

const PERIOD = '2027-01';
const AT = new Date('2027-01-15T12:00:00Z');
const ACCOUNT = 'account';
const TOKEN = 'token';

const TEAM: PlanChange = {
  plan: {
    slug: 'team',
    name: 'Team',
    pricePicoUsd: 20n,
    creditPicoUsd: 100n,
    isPerSeat: false,
    isPayAsYouGoDefault: true,
  },
  seats: 1,
  effectiveAt: new Date('2027-01-01T00:00:00Z'),
};

function rowOf(subjectId: string, limitPicoUsd: bigint | null): BudgetRow {
  const isAccount = subjectId === ACCOUNT;
  return {
    subjectId,
    scope: isAccount ? 'account' : 'token',
    limitPicoUsd: isAccount ? limitPicoUsd : null,
    isPayAsYouGo: isAccount,
    isClosed: false,
    period: PERIOD,
    usedPicoUsd: 0n,
    previousUsedPicoUsd: 0n,
    heldPicoUsd: null,
    credit: creditOfNew(TEAM),
    closedThrough: null,
  };
}

type Step =
  | {
      readonly kind: 'settle';
      readonly cost: bigint;
      readonly hold: bigint;
      readonly isOurs: boolean;
    }
  | { readonly kind: 'grant'; readonly amount: bigint; readonly isPrepaid: boolean }
  /** The last charge is taken back. */
  | { readonly kind: 'take_back' };

const amount = fc.bigInt({ min: 0n, max: 90n });
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('settle' as const),
      cost: amount,
      hold: amount,
      isOurs: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant('grant' as const),
      amount: fc.bigInt({ min: 1n, max: 60n }),
      isPrepaid: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('take_back' as const) }),
  ),
  { maxLength: 25 },
);

/** An account's books after a series of settlements, grants and charges taken back. */
class Books {
  private rows = new Map<string, BudgetRow>();
  private readonly transfers: Transfer[] = [];
  private readonly events = new Map<string, EndedEvent>();
  private ids = 0;

  constructor(limitPicoUsd: bigint | null) {
    for (const id of [ACCOUNT, TOKEN]) this.rows.set(id, rowOf(id, limitPicoUsd));
  }

  perform(step: Step): void {
    switch (step.kind) {
      case 'settle':
        this.settle(settlementOf(this.newId(), step));
        return;
      case 'grant':
        this.grant(step);
        return;
      case 'take_back': {
        const last = [...this.events.values()].findLast(({ costPicoUsd }) => costPicoUsd !== 0n);
        if (last === undefined) return;
        const chargedBeforePicoUsd = last.costPicoUsd ?? 0n;
        this.settle({ ...last.settlement, from: 'settled', chargedBeforePicoUsd });
      }
    }
  }

  /** What the control would read of it. */
  control(): AccountControl {
    const row = this.rows.get(ACCOUNT);
    if (row === undefined) throw new Error('no account');
    const folded = foldTransfers(this.transfers);
    const grantIds = new Set(this.transfers.flatMap(({ grantId }) => grantId ?? []));
    const events = [...this.events.values()];
    const sum = (of: 'costPicoUsd' | 'absorbedPicoUsd'): bigint =>
      events.reduce((total, event) => total + (event[of] ?? 0n), 0n);
    return {
      row,
      periods: [
        {
          period: PERIOD,
          costPicoUsd: sum('costPicoUsd'),
          absorbedPicoUsd: sum('absorbedPicoUsd'),
          moved: this.transfers.map(movedOf),
        },
      ],
      balances: [...folded]
        .filter(([account]) => payerOf(account) !== null)
        .map(([account, foldedPicoUsd]) => ({
          account,
          storedPicoUsd: foldedPicoUsd,
          foldedPicoUsd,
        })),
      grants: [...grantIds].map((grantId) => ({
        grantId,
        foldedPicoUsd: this.transfers
          .filter((transfer) => transfer.grantId === grantId)
          .reduce((left, { debit, credit, amountPicoUsd }) => {
            const isIn = isCreditAccount(credit) ? amountPicoUsd : 0n;
            return left + isIn - (isCreditAccount(debit) ? amountPicoUsd : 0n);
          }, 0n),
      })),
    };
  }

  private settle(settlement: Settlement): void {
    const decision = decideBatch([settlement], [], this.rows, { at: AT, newId: this.newId });
    for (const budget of decision.budgets) this.rows.set(budget.subjectId, budget);
    this.transfers.push(...decision.transfers);
    for (const ended of decision.ended) this.events.set(settlement.event.id, ended);
  }

  private grant({ amount: amountPicoUsd, isPrepaid }: Step & { kind: 'grant' }): void {
    const row = this.rows.get(ACCOUNT);
    if (row === undefined) throw new Error('no account');
    const granted: Granted = addGrant(
      row,
      {
        id: this.newId(),
        accountId: ACCOUNT,
        kind: isPrepaid ? 'prepaid' : 'promotional',
        amountPicoUsd,
        period: null,
        entitlementPicoUsd: null,
        grantedAt: AT,
        expiresAt: null,
      },
      PERIOD,
      this.newId,
    );
    this.rows.set(ACCOUNT, granted.row);
    this.transfers.push(...granted.transfers);
  }

  private readonly newId = (): string => {
    this.ids += 1;
    return `id-${this.ids}`;
  };
}

function settlementOf(id: string, { cost, hold, isOurs }: Step & { kind: 'settle' }): Settlement {
  return {
    event: {
      id,
      accountId: ACCOUNT,
      memberId: null,
      tokenId: TOKEN,
      upstream: 'default',
      period: PERIOD,
      holdPicoUsd: hold,
      idempotencyKey: null,
    },
    ending: { state: 'settled', provider: 'together', ratedCostPicoUsd: cost } as Ending,
    from: 'open',
    isWithheld: isOurs,
    chargedBeforePicoUsd: 0n,
  };
}

function movedOf({ kind, debit, credit, amountPicoUsd }: Transfer): MovedSum {
  const kindOf = (account: string): string => account.split(':')[0] ?? '';
  return { kind, debitKind: kindOf(debit), creditKind: kindOf(credit), amountPicoUsd };
}

function isCreditAccount(account: string): boolean {
  return ['plan_credit', 'promo_credit', 'prepaid_credit'].includes(payerOf(account)?.kind ?? '');
}

const limit = fc.option(fc.bigInt({ min: 0n, max: 300n }));

function booksAfter(limitPicoUsd: bigint | null, done: readonly Step[]): AccountControl {
  const books = new Books(limitPicoUsd);
  for (const step of done) books.perform(step);
  return books.control();
}

describe('the daily control of an account', () => {
  it('finds nothing, whatever was settled, granted and taken back', () => {
    fc.assert(
      fc.property(limit, steps, (limitPicoUsd, done) => {
        expect(differencesOf(booksAfter(limitPicoUsd, done))).toEqual([]);
      }),
    );
  });

  it('finds every single amount that is wrong, and by how much', () => {
    const wrong = fc.bigInt({ min: 1n, max: 50n });
    fc.assert(
      fc.property(limit, steps, wrong, fc.nat(4), (limitPicoUsd, done, by, which) => {
        const control = booksAfter(limitPicoUsd, [
          { kind: 'grant', amount: 5n, isPrepaid: true },
          { kind: 'settle', cost: 1n, hold: 1n, isOurs: false },
          ...done,
        ]);
        const { control: planted, check } = plant(control, by, which);
        const found = differencesOf(planted);
        expect(found.map((difference) => difference.check)).toEqual([check]);
        expect(totalDifference(found)).toBe(by);
      }),
    );
  });

  it('finds what a closed period still owes, or still has of its own credit', () => {
    const control = booksAfter(null, [{ kind: 'settle', cost: 130n, hold: 130n, isOurs: false }]);
    const open = { ...control, periods: [] };
    expect(differencesOf(open)).toEqual([]);
    const closed = { ...open, row: { ...control.row, closedThrough: PERIOD } };
    expect(differencesOf(closed)).toMatchObject([
      { check: 'closed_period', of: `unbilled:${ACCOUNT}:${PERIOD}`, ledgerPicoUsd: 30n },
    ]);
    const account = creditAccountOf(ACCOUNT, { kind: 'plan', period: PERIOD });
    const left = { account, storedPicoUsd: -4n, foldedPicoUsd: -4n };
    expect(differencesOf({ ...closed, balances: [left] })).toMatchObject([
      { check: 'closed_period', of: account },
    ]);
  });

  it('asks a budget only for the two periods that it remembers', () => {
    const control = booksAfter(null, [{ kind: 'settle', cost: 130n, hold: 130n, isOurs: false }]);
    const at = (period: string): AccountControl => ({
      ...control,
      row: { ...control.row, period },
    });
    expect(differencesOf(at('2027-02')).map(({ check }) => check)).toEqual(['pay_as_you_go']);
    expect(differencesOf(at('2027-03'))).toEqual([]);
  });
});

/** The same books with one amount wrong, and the check that has to find it. */
function plant(
  control: AccountControl,
  by: bigint,
  which: number,
): { readonly control: AccountControl; readonly check: string } {
  const [period] = control.periods;
  const [balance] = control.balances;
  const [grant] = control.grants;
  if (period === undefined || balance === undefined || grant === undefined) {
    throw new Error('nothing to plant in');
  }
  switch (which) {
    case 0: {
      const costPicoUsd = period.costPicoUsd + by;
      return { control: { ...control, periods: [{ ...period, costPicoUsd }] }, check: 'charged' };
    }
    case 1: {
      const absorbedPicoUsd = period.absorbedPicoUsd + by;
      return {
        control: { ...control, periods: [{ ...period, absorbedPicoUsd }] },
        check: 'absorbed',
      };
    }
    case 2: {
      const usedPicoUsd = control.row.usedPicoUsd + by;
      return {
        control: { ...control, row: { ...control.row, usedPicoUsd } },
        check: 'pay_as_you_go',
      };
    }
    case 3: {
      const storedPicoUsd = balance.storedPicoUsd - by;
      const balances = [{ ...balance, storedPicoUsd }, ...control.balances.slice(1)];
      return { control: { ...control, balances }, check: 'balance' };
    }
    default: {
      const foldedPicoUsd = grant.foldedPicoUsd + by;
      const grants = [{ ...grant, foldedPicoUsd }, ...control.grants.slice(1)];
      return { control: { ...control, grants }, check: 'grant' };
    }
  }
}
