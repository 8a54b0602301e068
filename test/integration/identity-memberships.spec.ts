import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { NotificationsService } from '../../src/database/notifications.service.js';
import { billedTo, type Identity } from '../../src/identity/identity.js';
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
let identities: IdentityService;

beforeAll(async () => {
  database = await freshDatabase();
  one = await startService(UPSTREAM, database);
  other = await startService(UPSTREAM, database);
  operator = new ApiClient(one.url);
  identities = other.app.get(IdentityService, { strict: false });
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await database.drop();
});

async function addUser(name: string): Promise<{ userId: string; email: string; secret: string }> {
  const email = `${name}@example.com`;
  const { body: user } = await operator.post('/api/users', { email, name, plan: 'pro' });
  const { body: token } = await operator.post(`/api/users/${user.id}/tokens`, { name: 'own' });
  return { userId: user.id, email, secret: token.token };
}

async function addMember(slug: string, email: string): Promise<string> {
  const person = { email, name: 'M', role: 'member', monthlyLimitUsd: '5' };
  const { status, body, text } = await operator.post(`/api/organizations/${slug}/members`, person);
  if (status !== 201) throw new Error(text);
  return body.id;
}

async function identityOf(secret: string): Promise<Identity> {
  const identity = await identities.identify(secret, HOME);
  if (identity === null) throw new Error('nobody');
  return identity;
}

describe("the memberships of a user's own token", () => {
  it('are remembered with it: every organization, the member that he is there, its limits', async () => {
    const { userId, email, secret } = await addUser('joiner');
    const first = await operator.addOrganization('first', 'team');
    const second = await operator.addOrganization('second', 'pro');
    await operator.addOrganization('stranger');
    const members = [await addMember('first', email), await addMember('second', email)];
    await operator.put('/api/organizations/first/limits', {
      monthlySpendLimitUsd: '50',
      payAsYouGo: true,
      requestsPerMinute: 60,
      requestsPerDay: 1000,
    });
    const identity = await identityOf(secret);
    expect(identity).toMatchObject({
      accountId: userId,
      userId,
      slug: `user:${userId}`,
      memberId: null,
      plan: 'pro',
      accountRates: { requestsPerMinute: null, requestsPerDay: null },
      routing: null,
    });
    expect(identity.memberships).toEqual(
      new Map([
        [
          'first',
          {
            accountId: first.accountId,
            slug: 'first',
            memberId: members[0],
            plan: 'team',
            accountRates: { requestsPerMinute: 60, requestsPerDay: 1000 },
            routing: null,
          },
        ],
        [
          'second',
          {
            accountId: second.accountId,
            slug: 'second',
            memberId: members[1],
            plan: 'pro',
            accountRates: { requestsPerMinute: null, requestsPerDay: null },
            routing: null,
          },
        ],
      ]),
    );
    expect(identities.recall(secret)).toEqual(identity);
  });

  it("are none of an organization's token, also of one that is for him", async () => {
    const { email } = await addUser('employee');
    await operator.addOrganization('employer');
    await operator.addOrganization('side-job');
    await addMember('side-job', email);
    const memberId = await addMember('employer', email);
    const { secret } = await operator.addToken('employer', { memberId });
    const identity = await identityOf(secret);
    expect(identity).toMatchObject({ slug: 'employer', memberId, userId: null });
    expect(identity.memberships.size).toBe(0);
    expect(billedTo(identity, 'side-job')).toBeNull();
  });

  it('begin in every process within a second of his being added', async () => {
    const { email, secret } = await addUser('newcomer');
    await operator.addOrganization('growing');
    expect(billedTo(await identityOf(secret), 'growing')).toBeNull();
    const memberId = await addMember('growing', email);
    await eventually(
      async () => billedTo(await identityOf(secret), 'growing')?.memberId === memberId,
      1000,
    );
  });

  it('end in every process within a second of his removal, and his budget there is closed', async () => {
    const { email, secret } = await addUser('leaver');
    await operator.addOrganization('shrinking');
    const memberId = await addMember('shrinking', email);
    expect(billedTo(await identityOf(secret), 'shrinking')).not.toBeNull();
    const path = `/api/organizations/shrinking/members/${memberId}`;
    expect((await operator.delete(path)).status).toBe(204);
    expect(await isClosed(memberId)).toBe(true);
    await eventually(async () => billedTo(await identityOf(secret), 'shrinking') === null, 1000);
    // His own account is not the organization's to close.
    expect(identities.recall(secret)).toMatchObject({ memberId: null });
  });

  it('admit nothing from the commit of his removal on, even where they are still remembered', async () => {
    const { userId, email, secret } = await addUser('closed');
    const { accountId } = await operator.addOrganization('closing');
    const memberId = await addMember('closing', email);
    const { tokenId } = await identityOf(secret);
    const journal = other.app.get(Journal, { strict: false });
    const admit = async (holdPicoUsd: bigint): Promise<string> =>
      (await journal.admit(requestOf({ accountId, tokenId }, holdPicoUsd, { memberId }))).kind;
    expect(await admit(10n)).toBe('admitted');
    await operator.delete(`/api/organizations/closing/members/${memberId}`);
    expect(await admit(10n)).not.toBe('admitted');
    expect(await admit(0n)).not.toBe('admitted');
    const own = requestOf({ accountId: userId, tokenId }, 10n);
    expect((await journal.admit(own)).kind).toBe('admitted');
    const open = await database.query('SELECT account_id, member_id FROM open_events ORDER BY id');
    expect(open).toEqual([
      { account_id: accountId, member_id: memberId },
      { account_id: userId, member_id: null },
    ]);
  });

  it('begin anew with a budget of their own when he comes back', async () => {
    const { email, secret } = await addUser('returner');
    await operator.addOrganization('revolving');
    const before = await addMember('revolving', email);
    await operator.delete(`/api/organizations/revolving/members/${before}`);
    const after = await addMember('revolving', email);
    expect(after).not.toBe(before);
    await eventually(
      async () => billedTo(await identityOf(secret), 'revolving')?.memberId === after,
      1000,
    );
    expect([await isClosed(before), await isClosed(after)]).toEqual([true, false]);
  });

  it('carry what the organization changes: its plan, its limits of requests', async () => {
    const { email, secret } = await addUser('follower');
    await operator.addOrganization('moving', 'pro');
    await addMember('moving', email);
    expect(billedTo(await identityOf(secret), 'moving')?.plan).toBe('pro');
    await operator.patch('/api/organizations/moving', { plan: 'team' });
    await eventually(
      async () => billedTo(await identityOf(secret), 'moving')?.plan === 'team',
      1000,
    );
    await operator.put('/api/organizations/moving/limits', {
      monthlySpendLimitUsd: '10',
      payAsYouGo: true,
      requestsPerMinute: 3,
    });
    await eventually(
      async () =>
        billedTo(await identityOf(secret), 'moving')?.accountRates.requestsPerMinute === 3,
      1000,
    );
  });

  it('that ended while they were being read are not remembered', async () => {
    const { email, secret } = await addUser('overtaken');
    await operator.addOrganization('overtaking');
    const memberId = await addMember('overtaking', email);
    const repository = other.app.get(IdentityRepository, { strict: false });
    const find = repository.findByHash.bind(repository);
    const held = vi.spyOn(repository, 'findByHash').mockImplementationOnce(async (hash) => {
      const read = await find(hash);
      await operator.delete(`/api/organizations/overtaking/members/${memberId}`);
      expect(read?.memberships.has('overtaking')).toBe(true);
      await earlierNoticesArrived();
      return read;
    });
    expect(billedTo(await identityOf(secret), 'overtaking')).toBeNull();
    expect(identities.recall(secret)?.memberships.size).toBe(0);
    held.mockRestore();
  });
});

async function isClosed(subjectId: string): Promise<boolean | undefined> {
  const [budget] = await database.query<{ is_closed: boolean }>(
    'SELECT is_closed FROM budgets WHERE subject_id = $1',
    [subjectId],
  );
  return budget?.is_closed;
}

/** A notice sent after another arrives after it. */
async function earlierNoticesArrived(): Promise<void> {
  const marker = `marker-${String(performance.now())}`;
  let hasArrived = false;
  const notifications = other.app.get(NotificationsService, { strict: false });
  notifications.listen('tollgate_identity', {
    onNotice: (payload) => {
      if (payload === marker) hasArrived = true;
    },
    onGap: () => undefined,
  });
  await notifications.notify('tollgate_identity', marker);
  await eventually(() => hasArrived);
}
