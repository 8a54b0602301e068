import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CatalogService } from '../../src/catalog/catalog.service.js';
import { refOf } from '../../src/metering/journal.js';
import { settledAt } from '../support/journal.js';
import type { ApiAnswer } from '../support/api-client.js';
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

let billing: BillingUnderTest;
let account: BillingAccount;

const UNKNOWN = { ratedCostPicoUsd: null, priceRowIds: [] };
const QUARANTINED = { ...UNKNOWN, state: 'quarantined', quantities: null } as const;
const UNPRICED = { ...UNKNOWN, state: 'unpriced' } as const;
const TOKENS = { input: 1_000n, output: 100n };
const COST = '0.00117';
const BECAUSE = { reason: 'the provider confirmed it' };

beforeAll(async () => {
  billing = await startBilling();
  account = await billing.addAccount('decided');
  await billing.app.get(CatalogService, { strict: false }).refresh();
});

afterAll(async () => {
  await billing.expectBooksAgree();
  await billing.close();
});

beforeEach(() => {
  billing.setTime(JANUARY);
});

function decide(id: string, body: object): Promise<ApiAnswer> {
  return billing.api.post(`/api/requests/${id}/decision`, { ...BECAUSE, ...body });
}

async function waiting(
  ending: typeof QUARANTINED | typeof UNPRICED,
  of = account,
): Promise<string> {
  return (await billing.use(of, TOKENS, ending)).id;
}

async function eventOf(id: string): Promise<ApiAnswer['body']> {
  return (await billing.api.get(`/api/requests/${id}`)).body;
}

async function idsIn(state: string): Promise<readonly string[]> {
  const { body } = await billing.api.get(`/api/requests?state=${state}&limit=200`);
  return body.data.map(({ id }) => id);
}

describe('a request that waits for a person, its month open', () => {
  it('is charged at the cost that the person states, once', async () => {
    const id = await waiting(QUARANTINED);
    expect(await idsIn('quarantined')).toContain(id);
    const charged = await decide(id, { action: 'charge', costUsd: '0.0125' });
    expect(charged).toMatchObject({
      status: 200,
      body: {
        id,
        state: 'settled',
        costUsd: '0.0125',
        creditUsd: '0.0125',
        absorbedUsd: '0',
        priceRows: [],
      },
    });
    expect(await idsIn('quarantined')).not.toContain(id);
    for (const action of ['charge', 'absorb', 'release']) {
      const cost = action === 'release' ? {} : { costUsd: '0.0125' };
      expect(await decide(id, { action, ...cost })).toMatchObject({
        status: 409,
        body: { error: { code: 'conflict' } },
      });
    }
    expect(await eventOf(id)).toEqual(charged.body);
  });

  it('is charged once when several people decide at once', async () => {
    const id = await waiting(QUARANTINED);
    const answers = await Promise.all([
      decide(id, { action: 'charge', costUsd: '0.01' }),
      decide(id, { action: 'charge', costUsd: '0.02' }),
      decide(id, { action: 'absorb', costUsd: '0.03' }),
      decide(id, { action: 'release' }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
    await billing.expectBooksAgree();
  });

  it('is rated by its quantities where there are prices', async () => {
    const id = await waiting(UNPRICED);
    const charged = await decide(id, { action: 'charge' });
    expect(charged).toMatchObject({
      status: 200,
      body: { state: 'settled', costUsd: COST, ratedCostUsd: COST },
    });
    const lines = charged.body['priceRows'] as readonly { amountUsd: string }[];
    expect(lines.reduce((sum, { amountUsd }) => sum + usd(amountUsd), 0n)).toBe(usd(COST));
    const stated = await waiting(UNPRICED);
    expect((await decide(stated, { action: 'charge', costUsd: '0.5' })).body).toMatchObject({
      costUsd: '0.5',
      inputTokens: 1000,
    });
  });

  it('costs the account nothing when we bear it or let it go', async () => {
    const before = await billing.api.get(`${account.path}/balance`);
    const absorbed = await decide(await waiting(UNPRICED), { action: 'absorb' });
    expect(absorbed.body).toMatchObject({ state: 'settled', costUsd: '0', absorbedUsd: COST });
    const stated = await decide(await waiting(QUARANTINED), { action: 'absorb', costUsd: '2' });
    expect(stated.body).toMatchObject({ state: 'settled', costUsd: '0', absorbedUsd: '2' });
    const released = await decide(await waiting(UNPRICED), { action: 'release' });
    expect(released.body).toMatchObject({ state: 'released', costUsd: null, inputTokens: 1000 });
    expect((await decide(await waiting(QUARANTINED), { action: 'release' })).status).toBe(200);
    expect((await billing.api.get(`${account.path}/balance`)).body).toEqual(before.body);
  });

  it('is charged only as far as credit and limits cover it', async () => {
    const free = await billing.addAccount('decided-free', 'free');
    const id = await waiting(QUARANTINED, free);
    expect((await decide(id, { action: 'charge', costUsd: '3' })).body).toMatchObject({
      costUsd: '0.1',
      absorbedUsd: '2.9',
    });
  });

  it('is not charged for a provider request that another one was charged for', async () => {
    const providerRequestId = uuidv7();
    const first = await billing.use(account, TOKENS, { providerRequestId });
    const twin = await billing.use(account, TOKENS, { providerRequestId });
    expect(twin.receipt.kind).toBe('quarantined');
    for (const action of ['charge', 'absorb']) {
      const refused = await decide(twin.id, { action, costUsd: '1' });
      expect(refused).toMatchObject({ status: 409, body: { error: { code: 'conflict' } } });
      expect(refused.body.error.message).toContain(first.id);
    }
    expect((await eventOf(twin.id))['state']).toBe('quarantined');
    expect((await decide(twin.id, { action: 'release' })).status).toBe(200);
  });

  it('stands in the audit log with the reason and the cost', async () => {
    const id = await waiting(UNPRICED);
    await decide(id, { action: 'charge' });
    const { body } = await billing.api.get('/api/audit-log?limit=3');
    expect(body.data).toContainEqual(
      expect.objectContaining({
        action: 'request.decision',
        subject: `request:${id}`,
        before: { state: 'unpriced' },
        after: { action: 'charge', costUsd: COST, reason: BECAUSE.reason },
      }),
    );
  });
});

describe('a decision that cannot be', () => {
  it.each([
    ['no action', { action: undefined, costUsd: '1' }, 'action'],
    ['another action', { action: 'refund', costUsd: '1' }, 'action'],
    ['no cost that could be told', { action: 'charge' }, 'costUsd'],
    ['nothing to bear', { action: 'absorb' }, 'costUsd'],
    ['a cost of what is let go', { action: 'release', costUsd: '1' }, 'costUsd'],
    ['a negative cost', { action: 'charge', costUsd: '-1' }, 'costUsd'],
    ['a cost too fine', { action: 'charge', costUsd: '0.0000000000001' }, 'costUsd'],
    ['a cost too large', { action: 'charge', costUsd: '9223372.036854775808' }, 'costUsd'],
    ['an exponent', { action: 'charge', costUsd: '1e3' }, 'costUsd'],
    ['a number', { action: 'charge', costUsd: 1 }, 'costUsd'],
    ['null', { action: 'charge', costUsd: null }, 'costUsd'],
    ['no reason', { action: 'release', reason: '' }, 'reason'],
    ['a NUL', { action: 'release', reason: 'a\u0000' }, 'reason'],
  ])('%s: 400, the request still waits', async (_name, body, field) => {
    const id = await waiting(QUARANTINED);
    const answer = await decide(id, body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect(answer.body.error.message).toContain(field);
    expect((await eventOf(id))['state']).toBe('quarantined');
  });

  it('on what is open, settled or unknown', async () => {
    const open = await billing.admit(account, 10n);
    const settled = await billing.use(account, TOKENS);
    for (const id of [open.request.id, settled.id]) {
      const answer = await decide(id, { action: 'release' });
      expect(answer).toMatchObject({ status: 409, body: { error: { code: 'conflict' } } });
    }
    await billing.journal.settle(refOf(open), settledAt(10n)).receipt;
    for (const id of [uuidv7(), 'x', '%00']) {
      expect((await decide(id, { action: 'release' })).status).toBe(404);
    }
  });

  it('by anybody but the operator', async () => {
    const id = await waiting(QUARANTINED);
    const body = { ...BECAUSE, action: 'release' };
    expect((await account.reader.post(`/api/requests/${id}/decision`, body)).status).toBe(403);
    expect((await account.reader.get('/api/requests?state=quarantined')).status).toBe(403);
    expect((await eventOf(id))['state']).toBe('quarantined');
  });
});

describe('a request whose month is closed', () => {
  it('lands on the next invoice when it is charged, and on none when it is not', async () => {
    const late = await billing.addAccount('decided-late', 'team');
    const ids: string[] = [];
    for (let count = 0; count < 4; count += 1) ids.push(await waiting(QUARANTINED, late));
    const unpriced = await waiting(UNPRICED, late);
    await billing.use(late, { input: 5_000_000n, output: 0n });
    // Decided in time: on the invoice, without price rows, as those decided late will be.
    const inTime = await waiting(QUARANTINED, late);
    expect((await decide(inTime, { action: 'charge', costUsd: '1.5' })).status).toBe(200);
    billing.setTime(FEBRUARY);
    const closed = await billing.closePeriod('2027-01');
    expect(closed.body['unresolved']).toContainEqual({
      organization: 'decided-late',
      unpriced: 1,
      quarantined: 4,
    });
    const january = await billing.latestInvoice(late);
    const [one = '', two = '', three = '', four = ''] = ids;

    // A key that a caller chose is never one of ours.
    const correction = { amountUsd: '0.25', period: '2027-01', reason: BECAUSE.reason };
    const path = `${late.path}/corrections`;
    const corrected = await postOnce(billing.api, path, `decision:${one}`, correction);
    expect(corrected.status).toBe(201);
    expect((await decide(one, { action: 'charge', costUsd: '7.25' })).body).toMatchObject({
      state: 'settled',
      costUsd: '7.25',
      payAsYouGoUsd: '7.25',
    });
    expect((await decide(two, { action: 'absorb', costUsd: '3' })).body).toMatchObject({
      state: 'settled',
      costUsd: '0',
      absorbedUsd: '3',
    });
    expect((await decide(three, { action: 'release' })).body).toMatchObject({ state: 'released' });
    expect((await decide(four, { action: 'charge', costUsd: '0' })).status).toBe(200);
    expect((await decide(unpriced, { action: 'charge' })).body).toMatchObject({ costUsd: COST });
    for (const id of [...ids, unpriced]) {
      expect((await decide(id, { action: 'charge', costUsd: '1' })).status).toBe(409);
    }

    billing.setTime(MARCH);
    expect((await billing.closePeriod('2027-02')).body['failed']).toEqual([]);
    const february = await billing.latestInvoice(late);
    const corrections = february.lines.filter(({ kind }) => kind === 'correction');
    expect(corrections.map(({ exactUsd }) => exactUsd).sort()).toEqual([COST, '0.25', '7.25']);
    for (const { description } of corrections) {
      expect(description).toContain('2027-01');
      expect(description).toContain(BECAUSE.reason);
    }
    // The invoice that was issued before them still opens to what it had summed.
    const again = await billing.api.get(`/api/invoices/${january.id}`);
    expect(again.body).toEqual(january);
    expect(january.lines.filter(({ kind }) => kind === 'usage')).toHaveLength(2);
    for (const [index, { kind, requests }] of january.lines.entries()) {
      if (kind !== 'usage') continue;
      const line = `/api/invoices/${january.id}/lines/${index + 1}/requests`;
      expect((await billing.api.get(line)).body.data).toHaveLength(requests ?? -1);
    }
  });

  it('is charged once when several people decide at once', async () => {
    const late = await billing.addAccount('decided-at-once', 'team');
    const id = await waiting(QUARANTINED, late);
    billing.setTime(FEBRUARY);
    expect((await billing.closePeriod('2027-01')).body['failed']).toEqual([]);
    const answers = await Promise.all([
      decide(id, { action: 'charge', costUsd: '1' }),
      decide(id, { action: 'charge', costUsd: '1' }),
      decide(id, { action: 'absorb', costUsd: '1' }),
      decide(id, { action: 'release' }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
    await billing.expectBooksAgree();
  });
});
