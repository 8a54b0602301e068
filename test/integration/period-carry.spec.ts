import { beforeEach, describe, expect, it } from 'vitest';
import { refOf } from '../../src/metering/journal.js';
import { settledAt } from '../support/journal.js';
import { amountsOf, CLOSING, Closing, linesOf } from './close-fixture.js';
import {
  ACTOR,
  balanceOf,
  bookProblems,
  CENT,
  invoiceOf,
  newOrganization,
  openOne,
  settleOne,
  spendOne,
  USD,
} from './money-fixture.js';

let on: Closing;

beforeEach(async () => {
  on = await Closing.open();
  return () => on.end();
});

describe('what is not asked for', () => {
  it('under the minimum is carried, until there is enough or nothing to add it to', async () => {
    const account = await on.free();
    await spendOne(on.money, account, 40n * CENT);
    await on.close();
    const first = await invoiceOf(on.money, account, '2026-10');
    expect(linesOf(first)).toEqual(['usage 0.4', 'credit -0.1']);
    expect(amountsOf(first)).toEqual(['0.3', '0.00', '0.3']);
    expect(first!.state).toBe('paid');
    // A month without anything: no invoice, the carry goes on.
    await on.close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(await invoiceOf(on.money, account, '2026-11')).toBeNull();
    expect(await balanceOf(on.database, `unbilled:${account.accountId}:2026-12`)).toBe(30n * CENT);
    await spendOne(on.money, account, 30n * CENT);
    await on.close('2026-12', new Date('2027-01-01T01:00:00Z'));
    const third = await invoiceOf(on.money, account, '2026-12');
    expect(linesOf(third)).toEqual(['usage 0.3', 'credit -0.1', 'carry 0.3']);
    expect(third!.content.lines[2]!.description).toBe('Carried from 2026-11');
    expect(amountsOf(third)).toEqual(['0.5', '0.50', '0']);
    expect(third!.content.number).toBe('INV-000002');
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('below zero is carried in the favour of the account', async () => {
    const account = await on.pro();
    await spendOne(on.money, account, 5n * USD);
    await on.close();
    const of = { id: account.accountId, createdAt: account.createdAt };
    for (const [amountPicoUsd, idempotencyKey] of [
      [-3n * USD, 'one'],
      [-3n * USD, 'one'],
    ] as const) {
      const order = {
        amountPicoUsd,
        period: '2026-10',
        reason: 'charged too much',
        requestId: null,
        upstream: 'default',
        provider: 'together',
        idempotencyKey,
      };
      await on.money.corrections.correct(of, order, ACTOR, on.money.now);
    }
    await on.money.subscriptions.change(
      account.accountId,
      { plan: 'free', seats: 1 },
      ACTOR,
      on.money.now,
    );
    await on.close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(amountsOf(await invoiceOf(on.money, account, '2026-11'))).toEqual(['6', '6.00', '0']);
    await on.money.corrections.correct(
      of,
      {
        amountPicoUsd: -4n * USD,
        period: '2026-11',
        reason: 'more than that month used',
        requestId: null,
        upstream: null,
        provider: null,
        idempotencyKey: null,
      },
      ACTOR,
      on.money.now,
    );
    await on.close('2026-12', new Date('2027-01-01T01:00:00Z'));
    // The plan's credit of a month is no money: nothing is owed back for it.
    const third = await invoiceOf(on.money, account, '2026-12');
    expect(linesOf(third)).toEqual([]);
    expect(amountsOf(third)).toEqual(['0', '0.00', '0']);
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('is carried below zero over a month without anything', async () => {
    const account = await on.free();
    await spendOne(on.money, account, 5n * USD);
    await on.close();
    await on.money.corrections.correct(
      { id: account.accountId, createdAt: account.createdAt },
      {
        amountPicoUsd: -3n * USD,
        period: '2026-10',
        reason: 'charged too much',
        requestId: null,
        upstream: null,
        provider: null,
        idempotencyKey: null,
      },
      ACTOR,
      on.money.now,
    );
    await on.close('2026-11', new Date('2026-12-01T01:00:00Z'));
    const second = await invoiceOf(on.money, account, '2026-11');
    expect(linesOf(second)).toEqual(['correction -3']);
    expect(amountsOf(second)).toEqual(['-3', '0.00', '-3']);
    await on.close('2026-12', new Date('2027-01-01T01:00:00Z'));
    expect(await balanceOf(on.database, `unbilled:${account.accountId}:2027-01`)).toBe(-3n * USD);
    await spendOne(on.money, account, 4n * USD);
    await on.close('2027-01', new Date('2027-02-01T01:00:00Z'));
    const last = await invoiceOf(on.money, account, '2027-01');
    expect(linesOf(last)).toEqual(['usage 4', 'credit -0.1', 'carry -3']);
    expect(amountsOf(last)).toEqual(['0.9', '0.90', '0']);
    expect(await bookProblems(on.database)).toEqual([]);
  });
});

describe('months', () => {
  it('that are due are closed in their order, and only when their delay has passed', async () => {
    const account = await on.pro('2026-08-20T00:00:00Z');
    on.money.now = new Date('2026-08-21T00:00:00Z');
    await spendOne(on.money, account, 3n * USD);
    on.money.now = new Date('2026-10-10T00:00:00Z');
    await spendOne(on.money, account, 3n * USD);
    expect(await on.money.closes.closeDue(new Date('2026-09-01T00:59:59Z'))).toBe(0);
    expect(await on.money.closes.closeDue(CLOSING)).toBe(3);
    const invoices = await on.money.invoices.list(account.accountId, 10, null);
    const shown = invoices.map(({ period, content }) => [period, content.number, content.totalUsd]);
    // 12 of 31 days of the fee: 3.483870967741; what it leaves is carried into September.
    expect(shown).toEqual([
      ['2026-10', 'INV-000003', '10.00'],
      ['2026-09', 'INV-000002', '9.00'],
      ['2026-08', 'INV-000001', '4.48'],
    ]);
    expect(amountsOf(invoices[1]!)).toEqual(['9.003870967741', '9.00', '0.003870967741']);
    expect(amountsOf(invoices[0]!)).toEqual(['10.003870967741', '10.00', '0.003870967741']);
    expect(await on.closedThrough(account)).toBe('2026-10');
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('that one close catches up list what waits for a person once, whatever month it is of', async () => {
    const [account, other] = [
      await on.pro('2026-08-20T00:00:00Z'),
      await on.pro('2026-08-20T00:00:00Z'),
    ];
    const waits = (state: 'unpriced' | 'quarantined') =>
      settledAt(0n, { state, ratedCostPicoUsd: null, priceRowIds: [] });
    for (const [month, state] of [
      ['2026-08', 'unpriced'],
      ['2026-08', 'quarantined'],
      ['2026-10', 'quarantined'],
    ] as const) {
      on.money.now = new Date(`${month}-25T00:00:00Z`);
      const event = await openOne(on.money, account, USD);
      await on.money.journal.settle(refOf(event), waits(state)).receipt;
    }
    const event = await openOne(on.money, other, USD);
    await on.money.journal.settle(refOf(event), waits('unpriced')).receipt;
    const { unresolved } = await on.close();
    expect(unresolved).toEqual([
      { organization: account.slug, unpriced: 1, quarantined: 2 },
      { organization: other.slug, unpriced: 1, quarantined: 0 },
    ]);
  });

  it('wait for an earlier one of the account that is stuck', async () => {
    const account = await on.pro('2026-09-01T00:00:00Z');
    on.money.now = new Date('2026-09-30T23:59:59Z');
    const event = await openOne(on.money, account, USD);
    on.money.now = CLOSING;
    expect(await on.close()).toMatchObject({ closed: 0, blocked: [{ open: 1 }] });
    expect(await on.closedThrough(account)).toBeNull();
    await settleOne(on.money, event, USD);
    expect(await on.close()).toMatchObject({ closed: 1, blocked: [] });
    expect(await on.closedThrough(account)).toBe('2026-10');
    expect(linesOf(await invoiceOf(on.money, account, '2026-09'))).toContain('usage 1');
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('are calendar months through a leap February and the end of a year', async () => {
    on.money.now = new Date('2027-12-31T23:59:59.999Z');
    const account = await newOrganization(on.money, {
      plan: 'pro',
      createdAt: '2027-12-31T12:00:00Z',
    });
    const moments = [
      '2027-12-31T23:59:59.999Z',
      '2028-01-01T00:00:00.000Z',
      '2028-01-31T23:59:59.999Z',
      '2028-02-29T00:00:00.000Z',
      '2028-02-29T23:59:59.999Z',
      '2028-03-01T00:00:00.000Z',
    ];
    for (const [index, at] of moments.entries()) {
      on.money.now = new Date(at);
      await spendOne(on.money, account, 10n ** BigInt(index));
    }
    const team = { plan: 'team', seats: 2 };
    const at = new Date('2028-02-29T23:59:59.999Z');
    await on.money.subscriptions.change(account.accountId, team, ACTOR, at);
    on.money.now = new Date('2028-04-01T01:00:00Z');
    expect(await on.money.closes.closeDue(on.money.now)).toBe(4);
    const plans = await Promise.all(
      ['2027-12', '2028-01', '2028-02', '2028-03'].map(async (period) => {
        const invoice = await invoiceOf(on.money, account, period);
        return linesOf(invoice).filter((line) => !line.startsWith('carry'));
      }),
    );
    expect(plans).toEqual([
      // One day of 31.
      ['plan 0.290322580645', 'usage 0.000000000001', 'credit -0.000000000001'],
      ['plan 9', 'usage 0.00000000011', 'credit -0.00000000011'],
      // The difference of 31.00 for one day of 29.
      ['plan 9', 'plan 1.068965517241', 'usage 0.000000011', 'credit -0.000000011'],
      ['plan 40', 'usage 0.0000001', 'credit -0.0000001'],
    ]);
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('do not bill an account of the very first instant of the next', async () => {
    const account = await on.pro('2026-11-01T00:00:00.000Z');
    const before = await on.pro('2026-10-31T23:59:59.999Z');
    const report = await on.close();
    expect(report.closed).toBe(1);
    expect(report.invoices.map(({ organization }) => organization)).toEqual([before.slug]);
    expect(await on.closedThrough(account)).toBeNull();
    expect(linesOf(await invoiceOf(on.money, before, '2026-10'))).toEqual(['plan 0.290322580645']);
    await on.close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(linesOf(await invoiceOf(on.money, account, '2026-11'))).toEqual(['plan 9']);
    expect(await bookProblems(on.database)).toEqual([]);
  });
});

describe('the plan fee', () => {
  it('follows what an account had in the month, and its credit the highest of it', async () => {
    const account = await on.free();
    on.money.now = new Date('2026-10-11T10:00:00Z');
    await spendOne(on.money, account, 30n * CENT);
    const { accountId } = account;
    await on.money.subscriptions.change(accountId, { plan: 'pro', seats: 1 }, ACTOR, on.money.now);
    expect(await balanceOf(on.database, `plan_credit:${accountId}:2026-10`)).toBe(-170n * CENT);
    on.money.now = new Date('2026-10-20T00:00:00Z');
    await on.money.subscriptions.change(accountId, { plan: 'free', seats: 1 }, ACTOR, on.money.now);
    await on.close();
    // 21 of 31 days of 9.00; the downgrade is in force from November.
    expect(linesOf(await invoiceOf(on.money, account, '2026-10'))).toEqual([
      'plan 6.096774193548',
      'usage 0.3',
      'credit -0.3',
    ]);
    await spendOne(on.money, account, 30n * CENT);
    await on.close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(linesOf(await invoiceOf(on.money, account, '2026-11'))).toEqual([
      'usage 0.3',
      'credit -0.1',
      'carry 0.006774193548',
    ]);
    expect(await bookProblems(on.database)).toEqual([]);
  });
});
