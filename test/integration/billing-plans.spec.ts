import { afterAll, beforeAll, expect, it } from 'vitest';
import { startBilling, type BillingUnderTest } from './billing-fixture.js';

let billing: BillingUnderTest;

beforeAll(async () => {
  billing = await startBilling();
});

afterAll(async () => {
  await billing.close();
});

it('tells any caller what the plans cost and bring', async () => {
  const { reader } = await billing.addAccount('curious', 'free');
  const { status, body } = await reader.get('/api/plans');
  expect(status).toBe(200);
  expect(body).toEqual({
    data: [
      {
        slug: 'free',
        name: 'Free',
        priceUsd: '0',
        creditUsd: '0.1',
        perSeat: false,
        payAsYouGo: false,
      },
      {
        slug: 'pro',
        name: 'Pro',
        priceUsd: '9',
        creditUsd: '2',
        perSeat: false,
        payAsYouGo: true,
      },
      {
        slug: 'team',
        name: 'Team',
        priceUsd: '20',
        creditUsd: '2',
        perSeat: true,
        payAsYouGo: true,
      },
    ],
    nextCursor: null,
  });
  expect((await billing.api.as(null).get('/api/plans')).status).toBe(401);
});

it('tells the plan of an account, and what is to come', async () => {
  const account = await billing.addAccount('changing', 'team');
  const path = `${account.path}/subscription`;
  expect((await account.reader.get(path)).body).toEqual({
    plan: 'team',
    seats: 1,
    scheduled: null,
  });
  expect((await billing.api.patch(account.path, { plan: 'free' })).status).toBe(200);
  expect((await account.reader.get(path)).body).toEqual({
    plan: 'team',
    seats: 1,
    scheduled: { plan: 'free', seats: 1, effectiveAt: '2027-02-01T00:00:00.000Z' },
  });
  billing.setTime('2027-02-01T00:00:00Z');
  expect((await account.reader.get(path)).body).toEqual({
    plan: 'free',
    seats: 1,
    scheduled: null,
  });
});

it('is read with billing.read, by nobody else', async () => {
  const account = await billing.addAccount('private');
  const foreign = await billing.addAccount('public');
  const path = `${account.path}/subscription`;
  expect((await foreign.reader.get(path)).status).toBe(404);
  const { secret } = await billing.api.addToken('private', { scopes: ['usage.read'] });
  expect((await billing.api.as(secret).get(path)).status).toBe(403);
});

it.each([
  [{ plan: 'enterprise' }, 'plan'],
  [{ plan: 'free\u0000' }, 'plan'],
  [{ plan: null }, 'plan'],
  [{ plan: 'team', seats: 0 }, 'seats'],
  [{ plan: 'team', seats: 1.5 }, 'seats'],
  [{ plan: 'team', seats: '3' }, 'seats'],
  [{ plan: 'team', seats: 100_001 }, 'seats'],
])('refuses the change %j and keeps the plan', async (change, field) => {
  const slug = `kept-${Math.random().toString(36).slice(2, 10)}`;
  const account = await billing.addAccount(slug);
  const answer = await billing.api.patch(account.path, change);
  expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
  expect(answer.body.error.message).toContain(field);
  expect((await account.reader.get(`${account.path}/subscription`)).body).toMatchObject({
    plan: 'pro',
    scheduled: null,
  });
});
