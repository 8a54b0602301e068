import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CorrectionOrder } from '../../src/billing/corrections.service.js';
import type { RecordedInvoice } from '../../src/billing/invoices.repository.js';
import { refOf } from '../../src/metering/journal.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { settledAt } from '../support/journal.js';
import {
  ACTOR,
  balanceOf,
  bookProblems,
  CENT,
  invoiceOf,
  type MoneyProcess,
  newOrganization,
  openMoney,
  openOne,
  spendOne,
  type TestOrganization,
  USD,
} from './money-fixture.js';

// Accounts of one database, each in months of its own: a close closes them all, which is no matter.
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

const OCTOBER = new Date('2026-10-10T00:00:00Z');
const NOVEMBER = new Date('2026-11-05T00:00:00Z');
const DECEMBER = new Date('2026-12-05T00:00:00Z');

async function accountOf(plan: 'free' | 'pro', isPayAsYouGo = true): Promise<TestOrganization> {
  money.now = OCTOBER;
  return newOrganization(money, { plan, createdAt: '2026-10-01T00:00:00Z', isPayAsYouGo });
}

async function close(period: string, at: Date): Promise<void> {
  money.now = at;
  expect((await money.closes.close(period, at)).failed).toEqual([]);
}

async function grant(
  { accountId }: TestOrganization,
  kind: 'promotional' | 'prepaid',
  amountPicoUsd: bigint,
  expiresAt: Date | null = null,
): Promise<void> {
  const request = { kind, amountPicoUsd, expiresAt, reason: kind, idempotencyKey: null };
  await money.credits.grant(accountId, request, ACTOR, money.now);
}

function correct(
  account: TestOrganization,
  amountPicoUsd: bigint,
  more: Partial<CorrectionOrder> = {},
) {
  const order = {
    amountPicoUsd,
    period: '2026-10',
    reason: 'the provider stated another cost',
    requestId: null,
    upstream: 'default',
    provider: 'together',
    idempotencyKey: null,
    ...more,
  };
  const of = { id: account.accountId, createdAt: account.createdAt };
  return money.corrections.correct(of, order, ACTOR, money.now);
}

/** Transfers of a correction as `debit -> credit amount`, without the ids of the account. */
async function partsOf({ accountId }: TestOrganization, id: string): Promise<string[]> {
  const rows = await database.query<{ debit: string; credit: string; amount: string }>(
    `SELECT debit, credit, amount_pico_usd::text AS amount FROM ledger_transfers
     WHERE idempotency_id LIKE 'correction:' || $1 || ':%' ORDER BY idempotency_id`,
    [id],
  );
  return rows.map(({ debit, credit, amount }) =>
    `${debit} -> ${credit} ${BigInt(amount) / CENT}`.replaceAll(`:${accountId}`, ''),
  );
}

const PAYABLE = 'provider_payable:default:together';

function linesOf(invoice: RecordedInvoice | null): string[] {
  return invoice!.content.lines.map(({ kind, exactUsd }) => `${kind} ${exactUsd}`);
}

describe('a correction of a closed month', () => {
  it('upward takes what credit the month left, then what can be used, and the rest is billed next', async () => {
    const account = await accountOf('pro');
    await spendOne(money, account, 150n * CENT);
    await close('2026-10', NOVEMBER);
    await grant(account, 'promotional', 30n * CENT);
    await grant(account, 'prepaid', 20n * CENT);
    const { id, landsIn, linePicoUsd } = await correct(account, 200n * CENT);
    expect(await partsOf(account, id)).toEqual([
      `promo_cost -> ${PAYABLE} 50`,
      `promo_credit -> ${PAYABLE} 30`,
      `prepaid_credit -> ${PAYABLE} 20`,
      `unbilled:2026-11 -> ${PAYABLE} 100`,
    ]);
    expect({ landsIn, linePicoUsd }).toEqual({ landsIn: '2026-11', linePicoUsd: USD });
    await close('2026-11', DECEMBER);
    expect(linesOf(await invoiceOf(money, account, '2026-11'))).toEqual(['plan 9', 'correction 1']);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('downward gives back what it paid, then its credit, and never more than it was charged', async () => {
    const account = await accountOf('free');
    await grant(account, 'promotional', 20n * CENT, new Date('2026-11-01T00:00:00Z'));
    await grant(account, 'promotional', 30n * CENT);
    await grant(account, 'prepaid', 40n * CENT);
    await spendOne(money, account, 200n * CENT);
    await close('2026-10', NOVEMBER);
    const first = await correct(account, -50n * CENT);
    expect(await partsOf(account, first.id)).toEqual([`${PAYABLE} -> unbilled:2026-11 50`]);
    const second = await correct(account, -120n * CENT);
    expect(await partsOf(account, second.id)).toEqual([
      `${PAYABLE} -> unbilled:2026-11 50`,
      `${PAYABLE} -> prepaid_credit 40`,
      `${PAYABLE} -> promo_credit 30`,
    ]);
    // The rest was the plan's credit and one that has expired: nothing can be given back of them.
    const third = await correct(account, -90n * CENT);
    expect(await partsOf(account, third.id)).toEqual([`${PAYABLE} -> promo_cost 90`]);
    await close('2026-11', DECEMBER);
    const invoice = await invoiceOf(money, account, '2026-11');
    expect(linesOf(invoice)).toEqual(['correction -0.5', 'correction -0.5']);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('up and down leaves what one settlement of the sum would have left', async () => {
    const account = await accountOf('pro');
    await spendOne(money, account, 150n * CENT);
    await close('2026-10', NOVEMBER);
    // 1.50 -> 0.50 -> 2.50: past the 2.00 of the plan only 0.50 is owed.
    await correct(account, -100n * CENT);
    const up = await correct(account, 200n * CENT);
    expect(await partsOf(account, up.id)).toEqual([
      `promo_cost -> ${PAYABLE} 150`,
      `unbilled:2026-11 -> ${PAYABLE} 50`,
    ]);
    const down = await correct(account, -100n * CENT);
    expect(await partsOf(account, down.id)).toEqual([
      `${PAYABLE} -> unbilled:2026-11 50`,
      `${PAYABLE} -> promo_cost 50`,
    ]);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('upward and downward through promotional credit leaves that as it was', async () => {
    const account = await accountOf('free');
    await spendOne(money, account, 10n * CENT);
    await close('2026-10', NOVEMBER);
    await grant(account, 'promotional', 60n * CENT);
    const up = await correct(account, 100n * CENT);
    expect(await partsOf(account, up.id)).toEqual([
      `promo_credit -> ${PAYABLE} 60`,
      `unbilled:2026-11 -> ${PAYABLE} 40`,
    ]);
    const down = await correct(account, -100n * CENT);
    expect(await partsOf(account, down.id)).toEqual([
      `${PAYABLE} -> unbilled:2026-11 40`,
      `${PAYABLE} -> promo_credit 60`,
    ]);
    expect(await balanceOf(database, `promo_credit:${account.accountId}`)).toBe(-60n * CENT);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('by many at the same time gives back no more than was charged', async () => {
    const account = await accountOf('free');
    await spendOne(money, account, 110n * CENT);
    await close('2026-10', NOVEMBER);
    await Promise.all(Array.from({ length: 9 }, () => correct(account, -40n * CENT)));
    expect(await balanceOf(database, `unbilled:${account.accountId}:2026-11`)).toBe(-100n * CENT);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('lets the credit that it gives back cover what the running month owes', async () => {
    const account = await accountOf('free');
    await grant(account, 'prepaid', 40n * CENT);
    await spendOne(money, account, 50n * CENT);
    await close('2026-10', NOVEMBER);
    await spendOne(money, account, 35n * CENT);
    const { accountId } = account;
    expect(await balanceOf(database, `unbilled:${accountId}:2026-11`)).toBe(25n * CENT);
    await correct(account, -30n * CENT);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-11`)).toBe(0n);
    expect(await balanceOf(database, `prepaid_credit:${accountId}`)).toBe(-5n * CENT);
    await close('2026-11', DECEMBER);
    const invoice = await invoiceOf(money, account, '2026-11');
    expect(linesOf(invoice)).toEqual(['usage 0.35', 'credit -0.1', 'credit -0.25']);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('is ours where the account has no pay-as-you-go', async () => {
    const account = await accountOf('free', false);
    await spendOne(money, account, 10n * CENT);
    await close('2026-10', NOVEMBER);
    const { id } = await correct(account, 25n * CENT);
    expect(await partsOf(account, id)).toEqual([`absorbed_cost -> ${PAYABLE} 25`]);
    await close('2026-11', DECEMBER);
    expect((await invoiceOf(money, account, '2026-11'))!.content.lines).toEqual([]);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('is booked once for its key, alone or at the same time, and never for another content', async () => {
    const account = await accountOf('pro');
    await spendOne(money, account, 3n * USD);
    await close('2026-10', NOVEMBER);
    const key = { idempotencyKey: 'the same' };
    const booked = await Promise.all([1, 2, 3].map(() => correct(account, -CENT, key)));
    expect(new Set(booked.map(({ id }) => id)).size).toBe(1);
    const other = correct(account, -2n * CENT, key);
    await expect(other).rejects.toMatchObject({ refusal: { code: 'idempotency_key_reused' } });
    expect(await balanceOf(database, `unbilled:${account.accountId}:2026-11`)).toBe(-CENT);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('while requests of the account go on loses neither', async () => {
    const account = await accountOf('free');
    await grant(account, 'prepaid', 5n * USD);
    await spendOne(money, account, 3n * USD);
    await close('2026-10', NOVEMBER);
    await Promise.all([
      ...Array.from({ length: 20 }, () => spendOne(money, account, 7n * CENT)),
      ...Array.from({ length: 10 }, (_, index) =>
        correct(account, index % 2 === 0 ? 11n * CENT : -13n * CENT),
      ),
    ]);
    expect(await bookProblems(database)).toEqual([]);
    await close('2026-11', DECEMBER);
    expect(await bookProblems(database)).toEqual([]);
  });
});

describe('a correction of a month that is open', () => {
  it('uses the credit of a month that nobody asked anything in', async () => {
    const account = await accountOf('pro');
    money.now = new Date('2026-11-01T00:30:00Z');
    const { id } = await correct(account, 3n * USD);
    expect(await partsOf(account, id)).toEqual([
      `plan_credit:2026-10 -> ${PAYABLE} 200`,
      `unbilled:2026-10 -> ${PAYABLE} 100`,
    ]);
    await close('2026-10', NOVEMBER);
    const invoice = await invoiceOf(money, account, '2026-10');
    expect(linesOf(invoice)).toEqual(['plan 9', 'credit -2', 'correction 3']);
    expect(invoice!.content.totalUsd).toBe('10.00');
    expect(await bookProblems(database)).toEqual([]);
  });

  it('is covered by a grant that comes later', async () => {
    const account = await accountOf('free');
    await spendOne(money, account, 30n * CENT);
    await correct(account, 50n * CENT);
    const { accountId } = account;
    await grant(account, 'prepaid', 60n * CENT);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-10`)).toBe(10n * CENT);
    expect(await balanceOf(database, `prepaid_credit:${accountId}`)).toBe(0n);
    await close('2026-10', NOVEMBER);
    expect(linesOf(await invoiceOf(money, account, '2026-10'))).toEqual([
      'usage 0.3',
      'credit -0.1',
      'credit -0.6',
      'correction 0.5',
    ]);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('is taken back altogether by its opposite', async () => {
    const account = await accountOf('free');
    await spendOne(money, account, 30n * CENT);
    const { accountId } = account;
    await correct(account, 50n * CENT);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-10`)).toBe(70n * CENT);
    await correct(account, -50n * CENT);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-10`)).toBe(20n * CENT);
    await correct(account, -25n * CENT);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-10`)).toBe(0n);
    expect(await balanceOf(database, `plan_credit:${accountId}:2026-10`)).toBe(-5n * CENT);
    await close('2026-10', NOVEMBER);
    const invoice = await invoiceOf(money, account, '2026-10');
    expect(linesOf(invoice)).toEqual([
      'usage 0.3',
      'credit -0.05',
      'correction 0.5',
      'correction -0.5',
      'correction -0.25',
    ]);
    expect(await bookProblems(database)).toEqual([]);
  });
});

describe('an invoice that is void', () => {
  it('keeps its number, and its lines return as corrections that sum to its total', async () => {
    const account = await accountOf('pro');
    await spendOne(money, account, 5n * USD + 7n);
    await close('2026-10', NOVEMBER);
    const before = (await invoiceOf(money, account, '2026-10'))!;
    const voided = await money.notes.voidInvoice(before, 'wrong address', ACTOR, money.now);
    expect(voided).toMatchObject({ state: 'void', content: before.content, hash: before.hash });
    const again = money.notes.voidInvoice(before, 'wrong address', ACTOR, money.now);
    await expect(again).rejects.toMatchObject({ refusal: { code: 'conflict' } });
    const [landed] = await database.query<{ sum: string; lines: number }>(
      'SELECT sum(line_pico_usd)::text AS sum, count(*)::int AS lines FROM corrections WHERE account_id = $1',
      [account.accountId],
    );
    expect(landed).toEqual({ sum: `${12n * USD}`, lines: 4 });
    expect(await balanceOf(database, `receivable:${account.accountId}`)).toBe(0n);
    expect(await bookProblems(database)).toEqual([]);
    await close('2026-11', DECEMBER);
    const next = (await invoiceOf(money, account, '2026-11'))!;
    expect(linesOf(next)).toEqual([
      'plan 9',
      'correction 9',
      'correction 5.000000000007',
      'correction -2',
      'carry -0.000000000007',
      'carry 0.000000000007',
    ]);
    expect(next.content).toMatchObject({ totalUsd: '21.00', carriedUsd: '0.000000000007' });
    expect(next.content.number).not.toBe(before.content.number);
    expect(await bookProblems(database)).toEqual([]);
  });
});

describe('a credit note', () => {
  it('pays out what corrections owe back and stands beside them; the rest is goodwill', async () => {
    const account = await accountOf('pro');
    await spendOne(money, account, 5n * USD);
    await close('2026-10', NOVEMBER);
    await correct(account, -150n * CENT);
    const invoice = (await invoiceOf(money, account, '2026-10'))!;
    const request = { amountCents: 200n, reason: 'double', idempotencyKey: uuidv7() };
    const note = await money.notes.credit(invoice, request, ACTOR, money.now);
    expect(note).toMatchObject({ amountCents: 200n, goodwillCents: 50n });
    const same = await money.notes.credit(invoice, request, ACTOR, money.now);
    expect(same.number).toBe(note.number);
    const { accountId } = account;
    expect(await balanceOf(database, `receivable:${accountId}`)).toBe(10n * USD);
    expect(await balanceOf(database, `unbilled:${accountId}:2026-11`)).toBe(0n);
    const next = await money.notes.credit(
      invoice,
      { ...request, idempotencyKey: null },
      ACTOR,
      money.now,
    );
    expect(next).toMatchObject({ number: note.number + 1, goodwillCents: 200n });
    await close('2026-11', DECEMBER);
    expect(linesOf(await invoiceOf(money, account, '2026-11'))).toEqual([
      'plan 9',
      'correction -1.5',
      'credit_note 1.5',
    ]);
    expect(await bookProblems(database)).toEqual([]);
  });
});

describe('a request that a person decides on after the close', () => {
  it('is charged on the next invoice, and one provider request only once', async () => {
    const account = await accountOf('pro');
    const providerRequestId = uuidv7();
    const waiting = settledAt(0n, { state: 'quarantined', ratedCostPicoUsd: null });
    const events = [await openOne(money, account, USD), await openOne(money, account, USD)];
    for (const event of events) {
      await money.journal.settle(refOf(event), { ...waiting, providerRequestId }).receipt;
    }
    await close('2026-10', NOVEMBER);
    const charge = (event: (typeof events)[0]) =>
      money.corrections.chargeLate(
        account.accountId,
        { id: event.request.id, state: 'quarantined' },
        {
          amountPicoUsd: 3n * USD,
          period: '2026-10',
          description: 'decided',
          upstream: 'default',
          provider: 'together',
        },
        ACTOR,
        money.now,
      );
    const [first, second] = [await charge(events[0]!), await charge(events[1]!)];
    // 2.00 of the month's plan credit had been left.
    expect(first).toMatchObject({ linePicoUsd: USD });
    expect(second).toBeNull();
    expect(await charge(events[0]!)).toBeNull();
    const states = await database.query(
      `SELECT state, cost_pico_usd::text AS cost, credit_pico_usd::text AS credit FROM usage_events
       WHERE account_id = $1 ORDER BY id`,
      [account.accountId],
    );
    expect(states).toEqual([
      { state: 'settled', cost: `${3n * USD}`, credit: `${2n * USD}` },
      { state: 'quarantined', cost: null, credit: null },
    ]);
    expect(await bookProblems(database)).toEqual([]);
    await close('2026-11', DECEMBER);
    expect(linesOf(await invoiceOf(money, account, '2026-11'))).toEqual(['plan 9', 'correction 1']);
    expect(await bookProblems(database)).toEqual([]);
  });
});
