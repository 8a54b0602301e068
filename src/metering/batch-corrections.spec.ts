import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  account,
  BatchBooks,
  entitled,
  NOVEMBER,
  OCTOBER,
  request,
  settled,
  settlement,
  token,
} from '../../test/support/batch-books.js';
import { owedIn, usedIn, viewOf } from '../domain/budget-rows.js';
import { roomOf } from '../domain/budgets.js';
import type { ClosedPeriodBooks } from '../domain/corrections.js';
import { burnedIn } from '../domain/credits.js';

const OCTOBER_BOOKS: ClosedPeriodBooks = {
  unusedPlanCreditPicoUsd: 0n,
  payAsYouGoPicoUsd: 0n,
  burned: [],
};

const amount = fc.bigInt(1n, 300n);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('admit'), amount, at: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('settle'), amount, at: fc.nat() }) },
  fc.record({ do: fc.constantFrom('withhold', 'grant'), amount, at: fc.nat() }),
  fc.record({
    do: fc.constantFrom('up', 'up', 'down', 'up of October'),
    amount,
    at: fc.nat(),
  }),
);

/** An account under way: its holds, and what its requests and corrections were charged so far. */
class Life {
  readonly books: BatchBooks;
  private readonly open = new Map<string, bigint>();
  private readonly charged = new Map<string, bigint>();
  private last = 0;
  /** Cost of November, corrections included. */
  total = 0n;

  constructor(isPayAsYouGo: boolean, limitPicoUsd: bigint, monthly: bigint, promo: bigint) {
    const row = account({
      isPayAsYouGo,
      limitPicoUsd,
      heldPicoUsd: 0n,
      closedThrough: OCTOBER,
      credit: entitled(monthly),
    });
    this.books = new BatchBooks(row, token());
    this.books.commit([], [request('first', 0n)]);
    this.books.grant(promo, 'promotional', 'promo', new Date('2026-10-05'));
  }

  take({ do: what, amount: size, at }: { do: string; amount: bigint; at: number }): void {
    if (what === 'admit') this.admit(size);
    else if (what === 'settle') this.settle(size, at);
    else if (what === 'withhold') this.withhold(at);
    else if (what === 'grant') this.books.grant(size, 'prepaid', this.newId());
    else if (what === 'up of October') this.books.correct(size, OCTOBER, OCTOBER_BOOKS);
    else this.correct(what === 'up' ? size : -size);
  }

  get available(): bigint {
    return roomOf(viewOf(this.books.account, NOVEMBER))!.availablePicoUsd;
  }

  private newId(): string {
    return `r${(this.last += 1)}`;
  }

  private admit(holdPicoUsd: bigint): void {
    const id = this.newId();
    const [admission] = this.books.commit([], [request(id, holdPicoUsd)]).admissions;
    if (admission!.kind !== 'admitted') return;
    this.open.set(id, holdPicoUsd);
    expect(this.available >= 0n).toBe(true);
  }

  /** What a request costs up to its hold it pays, whatever was corrected meanwhile. */
  private settle(size: bigint, at: number): void {
    const id = [...this.open.keys()][at % Math.max(1, this.open.size)];
    if (id === undefined) return;
    const holdPicoUsd = this.open.get(id)!;
    const cost = size < holdPicoUsd ? size : holdPicoUsd;
    this.open.delete(id);
    const { ended } = this.books.commit([settlement(id, settled(cost), { holdPicoUsd })]);
    expect(ended[0]).toMatchObject({ costPicoUsd: cost, absorbedPicoUsd: 0n, isOverrun: false });
    this.charged.set(id, cost);
    this.total += cost;
  }

  private withhold(at: number): void {
    const id = [...this.charged.keys()][at % Math.max(1, this.charged.size)];
    if (id === undefined) return;
    const cost = this.charged.get(id)!;
    this.charged.delete(id);
    const taken = { from: 'settled', isWithheld: true, chargedBeforePicoUsd: cost } as const;
    const { ended } = this.books.commit([settlement(id, settled(cost), taken)]);
    const back = cost < this.total ? cost : this.total;
    expect(ended[0]).toMatchObject({ costPicoUsd: cost - back, absorbedPicoUsd: back });
    this.total -= back;
  }

  private correct(size: bigint): void {
    if (this.total + size < 0n) return;
    const { absorbedPicoUsd, linePicoUsd } = this.books.correct(size, NOVEMBER, OCTOBER_BOOKS);
    if (size > 0n) expect(linePicoUsd).toBe(size - absorbedPicoUsd);
    this.total += linePicoUsd;
  }
}

describe('corrections while requests are under way', () => {
  it('never make an account without pay-as-you-go owe, nor leave a hold that nothing covers', () => {
    fc.assert(
      fc.property(amount, amount, fc.array(step, { maxLength: 25 }), (monthly, promo, steps) => {
        const life = new Life(false, 0n, monthly, promo);
        for (const one of steps) {
          life.take(one);
          life.books.check();
          expect(owedIn(life.books.account, NOVEMBER)).toBe(0n);
          expect(life.available >= 0n).toBe(true);
          expect(burnedIn(life.books.account.credit, NOVEMBER)).toBe(life.total);
        }
      }),
      { numRuns: 400 },
    );
  });

  it('take no request past the limit, and leave no cost beside usable credit', () => {
    fc.assert(
      fc.property(
        amount,
        amount,
        fc.bigInt(0n, 400n),
        fc.array(step, { maxLength: 25 }),
        (monthly, promo, limit, steps) => {
          const life = new Life(true, limit, monthly, promo);
          for (const one of steps) {
            life.take(one);
            life.books.check();
            const { account: row } = life.books;
            expect(usedIn(row, NOVEMBER) >= 0n && usedIn(row, NOVEMBER) <= limit).toBe(true);
            expect((row.credit.correctedPicoUsd[NOVEMBER] ?? 0n) >= 0n).toBe(true);
            if (row.heldPicoUsd === 0n) expect(row.credit.takenFromHoldsPicoUsd).toBe(0n);
            expect(burnedIn(row.credit, NOVEMBER) + owedIn(row, NOVEMBER)).toBe(life.total);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('of an account without pay-as-you-go take the credit that is free, and the rest is ours', () => {
    const books = new BatchBooks(
      account({ isPayAsYouGo: false, heldPicoUsd: 0n, credit: entitled(100n) }),
      token(),
    );
    books.commit([], [request('r', 80n)]);
    const { parts, absorbedPicoUsd } = books.correct(100n, NOVEMBER, OCTOBER_BOOKS);
    expect(parts.map(({ amountPicoUsd }) => amountPicoUsd)).toEqual([20n, 80n]);
    expect(absorbedPicoUsd).toBe(80n);
    const { ended } = books.commit([settlement('r', settled(80n), { holdPicoUsd: 80n })]);
    expect(ended).toMatchObject([{ costPicoUsd: 80n, creditPicoUsd: 80n, absorbedPicoUsd: 0n }]);
  });

  it('with pay-as-you-go take all credit; what then passes the limit is owed by the correction', () => {
    const row = account({ limitPicoUsd: 50n, heldPicoUsd: 0n, credit: entitled(100n) });
    const books = new BatchBooks(row, token());
    books.commit([], [request('r', 150n)]);
    books.correct(70n, NOVEMBER, OCTOBER_BOOKS);
    books.commit([settlement('r', settled(150n), { holdPicoUsd: 150n })]);
    books.check();
    expect([usedIn(books.account, NOVEMBER), owedIn(books.account, NOVEMBER)]).toEqual([50n, 120n]);
    expect(books.account.credit.takenFromHoldsPicoUsd).toBe(0n);
    // The limit is as far as it was without the correction: reached.
    expect(books.commit([], [request('next', 1n)]).admissions).toMatchObject([{ kind: 'refused' }]);
  });

  it('are not undone by a charge that is taken back: all that it owed is', () => {
    const row = account({ limitPicoUsd: 50n, heldPicoUsd: 0n, closedThrough: OCTOBER });
    const books = new BatchBooks(row, token());
    books.grant(100n, 'promotional', 'promo', new Date('2026-10-05'));
    books.commit([], [request('r', 150n)]);
    books.correct(100n, OCTOBER, OCTOBER_BOOKS);
    books.commit([settlement('r', settled(150n), { holdPicoUsd: 150n })]);
    expect([usedIn(books.account, NOVEMBER), owedIn(books.account, NOVEMBER)]).toEqual([50n, 150n]);
    const taken = { from: 'settled', isWithheld: true, chargedBeforePicoUsd: 150n } as const;
    books.commit([settlement('r', settled(150n), taken)]);
    books.check();
    expect(owedIn(books.account, NOVEMBER)).toBe(0n);
  });
  it('that gave back what a withheld request cost leave nothing to give back for it', () => {
    const row = account({ isPayAsYouGo: false, heldPicoUsd: 0n, credit: entitled(200n) });
    const books = new BatchBooks(row, token());
    books.commit([], [request('r', 5n)]);
    books.commit([settlement('r', settled(5n), { holdPicoUsd: 5n })]);
    books.correct(195n, NOVEMBER, OCTOBER_BOOKS);
    books.correct(-198n, NOVEMBER, OCTOBER_BOOKS);
    const taken = { from: 'settled', isWithheld: true, chargedBeforePicoUsd: 5n } as const;
    const { ended } = books.commit([settlement('r', settled(5n), taken)]);
    books.check();
    expect(ended).toMatchObject([{ costPicoUsd: 3n, creditPicoUsd: 3n, absorbedPicoUsd: 2n }]);
    expect(burnedIn(books.account.credit, NOVEMBER)).toBe(0n);
    expect(books.rows.get('token')).toMatchObject({ usedPicoUsd: 3n });
  });
});
