import { beforeEach, describe, expect, it } from 'vitest';
import { refOf } from '../../src/metering/journal.js';
import { settledAt } from '../support/journal.js';
import { amountsOf, CLOSING, Closing, expectKept, linesOf } from './close-fixture.js';
import {
  balanceOf,
  bookProblems,
  closesOn,
  configOf,
  intercepted,
  invoiceOf,
  newOrganization,
  openMoney,
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

describe('the close of a month', () => {
  it('bills what was owed, lets unused credit expire and leaves nothing behind', async () => {
    const account = await on.pro();
    await spendOne(on.money, account, 5n * USD + 123n);
    await on.close();
    const invoice = await invoiceOf(on.money, account, '2026-10');
    expect(linesOf(invoice)).toEqual(['plan 9', 'usage 5.000000000123', 'credit -2']);
    expect(amountsOf(invoice)).toEqual(['12.000000000123', '12.00', '0.000000000123']);
    expect(invoice).toMatchObject({ state: 'finalized', content: { number: 'INV-000001' } });
    expect(invoice!.content.issuedAt).toBe('2026-11-01T01:00:00.000Z');
    expect(invoice!.content.dueAt).toBe('2026-11-15T01:00:00.000Z');
    expectKept(invoice);
    const { accountId } = account;
    expect(await balanceOf(on.database, `receivable:${accountId}`)).toBe(12n * USD);
    expect(await balanceOf(on.database, `unbilled:${accountId}:2026-10`)).toBe(0n);
    expect(await balanceOf(on.database, `unbilled:${accountId}:2026-11`)).toBe(123n);
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('leaves out what never reached the caller, and bills what was paid of an overrun', async () => {
    const account = await newOrganization(on.money, {
      plan: 'pro',
      createdAt: '2026-10-01T00:00:00Z',
      limitPicoUsd: USD,
    });
    const withheld = on.money.journal.settle(
      refOf(await openOne(on.money, account, USD)),
      settledAt(USD / 2n),
    );
    withheld.withhold();
    await withheld.receipt;
    const overrun = await openOne(on.money, account, USD);
    expect(await settleOne(on.money, overrun, 5n * USD)).toMatchObject({
      costPicoUsd: 3n * USD,
      absorbedPicoUsd: 2n * USD,
    });
    await spendOne(on.money, account, 0n);
    await on.close();
    const invoice = await invoiceOf(on.money, account, '2026-10');
    expect(linesOf(invoice)).toEqual(['plan 9', 'usage 3', 'credit -2']);
    expect(invoice!.content.lines[1]!.requests).toBe(2);
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('a second time changes nothing', async () => {
    const accounts = [await on.pro(), await on.pro(), await on.free()];
    await spendOne(on.money, accounts[0]!, 5n * USD);
    const { invoices: issued } = await on.close();
    const counts = (): Promise<number[]> =>
      Promise.all(
        ['ledger_transfers', 'invoices', 'period_closes', 'credit_grants'].map((table) =>
          on.countOf(table),
        ),
      );
    const before = await counts();
    const second = await on.close('2026-10', new Date('2026-11-02T00:00:00Z'));
    expect(second).toMatchObject({ closed: 3, blocked: [], failed: [], invoices: issued });
    expect(await counts()).toEqual(before);
  });

  it('of an account that asked for nothing grants and expires its credit, and bills its fee', async () => {
    const [idle, nothing] = [await on.pro(), await on.free()];
    const report = await on.close();
    expect(report.closed).toBe(2);
    expect(linesOf(await invoiceOf(on.money, idle, '2026-10'))).toEqual(['plan 9']);
    expect(await invoiceOf(on.money, nothing, '2026-10')).toBeNull();
    const transfers = await on.database.query(
      `SELECT kind, period, amount_pico_usd::text AS amount FROM ledger_transfers
       WHERE account_id = $1 AND kind IN ('plan_grant', 'expiry') ORDER BY kind`,
      [idle.accountId],
    );
    expect(transfers).toEqual([
      { kind: 'expiry', period: '2026-10', amount: `${2n * USD}` },
      { kind: 'plan_grant', period: '2026-10', amount: `${2n * USD}` },
    ]);
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('is refused while the month runs, and a dry run shows it as it would be', async () => {
    const account = await on.pro();
    await spendOne(on.money, account, 5n * USD);
    await expect(on.money.closes.close('2026-10', on.money.now)).rejects.toMatchObject({
      refusal: { code: 'period_not_over' },
    });
    const report = await on.money.closes.dryRun('2026-10', on.money.now);
    expect(report.invoices).toEqual([
      { organization: account.slug, id: null, number: null, totalUsd: '12.00' },
    ]);
    expect(await on.countOf('invoices')).toBe(0);
    expect(await on.closedThrough(account)).toBeNull();
  });

  it('from two processes at once makes one invoice an account, numbered without a gap', async () => {
    const other = await openMoney(on.database.url, CLOSING.toISOString());
    const accounts = await Promise.all(Array.from({ length: 12 }, () => on.pro()));
    await Promise.all(accounts.map((account) => spendOne(on.money, account, 3n * USD)));
    const reports = await Promise.all([
      on.money.closes.close('2026-10', CLOSING),
      other.closes.close('2026-10', CLOSING),
      other.closes.close('2026-10', CLOSING),
    ]);
    for (const report of reports) {
      expect(report).toMatchObject({ closed: 12, failed: [], blocked: [] });
    }
    const numbers = await on.database.query('SELECT number FROM invoices ORDER BY number');
    expect(numbers.map(({ number }) => number as number)).toEqual(
      Array.from({ length: 12 }, (_, index) => index + 1),
    );
    expect(await on.countOf('period_closes')).toBe(12);
    expect(await bookProblems(on.database)).toEqual([]);
    await other.close();
  });
});

describe('a close that dies', () => {
  const DEATHS = ['its process', 'its connection'] as const;
  const ACCOUNTS = ['that spent', 'that asked for nothing'] as const;

  it.each(DEATHS.flatMap((death) => ACCOUNTS.map((kind) => [death, kind] as const)))(
    'with %s, of an account %s, at any statement: nothing stands, and the next finishes it',
    async (death, kind) => {
      const account = await on.pro('2026-10-16T00:00:00Z');
      on.money.now = new Date('2026-10-17T00:00:00Z');
      if (kind === 'that spent') {
        await spendOne(on.money, account, 5n * USD);
        const waiting = settledAt(0n, { state: 'unpriced', ratedCostPicoUsd: null });
        await on.money.journal.settle(refOf(await openOne(on.money, account, USD)), waiting)
          .receipt;
      }
      const transfers = await on.countOf('ledger_transfers');
      let deaths = 0;
      for (;;) {
        const died = { isDead: false };
        const dying = intercepted(on.money.database, async ({ index, pid }) => {
          if (index !== deaths + 1) return;
          died.isDead = true;
          if (death === 'its process') throw new Error('killed');
          await on.database.query('SELECT pg_terminate_backend($1, 5000)', [await pid()]);
        });
        const report = await closesOn(dying, configOf(on.database.url)).close('2026-10', CLOSING);
        if (!died.isDead) break;
        deaths += 1;
        expect(report).toMatchObject({ closed: 0, failed: [{ organization: account.slug }] });
        expect(await on.countOf('period_closes')).toBe(0);
        expect(await on.countOf('ledger_transfers')).toBe(transfers);
        expect(await bookProblems(on.database)).toEqual([]);
      }
      expect(deaths).toBeGreaterThan(20);
      expect(await on.countOf('period_closes')).toBe(1);
      const invoice = await invoiceOf(on.money, account, '2026-10');
      expect(invoice!.content.number).toBe('INV-000001');
      expect(linesOf(invoice)).toEqual(
        kind === 'that spent'
          ? ['plan 4.645161290322', 'usage 5', 'credit -2']
          : ['plan 4.645161290322'],
      );
      const { accountId } = account;
      expect(await balanceOf(on.database, `unbilled:${accountId}:2026-10`)).toBe(0n);
      expect(await balanceOf(on.database, `plan_credit:${accountId}:2026-10`)).toBe(0n);
      expect(await bookProblems(on.database)).toEqual([]);
    },
  );

  it('after its COMMIT is found closed', async () => {
    const account = await on.pro();
    await spendOne(on.money, account, 5n * USD);
    const deaf = intercepted(
      on.money.database,
      () => Promise.resolve(),
      () => {
        throw new Error('Connection terminated');
      },
    );
    const report = await closesOn(deaf, configOf(on.database.url)).close('2026-10', CLOSING);
    expect(report.failed).toHaveLength(1);
    expect(await on.close()).toMatchObject({ closed: 1 });
    expect(await on.countOf('invoices')).toBe(1);
    expect(await bookProblems(on.database)).toEqual([]);
  });
});

describe('an account that cannot be closed yet', () => {
  it('with an open request delays no other, and is closed when it has ended', async () => {
    const [stuck, other] = [await on.pro(), await on.pro()];
    const event = await openOne(on.money, stuck, 5n * USD);
    const first = await on.close();
    expect(first).toMatchObject({
      closed: 1,
      blocked: [{ organization: stuck.slug, open: 1, pending: 0 }],
    });
    expect(await on.closedThrough(stuck)).toBeNull();
    expect(await on.closedThrough(other)).toBe('2026-10');
    await settleOne(on.money, event, 5n * USD);
    expect(await on.close()).toMatchObject({ closed: 2, blocked: [] });
    expect(linesOf(await invoiceOf(on.money, stuck, '2026-10'))).toContain('usage 5');
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('is not stuck for what waits for a price or a person: that is listed, and holds nothing', async () => {
    const account = await newOrganization(on.money, {
      plan: 'pro',
      createdAt: '2026-10-01T00:00:00Z',
      limitPicoUsd: 20n * USD,
    });
    const { tokenId } = account;
    const memberId = '01900000-0000-7000-8000-000000000001';
    await on.database.query(
      `INSERT INTO budgets (subject_id, scope, account_id, limit_pico_usd, is_pay_as_you_go, period, held_pico_usd)
       VALUES ($1, 'member', $2, 1e13, FALSE, '2026-10', 0)`,
      [memberId, account.accountId],
    );
    await on.database.query(
      'UPDATE budgets SET limit_pico_usd = 1e13, held_pico_usd = 0 WHERE subject_id = $1',
      [tokenId],
    );
    const events = [];
    for (let index = 0; index < 3; index += 1) {
      events.push(await openOne(on.money, account, USD, { memberId }));
    }
    const waits = (state: 'unpriced' | 'quarantined') =>
      settledAt(0n, { state, ratedCostPicoUsd: null, priceRowIds: [] });
    await on.money.journal.settle(refOf(events[0]!), waits('unpriced')).receipt;
    await on.money.journal.settle(refOf(events[1]!), waits('quarantined')).receipt;
    on.money.now = CLOSING;
    // One of the new month is open meanwhile: its hold stays.
    const open = await openOne(on.money, account, 3n * USD, { memberId });
    await settleOne(on.money, events[2]!, USD);
    const report = await on.close();
    expect(report).toMatchObject({
      closed: 1,
      unresolved: [{ organization: account.slug, unpriced: 1, quarantined: 1 }],
    });
    const held = await on.database.query<{ held: string }>(
      'SELECT held_pico_usd::text AS held FROM budgets WHERE account_id = $1',
      [account.accountId],
    );
    expect(held.map((row) => row.held)).toEqual(Array(3).fill(`${3n * USD}`));
    expect(await bookProblems(on.database)).toEqual([]);
    const late = await on.money.journal.settleWaiting(
      refOf(events[0]!),
      settledAt(USD),
      'unpriced',
    );
    expect(late).toEqual({ kind: 'period_closed' });
    await settleOne(on.money, open, 3n * USD);
    expect(await bookProblems(on.database)).toEqual([]);
  });
});
