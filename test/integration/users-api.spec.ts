import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient, eventually, type ApiMethod } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';

let service: TestService;
let operator: ApiClient;
let people = 0;

beforeAll(async () => {
  service = await startService({
    UPSTREAM_BASE_URL: 'http://127.0.0.1:9',
    // Enough to hold two transactions and still answer.
    DATABASE_POOL_MAX: '8',
  });
  operator = new ApiClient(service.url);
});
afterAll(async () => {
  await service.close();
});

const ALL_SCOPES = [
  'inference',
  'usage.read',
  'billing.read',
  'tokens.write',
  'members.write',
  'limits.write',
  'partner.billing',
];
const NOBODY = '01a1fbb9-e210-7a3f-9424-b2a1839201d0';

/** What every account has, with a body that is valid for it. */
const ACCOUNT_ROUTES: readonly [ApiMethod, string, unknown, readonly string[]][] = [
  ['GET', '/limits', undefined, ['usage.read', 'billing.read', 'limits.write']],
  ['PUT', '/limits', { monthlySpendLimitUsd: '1', payAsYouGo: true }, ['limits.write']],
  ['GET', '/tokens', undefined, ['tokens.write']],
  ['POST', '/tokens', { name: 'x' }, ['tokens.write']],
  ['GET', '/usage', undefined, ['usage.read']],
  ['GET', '/requests', undefined, ['usage.read']],
  ['GET', '/balance', undefined, ['usage.read', 'billing.read']],
];

interface User {
  readonly id: string;
  readonly email: string;
}

async function addUser(plan: 'free' | 'pro' = 'pro'): Promise<User> {
  people += 1;
  const email = `person-${people}@example.com`;
  const made = await operator.post('/api/users', { email, name: `Person ${people}`, plan });
  if (made.status !== 201) throw new Error(made.text);
  return { id: made.body.id, email };
}

async function tokenOf(
  { id }: User,
  fields: Readonly<Record<string, unknown>> = {},
): Promise<{ tokenId: string; secret: string }> {
  const made = await operator.post(`/api/users/${id}/tokens`, { name: 'own', ...fields });
  if (made.status !== 201) throw new Error(made.text);
  return { tokenId: made.body.id, secret: made.body.token };
}

async function addMember(slug: string, email: string): Promise<string> {
  const person = { email, name: 'M', role: 'member' };
  const made = await operator.post(`/api/organizations/${slug}/members`, person);
  if (made.status !== 201) throw new Error(made.text);
  return made.body.id;
}

async function userOfMember(memberId: string): Promise<string | null> {
  const [row] = await service.database.query<{ user_id: string | null }>(
    'SELECT user_id FROM members WHERE id = $1',
    [memberId],
  );
  return row?.user_id ?? null;
}

describe('users', () => {
  it.each([
    [undefined, 'free', false],
    ['free', 'free', false],
    ['pro', 'pro', true],
  ] as const)(
    'are made with an account of their own: plan %s is %s, pay-as-you-go %s',
    async (asked, plan, payAsYouGo) => {
      const email = `new-${asked ?? 'absent'}@example.com`;
      const made = await operator.post('/api/users', {
        email,
        name: 'Ada',
        ...(asked === undefined ? {} : { plan: asked }),
      });
      expect(made.status).toBe(201);
      expect(made.body).toEqual({
        id: made.body.id,
        email,
        name: 'Ada',
        plan,
        scheduled: null,
        limits: {
          monthlySpendLimitUsd: '100',
          payAsYouGo,
          maxSpendLimitUsd: '100',
          requestsPerMinute: null,
          requestsPerDay: null,
        },
        createdAt: made.body['createdAt'],
      });
      expect((await operator.get(`/api/users/${made.body.id}`)).body).toEqual(made.body);
      const [row] = await service.database.query(
        `SELECT a.kind, a.user_id::text, b.scope, b.is_pay_as_you_go, b.limit_pico_usd::text AS max
         FROM accounts a JOIN budgets b ON b.subject_id = a.id WHERE a.id = $1`,
        [made.body.id],
      );
      expect(row).toEqual({
        kind: 'user',
        user_id: made.body.id,
        scope: 'account',
        is_pay_as_you_go: payAsYouGo,
        max: '100000000000000',
      });
    },
  );

  it('have an address once, whatever its case and however many ask for it at the same time', async () => {
    const asks = Array.from({ length: 8 }, (_, index) =>
      operator.post('/api/users', {
        email: index % 2 === 0 ? 'raced@example.com' : 'Raced@Example.com',
        name: 'R',
      }),
    );
    const answers = await Promise.all(asks);
    expect(answers.map(({ status }) => status).sort()).toEqual([
      201, 409, 409, 409, 409, 409, 409, 409,
    ]);
    const again = await operator.post('/api/users', { email: 'RACED@EXAMPLE.COM', name: 'R' });
    expect([again.status, again.body.error.code]).toEqual([409, 'conflict']);
    expect(again.body.error).toMatchObject({ param: 'email' });
    const [count] = await service.database.query<{ count: number }>(
      `SELECT count(*)::int FROM accounts a JOIN users u ON u.id = a.user_id WHERE lower(u.email) = 'raced@example.com'`,
    );
    expect(count).toEqual({ count: 1 });
  });

  it('are listed oldest first, page by page, and organizations are not among them', async () => {
    await operator.addOrganization('not-a-person');
    const made = [await addUser(), await addUser(), await addUser()];
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await operator.get(
        `/api/users?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      seen.push(...page.body.data.map(({ id }) => id));
      cursor = page.body.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual([...seen].sort());
    expect(seen.slice(-3)).toEqual(made.map(({ id }) => id));
    const organizations = await operator.get('/api/organizations?limit=200');
    expect(organizations.text).not.toContain('user:');
  });

  it('are told of in the audit log', async () => {
    const { id, email } = await addUser();
    const log = await operator.get('/api/audit-log?limit=5');
    expect(log.body.data[0]).toMatchObject({
      actor: 'operator',
      action: 'user.create',
      subject: `user:${id}`,
      before: null,
      after: { id, email, memberOf: [] },
    });
    const limits = { monthlySpendLimitUsd: '7', payAsYouGo: true };
    await operator.put(`/api/users/${id}/limits`, limits);
    expect((await operator.get('/api/audit-log?limit=1')).body.data[0]).toMatchObject({
      action: 'user.limits',
      subject: `user:${id}`,
      before: { monthlySpendLimitUsd: '100' },
      after: { monthlySpendLimitUsd: '7' },
    });
  });

  it.each([
    [{}, 'email'],
    [{ email: 'x@example.com' }, 'name'],
    [{ email: 'no address', name: 'X' }, 'email'],
    [{ email: 'x@', name: 'X' }, 'email'],
    [{ email: null, name: 'X' }, 'email'],
    [{ email: ['x@example.com'], name: 'X' }, 'email'],
    [{ email: `${'x'.repeat(250)}@example.com`, name: 'X' }, 'email'],
    [{ email: 'x\u0000@example.com', name: 'X' }, 'email'],
    [{ email: 'x@example.com', name: ' ' }, 'name'],
    [{ email: 'x@example.com', name: 'a\nb' }, 'name'],
    [{ email: 'x@example.com', name: 'X', plan: 'team' }, 'plan'],
    [{ email: 'x@example.com', name: 'X', plan: 'gold' }, 'plan'],
    [{ email: 'x@example.com', name: 'X', plan: null }, 'plan'],
    [{ email: 'x@example.com', name: 'X', seats: 3 }, 'seats'],
    [{ email: 'x@example.com', name: 'X', slug: 'x' }, 'slug'],
  ])('are refused with %j by the name of %s', async (body, field) => {
    const before = await service.database.query('SELECT count(*) FROM users');
    const answer = await operator.post('/api/users', body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.code).toBe('invalid_request');
    expect(answer.body.error.details).toContainEqual(expect.objectContaining({ field }));
    expect(await service.database.query('SELECT count(*) FROM users')).toEqual(before);
  });

  it('say which plans there are for them', async () => {
    const body = { email: 'x@example.com', name: 'X', plan: 'team' };
    const { error } = (await operator.post('/api/users', body)).body;
    expect(error.message).toBe('plan must be one of: free, pro (team is for organizations)');
  });

  it('are made and listed by the operator only', async () => {
    const { secret } = await tokenOf(await addUser(), { scopes: ALL_SCOPES });
    for (const answer of [
      await operator.as(secret).post('/api/users', { email: 'y@example.com', name: 'Y' }),
      await operator.as(secret).get('/api/users'),
    ]) {
      expect([answer.status, answer.body.error.code]).toEqual([403, 'insufficient_scope']);
    }
    for (const token of [null, 'tg_x']) {
      expect((await operator.as(token).get('/api/users')).status).toBe(401);
      expect((await operator.as(token).get('/api/me/usage')).status).toBe(401);
    }
  });
});

describe('what the own account has', () => {
  it('is the same under the id of the user and under me', async () => {
    const user = await addUser();
    const { tokenId, secret } = await tokenOf(user, { scopes: ALL_SCOPES });
    const own = operator.as(secret);
    for (const [method, path] of ACCOUNT_ROUTES.filter(([method]) => method === 'GET')) {
      // One instant for both: without an end, usage ends now.
      const query = path === '/usage' ? '?end=2026-11-01' : '';
      const byId = await own.call(method, `/api/users/${user.id}${path}${query}`);
      const byMe = await own.call(method, `/api/me${path}${query}`);
      const byUpperCase = await own.call(
        method,
        `/api/users/${user.id.toUpperCase()}${path}${query}`,
      );
      expect([path, byId.status]).toEqual([path, 200]);
      expect([path, byMe.text]).toEqual([path, byId.text]);
      expect([path, byUpperCase.text]).toEqual([path, byId.text]);
    }
    expect((await own.get('/api/me/tokens')).body.data.map(({ id }) => id)).toEqual([tokenId]);
  });

  it('is managed with the scopes of a token of it, as an organization is', async () => {
    const user = await addUser();
    const { secret } = await tokenOf(user, { scopes: ['tokens.write', 'limits.write'] });
    const own = operator.as(secret);
    const made = await own.post('/api/me/tokens', { name: 'second', monthlyLimitUsd: '5.00' });
    expect(made.body).toMatchObject({
      name: 'second',
      organization: null,
      memberId: null,
      scopes: ['inference', 'usage.read'],
      monthlyLimitUsd: '5',
    });
    const second = operator.as(made.body.token);
    const { body: me } = await second.get('/api/me');
    expect(me).toEqual({
      kind: 'token',
      token: expect.objectContaining({ id: made.body.id, organization: null }) as unknown,
      user: (await operator.get(`/api/users/${user.id}`)).body,
      serverless: expect.objectContaining({ used: 0 }) as unknown,
    });
    expect((await own.patch(`/api/tokens/${made.body.id}`, { name: 'renamed' })).status).toBe(200);
    expect((await own.delete(`/api/tokens/${made.body.id}`)).status).toBe(204);

    const lowered = await own.put('/api/me/limits', {
      monthlySpendLimitUsd: '40.00',
      payAsYouGo: true,
      requestsPerMinute: 60,
    });
    expect(lowered.body).toMatchObject({
      id: user.id,
      email: user.email,
      limits: { monthlySpendLimitUsd: '40', payAsYouGo: true, requestsPerMinute: 60 },
    });
    expect((await own.get(`/api/users/${user.id}/limits`)).body).toEqual(lowered.body);
    const raised = { monthlySpendLimitUsd: '100.01', payAsYouGo: true };
    const refused = await own.put('/api/me/limits', raised);
    expect([refused.status, refused.body.error.code]).toEqual([403, 'insufficient_scope']);
    expect(refused.body.error.message).toContain('a user');
    expect((await operator.put(`/api/users/${user.id}/limits`, raised)).status).toBe(200);
  });

  it.each(ACCOUNT_ROUTES)('needs its scope on %s %s: %j %j', async (method, path, body, scopes) => {
    const user = await addUser();
    const without = await tokenOf(user, {
      scopes: ALL_SCOPES.filter((scope) => !scopes.includes(scope)),
    });
    for (const prefix of ['/api/me', `/api/users/${user.id}`]) {
      const refused = await operator.as(without.secret).call(method, prefix + path, body);
      expect([refused.status, refused.body.error.code]).toEqual([403, 'insufficient_scope']);
      expect(refused.body.error.details).toEqual({ missingScopes: scopes });
      for (const scope of scopes) {
        const { secret } = await tokenOf(user, { scopes: [scope] });
        expect((await operator.as(secret).call(method, prefix + path, body)).status).toBeLessThan(
          300,
        );
      }
    }
  });

  it('has no rights to hand on that its token lacks', async () => {
    const { secret } = await tokenOf(await addUser(), { scopes: ['tokens.write'] });
    const climbing = { name: 'x', scopes: ['inference', 'limits.write'] };
    const made = await operator.as(secret).post('/api/me/tokens', climbing);
    expect([made.status, made.body.error.details]).toEqual([
      403,
      { missingScopes: ['limits.write'] },
    ]);
  });

  it('is changed by valid bodies only', async () => {
    const user = await addUser();
    await operator.addOrganization('with-members');
    const memberId = await addMember('with-members', 'm@with-members.example');
    for (const [method, path, body, field] of [
      ['POST', '/tokens', {}, 'name'],
      ['POST', '/tokens', { name: 'x', scopes: [] }, 'scopes'],
      ['POST', '/tokens', { name: 'x', scopes: ['everything'] }, 'scopes'],
      ['POST', '/tokens', { name: 'x', monthlyLimitUsd: 5 }, 'monthlyLimitUsd'],
      ['POST', '/tokens', { name: 'x', expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt'],
      // Nobody is a member of a user's own account, and nobody else's member is.
      ['POST', '/tokens', { name: 'x', memberId }, 'memberId'],
      ['PUT', '/limits', { payAsYouGo: true }, 'monthlySpendLimitUsd'],
      ['PUT', '/limits', { monthlySpendLimitUsd: '-1', payAsYouGo: true }, 'monthlySpendLimitUsd'],
      ['PUT', '/limits', { monthlySpendLimitUsd: '1', payAsYouGo: 'on' }, 'payAsYouGo'],
      ['PUT', '/limits', { monthlySpendLimitUsd: '1', payAsYouGo: true, seats: 2 }, 'seats'],
      ['GET', '/tokens?limit=0', undefined, 'limit'],
      ['GET', '/tokens?cursor=e30', undefined, 'cursor'],
      ['GET', '/usage?bucket=week', undefined, 'bucket'],
      ['GET', '/requests?state=lost', undefined, 'state'],
    ] as const) {
      const answer = await operator.call(method, `/api/users/${user.id}${path}`, body);
      expect([path, answer.status, answer.body.error.code]).toEqual([path, 400, 'invalid_request']);
      expect(answer.body.error.details).toContainEqual(expect.objectContaining({ field }));
    }
  });
});

describe('a foreign account', () => {
  it.each([['GET', '', undefined, []] as const, ...ACCOUNT_ROUTES])(
    "of a user is 404 on %s %s to another user's token and to an organization's, with every scope",
    async (method, path, body) => {
      const victim = await addUser();
      await tokenOf(victim);
      const slug = `outside-${people}`;
      const { secret } = await operator.addOrganization(slug, 'pro', ALL_SCOPES);
      await addMember(slug, victim.email);
      const other = await tokenOf(await addUser(), { scopes: ALL_SCOPES });
      const before = await accountState(victim.id);
      for (const token of [secret, other.secret]) {
        const foreign = await operator
          .as(token)
          .call(method, `/api/users/${victim.id}${path}`, body);
        const unknown = await operator.as(token).call(method, `/api/users/${NOBODY}${path}`, body);
        expect([foreign.status, foreign.body.error.code]).toEqual([404, 'not_found']);
        expect(foreign.text).toBe(unknown.text);
      }
      expect(await accountState(victim.id)).toEqual(before);
    },
  );

  it('of an organization is 404 to the own token of a member, who is its owner even', async () => {
    const slug = 'owned';
    await operator.addOrganization(slug);
    const user = await addUser();
    const owner = { email: user.email, name: 'O', role: 'owner' };
    await operator.post(`/api/organizations/${slug}/members`, owner);
    const { secret } = await tokenOf(user, { scopes: ALL_SCOPES });
    for (const [method, path, body] of ACCOUNT_ROUTES) {
      const answer = await operator
        .as(secret)
        .call(method, `/api/organizations/${slug}${path}`, body);
      expect([path, answer.status]).toEqual([path, 404]);
    }
  });

  it('is not found by what its slug is made of', async () => {
    const user = await addUser();
    const { secret } = await tokenOf(user, { scopes: ALL_SCOPES });
    for (const slug of [`user:${user.id}`, `user%3A${user.id}`, user.id, 'me']) {
      for (const token of [secret, null]) {
        const caller = token === null ? operator : operator.as(token);
        expect((await caller.get(`/api/organizations/${slug}/balance`)).status).toBe(404);
      }
    }
    for (const id of ['me', '1', '%00', "'%20OR%201=1", `${user.id}'`, NOBODY]) {
      expect((await operator.get(`/api/users/${id}/balance`)).status).toBe(404);
      expect((await operator.get(`/api/users/${id}`)).status).toBe(404);
    }
  });

  it.each(ACCOUNT_ROUTES)(
    "is what me is on %s %s for who has no own account: the operator, an organization's token",
    async (method, path, body) => {
      const slug = `no-person-${ACCOUNT_ROUTES.findIndex((one) => one[0] === method && one[1] === path)}`;
      const { accountId, secret } = await operator.addOrganization(slug, 'pro', ALL_SCOPES);
      const before = await accountState(accountId);
      for (const caller of [operator, operator.as(secret)]) {
        const answer = await caller.call(method, `/api/me${path}`, body);
        expect([answer.status, answer.body.error.code]).toEqual([404, 'not_found']);
      }
      expect(await accountState(accountId)).toEqual(before);
    },
  );

  it('has its tokens hidden behind ids as well', async () => {
    const { tokenId } = await tokenOf(await addUser());
    const other = await tokenOf(await addUser(), { scopes: ALL_SCOPES });
    const attacker = operator.as(other.secret);
    expect((await attacker.patch(`/api/tokens/${tokenId}`, { name: 'x' })).status).toBe(404);
    expect((await attacker.delete(`/api/tokens/${tokenId}`)).status).toBe(404);
  });
});

describe('the members of organizations', () => {
  it('are the user of their address, made before or after him, whatever its case', async () => {
    await operator.addOrganization('before');
    await operator.addOrganization('after');
    const early = await addMember('before', 'Grace@Example.com');
    expect(await userOfMember(early)).toBeNull();
    const made = await operator.post('/api/users', { email: 'grace@example.COM', name: 'Grace' });
    const late = await addMember('after', 'GRACE@example.com');
    expect(await userOfMember(early)).toBe(made.body.id);
    expect(await userOfMember(late)).toBe(made.body.id);
    const log = await operator.get('/api/audit-log?limit=5');
    const entry = log.body.data.find(({ subject }) => subject === `user:${made.body.id}`);
    expect(entry).toMatchObject({ after: { memberOf: ['before'] } });
  });

  it('are not when they were removed before he was made', async () => {
    await operator.addOrganization('left');
    const memberId = await addMember('left', 'gone@example.com');
    await operator.delete(`/api/organizations/left/members/${memberId}`);
    await operator.post('/api/users', { email: 'gone@example.com', name: 'G' });
    expect(await userOfMember(memberId)).toBeNull();
  });

  it.each([
    ['the user', 'the member'],
    ['the member', 'the user'],
  ])('are his also when %s is not yet committed while %s is made', async (first, second) => {
    await operator.addOrganization(`during-${first.slice(4)}`);
    const email = `during-${first.slice(4)}@example.com`;
    const make = {
      'the user': async () =>
        (await operator.post('/api/users', { email: email.toUpperCase(), name: 'D' })).body.id,
      'the member': () => addMember(`during-${first.slice(4)}`, email),
    };
    // What is made is told of last: without the audit log nothing can be committed.
    const blocker = new pg.Client({ connectionString: service.database.url });
    await blocker.connect();
    await blocker.query('BEGIN; LOCK TABLE audit_log IN SHARE MODE');
    const one = make[first as keyof typeof make]();
    await eventually(async () => (await waitingCount()) === 1);
    const other = make[second as keyof typeof make]();
    await eventually(async () => (await waitingCount()) === 2);
    await blocker.query('COMMIT');
    await blocker.end();
    const [oneId, otherId] = await Promise.all([one, other]);
    const [userId, memberId] = first === 'the user' ? [oneId, otherId] : [otherId, oneId];
    expect(await userOfMember(memberId)).toBe(userId);
  });
});

async function waitingCount(): Promise<number> {
  const [row] = await service.database.query<{ count: number }>(
    `SELECT count(*)::int FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE NOT l.granted AND a.datname = current_database()`,
  );
  return row?.count ?? 0;
}

describe('the database itself', () => {
  it.each([
    [
      "an organization with a user's slug",
      `UPDATE accounts SET slug = 'user:' || id WHERE kind = 'organization'`,
    ],
    ["a user with an organization's slug", `UPDATE accounts SET slug = 'mine' WHERE kind = 'user'`],
    ['an account of nobody', `UPDATE accounts SET user_id = NULL WHERE kind = 'user'`],
    ['a team of one', `UPDATE accounts SET plan = 'team' WHERE kind = 'user'`],
    ['seats of a user', `UPDATE accounts SET seats = 2 WHERE kind = 'user'`],
    [
      'a user who is an organization',
      `UPDATE accounts SET kind = 'organization' WHERE kind = 'user'`,
    ],
    [
      'one address twice',
      `INSERT INTO users SELECT gen_random_uuid(), upper(email), name, created_at FROM users LIMIT 1`,
    ],
  ])('refuses %s', async (_what, sql) => {
    await addUser();
    await expect(service.database.query(sql)).rejects.toThrow(/violates|duplicate/);
  });
});

async function accountState(accountId: string): Promise<unknown> {
  return service.database.query(
    `SELECT to_jsonb(a) AS account,
       (SELECT jsonb_agg(to_jsonb(t) - 'last_used_at' ORDER BY t.id) FROM tokens t WHERE t.account_id = a.id) AS tokens,
       (SELECT jsonb_agg(b ORDER BY b.subject_id) FROM budgets b WHERE b.account_id = a.id) AS budgets
     FROM accounts a WHERE a.id = $1`,
    [accountId],
  );
}
