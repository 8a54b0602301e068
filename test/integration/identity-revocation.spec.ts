import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { NotificationsService } from '../../src/database/notifications.service.js';
import { IdentityRepository } from '../../src/identity/identity.repository.js';
import { IdentityService } from '../../src/identity/identity.service.js';
import { Journal } from '../../src/metering/journal.js';
import { ApiClient, eventually } from '../support/api-client.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { requestOf } from '../support/journal.js';
import { startService, type TestService } from '../support/service.js';

const UPSTREAM = { UPSTREAM_BASE_URL: 'http://127.0.0.1:9' };
const HOME = '127.0.0.1';

let database: TestDatabase;
let one: TestService;
let other: TestService;
let operator: ApiClient;

beforeAll(async () => {
  database = await freshDatabase();
  one = await startService(UPSTREAM, database);
  other = await startService(UPSTREAM, database);
  operator = new ApiClient(one.url);
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await database.drop();
});

describe('a token', () => {
  it('is remembered after its first use, and asked of the database once', async () => {
    const { tokenId, secret } = await operator.addOrganization('warm');
    const { identities, lookUps } = inside(other);
    const before = lookUps.mock.calls.length;
    expect(identities.recall(secret)).toBeUndefined();
    const found = await Promise.all(
      Array.from({ length: 50 }, () => identities.identify(secret, HOME)),
    );
    expect(new Set(found.map((identity) => identity?.tokenId))).toEqual(new Set([tokenId]));
    expect(identities.recall(secret)).toMatchObject({ tokenId, slug: 'warm', plan: 'pro' });
    expect(identities.recall(`hf_${secret}`)).toMatchObject({ tokenId });
    expect(lookUps.mock.calls.length - before).toBe(1);
  });

  it('is refused by every process within a second of its revocation', async () => {
    const { tokenId, secret } = await operator.addOrganization('revoked');
    const callers = [new ApiClient(one.url, secret), new ApiClient(other.url, secret)];
    for (const caller of callers) expect((await caller.get('/api/me')).status).toBe(200);
    expect(inside(other).identities.recall(secret)).toMatchObject({ tokenId });
    expect((await operator.delete(`/api/tokens/${tokenId}`)).status).toBe(204);
    const revokedAt = performance.now();
    await eventually(async () => (await callers[1]?.get('/api/me'))?.status === 401, 1000);
    await eventually(async () => (await callers[0]?.get('/api/me'))?.status === 401, 1000);
    expect(performance.now() - revokedAt).toBeLessThan(1000);
  });

  it('admits nothing from the commit of its revocation on, even where it is still remembered', async () => {
    const { accountId, tokenId } = await operator.addOrganization('closed');
    const journal = other.app.get(Journal, { strict: false });
    const scope = { accountId, tokenId };
    expect((await journal.admit(requestOf(scope, 10n))).kind).toBe('admitted');
    await operator.delete(`/api/tokens/${tokenId}`);
    expect((await journal.admit(requestOf(scope, 10n))).kind).toBe('token_closed');
    expect((await journal.admit(requestOf(scope, 0n))).kind).toBe('token_closed');
  });

  it('is closed with its member', async () => {
    await operator.post('/api/organizations', { name: 'L', slug: 'leaver', plan: 'team' });
    const person = { email: 'l@example.com', name: 'L', role: 'member' };
    const { body: member } = await operator.post('/api/organizations/leaver/members', person);
    const his = await operator.addToken('leaver', { memberId: member.id });
    const service = await operator.addToken('leaver', {});
    const caller = new ApiClient(other.url, his.secret);
    expect((await caller.get('/api/me')).status).toBe(200);
    await operator.delete(`/api/organizations/leaver/members/${member.id}`);
    await eventually(async () => (await caller.get('/api/me')).status === 401, 1000);
    expect((await new ApiClient(other.url, service.secret).get('/api/me')).status).toBe(200);
    const [budget] = await database.query<{ is_closed: boolean; account_id: string }>(
      'SELECT is_closed, account_id FROM budgets WHERE subject_id = $1',
      [his.tokenId],
    );
    expect(budget?.is_closed).toBe(true);
  });

  it('ends with its expiry while it is remembered', async () => {
    await operator.addOrganization('expiring');
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const { secret } = await operator.addToken('expiring', { expiresAt });
    const { identities } = inside(other);
    expect(await identities.identify(secret, HOME)).not.toBeNull();
    vi.useFakeTimers({ now: Date.now() + 59_000, toFake: ['Date'] });
    try {
      expect(identities.recall(secret)).not.toBeNull();
      vi.setSystemTime(Date.parse(expiresAt));
      expect(identities.recall(secret) ?? null).toBeNull();
      expect(await identities.identify(secret, HOME)).toBeNull();
    } finally {
      vi.useRealTimers();
    }
  });

  it('whose organization changed is read anew by every process', async () => {
    const { secret } = await operator.addOrganization('moving', 'free');
    const { identities } = inside(other);
    expect((await identities.identify(secret, HOME))?.plan).toBe('free');
    await operator.patch('/api/organizations/moving', { plan: 'team' });
    await eventually(async () => (await identities.identify(secret, HOME))?.plan === 'team', 1000);
  });

  it('revoked while it is being read is not remembered', async () => {
    const { tokenId, secret } = await operator.addOrganization('overtaken');
    const { identities, repository } = inside(other);
    const find = repository.findByHash.bind(repository);
    const held = vi.spyOn(repository, 'findByHash').mockImplementationOnce(async (hash) => {
      const read = await find(hash);
      await operator.delete(`/api/tokens/${tokenId}`);
      const notified = await find(hash);
      expect([read?.tokenId, notified]).toEqual([tokenId, null]);
      await earlierNoticesArrived(other);
      return read;
    });
    expect(await identities.identify(secret, HOME)).toBeNull();
    expect(identities.recall(secret)).toBeNull();
    held.mockRestore();
  });
});

describe('while notices cannot arrive', () => {
  it('every token is asked of the database, also one that was just read', async () => {
    const { tokenId, secret } = await operator.addOrganization('unsure');
    const { identities } = inside(other);
    const notifications = other.app.get(NotificationsService, { strict: false });
    await identities.identify(secret, HOME);
    const isConnected = vi.spyOn(notifications, 'isConnected', 'get').mockReturnValue(false);
    try {
      expect(identities.recall(secret)).toBeUndefined();
      expect(await identities.identify(secret, HOME)).toMatchObject({ tokenId });
      expect(identities.recall(secret)).toBeUndefined();
    } finally {
      isConnected.mockRestore();
    }
    expect(identities.recall(secret)).toMatchObject({ tokenId });
  });

  it('nothing remembered is trusted, and everything is again once they do', async () => {
    const { secret } = await operator.addOrganization('deaf');
    const { identities } = inside(other);
    const notifications = other.app.get(NotificationsService, { strict: false });
    await identities.identify(secret, HOME);
    expect(identities.recall(secret)).toBeTruthy();
    const [cut] = await database.query<{ count: string }>(
      `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
       WHERE application_name = 'tollgate-listen' AND datname = current_database()`,
    );
    expect(cut?.count).toBe('2');
    await eventually(() => !notifications.isConnected);
    expect(identities.recall(secret)).toBeUndefined();
    expect(await identities.identify(secret, HOME)).toBeTruthy();
    await eventually(() => notifications.isConnected);
    // What was read meanwhile may be older than a change that nobody heard of.
    expect(identities.recall(secret)).toBeUndefined();
    await eventually(async () => {
      await identities.identify(secret, HOME);
      return identities.recall(secret) !== undefined;
    });
  });
});

describe('unknown tokens', () => {
  it('from one address stop reaching the database, and are told to slow down', async () => {
    const { identities, lookUps } = inside(one);
    const before = lookUps.mock.calls.length;
    const outcomes = await Promise.all(
      Array.from({ length: 400 }, (_, index) =>
        identities.identify(unknownSecret(index), '203.0.113.7').catch((error: unknown) => error),
      ),
    );
    expect(lookUps.mock.calls.length - before).toBeLessThan(150);
    const refused = outcomes.filter((outcome) => outcome !== null);
    expect(refused.length).toBeGreaterThan(250);
    expect(refused[0]).toMatchObject({ refusal: { code: 'rate_limit_exceeded', retryAfterS: 1 } });
  });

  it('from one address do not keep out another, nor tokens that are remembered', async () => {
    const { secret } = await operator.addOrganization('bystander');
    const { identities } = inside(one);
    expect(await identities.identify(secret, '203.0.113.8')).toBeTruthy();
    expect(await identities.identify(secret, '203.0.113.7')).toBeTruthy();
  });

  it('are remembered for a moment: asking again does not reach the database', async () => {
    const { identities, lookUps } = inside(one);
    await identities.identify(unknownSecret(9001), '203.0.113.9');
    const before = lookUps.mock.calls.length;
    for (let ask = 0; ask < 20; ask += 1) {
      expect(await identities.identify(unknownSecret(9001), '203.0.113.9')).toBeNull();
    }
    expect(lookUps.mock.calls.length).toBe(before);
  });

  it('that are malformed never reach the database', async () => {
    const { identities, lookUps } = inside(one);
    const before = lookUps.mock.calls.length;
    for (const secret of [
      '',
      'tg_',
      'tg_!',
      'hf_tg_',
      `tg_${'a'.repeat(44)}`,
      `hf_hf_tg_${'a'.repeat(43)}`,
    ]) {
      expect(identities.recall(secret)).toBeNull();
      expect(await identities.identify(secret, HOME)).toBeNull();
    }
    expect(lookUps.mock.calls.length).toBe(before);
  });
});

it('the last use of a token is written when the service stops, not while it answers', async () => {
  const third = await startService(UPSTREAM, database);
  const { tokenId, secret } = await operator.addOrganization('used');
  const usedFrom = Date.now();
  await new ApiClient(third.url, secret).get('/api/me');
  expect((await operator.get('/api/organizations/used/tokens')).body.data[0]).toMatchObject({
    id: tokenId,
    lastUsedAt: null,
  });
  await third.close();
  const [token] = (await operator.get('/api/organizations/used/tokens')).body.data;
  expect(Date.parse(String(token?.['lastUsedAt']))).toBeGreaterThanOrEqual(usedFrom);
});

const spies = new Map<TestService, ReturnType<typeof spyOnLookUps>>();

/** What the proxy uses of a service, and the look-ups that reach its database (passed through). */
function inside(service: TestService): {
  identities: IdentityService;
  repository: IdentityRepository;
  lookUps: ReturnType<typeof spyOnLookUps>;
} {
  const repository = service.app.get(IdentityRepository, { strict: false });
  const lookUps = spies.get(service) ?? spyOnLookUps(repository);
  spies.set(service, lookUps);
  return { identities: service.app.get(IdentityService, { strict: false }), repository, lookUps };
}

function spyOnLookUps(repository: IdentityRepository) {
  return vi.spyOn(repository, 'findByHash');
}

/** A notice sent after another arrives after it. */
async function earlierNoticesArrived(service: TestService): Promise<void> {
  const marker = `marker-${String(performance.now())}`;
  let hasArrived = false;
  const notifications = service.app.get(NotificationsService, { strict: false });
  notifications.listen('tollgate_identity', {
    onNotice: (payload) => {
      if (payload === marker) hasArrived = true;
    },
    onGap: () => undefined,
  });
  await notifications.notify('tollgate_identity', marker);
  await eventually(() => hasArrived);
}

function unknownSecret(index: number): string {
  return `tg_${String(index).padStart(43, '0')}`;
}
