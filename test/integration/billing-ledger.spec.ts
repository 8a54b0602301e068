import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DailyControlService } from '../../src/billing/daily-control.service.js';
import type { ApiBody } from '../support/api-client.js';
import { ADMIN_TOKEN } from '../support/service.js';
import {
  FEBRUARY,
  JANUARY,
  MARCH,
  postOnce,
  startBilling,
  usd,
  type BillingAccount,
  type BillingUnderTest,
} from './billing-fixture.js';

interface Side {
  readonly account: string;
  readonly debitsUsd: string;
  readonly creditsUsd: string;
  readonly balanceUsd: string;
}

let billing: BillingUnderTest;
let account: BillingAccount;
let other: BillingAccount;

beforeAll(async () => {
  billing = await startBilling();
  account = await billing.addAccount('keeper', 'team');
  other = await billing.addAccount('other', 'team');
  for (let count = 1n; count <= 5n; count += 1n) {
    await billing.use(account, { input: 1_000_000n, output: count });
  }
  billing.setTime(FEBRUARY);
  expect((await billing.closePeriod('2027-01')).status).toBe(200);
});

afterAll(async () => {
  await billing.expectBooksAgree();
  await billing.close();
});

async function trialBalance(query = ''): Promise<readonly Side[]> {
  const { status, body } = await billing.api.get(`/api/ledger/trial-balance${query}`);
  expect(status).toBe(200);
  const { data, totals } = body as unknown as { data: readonly Side[]; totals: Side };
  const sum = (of: 'debitsUsd' | 'creditsUsd' | 'balanceUsd'): bigint =>
    data.reduce((total, side) => total + usd(side[of]), 0n);
  expect(sum('debitsUsd')).toBe(usd(totals.debitsUsd));
  expect(sum('creditsUsd')).toBe(usd(totals.creditsUsd));
  expect(totals.balanceUsd).toBe('0');
  expect(sum('balanceUsd')).toBe(0n);
  return data;
}

async function transfersOf(who: BillingAccount, query: string): Promise<readonly ApiBody[]> {
  const transfers: ApiBody[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const more: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const { status, body } = await who.reader.get(`${who.path}/ledger?limit=2${query}${more}`);
    expect(status).toBe(200);
    transfers.push(...body.data);
    cursor = body.nextCursor;
  }
  return transfers;
}

describe('the ledger of an account', () => {
  it('has every transfer of a month once, and the carry into the next in both', async () => {
    const january = await transfersOf(account, '&period=2027-01');
    expect(new Set(january.map(({ id }) => id)).size).toBe(january.length);
    expect([...new Set(january.map(({ kind }) => kind))].sort()).toEqual([
      'carry',
      'invoice',
      'plan_fee',
      'plan_grant',
      'settlement',
    ]);
    const carries = (list: readonly ApiBody[]): readonly string[] =>
      list.filter(({ kind }) => kind === 'carry').map(({ id }) => id);
    const february = await transfersOf(account, '');
    expect(carries(february)).toEqual(carries(january));
    expect(february).toHaveLength(1);
    // What the month owed was invoiced or carried: nothing of it is left.
    const unbilled = `unbilled:${account.id}:2027-01`;
    const left = january.reduce((sum, { debit, credit, amountUsd }) => {
      if (debit === unbilled) return sum + usd(amountUsd);
      return credit === unbilled ? sum - usd(amountUsd) : sum;
    }, 0n);
    expect(left).toBe(0n);
  });

  it('is read with billing.read, by nobody else', async () => {
    expect((await other.reader.get(`${account.path}/ledger`)).status).toBe(404);
    const { secret } = await billing.api.addToken(account.slug, { scopes: ['usage.read'] });
    expect((await billing.api.as(secret).get(`${account.path}/ledger`)).status).toBe(403);
    const foreign = await transfersOf(other, '&period=2027-01');
    expect(foreign.every(({ debit, credit }) => ![debit, credit].join().includes(account.id))).toBe(
      true,
    );
  });

  it.each(['2027-13', '', 'x', '2027-01%00', '2027-01&period=2027-02'])(
    'refuses the month %j',
    async (period) => {
      const answer = await account.reader.get(`${account.path}/ledger?period=${period}`);
      expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    },
  );
});

describe('the trial balance', () => {
  it('sums to nothing, at every instant', async () => {
    const all = await trialBalance();
    expect(all.map((side) => side.account)).toContain('provider_payable:default:together');
    expect(all.map((side) => side.account)).toContain('subscription_revenue');
    expect(await trialBalance('?at=2027-01-04')).toEqual([]);
    const january = await trialBalance('?at=2027-02-01T00:00:00Z');
    expect(january.map((side) => side.account)).not.toContain(`receivable:${account.id}`);
    expect(await trialBalance(`?at=${FEBRUARY}`)).toEqual(all);
  });

  it('says the same from a checkpoint as from the beginning', async () => {
    const control = billing.app.get(DailyControlService, { strict: false });
    const instants = ['2027-01-04', JANUARY, '2027-02-01T00:00:00Z', FEBRUARY, '2027-03-01'];
    const before = await Promise.all(instants.map((at) => trialBalance(`?at=${at}`)));
    for (const at of ['2027-01-08T03:00:00Z', '2027-02-05T03:00:00Z', '2027-02-06T03:00:00Z']) {
      await control.run(new Date(at));
    }
    const [kept] = await billing.database.query<{ count: string }>(
      'SELECT count(DISTINCT at) AS count FROM ledger_checkpoints',
    );
    expect(Number(kept?.count)).toBeGreaterThan(1);
    expect(await Promise.all(instants.map((at) => trialBalance(`?at=${at}`)))).toEqual(before);
    // It does begin at the checkpoint: what that says is what is told.
    await billing.database.query(
      `UPDATE ledger_checkpoints SET debits_pico_usd = debits_pico_usd + 1, credits_pico_usd = credits_pico_usd + 1
       WHERE ledger_account = 'promo_cost'`,
    );
    expect(await trialBalance('?at=2027-03-01')).not.toEqual(before[4]);
    const found = await control.run(new Date(FEBRUARY));
    expect(found.differences.map(({ check }) => check)).toEqual(['checkpoint', 'checkpoint']);
    expect(await trialBalance('?at=2027-03-01')).toEqual(before[4]);
  });

  it('is for the operator', async () => {
    expect((await account.reader.get('/api/ledger/trial-balance')).status).toBe(403);
    for (const at of ['x', '2027-02-30', '2027-01-01T00:00:00', '0000-01-01', '']) {
      const { status } = await billing.api.get(`/api/ledger/trial-balance?at=${at}`);
      expect([at, status]).toEqual([at, 400]);
    }
  });
});

describe('the journal', () => {
  async function journal(query: string): Promise<{ status: number; text: string; type: string }> {
    const response = await fetch(`${billing.url}/api/ledger/journal.csv?${query}`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    const type = response.headers.get('content-type') ?? '';
    return { status: response.status, text: await response.text(), type };
  }

  it('has every transfer of its span once, in order, whatever the windows', async () => {
    const rows = await billing.database.query<{ id: string }>(
      'SELECT id::text FROM ledger_transfers ORDER BY created_at, id',
    );
    const { status, text, type } = await journal('from=2026-06-01&to=2027-04-01');
    expect([status, type]).toEqual([200, 'text/csv; charset=utf-8']);
    const [head, ...lines] = text.trimEnd().split('\r\n');
    expect(head).toBe(
      'id,created_at,period,kind,debit,credit,amount_usd,organization,account_id,grant_id,idempotency_id',
    );
    expect(lines.map((line) => line.split(',')[0])).toEqual(rows.map(({ id }) => id));
    const january = await journal(`from=2027-01-01&to=${FEBRUARY}`);
    const february = await journal(`from=${FEBRUARY}&to=2027-04-01`);
    const parts = [january, february].flatMap((part) => part.text.trimEnd().split('\r\n').slice(1));
    expect(parts).toEqual(lines);
  });

  it('goes on past a page of one instant', async () => {
    await billing.database.query(
      `INSERT INTO ledger_transfers (id, created_at, period, kind, debit, credit, amount_pico_usd)
       SELECT gen_random_uuid(), '2029-03-01T00:00:00Z', '2029-03', 'payment', 'cash', 'stripe_clearing', n FROM generate_series(1, 4500) n`,
    );
    const { text } = await journal('from=2029-02-01&to=2029-04-01');
    const ids = text
      .trimEnd()
      .split('\r\n')
      .slice(1)
      .map((line) => line.split(',')[0]);
    expect(ids).toHaveLength(4500);
    expect(new Set(ids).size).toBe(4500);
  });

  it('runs no formula in a spreadsheet', async () => {
    await billing.database.query(
      `INSERT INTO ledger_transfers (id, created_at, period, kind, debit, credit, amount_pico_usd, idempotency_id)
       VALUES (gen_random_uuid(), '2029-05-01T00:00:00Z', '2029-05', 'payment', '=cmd|1', '@sum', 1, '+1,"2"')`,
    );
    const { text } = await journal('from=2029-05-01&to=2029-06-01');
    expect(text).toContain(`,'=cmd|1,'@sum,`);
    expect(text).toContain(`,"'+1,""2"""\r\n`);
  });

  it('is for the operator, over a span that can be', async () => {
    const response = await account.reader.get(
      '/api/ledger/journal.csv?from=2027-01-01&to=2027-02-01',
    );
    expect(response.status).toBe(403);
    for (const query of [
      '',
      'from=2027-01-01',
      'to=2027-01-01',
      'from=2027-01-02&to=2027-01-01',
      'from=2027-01-01&to=2027-01-01',
      'from=2025-01-01&to=2027-01-01',
      'from=x&to=y',
      'from=2027-01-01&to=2027-02-30',
      'from=2027-01-01&to=2027-02-01&format=xls',
    ]) {
      expect([query, (await journal(query)).status]).toEqual([query, 400]);
    }
  });
});

describe('payments to providers', () => {
  const PAYMENT = {
    upstream: 'default',
    provider: 'together',
    amountUsd: '1.5',
    paidAt: '2027-01-31T00:00:00Z',
  };

  it('take off what we owe, once per key', async () => {
    billing.setTime(MARCH);
    const owedBefore = await owed();
    const first = await postOnce(billing.api, '/api/provider-payments', 'wire-1', PAYMENT);
    expect(first).toMatchObject({
      status: 201,
      body: { ...PAYMENT, paidAt: '2027-01-31T00:00:00.000Z', createdAt: MARCH },
    });
    const again = await Promise.all(
      Array.from({ length: 4 }, () =>
        postOnce(billing.api, '/api/provider-payments', 'wire-1', PAYMENT),
      ),
    );
    for (const { status, body } of again) expect([status, body.id]).toEqual([201, first.body.id]);
    for (const other of [{ amountUsd: '1.6' }, { provider: 'else' }, { paidAt: JANUARY }]) {
      expect(
        await postOnce(billing.api, '/api/provider-payments', 'wire-1', { ...PAYMENT, ...other }),
      ).toMatchObject({ status: 422, body: { error: { code: 'idempotency_key_reused' } } });
    }
    expect(await owed()).toBe(owedBefore - 1_500_000_000_000n);
    const { body } = await billing.api.get('/api/provider-payments');
    expect(body.data).toMatchObject([{ id: first.body.id }]);
  });

  it('are one when the first two come at the same time', async () => {
    const before = await owed();
    const answers = await Promise.all(
      Array.from({ length: 5 }, () =>
        postOnce(billing.api, '/api/provider-payments', 'wire-2', PAYMENT),
      ),
    );
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.id}`)).size).toBe(1);
    expect(await owed()).toBe(before - 1_500_000_000_000n);
  });

  it.each([
    ['amountUsd', '0'],
    ['amountUsd', '-1'],
    ['amountUsd', '1e3'],
    ['amountUsd', ' 1'],
    ['amountUsd', '0.0000000000001'],
    ['amountUsd', '9223372.036854775808'],
    ['amountUsd', 1.5],
    ['provider', 'To gether'],
    ['provider', 'a:b'],
    ['provider', 'a\u0000'],
    ['upstream', ''],
    ['upstream', null],
    ['paidAt', '2027-03-02T00:00:02Z'],
    ['paidAt', '1999-12-31T23:59:59Z'],
    ['paidAt', 'now'],
    ['account', 'x'],
  ])('with the %s %j are refused, nothing is booked', async (field, value) => {
    billing.setTime(MARCH);
    const before = await owed();
    const answer = await billing.api.post('/api/provider-payments', { ...PAYMENT, [field]: value });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect(answer.body.error.message).toContain(field);
    expect(await owed()).toBe(before);
  });

  it('are for the operator', async () => {
    expect((await account.reader.post('/api/provider-payments', PAYMENT)).status).toBe(403);
    expect((await account.reader.get('/api/provider-payments')).status).toBe(403);
  });

  async function owed(): Promise<bigint> {
    const sides = await trialBalance();
    const payable = sides.find((side) => side.account === 'provider_payable:default:together');
    return -usd(payable?.balanceUsd);
  }
});
