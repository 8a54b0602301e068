import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Clock } from '../../src/config/clock.js';
import { ProcessLoadsService } from '../../src/identity/process-loads.service.js';
import {
  ServerlessAllowanceService,
  type AllowanceTaken,
} from '../../src/identity/serverless-allowance.service.js';
import { ApiClient } from '../support/api-client.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { startService, type TestService } from '../support/service.js';

const UPSTREAM = { UPSTREAM_BASE_URL: 'http://127.0.0.1:9', IN_FLIGHT_MAX: '1000' };
/** Of the free plan at low load. */
const LIMIT = 1000;

let database: TestDatabase;
let one: TestService;
let other: TestService;
let operator: ApiClient;
let now = new Date('2026-03-14T12:00:00Z');
let made = 0;

beforeAll(async () => {
  database = await freshDatabase();
  one = await startOn(database);
  other = await startOn(database);
  operator = new ApiClient(one.url);
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await database.drop();
});
afterEach(() => {
  now = new Date('2026-03-14T12:00:00Z');
});

async function startOn(of: TestDatabase): Promise<TestService> {
  const service = await startService(UPSTREAM, of);
  vi.spyOn(service.app.get(Clock, { strict: false }), 'now').mockImplementation(() => now);
  return service;
}

const allowances = (service: TestService): ServerlessAllowanceService =>
  service.app.get(ServerlessAllowanceService, { strict: false });

async function newAccount(
  plan: 'free' | 'pro' = 'free',
): Promise<{ id: string; api: (service: TestService) => ApiClient }> {
  made += 1;
  const { accountId, secret } = await operator.addOrganization(`serverless-${made}`, plan);
  return { id: accountId, api: (service) => new ApiClient(service.url, secret) };
}

async function daysOf(accountId: string): Promise<{ day: string; used: number }[]> {
  return database.query(
    'SELECT day::text, used FROM serverless_days WHERE account_id = $1 ORDER BY day',
    [accountId],
  );
}

async function useUp(accountId: string, calls: number): Promise<void> {
  await database.query(
    `INSERT INTO serverless_days VALUES ($1, $2::date, $3)
     ON CONFLICT (account_id, day) DO UPDATE SET used = $3`,
    [accountId, now.toISOString(), calls],
  );
}

const remainingOf = (taken: AllowanceTaken): number | null =>
  taken.kind === 'unavailable' ? null : taken.allowance.remaining;

describe('the allowance', () => {
  it('lets exactly as many of concurrent calls pass, over two processes', async () => {
    const { id } = await newAccount();
    await useUp(id, LIMIT - 123);
    const taken = await Promise.all(
      Array.from({ length: 500 }, (_, index) =>
        allowances(index % 2 === 0 ? one : other).take(id, 'free'),
      ),
    );
    expect(taken.filter(({ kind }) => kind === 'counted')).toHaveLength(123);
    expect(taken.filter(({ kind }) => kind === 'used_up')).toHaveLength(500 - 123);
    expect(await daysOf(id)).toEqual([{ day: '2026-03-14', used: LIMIT }]);
    const counted = taken.filter(({ kind }) => kind === 'counted').map(remainingOf);
    expect(counted.sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual(
      Array.from({ length: 123 }, (_, index) => index),
    );
    expect(new Set(taken.filter(({ kind }) => kind === 'used_up').map(remainingOf))).toEqual(
      new Set([0]),
    );
  });

  it('is a new one at UTC midnight, and the same until then', async () => {
    const { id } = await newAccount();
    now = new Date('2026-03-14T23:59:59.999Z');
    await useUp(id, LIMIT - 1);
    expect((await allowances(one).take(id, 'free')).kind).toBe('counted');
    expect((await allowances(other).take(id, 'free')).kind).toBe('used_up');
    now = new Date('2026-03-15T00:00:00Z');
    expect(await allowances(other).take(id, 'free')).toMatchObject({
      kind: 'counted',
      allowance: {
        limit: LIMIT,
        used: 1,
        remaining: LIMIT - 1,
        resetsAt: new Date('2026-03-16T00:00:00Z'),
      },
    });
    expect(await daysOf(id)).toHaveLength(2);
  });

  it('is neither reset nor multiplied by a process that starts anew', async () => {
    const { id } = await newAccount();
    await useUp(id, LIMIT - 2);
    await allowances(one).take(id, 'free');
    const third = await startOn(database);
    try {
      expect(remainingOf(await allowances(third).take(id, 'free'))).toBe(0);
      expect((await allowances(third).take(id, 'free')).kind).toBe('used_up');
    } finally {
      await third.close();
    }
    expect((await allowances(other).take(id, 'free')).kind).toBe('used_up');
  });

  it('of each account is its own, and 20 times as much on a paid plan', async () => {
    const [free, pro] = [await newAccount(), await newAccount('pro')];
    await useUp(free.id, LIMIT);
    await useUp(pro.id, LIMIT);
    expect((await allowances(one).take(free.id, 'free')).kind).toBe('used_up');
    expect(await allowances(one).take(pro.id, 'pro')).toMatchObject({
      kind: 'counted',
      allowance: { limit: 20 * LIMIT, used: LIMIT + 1 },
    });
  });

  it('keeps yesterday and today of an account, and no day of before', async () => {
    const { id } = await newAccount();
    const { id: bystander } = await newAccount();
    for (const day of ['10', '11', '12', '13', '14', '15']) {
      now = new Date(`2026-03-${day}T08:00:00Z`);
      await allowances(one).take(id, 'free');
      await allowances(one).take(id, 'free');
      if (day === '10') await allowances(one).take(bystander, 'free');
    }
    expect(await daysOf(id)).toEqual([
      { day: '2026-03-14', used: 2 },
      { day: '2026-03-15', used: 2 },
    ]);
    expect(await daysOf(bystander)).toEqual([{ day: '2026-03-10', used: 1 }]);
  });

  it('is given back to the day that it was taken from, once', async () => {
    const { id } = await newAccount();
    const taken = await allowances(one).take(id, 'free');
    if (taken.kind !== 'counted') throw new Error(taken.kind);
    now = new Date('2026-03-15T00:00:01Z');
    await allowances(one).take(id, 'free');
    await allowances(other).giveBack(taken.call);
    expect(await daysOf(id)).toEqual([
      { day: '2026-03-14', used: 0 },
      { day: '2026-03-15', used: 1 },
    ]);
    await allowances(other).giveBack(taken.call);
    expect((await daysOf(id))[0]).toEqual({ day: '2026-03-14', used: 0 });
  });

  it('is shown by GET /api/me, by every process, and asking takes nothing', async () => {
    const { id, api } = await newAccount();
    await useUp(id, 7);
    for (const service of [one, other, one]) {
      expect((await api(service).get('/api/me')).body['serverless']).toEqual({
        limit: LIMIT,
        used: 7,
        remaining: LIMIT - 7,
        resetsAt: '2026-03-15T00:00:00.000Z',
      });
    }
    expect((await operator.get('/api/me')).body).toEqual({ kind: 'operator' });
  });
});

describe('load', () => {
  const loadsOf = (service: TestService): ProcessLoadsService =>
    service.app.get(ProcessLoadsService, { strict: false });
  const limitAt = async (service: TestService, accountId: string): Promise<number> =>
    (await allowances(service).standing(accountId, 'free')).limit;
  const beats = async (count: number): Promise<void> => {
    for (let beat = 0; beat < count; beat += 1) {
      for (const service of [one, other]) await loadsOf(service).beat();
    }
  };

  it('of all processes together lowers the limit everywhere, and raises it again', async () => {
    const { id } = await newAccount();
    await useUp(id, 400);
    // One that is full beside one that idles is a service half full.
    loadsOf(one).watch(() => 1000);
    await beats(8);
    for (const service of [one, other]) {
      expect(loadsOf(service).load).toBeGreaterThan(0.45);
      expect(await limitAt(service, id)).toBe(LIMIT);
    }
    loadsOf(other).watch(() => 1000);
    await beats(8);
    for (const service of [one, other]) expect(await limitAt(service, id)).toBe(300);
    expect(await allowances(one).take(id, 'free')).toMatchObject({
      kind: 'used_up',
      allowance: { limit: 300, remaining: 0 },
    });
    expect(await daysOf(id)).toEqual([{ day: '2026-03-14', used: 400 }]);
    for (const service of [one, other]) loadsOf(service).watch(() => 0);
    await beats(8);
    expect(remainingOf(await allowances(one).take(id, 'free'))).toBe(LIMIT - 401);
  });

  it('that rises for one beat is half believed: a burst does not halve anybody', async () => {
    loadsOf(one).watch(() => 1000);
    loadsOf(other).watch(() => 1000);
    const before = loadsOf(one).load;
    await loadsOf(one).beat();
    expect(loadsOf(one).load).toBeLessThanOrEqual((before + 1) / 2 + 0.001);
    for (const service of [one, other]) loadsOf(service).watch(() => 0);
    await beats(8);
  });

  it('of a process that ended is forgotten', async () => {
    const third = await startOn(database);
    const count = async (): Promise<number> =>
      (await database.query('SELECT process_id FROM process_loads')).length;
    expect(await count()).toBe(3);
    await third.close();
    expect(await count()).toBe(2);
  });
});
