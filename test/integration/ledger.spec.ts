import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refOf } from '../../src/metering/journal.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { requestOf, settledAt } from '../support/journal.js';
import {
  ACTOR,
  balanceOf,
  bookProblems,
  CENT,
  type MoneyProcess,
  newOrganization,
  openMoney,
  openOne,
  settleOne,
  spendOne,
  sweep,
  USD,
} from './money-fixture.js';

let database: TestDatabase;
let money: MoneyProcess;

beforeAll(async () => {
  database = await freshDatabase();
  money = await openMoney(database.url, '2026-10-10T00:00:00Z');
});

afterAll(async () => {
  await money.close();
  await database.drop();
});

interface TransferRow {
  readonly id: string;
  readonly kind: string;
  readonly debit: string;
  readonly credit: string;
  readonly amount: string;
  readonly period: string;
  readonly grant_id: string | null;
}

const transfersOf = (accountId: string): Promise<TransferRow[]> =>
  database.query<TransferRow>(
    `SELECT id, kind, debit, credit, amount_pico_usd::text AS amount, period, grant_id FROM ledger_transfers
     WHERE account_id = $1 ORDER BY created_at, id`,
    [accountId],
  );

const eventOf = async (id: string) => {
  const [row] = await database.query<{
    state: string;
    cost: string | null;
    credit: string | null;
    absorbed: string | null;
    hold: string;
    transfer_ids: string[];
  }>(
    `SELECT state, cost_pico_usd::text AS cost, credit_pico_usd::text AS credit, absorbed_pico_usd::text AS absorbed,
       hold_pico_usd::text AS hold, transfer_ids::text[] FROM usage_events WHERE id = $1`,
    [id],
  );
  return row!;
};

describe('what was booked', () => {
  /** One row in each table, and an invoice with a credit note. */
  beforeAll(async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-10-01T00:00:00Z',
    });
    await spendOne(money, account, 5n * USD);
    money.now = new Date('2026-11-02T00:00:00Z');
    expect((await money.closes.close('2026-10', money.now)).failed).toEqual([]);
    const [invoice] = await money.invoices.list(account.accountId, 1, null);
    const late = {
      amountPicoUsd: -1n * USD,
      period: '2026-10',
      reason: 'too much',
      requestId: null,
      upstream: null,
      provider: null,
      idempotencyKey: null,
    };
    const of = { id: account.accountId, createdAt: account.createdAt };
    await money.corrections.correct(of, late, ACTOR, money.now);
    const note = { amountCents: 50n, reason: 'too much', idempotencyKey: null };
    await money.notes.credit(invoice!, note, ACTOR, money.now);
  });

  it.each([
    ['ledger_transfers', 'amount_pico_usd = amount_pico_usd + 1'],
    ['credit_grants', `reason = 'another'`],
    ['period_closes', 'carried_pico_usd = 0'],
    ['corrections', 'line_pico_usd = 0'],
    ['credit_notes', 'amount_cents = 1'],
    ['provider_payments', 'amount_pico_usd = 1'],
  ])('never changes or disappears: %s', async (table, change) => {
    const [before] = await database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM ${table}`,
    );
    if (table !== 'provider_payments') expect(before!.count).toBeGreaterThan(0);
    const refused = `${table} is append-only`;
    await expect(database.query(`UPDATE ${table} SET ${change}`)).rejects.toThrow(refused);
    await expect(database.query(`DELETE FROM ${table}`)).rejects.toThrow(refused);
    await expect(database.query(`TRUNCATE ${table}`)).rejects.toThrow(refused);
    await expect(database.query(`TRUNCATE ${table} CASCADE`)).rejects.toThrow(/append-only/);
  });

  it.each([
    ['account_id', `account_id = gen_random_uuid()`],
    ['period', `period = '2026-09'`],
    ['number', 'number = 77'],
    ['issued_at', `issued_at = issued_at + interval '1 ms'`],
    ['due_at', `due_at = due_at + interval '1 day'`],
    ['total', 'total_cents = total_cents + 1, exact_sum_pico_usd = exact_sum_pico_usd + 1e10'],
    ['carry', 'carried_pico_usd = 1, exact_sum_pico_usd = exact_sum_pico_usd + 1'],
    ['content', `content = content || '{"notes": ["another"]}'`],
    ['hash', `hash = 'another'`],
  ])('of an invoice is its %s, for ever', async (_what, change) => {
    await expect(database.query(`UPDATE invoices SET ${change}`)).rejects.toThrow(
      /never changes|foreign key/,
    );
  });

  it('as an invoice is never deleted, and goes forward only', async () => {
    await expect(database.query('DELETE FROM invoices')).rejects.toThrow(/never deleted/);
    await expect(database.query('TRUNCATE invoices CASCADE')).rejects.toThrow(/append-only/);
    await database.query(`UPDATE invoices SET state = 'void'`);
    for (const state of ['finalized', 'paid', 'uncollectible']) {
      await expect(database.query(`UPDATE invoices SET state = $1`, [state])).rejects.toThrow(
        /does not go from void/,
      );
    }
  });

  it('as a transfer moves an amount above 0 between two accounts', async () => {
    const insert = (debit: string, credit: string, amount: number): Promise<unknown> =>
      database.query(
        `INSERT INTO ledger_transfers (id, created_at, period, kind, debit, credit, amount_pico_usd)
         VALUES (gen_random_uuid(), '2026-10-01', '2026-10', 'payment', $1, $2, $3)`,
        [debit, credit, amount],
      );
    await expect(insert('cash', 'stripe_clearing', 0)).rejects.toThrow('ledger_transfers_amount');
    await expect(insert('cash', 'stripe_clearing', -1)).rejects.toThrow('ledger_transfers_amount');
    await expect(insert('cash', 'cash', 1)).rejects.toThrow('ledger_transfers_two_sides');
  });

  it('as credit is never spent below zero', async () => {
    const insert = (kind: string, balance: number): Promise<unknown> =>
      database.query(
        `INSERT INTO ledger_balances (ledger_account, account_id, kind, balance_pico_usd) VALUES ($1, gen_random_uuid(), $2, $3)`,
        [uuidv7(), kind, balance],
      );
    for (const kind of ['plan_credit', 'promo_credit', 'prepaid_credit']) {
      await expect(insert(kind, 1)).rejects.toThrow('ledger_balances_credit_not_negative');
    }
    await database.query(`UPDATE ledger_balances SET balance_pico_usd = 0 WHERE kind = 'none'`);
    const [row] = await database.query<{ ledger_account: string }>(
      `SELECT ledger_account FROM ledger_balances WHERE kind LIKE '%_credit' LIMIT 1`,
    );
    await expect(
      database.query(
        'UPDATE ledger_balances SET balance_pico_usd = balance_pico_usd + 1e15 WHERE ledger_account = $1',
        [row!.ledger_account],
      ),
    ).rejects.toThrow('ledger_balances_credit_not_negative');
  });
});

describe('settlements', () => {
  it('of one batch share few transfers, and every event names those that book it', async () => {
    const accounts = await Promise.all(
      [1, 2].map(() => newOrganization(money, { plan: 'pro', createdAt: '2026-11-01T00:00:00Z' })),
    );
    const providers = ['novita', 'groq'];
    const events = await Promise.all(
      Array.from({ length: 400 }, (_, index) => openOne(money, accounts[index % 2]!, CENT)),
    );
    await Promise.all(
      events.map((event, index) =>
        settleOne(money, event, CENT / 2n + BigInt(index), {
          provider: providers[Math.floor(index / 2) % 2]!,
        }),
      ),
    );
    for (const { accountId } of accounts) {
      const transfers = await transfersOf(accountId);
      const booked = transfers.filter(({ kind }) => kind === 'settlement');
      // Two providers, each of plan credit: one batch, or a second one that was gathering meanwhile.
      expect(booked.length).toBeLessThanOrEqual(6);
      const grants = transfers.filter(({ kind }) => kind === 'plan_grant');
      expect(grants).toMatchObject([
        { debit: 'promo_cost', credit: `plan_credit:${accountId}:2026-11`, amount: `${2n * USD}` },
      ]);
      expect(booked.every(({ grant_id: id }) => id === grants[0]!.grant_id)).toBe(true);
    }
    expect(await bookProblems(database)).toEqual([]);
  });

  it('burn plan, then promotional, then prepaid credit, and owe the rest', async () => {
    const account = await newOrganization(money, {
      plan: 'free',
      createdAt: '2026-11-01T00:00:00Z',
      isPayAsYouGo: true,
    });
    for (const kind of ['prepaid', 'promotional'] as const) {
      const grant = {
        kind,
        amountPicoUsd: 20n * CENT,
        expiresAt: null,
        reason: kind,
        idempotencyKey: null,
      };
      await money.credits.grant(account.accountId, grant, ACTOR, money.now);
    }
    const event = await openOne(money, account, USD);
    await settleOne(money, event, USD);
    const { accountId } = account;
    const named = await eventOf(event.request.id);
    const transfers = await transfersOf(accountId);
    const parts = named.transfer_ids.map((id) => transfers.find((one) => one.id === id)!);
    expect(parts.map(({ debit, amount }) => [debit, BigInt(amount)])).toEqual([
      [`plan_credit:${accountId}:2026-11`, 10n * CENT],
      [`promo_credit:${accountId}`, 20n * CENT],
      [`prepaid_credit:${accountId}`, 20n * CENT],
      [`unbilled:${accountId}:2026-11`, 50n * CENT],
    ]);
    expect(parts.every(({ credit }) => credit === 'provider_payable:default:together')).toBe(true);
    expect(named).toMatchObject({ cost: `${USD}`, credit: `${50n * CENT}`, absorbed: '0' });
    expect(await bookProblems(database)).toEqual([]);
  });

  it('are covered by a grant that comes later, in the transaction of the grant', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-11-01T00:00:00Z',
    });
    await spendOne(money, account, 5n * USD);
    const unbilled = `unbilled:${account.accountId}:2026-11`;
    expect(await balanceOf(database, unbilled)).toBe(3n * USD);
    const grant = {
      kind: 'promotional',
      amountPicoUsd: 2n * USD,
      expiresAt: null,
      reason: 'hello',
      idempotencyKey: 'once',
    } as const;
    const first = await money.credits.grant(account.accountId, grant, ACTOR, money.now);
    const again = await money.credits.grant(account.accountId, grant, ACTOR, money.now);
    expect(again.id).toBe(first.id);
    expect(await balanceOf(database, unbilled)).toBe(1n * USD);
    expect(await balanceOf(database, `promo_credit:${account.accountId}`)).toBe(0n);
    const other = { ...grant, amountPicoUsd: 3n * USD };
    await expect(
      money.credits.grant(account.accountId, other, ACTOR, money.now),
    ).rejects.toMatchObject({ refusal: { code: 'idempotency_key_reused' } });
    expect(await bookProblems(database)).toEqual([]);
  });

  it('in any order with grants and upgrades give the same charge and the same credit used', async () => {
    const figures = await Promise.all(
      [
        ['spend', 'grant', 'upgrade', 'spend'],
        ['grant', 'upgrade', 'spend', 'spend'],
        ['spend', 'spend', 'upgrade', 'grant'],
      ].map(async (order) => {
        const account = await newOrganization(money, {
          plan: 'pro',
          createdAt: '2026-11-01T00:00:00Z',
        });
        for (const step of order) {
          if (step === 'spend') await spendOne(money, account, 4n * USD);
          else if (step === 'grant') {
            const request = {
              kind: 'promotional',
              amountPicoUsd: USD,
              expiresAt: null,
              reason: 'hello',
              idempotencyKey: null,
            } as const;
            await money.credits.grant(account.accountId, request, ACTOR, money.now);
          } else {
            const to = { plan: 'team', seats: 2 };
            await money.subscriptions.change(account.accountId, to, ACTOR, money.now);
          }
        }
        return balanceOf(database, `unbilled:${account.accountId}:2026-11`);
      }),
    );
    // 8.00 less the promotional 1.00 and the 2 x 2.00 x 29 / 30 of the seats from the 2nd on.
    const expected = 8n * USD - USD - (4n * USD * 29n) / 30n;
    expect(figures).toEqual([expected, expected, expected]);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('that are replayed change nothing, not even a transfer', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-11-01T00:00:00Z',
    });
    const events = await Promise.all([1, 2, 3].map(() => openOne(money, account, 3n * USD)));
    const ending = settledAt(3n * USD, { providerRequestId: null });
    await Promise.all(events.map((event) => money.journal.settle(refOf(event), ending).receipt));
    const before = await transfersOf(account.accountId);
    const receipts = await Promise.all(
      [...events, ...events].map((event) => money.journal.settle(refOf(event), ending).receipt),
    );
    expect(new Set(receipts.map(({ kind }) => kind))).toEqual(new Set(['already_ended']));
    expect(await transfersOf(account.accountId)).toEqual(before);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('that were withheld after they had committed are booked back, and we bear them', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-11-01T00:00:00Z',
    });
    await spendOne(money, account, USD);
    const event = await openOne(money, account, 3n * USD);
    const ticket = money.journal.settle(refOf(event), settledAt(3n * USD));
    await ticket.receipt;
    ticket.withhold();
    await new Promise((wake) => setImmediate(wake));
    await money.journal.idle();
    expect(await eventOf(event.request.id)).toMatchObject({
      state: 'settled',
      cost: '0',
      absorbed: `${3n * USD}`,
    });
    expect(await balanceOf(database, `unbilled:${account.accountId}:2026-11`)).toBe(0n);
    expect(await balanceOf(database, `plan_credit:${account.accountId}:2026-11`)).toBe(-USD);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('of two processes at once on one account keep the books', async () => {
    const other = await openMoney(database.url, '2026-11-02T00:00:00Z');
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-11-01T00:00:00Z',
      limitPicoUsd: 3n * USD,
    });
    const outcomes = await Promise.all(
      Array.from({ length: 120 }, async (_, index) => {
        const process = index % 2 === 0 ? money : other;
        const admission = await process.journal.admit(requestOf(account, 10n * CENT));
        if (admission.kind !== 'admitted') return 0n;
        await settleOne(process, admission.event, 8n * CENT);
        return 8n * CENT;
      }),
    );
    const spent = outcomes.reduce((sum, amount) => sum + amount, 0n);
    expect(spent).toBeLessThanOrEqual(5n * USD);
    expect(await balanceOf(database, `unbilled:${account.accountId}:2026-11`)).toBe(
      spent - 2n * USD,
    );
    expect(await bookProblems(database)).toEqual([]);
    await other.close();
  });
});

describe('an event that waits', () => {
  const unpriced = settledAt(0n, { state: 'unpriced', ratedCostPicoUsd: null, priceRowIds: [] });

  it('holds nothing any more when it was swept before it turned out to have no price', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-11-01T00:00:00Z',
      limitPicoUsd: 10n * USD,
    });
    const [swept, other] = [await openOne(money, account, USD), await openOne(money, account, USD)];
    await sweep(money, swept);
    const late = await money.journal.settle(refOf(swept), unpriced).receipt;
    expect(late).toEqual({ kind: 'unpriced' });
    expect(await bookProblems(database)).toEqual([]);
    // A price arrives: it is charged, and the hold of the other is still there.
    const { hold } = await eventOf(swept.request.id);
    const ref = { ...refOf(swept), holdPicoUsd: BigInt(hold) };
    const receipt = await money.journal.settleWaiting(ref, settledAt(USD / 2n), 'unpriced');
    expect(receipt).toMatchObject({ kind: 'settled', costPicoUsd: USD / 2n });
    expect(await bookProblems(database)).toEqual([]);
    await settleOne(money, other, USD);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('for a price is not charged for a provider request that another event was charged for', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-11-01T00:00:00Z',
    });
    const providerRequestId = uuidv7();
    const [first, second] = [
      await openOne(money, account, USD),
      await openOne(money, account, USD),
    ];
    await money.journal.settle(refOf(first), { ...unpriced, providerRequestId }).receipt;
    await settleOne(money, second, USD, { providerRequestId });
    const receipt = await money.journal.settleWaiting(
      refOf(first),
      settledAt(USD, { providerRequestId }),
      'unpriced',
    );
    expect(receipt).toEqual({ kind: 'quarantined' });
    expect((await eventOf(first.request.id)).state).toBe('quarantined');
    expect(await bookProblems(database)).toEqual([]);
  });

  it('for a person is charged by two decisions at once for one provider request only once', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-11-01T00:00:00Z',
    });
    const providerRequestId = uuidv7();
    const quarantined = { ...unpriced, state: 'quarantined', providerRequestId } as const;
    const events = [await openOne(money, account, USD), await openOne(money, account, USD)];
    for (const event of events) await money.journal.settle(refOf(event), quarantined).receipt;
    const receipts = await Promise.all(
      events.map((event) =>
        money.journal.settleWaiting(
          refOf(event),
          settledAt(USD, { providerRequestId }),
          'quarantined',
        ),
      ),
    );
    expect(receipts.map(({ kind }) => kind).sort()).toEqual(['quarantined', 'settled']);
    expect(await bookProblems(database)).toEqual([]);
  });
});
