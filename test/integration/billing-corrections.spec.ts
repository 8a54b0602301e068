import { uuidv7 } from 'uuidv7';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  FEBRUARY,
  JANUARY,
  MARCH,
  postOnce,
  startBilling,
  usd,
  type BillingAccount,
  type BillingUnderTest,
  type InvoiceBody,
  type UsedRequest,
} from './billing-fixture.js';

let billing: BillingUnderTest;
let account: BillingAccount;
let used: UsedRequest;
let other: BillingAccount;
let invoice: InvoiceBody;

beforeAll(async () => {
  billing = await startBilling();
  account = await billing.addAccount('corrected', 'team');
  other = await billing.addAccount('untouched', 'team');
  used = await billing.use(account, { input: 5_000_000n, output: 0n });
  billing.setTime(FEBRUARY);
  expect((await billing.closePeriod('2027-01')).body['failed']).toEqual([]);
  invoice = await billing.latestInvoice(account);
});

beforeEach(() => {
  billing.setTime(FEBRUARY);
});

afterEach(async () => {
  await billing.expectBooksAgree();
});

afterAll(async () => {
  await billing.close();
});

const UP = { amountUsd: '3.5', period: '2027-01', reason: 'a price was read wrongly' };

async function corrections(): Promise<readonly unknown[]> {
  return (await account.reader.get(`${account.path}/corrections`)).body.data;
}

describe('a correction', () => {
  it.each([
    ['amountUsd', '0'],
    ['amountUsd', '-0'],
    ['amountUsd', '1e3'],
    ['amountUsd', ' 1'],
    ['amountUsd', '+1'],
    ['amountUsd', 1],
    ['amountUsd', '0.0000000000001'],
    ['amountUsd', '-9223372.036854775808'],
    ['period', '2027-13'],
    ['period', '2027-03'],
    ['period', '2026-12'],
    ['period', null],
    ['reason', ''],
    ['reason', 'a\u0000b'],
    ['requestId', 'x'],
    ['requestId', 7],
    ['provider', 'a:b'],
    ['note', 'x'],
  ])('with the %s %j is 400, nothing is booked', async (field, value) => {
    const before = await corrections();
    const answer = await billing.api.post(`${account.path}/corrections`, { ...UP, [field]: value });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect(answer.body.error.message).toContain(field);
    expect(await corrections()).toEqual(before);
  });

  it('is about a request of the account, and gives back no more than it cost', async () => {
    const path = `${account.path}/corrections`;
    const stranger = await billing.use(other, { input: 1n, output: 0n });
    for (const requestId of [uuidv7(), stranger.id]) {
      expect((await billing.api.post(path, { ...UP, requestId })).status).toBe(404);
    }
    const ofJanuary = { ...UP, requestId: used.id };
    expect((await billing.api.post(path, { ...ofJanuary, period: '2027-02' })).status).toBe(400);
    expect((await billing.api.post(path, { ...ofJanuary, amountUsd: '-4.51' })).status).toBe(400);
    expect(await corrections()).toEqual([]);
  });

  it('of a request gives back no more than is left of its cost, however often it is asked', async () => {
    const request = await billing.use(other, { input: 1_000_000n, output: 0n });
    const path = `${other.path}/corrections`;
    const half = {
      amountUsd: '-0.5',
      period: '2027-02',
      reason: 'half of it was wrong',
      requestId: request.id,
    };
    expect((await billing.api.post(path, half)).status).toBe(201);
    const second = await billing.api.post(path, half);
    expect([second.status, second.body.error.message]).toEqual([
      400,
      'amountUsd: of what the request cost 0.4 is left: no more is given back.',
    ]);
    expect((await billing.api.post(path, { ...half, amountUsd: '-0.4' })).status).toBe(201);
  });

  it('is for the operator, and nobody else’s to read', async () => {
    const path = `${account.path}/corrections`;
    expect((await account.reader.post(path, UP)).status).toBe(403);
    expect((await other.reader.post(path, UP)).status).toBe(404);
    expect((await other.reader.get(path)).status).toBe(404);
  });

  it('is booked once per key, and its key is not one of ours', async () => {
    const path = `${account.path}/corrections`;
    const first = await postOnce(billing.api, path, `decision:${used.id}`, UP);
    expect(first).toMatchObject({
      status: 201,
      body: {
        kind: 'correction',
        amountUsd: '3.5',
        lineUsd: '3.5',
        period: '2027-01',
        landsIn: '2027-02',
        description: 'Correction of 2027-01: a price was read wrongly',
        requestId: null,
      },
    });
    const again = await postOnce(billing.api, path, `decision:${used.id}`, UP);
    expect(again).toMatchObject({ status: 201, body: first.body });
    for (const changed of [
      { amountUsd: '3.6' },
      { period: '2027-02' },
      { reason: 'another' },
      { requestId: used.id },
      { provider: 'groq' },
      { upstream: 'other', provider: 'together' },
    ]) {
      const body = { ...UP, ...changed };
      const answer = await postOnce(billing.api, path, `decision:${used.id}`, body);
      expect(answer).toMatchObject({
        status: 422,
        body: { error: { code: 'idempotency_key_reused' } },
      });
    }
    expect(await corrections()).toEqual([first.body]);
    const ofProvider = { ...UP, amountUsd: '-0.5', provider: 'groq' };
    const key = 'of a provider';
    const named = await postOnce(billing.api, path, key, ofProvider);
    const twice = await postOnce(billing.api, path, key, ofProvider);
    expect([twice.status, twice.body]).toEqual([201, named.body]);
    const elsewhere = { ...ofProvider, provider: 'together' };
    expect((await postOnce(billing.api, path, key, elsewhere)).status).toBe(422);
    const down = { ...UP, amountUsd: '-1.25', requestId: used.id };
    expect(await billing.api.post(path, down)).toMatchObject({
      status: 201,
      body: { amountUsd: '-1.25', lineUsd: '-1.25', requestId: used.id },
    });
  });
});

describe('a credit note', () => {
  const NOTE = { amountUsd: '2.00', reason: 'an outage' };

  it.each([
    ['amountUsd', '0.00'],
    ['amountUsd', '-2'],
    ['amountUsd', '2.001'],
    ['amountUsd', '2.0000000000001'],
    ['amountUsd', '1e1'],
    ['amountUsd', ' 2'],
    ['amountUsd', 2],
    ['amountUsd', '1000000.00'],
    ['amountUsd', '9223372.04'],
    ['reason', ' '],
    ['reason', 'a\u0000b'],
    ['period', '2027-01'],
  ])('with the %s %j is 400, nothing is written', async (field, value) => {
    const path = `/api/invoices/${invoice.id}/credit-notes`;
    const answer = await billing.api.post(path, { ...NOTE, [field]: value });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect(answer.body.error.message).toContain(field);
    expect((await account.reader.get(path)).body.data).toEqual([]);
  });

  it('takes off what is due, once per key', async () => {
    const path = `/api/invoices/${invoice.id}/credit-notes`;
    expect((await account.reader.post(path, NOTE)).status).toBe(403);
    expect((await other.reader.post(path, NOTE)).status).toBe(404);
    const first = await postOnce(billing.api, path, 'note-1', NOTE);
    expect(first).toMatchObject({
      status: 201,
      body: { number: 'CN-000001', invoiceId: invoice.id, amountUsd: '2.00', reason: 'an outage' },
    });
    expect((await postOnce(billing.api, path, 'note-1', NOTE)).body).toEqual(first.body);
    const changed = { ...NOTE, amountUsd: '3.00' };
    expect((await postOnce(billing.api, path, 'note-1', changed)).status).toBe(422);
    expect((await account.reader.get(path)).body.data).toEqual([first.body]);
    const { body } = await account.reader.get(`/api/invoices/${invoice.id}`);
    expect(usd(body['amountDueUsd'])).toBe(usd(invoice.totalUsd) - usd('2'));
    expect(body['hash']).toBe(invoice.hash);
    const refused = await billing.api.post(`/api/invoices/${invoice.id}/void`);
    expect(refused).toMatchObject({ status: 409, body: { error: { code: 'conflict' } } });
  });
});

describe('a void', () => {
  it('keeps the number, and the lines return on the next invoice', async () => {
    const voided = await billing.latestInvoice(other);
    const path = `/api/invoices/${voided.id}/void`;
    for (const body of [{ reason: '' }, { reason: 'a\u0000' }, { reason: 1 }, { force: true }]) {
      expect((await billing.api.post(path, body)).status).toBe(400);
    }
    expect((await other.reader.post(path)).status).toBe(403);
    expect((await account.reader.post(path)).status).toBe(404);
    expect((await billing.latestInvoice(other)).state).toBe('finalized');
    expect(await billing.api.post(path, { reason: 'wrong address' })).toMatchObject({
      status: 200,
      body: { state: 'void', number: voided.number, amountDueUsd: '0.00', hash: voided.hash },
    });
    expect((await billing.api.post(path)).status).toBe(409);
    const payment = { method: 'cash', reference: 'x', paidAt: JANUARY };
    expect((await billing.api.post(`/api/invoices/${voided.id}/pay`, payment)).status).toBe(409);
    billing.setTime(MARCH);
    expect((await billing.closePeriod('2027-02')).body['failed']).toEqual([]);
    const next = await billing.latestInvoice(other);
    const returned = next.lines
      .filter(({ description }) => description.includes(voided.number))
      .reduce((sum, { exactUsd }) => sum + usd(exactUsd), 0n);
    expect(returned).toBe(usd(voided.totalUsd));
  });

  it('needs no body, and stands in the audit log with its reason', async () => {
    billing.setTime(MARCH);
    const latest = await billing.latestInvoice(other);
    const answer = await billing.api.post(`/api/invoices/${latest.id}/void`);
    expect(answer).toMatchObject({ status: 200, body: { state: 'void' } });
    const { body } = await billing.api.get('/api/audit-log?limit=1');
    expect(body.data).toMatchObject([
      { action: 'invoice.void', after: { reason: 'no reason given' } },
    ]);
  });
});
