import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addGrant, type BudgetRow, spend, topUp, usedIn } from './budget-rows.js';
import {
  closedRow,
  closePeriod,
  closingTransfers,
  differenceOf,
  isSamePeriod,
  type LandedCorrection,
  type PeriodFacts,
} from './closing.js';
import { burnDown, creditAccountOf, NO_CREDIT, usableIn } from './credits.js';
import { type InvoiceLine, PICO_USD_PER_CENT } from './invoices.js';
import { foldTransfers, planCredit, receivable, type Transfer, unbilled } from './ledger.js';
import { nextPeriod, periodBounds } from './periods.js';
import { type PlanFee } from './plans.js';

const ACCOUNT = 'account';
const CENT = PICO_USD_PER_CENT;
const MINIMUM = 50n * CENT;
const NOVEMBER = '2026-11';
const AT = new Date('2026-12-01T01:00:00Z');

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

function usage(exactPicoUsd: bigint): InvoiceLine {
  return {
    kind: 'usage',
    description: 'org/model on novita',
    provider: 'novita',
    upstream: 'default',
    model: 'org/model',
    requests: 1,
    priceRowIds: [],
    parts: null,
    exactPicoUsd,
  };
}

function fee(amountPicoUsd: bigint): PlanFee {
  const plan = {
    slug: 'pro',
    name: 'Pro',
    pricePicoUsd: amountPicoUsd,
    creditPicoUsd: 0n,
    isPerSeat: false,
    isPayAsYouGoDefault: true,
  };
  return {
    kind: 'month',
    plan,
    seats: 1,
    from: AT,
    days: 30,
    daysInPeriod: 30,
    amountPicoUsd,
    description: 'Pro, 2026-11',
  };
}

function facts(parts: Partial<PeriodFacts> = {}): PeriodFacts {
  return {
    accountId: ACCOUNT,
    period: NOVEMBER,
    fees: [],
    usage: [],
    corrections: [],
    carryInPicoUsd: 0n,
    ...parts,
  };
}

function ids(): () => string {
  let last = 0;
  return () => `id${(last += 1)}`;
}

/** An account's books over months, kept as the journal and the close keep them. */
class Books {
  row: BudgetRow;
  readonly transfers: Transfer[] = [];
  readonly newId = ids();
  usage: InvoiceLine[] = [];
  corrections: LandedCorrection[] = [];
  carryInPicoUsd = 0n;

  constructor(entitlement: bigint) {
    const entitlements = [{ from: '2026-01', amountPicoUsd: entitlement }];
    this.row = row({ credit: { ...NO_CREDIT, entitlements } });
  }

  balance(account: string): bigint {
    return foldTransfers(this.transfers).get(account) ?? 0n;
  }

  grant(amountPicoUsd: bigint, kind: 'promotional' | 'prepaid', period: string, days: number) {
    const grantedAt = periodBounds(period).start;
    const expiresAt = days === 0 ? null : new Date(grantedAt.getTime() + days * 86_400_000);
    const grant = {
      id: this.newId(),
      accountId: ACCOUNT,
      kind,
      amountPicoUsd,
      period: null,
      entitlementPicoUsd: null,
      grantedAt,
      expiresAt,
    };
    const made = addGrant(this.row, grant, period, this.newId);
    this.row = made.row;
    this.transfers.push(...made.transfers);
  }

  topUp(period: string): void {
    const made = topUp(this.row, period, periodBounds(period).start, this.newId);
    this.row = made.row;
    this.transfers.push(...made.transfers);
  }

  settle(costPicoUsd: bigint, period: string): void {
    this.topUp(period);
    const { grants, burns, restPicoUsd } = burnDown(costPicoUsd, this.row.credit.grants, period);
    this.row = { ...this.row, credit: { ...this.row.credit, grants } };
    this.row = spend(this.row, period, 0n, restPicoUsd);
    for (const part of burns) {
      this.post(creditAccountOf(ACCOUNT, part), 'provider_payable:x:y', part.amountPicoUsd);
    }
    this.post(unbilled(ACCOUNT, period), 'provider_payable:x:y', restPicoUsd);
    this.usage.push(usage(costPicoUsd));
  }

  correct(linePicoUsd: bigint, period: string): void {
    this.corrections.push({ kind: 'correction', description: 'late', linePicoUsd });
    const [debit, credit] = [unbilled(ACCOUNT, period), 'provider_payable:x:y'];
    if (linePicoUsd > 0n) this.post(debit, credit, linePicoUsd);
    else this.post(credit, debit, -linePicoUsd);
  }

  close(period: string, fees: readonly PlanFee[]) {
    this.topUp(period);
    const of = facts({
      period,
      fees,
      usage: this.usage,
      corrections: this.corrections,
      carryInPicoUsd: this.carryInPicoUsd,
    });
    const closed = closePeriod(of, this.row, MINIMUM);
    expect(differenceOf(closed, of, this.balance(unbilled(ACCOUNT, period)))).toBeNull();
    const ids = { at: AT, invoiceId: `invoice-${period}`, newId: this.newId };
    this.transfers.push(...closingTransfers(of, closed, ids));
    this.row = closedRow(this.row, period, 0n);
    this.usage = [];
    this.corrections = [];
    this.carryInPicoUsd = closed.total.carriedPicoUsd;
    return closed;
  }

  private post(debit: string, credit: string, amountPicoUsd: bigint): void {
    if (amountPicoUsd === 0n) return;
    this.transfers.push({
      id: this.newId(),
      createdAt: AT,
      period: NOVEMBER,
      kind: 'settlement',
      debit,
      credit,
      amountPicoUsd,
      accountId: ACCOUNT,
      grantId: null,
      idempotencyId: null,
    });
  }
}

const cost = fc.oneof(fc.bigInt(0n, 3n * CENT), fc.bigInt(0n, 400n * CENT));
const month = fc.record({
  costs: fc.array(cost, { maxLength: 5 }),
  fees: fc.array(fc.bigInt(1n, 900n * CENT).map(fee), { maxLength: 2 }),
  corrections: fc.array(fc.bigInt(-300n * CENT, 300n * CENT), { maxLength: 2 }),
  grant: fc.option(
    fc.tuple(
      fc.bigInt(1n, 200n * CENT),
      fc.constantFrom<'promotional' | 'prepaid'>('promotional', 'prepaid'),
      fc.constantFrom(0, 20, 40),
    ),
  ),
});

describe('closing months', () => {
  it('bills exactly what was owed, leaves nothing unbilled and no plan credit behind', () => {
    const months = fc.array(month, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(months, fc.bigInt(0n, 200n * CENT), (list, entitlement) => {
        const books = new Books(entitlement);
        let owed = 0n;
        let billed = 0n;
        let period = NOVEMBER;
        for (const { costs, fees, corrections, grant } of list) {
          if (grant !== null) books.grant(grant[0], grant[1], period, grant[2]);
          for (const each of costs) books.settle(each, period);
          for (const each of corrections) books.correct(each, period);
          owed += books.balance(unbilled(ACCOUNT, period)) - books.carryInPicoUsd;
          for (const { amountPicoUsd } of fees) owed += amountPicoUsd;
          const { lines, total, hasInvoice } = books.close(period, fees);
          const sum = lines.reduce((all, { exactPicoUsd }) => all + exactPicoUsd, 0n);
          expect(total.exactSumPicoUsd).toBe(sum);
          billed += total.totalCents * CENT;
          expect(owed - billed).toBe(total.carriedPicoUsd);
          if (total.totalCents > 0n) expect(total.carriedPicoUsd < CENT).toBe(true);
          expect(total.carriedPicoUsd < MINIMUM).toBe(true);
          expect(hasInvoice).toBe(costs.length + fees.length + corrections.length > 0);
          const next = nextPeriod(period);
          expect(books.balance(unbilled(ACCOUNT, period))).toBe(0n);
          expect(books.balance(planCredit(ACCOUNT, period))).toBe(0n);
          expect(books.balance(unbilled(ACCOUNT, next))).toBe(total.carriedPicoUsd);
          expect(books.balance(receivable(ACCOUNT))).toBe(billed);
          expect(books.row.closedThrough).toBe(period);
          period = next;
        }
        // What is left of the credit is what the books say, grant by grant.
        const left = books.row.credit.grants.reduce((all, one) => all + one.remainingPicoUsd, 0n);
        const codes = [...foldTransfers(books.transfers)].filter(([code]) =>
          code.includes('_credit:'),
        );
        expect(codes.reduce((all, [, balance]) => all - balance, 0n)).toBe(left);
        const keys = books.transfers.flatMap(({ idempotencyId }) => idempotencyId ?? []);
        expect(new Set(keys).size).toBe(keys.length);
      }),
    );
  });

  it('books fees, the invoice, the carry and what expires, each from its account', () => {
    const books = new Books(30n * CENT);
    books.grant(10n * CENT, 'promotional', NOVEMBER, 20);
    books.grant(10n * CENT, 'prepaid', NOVEMBER, 25);
    books.close(NOVEMBER, [fee(900n * CENT + 7n)]);
    const closing = books.transfers.slice(-6);
    expect(closing.map(({ kind, debit, credit }) => `${kind} ${debit} ${credit}`)).toEqual([
      `plan_fee unbilled:${ACCOUNT}:2026-11 subscription_revenue`,
      `invoice receivable:${ACCOUNT} unbilled:${ACCOUNT}:2026-11`,
      `carry unbilled:${ACCOUNT}:2026-12 unbilled:${ACCOUNT}:2026-11`,
      `expiry plan_credit:${ACCOUNT}:2026-11 promo_cost`,
      `expiry promo_credit:${ACCOUNT} promo_cost`,
      `expiry prepaid_credit:${ACCOUNT} breakage`,
    ]);
    expect(closing.map(({ amountPicoUsd }) => amountPicoUsd)).toEqual([
      900n * CENT + 7n,
      900n * CENT,
      7n,
      30n * CENT,
      10n * CENT,
      10n * CENT,
    ]);
    expect(closing.every(({ period, createdAt }) => period === NOVEMBER && createdAt === AT)).toBe(
      true,
    );
  });
});

describe('the lines of a period', () => {
  it('stand in the order fees, usage, credit, corrections, carry', () => {
    const books = new Books(5n);
    books.grant(6n, 'promotional', NOVEMBER, 0);
    books.grant(7n, 'prepaid', NOVEMBER, 0);
    books.settle(20n, NOVEMBER);
    const { lines } = closePeriod(
      facts({
        fees: [fee(9n)],
        usage: books.usage,
        corrections: [
          { kind: 'correction', description: 'late', linePicoUsd: 3n },
          { kind: 'correction', description: 'nothing', linePicoUsd: 0n },
          { kind: 'void', description: 'void', linePicoUsd: 2n },
          { kind: 'void_carry', description: 'carried', linePicoUsd: -1n },
          { kind: 'credit_note', description: 'note', linePicoUsd: 4n },
        ],
        carryInPicoUsd: -8n,
      }),
      books.row,
      MINIMUM,
    );
    expect(lines.map(({ kind, exactPicoUsd }) => [kind, exactPicoUsd])).toEqual([
      ['plan', 9n],
      ['usage', 20n],
      ['credit', -5n],
      ['credit', -6n],
      ['credit', -7n],
      ['correction', 3n],
      ['correction', 2n],
      ['carry', -1n],
      ['credit_note', 4n],
      ['carry', -8n],
    ]);
  });

  it('of an account with nothing but a carry are no invoice; it carries on, whatever its size', () => {
    for (const carryInPicoUsd of [3n * CENT, -3n * CENT, 900n * CENT]) {
      const closed = closePeriod(facts({ carryInPicoUsd }), row(), MINIMUM);
      expect(closed.hasInvoice).toBe(false);
      expect(closed.total).toEqual({
        exactSumPicoUsd: carryInPicoUsd,
        totalCents: 0n,
        carriedPicoUsd: carryInPicoUsd,
      });
    }
    expect(closePeriod(facts(), row(), MINIMUM).hasInvoice).toBe(false);
  });

  it('with usage that cost nothing or a correction without a line still make an invoice', () => {
    expect(closePeriod(facts({ usage: [usage(0n)] }), row(), MINIMUM).hasInvoice).toBe(true);
    const landed = { kind: 'correction', description: 'credit only', linePicoUsd: 0n } as const;
    const closed = closePeriod(facts({ corrections: [landed] }), row(), MINIMUM);
    expect(closed).toMatchObject({ hasInvoice: true, lines: [] });
  });

  it('that differ from the books are told, the fees aside', () => {
    const of = facts({ fees: [fee(9n)], usage: [usage(20n)] });
    const closed = closePeriod(of, row(), MINIMUM);
    expect(differenceOf(closed, of, 20n)).toBeNull();
    expect(differenceOf(closed, of, 21n)).toEqual({ unbilledPicoUsd: 21n, linesPicoUsd: 20n });
  });
});

describe('the budget after the close', () => {
  it('is of the next period, closed through this one, without the holds of what has no price', () => {
    const after = closedRow(row({ usedPicoUsd: 9n, heldPicoUsd: 30n }), NOVEMBER, 12n);
    expect(after).toMatchObject({
      period: '2026-12',
      usedPicoUsd: 0n,
      previousUsedPicoUsd: 9n,
      heldPicoUsd: 18n,
      closedThrough: NOVEMBER,
    });
    expect(closedRow(row(), NOVEMBER, 0n).heldPicoUsd).toBeNull();
  });

  it('keeps what the next period has been granted and has used meanwhile', () => {
    const books = new Books(50n);
    books.settle(20n, NOVEMBER);
    books.settle(70n, '2026-12');
    books.row = closedRow(books.row, NOVEMBER, 0n);
    expect(usedIn(books.row, '2026-12')).toBe(20n);
    expect(usableIn(books.row.credit, '2026-12')).toBe(0n);
    books.topUp('2026-12');
    expect(usedIn(books.row, '2026-12')).toBe(20n);
  });

  it('may be written only while nothing of the period has changed', () => {
    const books = new Books(50n);
    books.settle(60n, NOVEMBER);
    const before = books.row;
    expect(isSamePeriod(before, before, NOVEMBER)).toBe(true);
    books.settle(5n, '2026-12');
    expect(isSamePeriod(before, books.row, NOVEMBER)).toBe(true);
    const late = books.row;
    books.settle(1n, NOVEMBER);
    expect(isSamePeriod(late, books.row, NOVEMBER)).toBe(false);
    expect(isSamePeriod(before, { ...before, usedPicoUsd: 11n }, NOVEMBER)).toBe(false);
    const closed = closedRow(before, NOVEMBER, 0n);
    expect(isSamePeriod(before, closed, NOVEMBER)).toBe(false);
    expect(isSamePeriod(closed, closed, NOVEMBER)).toBe(false);
    const burned = new Books(50n);
    burned.settle(20n, NOVEMBER);
    const then = burned.row;
    burned.settle(1n, NOVEMBER);
    expect(isSamePeriod(then, burned.row, NOVEMBER)).toBe(false);
  });
});
