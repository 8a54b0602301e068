import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CreditsService } from '../../src/billing/credits.service.js';
import { SubscriptionsService } from '../../src/billing/subscriptions.service.js';
import { Clock } from '../../src/config/clock.js';
import { usableIn } from '../../src/domain/credits.js';
import { Journal, refOf } from '../../src/metering/journal.js';
import { ApiClient } from '../support/api-client.js';
import { admittedOf, requestOf, settledAt } from '../support/journal.js';
import { startService, type TestService } from '../support/service.js';

const USD = 1_000_000_000_000n;
const NOBODY: { name: string; address: null } = { name: 'test', address: null };

let service: TestService;
let operator: ApiClient;
let now: Date;

beforeAll(async () => {
  service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' });
  operator = new ApiClient(service.url);
  service.app.get(Clock, { strict: false }).now = () => now;
});

afterAll(async () => {
  await service.close();
});

/** Usable plan credit of the month, as a first look makes it. */
async function creditOf(accountId: string): Promise<bigint> {
  const row = await service.app.get(CreditsService, { strict: false }).budgetAt(accountId, now);
  return usableIn(row.credit, now.toISOString().slice(0, 7));
}

function subscriptions(): SubscriptionsService {
  return service.app.get(SubscriptionsService, { strict: false });
}

describe('a change of plan', () => {
  it('upwards is in force at once, with the difference of the credit', async () => {
    now = new Date('2027-04-10T12:00:00Z');
    const { accountId } = await operator.addOrganization('up', 'free');
    expect(await creditOf(accountId)).toBe(USD / 10n);
    const { status, body } = await operator.patch('/api/organizations/up', { plan: 'pro' });
    expect({ status, plan: body['plan'], scheduled: body['scheduled'] }).toEqual({
      status: 200,
      plan: 'pro',
      scheduled: null,
    });
    expect(await creditOf(accountId)).toBe(2n * USD);
    const grants = await service.database.query(
      'SELECT amount_pico_usd::text AS amount FROM credit_grants WHERE account_id = $1 ORDER BY id',
      [accountId],
    );
    expect(grants).toEqual([{ amount: '100000000000' }, { amount: '1900000000000' }]);
  });

  it('upwards covers what the month already owes', async () => {
    now = new Date('2027-04-11T12:00:00Z');
    const account = await operator.addOrganization('covers', 'free');
    const limits = { monthlySpendLimitUsd: '10', payAsYouGo: true };
    await operator.put('/api/organizations/covers/limits', limits);
    const journal = service.app.get(Journal, { strict: false });
    const event = admittedOf(await journal.admit(requestOf(account, USD)));
    const receipt = await journal.settle(refOf(event), settledAt(USD)).receipt;
    expect(receipt).toMatchObject({ kind: 'settled', costPicoUsd: USD });
    await operator.patch('/api/organizations/covers', { plan: 'pro' });
    const [budget] = await service.database.query<{ used: string }>(
      'SELECT used_pico_usd::text AS used FROM budgets WHERE subject_id = $1',
      [account.accountId],
    );
    expect(budget?.used).toBe('0');
    expect(await creditOf(account.accountId)).toBe(USD);
  });

  it('downwards waits for the next month, and can be taken back until then', async () => {
    now = new Date('2027-04-20T00:00:00Z');
    const { accountId } = await operator.addOrganization('down', 'pro');
    const down = await operator.patch('/api/organizations/down', { plan: 'free' });
    expect(down.body).toMatchObject({
      plan: 'pro',
      scheduled: { plan: 'free', seats: 1, effectiveAt: '2027-05-01T00:00:00.000Z' },
    });
    const back = await operator.patch('/api/organizations/down', { plan: 'pro' });
    expect(back.body).toMatchObject({ plan: 'pro', scheduled: null });
    await operator.patch('/api/organizations/down', { plan: 'free' });
    now = new Date('2027-05-01T00:00:00Z');
    expect(await creditOf(accountId)).toBe(USD / 10n);
    await subscriptions().takeScheduled(now);
    expect((await operator.get('/api/organizations/down')).body).toMatchObject({
      plan: 'free',
      scheduled: null,
    });
  });

  it('to more seats brings their credit by the days that are left', async () => {
    now = new Date('2027-06-01T00:00:00Z');
    const { body } = await operator.post('/api/organizations', {
      name: 'Seats',
      slug: 'seats',
      plan: 'team',
      seats: 5,
    });
    expect(await creditOf(body.id)).toBe(10n * USD);
    now = new Date('2027-06-21T23:59:59Z');
    await operator.patch('/api/organizations/seats', { seats: 8 });
    // 3 seats x $2 x 10 of 30 days.
    expect(await creditOf(body.id)).toBe(12n * USD);
    const fewer = await operator.patch('/api/organizations/seats', { seats: 2 });
    expect(fewer.body).toMatchObject({ seats: 8, scheduled: { seats: 2 } });
    now = new Date('2027-07-01T00:00:00Z');
    expect(await creditOf(body.id)).toBe(4n * USD);
  });

  it('made twice at once grants once', async () => {
    now = new Date('2027-04-10T12:00:00Z');
    const { accountId } = await operator.addOrganization('twice', 'free');
    await Promise.all(
      [1, 2, 3].map(() =>
        subscriptions().change(accountId, { plan: 'pro', seats: 1 }, NOBODY, now),
      ),
    );
    expect(await creditOf(accountId)).toBe(2n * USD);
  });

  it('of a user goes between free and pro only', async () => {
    now = new Date('2027-04-10T12:00:00Z');
    const made = await operator.post('/api/users', { email: 'ada@plans.example', name: 'Ada' });
    const path = `/api/users/${made.body.id}`;
    expect((await operator.patch(path, { plan: 'pro' })).body).toMatchObject({ plan: 'pro' });
    expect(await creditOf(made.body.id)).toBe(2n * USD);
    for (const plan of ['team', 'gold', 1, null]) {
      const answer = await operator.patch(path, { plan });
      expect([answer.status, answer.body.error.code]).toEqual([400, 'invalid_request']);
    }
  });

  it('that cannot be is refused and changes nothing', async () => {
    now = new Date('2027-04-10T12:00:00Z');
    const { secret } = await operator.addOrganization('same', 'pro');
    for (const body of [
      { plan: 'gold' },
      { seats: 0 },
      { seats: 1.5 },
      { seats: '3' },
      { seats: 100_001 },
    ]) {
      const answer = await operator.patch('/api/organizations/same', body);
      expect([answer.status, answer.body.error.code]).toEqual([400, 'invalid_request']);
    }
    const mine = await operator.as(secret).patch('/api/organizations/same', { plan: 'team' });
    expect(mine.status).toBe(403);
    expect((await operator.get('/api/organizations/same')).body).toMatchObject({
      plan: 'pro',
      seats: 1,
      scheduled: null,
    });
  });
});
