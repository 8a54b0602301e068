import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  FEBRUARY,
  JANUARY,
  postOnce,
  startBilling,
  type BillingAccount,
  type BillingUnderTest,
} from './billing-fixture.js';

let billing: BillingUnderTest;
let account: BillingAccount;

beforeAll(async () => {
  billing = await startBilling();
  account = await billing.addAccount('receiver');
});

afterAll(async () => {
  await billing.expectBooksAgree();
  await billing.close();
});

beforeEach(() => {
  billing.setTime(JANUARY);
});

const GRANT = { amountUsd: '25.00', kind: 'promotional', reason: 'welcome' };

async function grantIds(): Promise<readonly string[]> {
  const { body } = await billing.api.get(`${account.path}/credits`);
  return body.data.map(({ id }) => id);
}

describe('credit by hand', () => {
  it('is given by the operator and listed with what is left of it', async () => {
    const expiresAt = '2027-06-30T12:00:00+02:00';
    const made = await billing.api.post(`${account.path}/credits`, { ...GRANT, expiresAt });
    expect(made).toMatchObject({
      status: 201,
      body: {
        kind: 'promotional',
        amountUsd: '25',
        remainingUsd: '25',
        period: null,
        grantedAt: JANUARY,
        expiresAt: '2027-06-30T10:00:00.000Z',
        reason: 'welcome',
      },
    });
    await billing.use(account, { input: 3_000_000n, output: 0n });
    const { body } = await account.reader.get(`${account.path}/credits`);
    expect(body.data).toMatchObject([
      { kind: 'plan', amountUsd: '2', remainingUsd: '0', period: '2027-01' },
      { kind: 'promotional', amountUsd: '25', remainingUsd: '24.3' },
    ]);
  });

  it('lists grants page by page, none twice', async () => {
    const paged = await billing.addAccount('paged');
    for (let count = 1; count <= 4; count += 1) {
      const reason = `grant ${count}`;
      const { status } = await billing.api.post(`${paged.path}/credits`, { ...GRANT, reason });
      expect(status).toBe(201);
    }
    const reasons: unknown[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { body } = await paged.reader.get(`${paged.path}/credits?limit=2${query}`);
      expect(body.data.length).toBeLessThanOrEqual(2);
      reasons.push(...body.data.map(({ reason }) => reason));
      cursor = body.nextCursor;
    }
    expect(new Set(reasons).size).toBe(5);
    expect(reasons).toHaveLength(5);
  });

  it('is made once for one key, and never for other content', async () => {
    const path = `${account.path}/credits`;
    const first = await postOnce(billing.api, path, 'top-up-1', GRANT);
    billing.setTime(FEBRUARY);
    const again = await postOnce(billing.api, path, 'top-up-1', GRANT);
    expect(again).toMatchObject({ status: 201, body: { id: first.body.id } });
    for (const other of [
      { ...GRANT, amountUsd: '25.01' },
      { ...GRANT, kind: 'prepaid' },
      { ...GRANT, reason: 'another' },
      { ...GRANT, expiresAt: '2028-01-01T00:00:00Z' },
    ]) {
      expect(await postOnce(billing.api, path, 'top-up-1', other)).toMatchObject({
        status: 422,
        body: { error: { code: 'idempotency_key_reused' } },
      });
    }
    const ids = await grantIds();
    expect(ids.filter((id) => id === first.body.id)).toHaveLength(1);
  });

  it('is made once when the key comes many times at once', async () => {
    const path = `${account.path}/credits`;
    const before = await grantIds();
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => postOnce(billing.api, path, 'at-once', GRANT)),
    );
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 201]);
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(await grantIds()).toHaveLength(before.length + 1);
  });

  it('keeps one key of two accounts apart', async () => {
    const other = await billing.addAccount('another');
    const one = await postOnce(billing.api, `${account.path}/credits`, 'shared-key', GRANT);
    const two = await postOnce(billing.api, `${other.path}/credits`, 'shared-key', GRANT);
    expect([one.status, two.status]).toEqual([201, 201]);
    expect(one.body.id).not.toBe(two.body.id);
  });

  it('stands in the audit log', async () => {
    const made = await billing.api.post(`${account.path}/credits`, { ...GRANT, reason: 'audited' });
    const { body } = await billing.api.get('/api/audit-log?limit=5');
    expect(body.data).toContainEqual(
      expect.objectContaining({
        action: 'credit.grant',
        actor: 'operator',
        subject: `account:${account.id}`,
        after: expect.objectContaining({ id: made.body.id, reason: 'audited' }) as unknown,
      }),
    );
  });

  it("is for the operator alone: no token of the account's own gives any", async () => {
    const scopes = ['billing.read', 'limits.write', 'members.write', 'tokens.write'];
    const { secret } = await billing.api.addToken(account.slug, { scopes });
    const before = await grantIds();
    const refused = await billing.api.as(secret).post(`${account.path}/credits`, GRANT);
    expect(refused).toMatchObject({ status: 403, body: { error: { code: 'insufficient_scope' } } });
    const foreign = await billing.addAccount('stranger');
    expect((await foreign.reader.post(`${account.path}/credits`, GRANT)).status).toBe(404);
    expect((await foreign.reader.get(`${account.path}/credits`)).status).toBe(404);
    expect((await billing.api.as(null).post(`${account.path}/credits`, GRANT)).status).toBe(401);
    expect(await grantIds()).toEqual(before);
  });
});

describe('a grant that cannot be', () => {
  it.each([
    ['negative', { amountUsd: '-1' }],
    ['nothing', { amountUsd: '0' }],
    ['minus nothing', { amountUsd: '-0.00' }],
    ['finer than a pico-dollar', { amountUsd: '0.0000000000001' }],
    ['more than can be stored', { amountUsd: '9223372.036854775808' }],
    ['absurd', { amountUsd: '9'.repeat(70) }],
    ['an exponent', { amountUsd: '1e3' }],
    ['a space', { amountUsd: ' 1' }],
    ['a plus', { amountUsd: '+1' }],
    ['a comma', { amountUsd: '1,5' }],
    ['infinite', { amountUsd: 'Infinity' }],
    ['no text', { amountUsd: 25 }],
    ['a list', { amountUsd: ['1'] }],
    ['missing', { amountUsd: undefined }],
    ['null', { amountUsd: null }],
    ['a NUL in the amount', { amountUsd: '1\u0000' }],
    ['the plan kind', { kind: 'plan' }],
    ['no kind', { kind: null }],
    ['an expiry in the past', { expiresAt: '2027-01-05T10:00:00Z' }],
    ['an expiry that is no time', { expiresAt: 'tomorrow' }],
    ['a day that does not exist', { expiresAt: '2027-02-30T00:00:00Z' }],
    ['a year past all periods', { expiresAt: '9999-12-31T23:59:59-12:00' }],
    ['the year 0', { expiresAt: '0000-01-01T00:00:00Z' }],
    ['an expiry as a number', { expiresAt: 1_800_000_000 }],
    ['no reason', { reason: '' }],
    ['a blank reason', { reason: '  ' }],
    ['a NUL in the reason', { reason: 'a\u0000b' }],
    ['half a character', { reason: 'a\ud800b' }],
    ['a reason too long', { reason: 'x'.repeat(501) }],
    ['a field of nobody', { period: '2027-01' }],
  ])('%s: 400, nothing is given', async (_name, wrong) => {
    const before = await grantIds();
    const answer = await billing.api.post(`${account.path}/credits`, { ...GRANT, ...wrong });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    const [field] = Object.keys(wrong);
    expect(answer.body.error.message).toContain(field);
    expect(await grantIds()).toEqual(before);
  });

  it.each(['', 'x'.repeat(256), 'käse'])('a key %j: 400', async (key) => {
    const before = await grantIds();
    const answer = await postOnce(billing.api, `${account.path}/credits`, key, GRANT);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect(await grantIds()).toEqual(before);
  });

  it('takes the largest amount there is', async () => {
    const rich = await billing.addAccount('rich');
    const body = { ...GRANT, amountUsd: '9223372.036854775807' };
    const path = `${rich.path}/credits`;
    expect((await billing.api.post(path, body)).status).toBe(201);
    expect((await billing.api.post(path, body)).status).toBe(201);
    const balance = await billing.api.get(`${rich.path}/balance`);
    expect(balance.body).toMatchObject({ credit: { remaining: '18446746.073709551614' } });
  });
});
