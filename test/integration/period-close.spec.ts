import { beforeEach, describe, expect, it } from 'vitest';
import { invoiceHash } from '../../src/billing/invoice-hash.js';
import type { RecordedInvoice } from '../../src/billing/invoices.repository.js';
import { refOf } from '../../src/metering/journal.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { requestOf, settledAt } from '../support/journal.js';
import {
  ACTOR,
  balanceOf,
  bookProblems,
  CENT,
  closesOn,
  configOf,
  intercepted,
  invoiceOf,
  type MoneyProcess,
  newOrganization,
  openMoney,
  openOne,
  settleOne,
  spendOne,
  sweep,
  type TestOrganization,
  USD,
} from './money-fixture.js';

let database: TestDatabase;
let money: MoneyProcess;

beforeEach(async () => {
  database = await freshDatabase();
  money = await openMoney(database.url, '2026-10-10T00:00:00Z');
  return async () => {
    await money.close();
    await database.drop();
  };
});

const CLOSING = new Date('2026-11-01T01:00:00Z');

/** A Pro organization since a day; its own fee is 9.00 a month. */
function pro(createdAt = '2026-10-01T00:00:00Z'): Promise<TestOrganization> {
  return newOrganization(money, { plan: 'pro', createdAt });
}

/** A Free one with pay-as-you-go: no fee, 0.10 of credit. */
function free(createdAt = '2026-10-01T00:00:00Z', isPayAsYouGo = true): Promise<TestOrganization> {
  return newOrganization(money, { plan: 'free', createdAt, isPayAsYouGo });
}

async function close(period = '2026-10', at = CLOSING) {
  money.now = at;
  const report = await money.closes.close(period, at);
  expect(report.failed).toEqual([]);
  return report;
}

function linesOf(invoice: RecordedInvoice | null): string[] {
  return (invoice?.content.lines ?? []).map(({ kind, exactUsd }) => `${kind} ${exactUsd}`);
}

function amountsOf(invoice: RecordedInvoice | null): string[] {
  const { exactSumUsd, totalUsd, carriedUsd } = invoice!.content;
  return [exactSumUsd, totalUsd, carriedUsd];
}

async function countOf(table: string): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${table}`,
  );
  return row!.count;
}

async function closedThrough({ accountId }: TestOrganization): Promise<string | null> {
  const [row] = await database.query<{ closed_through: string | null }>(
    'SELECT closed_through FROM budgets WHERE subject_id = $1',
    [accountId],
  );
  return row!.closed_through;
}

function expectKept(invoice: RecordedInvoice | null): void {
  expect(invoice!.hash).toBe(invoiceHash(invoice!.content));
}

describe('the close of a month', () => {
  it('bills what was owed, lets unused credit expire and leaves nothing behind', async () => {
    const account = await pro();
    await spendOne(money, account, 5n * USD + 123n);
    await close();
    const invoice = await invoiceOf(money, account, '2026-10');
    expect(linesOf(invoice)).toEqual(['plan 9', 'usage 5.000000000123', 'credit -2']);
    expect(amountsOf(invoice)).toEqual(['12.000000000123', '12.00', '0.000000000123']);
    expect(invoice).toMatchObject({ state: 'finalized', content: { number: 'INV-000001' } });
    expect(invoice!.content.issuedAt).toBe('2026-11-01T01:00:00.000Z');
    expect(invoice!.content.dueAt).toBe('2026-11-15T01:00:00.000Z');
    expectKept(invoice);
    const { accountId } = account;
    expect(await balanceOf(database, `receivable:${accountId}`)).toBe(12n * USD);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-10`)).toBe(0n);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-11`)).toBe(123n);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('leaves out what never reached the caller, and bills what was paid of an overrun', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-10-01T00:00:00Z',
      limitPicoUsd: USD,
    });
    const withheld = money.journal.settle(
      refOf(await openOne(money, account, USD)),
      settledAt(USD / 2n),
    );
    withheld.withhold();
    await withheld.receipt;
    const overrun = await openOne(money, account, USD);
    expect(await settleOne(money, overrun, 5n * USD)).toMatchObject({
      costPicoUsd: 3n * USD,
      absorbedPicoUsd: 2n * USD,
    });
    await spendOne(money, account, 0n);
    await close();
    const invoice = await invoiceOf(money, account, '2026-10');
    expect(linesOf(invoice)).toEqual(['plan 9', 'usage 3', 'credit -2']);
    expect(invoice!.content.lines[1]!.requests).toBe(2);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('a second time changes nothing', async () => {
    const accounts = [await pro(), await pro(), await free()];
    await spendOne(money, accounts[0]!, 5n * USD);
    const { invoices: issued } = await close();
    const counts = (): Promise<number[]> =>
      Promise.all(['ledger_transfers', 'invoices', 'period_closes', 'credit_grants'].map(countOf));
    const before = await counts();
    const second = await close('2026-10', new Date('2026-11-02T00:00:00Z'));
    expect(second).toMatchObject({ closed: 3, blocked: [], failed: [], invoices: issued });
    expect(await counts()).toEqual(before);
  });

  it('of an account that asked for nothing grants and expires its credit, and bills its fee', async () => {
    const [idle, nothing] = [await pro(), await free()];
    const report = await close();
    expect(report.closed).toBe(2);
    expect(linesOf(await invoiceOf(money, idle, '2026-10'))).toEqual(['plan 9']);
    expect(await invoiceOf(money, nothing, '2026-10')).toBeNull();
    const transfers = await database.query(
      `SELECT kind, period, amount_pico_usd::text AS amount FROM ledger_transfers
       WHERE account_id = $1 AND kind IN ('plan_grant', 'expiry') ORDER BY kind`,
      [idle.accountId],
    );
    expect(transfers).toEqual([
      { kind: 'expiry', period: '2026-10', amount: `${2n * USD}` },
      { kind: 'plan_grant', period: '2026-10', amount: `${2n * USD}` },
    ]);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('is refused while the month runs, and a dry run shows it as it would be', async () => {
    const account = await pro();
    await spendOne(money, account, 5n * USD);
    await expect(money.closes.close('2026-10', money.now)).rejects.toMatchObject({
      refusal: { code: 'period_not_over' },
    });
    const report = await money.closes.dryRun('2026-10', money.now);
    expect(report.invoices).toEqual([
      { organization: account.slug, id: null, number: null, totalUsd: '12.00' },
    ]);
    expect(await countOf('invoices')).toBe(0);
    expect(await closedThrough(account)).toBeNull();
  });

  it('from two processes at once makes one invoice an account, numbered without a gap', async () => {
    const other = await openMoney(database.url, CLOSING.toISOString());
    const accounts = await Promise.all(Array.from({ length: 12 }, () => pro()));
    await Promise.all(accounts.map((account) => spendOne(money, account, 3n * USD)));
    const reports = await Promise.all([
      money.closes.close('2026-10', CLOSING),
      other.closes.close('2026-10', CLOSING),
      other.closes.close('2026-10', CLOSING),
    ]);
    for (const report of reports) {
      expect(report).toMatchObject({ closed: 12, failed: [], blocked: [] });
    }
    const numbers = await database.query('SELECT number FROM invoices ORDER BY number');
    expect(numbers.map(({ number }) => number as number)).toEqual(
      Array.from({ length: 12 }, (_, index) => index + 1),
    );
    expect(await countOf('period_closes')).toBe(12);
    expect(await bookProblems(database)).toEqual([]);
    await other.close();
  });
});

describe('a close that dies', () => {
  const DEATHS = ['its process', 'its connection'] as const;
  const ACCOUNTS = ['that spent', 'that asked for nothing'] as const;

  it.each(DEATHS.flatMap((death) => ACCOUNTS.map((kind) => [death, kind] as const)))(
    'with %s, of an account %s, at any statement: nothing stands, and the next finishes it',
    async (death, kind) => {
      const account = await pro('2026-10-16T00:00:00Z');
      money.now = new Date('2026-10-17T00:00:00Z');
      if (kind === 'that spent') {
        await spendOne(money, account, 5n * USD);
        const waiting = settledAt(0n, { state: 'unpriced', ratedCostPicoUsd: null });
        await money.journal.settle(refOf(await openOne(money, account, USD)), waiting).receipt;
      }
      const transfers = await countOf('ledger_transfers');
      let deaths = 0;
      for (;;) {
        const died = { isDead: false };
        const dying = intercepted(money.database, async ({ index, pid }) => {
          if (index !== deaths + 1) return;
          died.isDead = true;
          if (death === 'its process') throw new Error('killed');
          await database.query('SELECT pg_terminate_backend($1, 5000)', [await pid()]);
        });
        const report = await closesOn(dying, configOf(database.url)).close('2026-10', CLOSING);
        if (!died.isDead) break;
        deaths += 1;
        expect(report).toMatchObject({ closed: 0, failed: [{ organization: account.slug }] });
        expect(await countOf('period_closes')).toBe(0);
        expect(await countOf('ledger_transfers')).toBe(transfers);
        expect(await bookProblems(database)).toEqual([]);
      }
      expect(deaths).toBeGreaterThan(20);
      expect(await countOf('period_closes')).toBe(1);
      const invoice = await invoiceOf(money, account, '2026-10');
      expect(invoice!.content.number).toBe('INV-000001');
      expect(linesOf(invoice)).toEqual(
        kind === 'that spent'
          ? ['plan 4.645161290322', 'usage 5', 'credit -2']
          : ['plan 4.645161290322'],
      );
      const { accountId } = account;
      expect(await balanceOf(database, `unbilled:${accountId}:2026-10`)).toBe(0n);
      expect(await balanceOf(database, `plan_credit:${accountId}:2026-10`)).toBe(0n);
      expect(await bookProblems(database)).toEqual([]);
    },
  );

  it('after its COMMIT is found closed', async () => {
    const account = await pro();
    await spendOne(money, account, 5n * USD);
    const deaf = intercepted(
      money.database,
      () => Promise.resolve(),
      () => {
        throw new Error('Connection terminated');
      },
    );
    const report = await closesOn(deaf, configOf(database.url)).close('2026-10', CLOSING);
    expect(report.failed).toHaveLength(1);
    expect(await close()).toMatchObject({ closed: 1 });
    expect(await countOf('invoices')).toBe(1);
    expect(await bookProblems(database)).toEqual([]);
  });
});

describe('requests that come while a month is closed', () => {
  /** Closes while something happens between the computing and the lock of the budget. */
  async function closeWhile(happens: () => Promise<unknown>, times = 1) {
    let happened = 0;
    const config = configOf(database.url);
    const watched = intercepted(money.database, async ({ sql }) => {
      if (!sql.includes('FROM budgets') || !sql.trimEnd().endsWith('FOR UPDATE')) return;
      if (happened === times) return;
      happened += 1;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error('a request waited for the whole close'));
        }, 10_000);
      });
      await Promise.race([happens(), late]);
      clearTimeout(timer);
    });
    const report = await closesOn(watched, config).close('2026-10', CLOSING);
    expect(happened).toBe(times);
    return report;
  }

  it('a late settlement of the month is on the invoice, and is not lost', async () => {
    const account = await pro();
    await spendOne(money, account, 5n * USD);
    const lates = [await openOne(money, account, USD), await openOne(money, account, USD)];
    for (const late of lates) await sweep(money, late);
    money.now = CLOSING;
    let next = 0;
    const report = await closeWhile(async () => {
      const receipt = await settleOne(money, lates[next]!, USD + BigInt(next));
      expect(receipt).toMatchObject({ kind: 'settled', isLate: true, absorbedPicoUsd: 0n });
      next += 1;
    }, 2);
    expect(report).toMatchObject({ closed: 1, failed: [] });
    const invoice = await invoiceOf(money, account, '2026-10');
    expect(linesOf(invoice)).toEqual(['plan 9', 'usage 7.000000000001', 'credit -2']);
    expect(invoice!.content.lines[1]!.requests).toBe(3);
    expect(invoice!.content.number).toBe('INV-000001');
    expect(await bookProblems(database)).toEqual([]);
  });

  it('a late settlement that burns credit only is on the invoice too', async () => {
    const account = await pro();
    await spendOne(money, account, USD);
    const late = await openOne(money, account, USD / 2n);
    await sweep(money, late);
    money.now = CLOSING;
    const report = await closeWhile(() => settleOne(money, late, USD / 2n));
    expect(report).toMatchObject({ closed: 1, failed: [] });
    expect(linesOf(await invoiceOf(money, account, '2026-10'))).toEqual([
      'plan 9',
      'usage 1.5',
      'credit -1.5',
    ]);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('requests of the new month go on, and what they burn and are granted is kept', async () => {
    const account = await pro();
    const promotional = {
      kind: 'promotional',
      amountPicoUsd: USD,
      expiresAt: null,
      reason: 'hello',
      idempotencyKey: null,
    } as const;
    await money.credits.grant(account.accountId, promotional, ACTOR, money.now);
    await spendOne(money, account, 2n * USD);
    money.now = CLOSING;
    const report = await closeWhile(() => spendOne(money, account, 2n * USD + USD / 4n));
    expect(report).toMatchObject({ closed: 1, failed: [] });
    const { accountId } = account;
    expect(await balanceOf(database, `promo_credit:${accountId}`)).toBe(-3n * (USD / 4n));
    expect(await balanceOf(database, `plan_credit:${accountId}:2026-11`)).toBe(0n);
    expect(await bookProblems(database)).toEqual([]);
    // It burns on from there.
    await spendOne(money, account, USD);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-11`)).toBe(USD / 4n);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('a request that a slow clock admits into the month blocks it; none is admitted afterwards', async () => {
    const account = await pro();
    await spendOne(money, account, USD);
    const slow = await openMoney(database.url, '2026-10-31T23:59:59.999Z');
    let event: Awaited<ReturnType<typeof openOne>> | undefined;
    const report = await closeWhile(async () => {
      event = await openOne(slow, account, USD);
    });
    expect(report).toMatchObject({
      closed: 0,
      failed: [],
      blocked: [{ organization: account.slug, open: 1 }],
    });
    await settleOne(slow, event!, USD);
    expect(await close()).toMatchObject({ closed: 1, blocked: [] });
    const refused = await slow.journal.admit(requestOf(account, 0n));
    expect(refused.kind === 'failed' && refused.problem).toMatch(/the clock is behind/);
    expect(await bookProblems(database)).toEqual([]);
    await slow.close();
  });

  it('a settlement that arrives after the close is ours', async () => {
    const account = await pro();
    const event = await openOne(money, account, 9n * USD);
    await sweep(money, event);
    await close();
    const before = await invoiceOf(money, account, '2026-10');
    expect(await settleOne(money, event, 9n * USD)).toMatchObject({
      kind: 'settled',
      costPicoUsd: 0n,
      absorbedPicoUsd: 9n * USD,
      isLate: true,
    });
    expect(await invoiceOf(money, account, '2026-10')).toEqual(before);
    expect(await balanceOf(database, `unbilled:${account.accountId}:2026-10`)).toBe(0n);
    expect(await bookProblems(database)).toEqual([]);
    // Nor does it turn up on the next invoice.
    await close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(linesOf(await invoiceOf(money, account, '2026-11'))).toEqual(['plan 9']);
  });
});

describe('an account that cannot be closed yet', () => {
  it('with an open request delays no other, and is closed when it has ended', async () => {
    const [stuck, other] = [await pro(), await pro()];
    const event = await openOne(money, stuck, 5n * USD);
    const first = await close();
    expect(first).toMatchObject({
      closed: 1,
      blocked: [{ organization: stuck.slug, open: 1, pending: 0 }],
    });
    expect(await closedThrough(stuck)).toBeNull();
    expect(await closedThrough(other)).toBe('2026-10');
    await settleOne(money, event, 5n * USD);
    expect(await close()).toMatchObject({ closed: 2, blocked: [] });
    expect(linesOf(await invoiceOf(money, stuck, '2026-10'))).toContain('usage 5');
    expect(await bookProblems(database)).toEqual([]);
  });

  it('is not stuck for what waits for a price or a person: that is listed, and holds nothing', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-10-01T00:00:00Z',
      limitPicoUsd: 20n * USD,
    });
    const { tokenId } = account;
    const memberId = '01900000-0000-7000-8000-000000000001';
    await database.query(
      `INSERT INTO budgets (subject_id, scope, account_id, limit_pico_usd, is_pay_as_you_go, period, held_pico_usd)
       VALUES ($1, 'member', $2, 1e13, FALSE, '2026-10', 0)`,
      [memberId, account.accountId],
    );
    await database.query(
      'UPDATE budgets SET limit_pico_usd = 1e13, held_pico_usd = 0 WHERE subject_id = $1',
      [tokenId],
    );
    const events = [];
    for (let index = 0; index < 3; index += 1) {
      events.push(await openOne(money, account, USD, { memberId }));
    }
    const waits = (state: 'unpriced' | 'quarantined') =>
      settledAt(0n, { state, ratedCostPicoUsd: null, priceRowIds: [] });
    await money.journal.settle(refOf(events[0]!), waits('unpriced')).receipt;
    await money.journal.settle(refOf(events[1]!), waits('quarantined')).receipt;
    money.now = CLOSING;
    // One of the new month is open meanwhile: its hold stays.
    const open = await openOne(money, account, 3n * USD, { memberId });
    await settleOne(money, events[2]!, USD);
    const report = await close();
    expect(report).toMatchObject({
      closed: 1,
      unresolved: [{ organization: account.slug, unpriced: 1, quarantined: 1 }],
    });
    const held = await database.query<{ held: string }>(
      'SELECT held_pico_usd::text AS held FROM budgets WHERE account_id = $1',
      [account.accountId],
    );
    expect(held.map((row) => row.held)).toEqual(Array(3).fill(`${3n * USD}`));
    expect(await bookProblems(database)).toEqual([]);
    const late = await money.journal.settleWaiting(refOf(events[0]!), settledAt(USD), 'unpriced');
    expect(late).toEqual({ kind: 'period_closed' });
    await settleOne(money, open, 3n * USD);
    expect(await bookProblems(database)).toEqual([]);
  });
});

describe('what is not asked for', () => {
  it('under the minimum is carried, until there is enough or nothing to add it to', async () => {
    const account = await free();
    await spendOne(money, account, 40n * CENT);
    await close();
    const first = await invoiceOf(money, account, '2026-10');
    expect(linesOf(first)).toEqual(['usage 0.4', 'credit -0.1']);
    expect(amountsOf(first)).toEqual(['0.3', '0.00', '0.3']);
    expect(first!.state).toBe('paid');
    // A month without anything: no invoice, the carry goes on.
    await close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(await invoiceOf(money, account, '2026-11')).toBeNull();
    expect(await balanceOf(database, `unbilled:${account.accountId}:2026-12`)).toBe(30n * CENT);
    await spendOne(money, account, 30n * CENT);
    await close('2026-12', new Date('2027-01-01T01:00:00Z'));
    const third = await invoiceOf(money, account, '2026-12');
    expect(linesOf(third)).toEqual(['usage 0.3', 'credit -0.1', 'carry 0.3']);
    expect(third!.content.lines[2]!.description).toBe('Carried from 2026-11');
    expect(amountsOf(third)).toEqual(['0.5', '0.50', '0']);
    expect(third!.content.number).toBe('INV-000002');
    expect(await bookProblems(database)).toEqual([]);
  });

  it('below zero is carried in the favour of the account', async () => {
    const account = await pro();
    await spendOne(money, account, 5n * USD);
    await close();
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
      await money.corrections.correct(of, order, ACTOR, money.now);
    }
    await money.subscriptions.change(
      account.accountId,
      { plan: 'free', seats: 1 },
      ACTOR,
      money.now,
    );
    await close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(amountsOf(await invoiceOf(money, account, '2026-11'))).toEqual(['6', '6.00', '0']);
    await money.corrections.correct(
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
      money.now,
    );
    await close('2026-12', new Date('2027-01-01T01:00:00Z'));
    // The plan's credit of a month is no money: nothing is owed back for it.
    const third = await invoiceOf(money, account, '2026-12');
    expect(linesOf(third)).toEqual([]);
    expect(amountsOf(third)).toEqual(['0', '0.00', '0']);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('is carried below zero over a month without anything', async () => {
    const account = await free();
    await spendOne(money, account, 5n * USD);
    await close();
    await money.corrections.correct(
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
      money.now,
    );
    await close('2026-11', new Date('2026-12-01T01:00:00Z'));
    const second = await invoiceOf(money, account, '2026-11');
    expect(linesOf(second)).toEqual(['correction -3']);
    expect(amountsOf(second)).toEqual(['-3', '0.00', '-3']);
    await close('2026-12', new Date('2027-01-01T01:00:00Z'));
    expect(await balanceOf(database, `unbilled:${account.accountId}:2027-01`)).toBe(-3n * USD);
    await spendOne(money, account, 4n * USD);
    await close('2027-01', new Date('2027-02-01T01:00:00Z'));
    const last = await invoiceOf(money, account, '2027-01');
    expect(linesOf(last)).toEqual(['usage 4', 'credit -0.1', 'carry -3']);
    expect(amountsOf(last)).toEqual(['0.9', '0.90', '0']);
    expect(await bookProblems(database)).toEqual([]);
  });
});

describe('months', () => {
  it('that are due are closed in their order, and only when their delay has passed', async () => {
    const account = await pro('2026-08-20T00:00:00Z');
    money.now = new Date('2026-08-21T00:00:00Z');
    await spendOne(money, account, 3n * USD);
    money.now = new Date('2026-10-10T00:00:00Z');
    await spendOne(money, account, 3n * USD);
    expect(await money.closes.closeDue(new Date('2026-09-01T00:59:59Z'))).toBe(0);
    expect(await money.closes.closeDue(CLOSING)).toBe(3);
    const invoices = await money.invoices.list(account.accountId, 10, null);
    const shown = invoices.map(({ period, content }) => [period, content.number, content.totalUsd]);
    // 12 of 31 days of the fee: 3.483870967741; what it leaves is carried into September.
    expect(shown).toEqual([
      ['2026-10', 'INV-000003', '10.00'],
      ['2026-09', 'INV-000002', '9.00'],
      ['2026-08', 'INV-000001', '4.48'],
    ]);
    expect(amountsOf(invoices[1]!)).toEqual(['9.003870967741', '9.00', '0.003870967741']);
    expect(amountsOf(invoices[0]!)).toEqual(['10.003870967741', '10.00', '0.003870967741']);
    expect(await closedThrough(account)).toBe('2026-10');
    expect(await bookProblems(database)).toEqual([]);
  });

  it('wait for an earlier one of the account that is stuck', async () => {
    const account = await pro('2026-09-01T00:00:00Z');
    money.now = new Date('2026-09-30T23:59:59Z');
    const event = await openOne(money, account, USD);
    money.now = CLOSING;
    expect(await close()).toMatchObject({ closed: 0, blocked: [{ open: 1 }] });
    expect(await closedThrough(account)).toBeNull();
    await settleOne(money, event, USD);
    expect(await close()).toMatchObject({ closed: 1, blocked: [] });
    expect(await closedThrough(account)).toBe('2026-10');
    expect(linesOf(await invoiceOf(money, account, '2026-09'))).toContain('usage 1');
    expect(await bookProblems(database)).toEqual([]);
  });

  it('are calendar months through a leap February and the end of a year', async () => {
    money.now = new Date('2027-12-31T23:59:59.999Z');
    const account = await newOrganization(money, {
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
      money.now = new Date(at);
      await spendOne(money, account, 10n ** BigInt(index));
    }
    const team = { plan: 'team', seats: 2 };
    const at = new Date('2028-02-29T23:59:59.999Z');
    await money.subscriptions.change(account.accountId, team, ACTOR, at);
    money.now = new Date('2028-04-01T01:00:00Z');
    expect(await money.closes.closeDue(money.now)).toBe(4);
    const plans = await Promise.all(
      ['2027-12', '2028-01', '2028-02', '2028-03'].map(async (period) => {
        const invoice = await invoiceOf(money, account, period);
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
    expect(await bookProblems(database)).toEqual([]);
  });

  it('do not bill an account of the very first instant of the next', async () => {
    const account = await pro('2026-11-01T00:00:00.000Z');
    const before = await pro('2026-10-31T23:59:59.999Z');
    const report = await close();
    expect(report.closed).toBe(1);
    expect(report.invoices.map(({ organization }) => organization)).toEqual([before.slug]);
    expect(await closedThrough(account)).toBeNull();
    expect(linesOf(await invoiceOf(money, before, '2026-10'))).toEqual(['plan 0.290322580645']);
    await close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(linesOf(await invoiceOf(money, account, '2026-11'))).toEqual(['plan 9']);
    expect(await bookProblems(database)).toEqual([]);
  });
});

describe('the plan fee', () => {
  it('follows what an account had in the month, and its credit the highest of it', async () => {
    const account = await free();
    money.now = new Date('2026-10-11T10:00:00Z');
    await spendOne(money, account, 30n * CENT);
    const { accountId } = account;
    await money.subscriptions.change(accountId, { plan: 'pro', seats: 1 }, ACTOR, money.now);
    expect(await balanceOf(database, `plan_credit:${accountId}:2026-10`)).toBe(-170n * CENT);
    money.now = new Date('2026-10-20T00:00:00Z');
    await money.subscriptions.change(accountId, { plan: 'free', seats: 1 }, ACTOR, money.now);
    await close();
    // 21 of 31 days of 9.00; the downgrade is in force from November.
    expect(linesOf(await invoiceOf(money, account, '2026-10'))).toEqual([
      'plan 6.096774193548',
      'usage 0.3',
      'credit -0.3',
    ]);
    await spendOne(money, account, 30n * CENT);
    await close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(linesOf(await invoiceOf(money, account, '2026-11'))).toEqual([
      'usage 0.3',
      'credit -0.1',
      'carry 0.006774193548',
    ]);
    expect(await bookProblems(database)).toEqual([]);
  });
});
