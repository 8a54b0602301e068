import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { TokensService } from '../../src/identity/tokens.service.js';
import { ApiClient, type ApiMethod } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';

let service: TestService;
let operator: ApiClient;

beforeAll(async () => {
  service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' });
  operator = new ApiClient(service.url);
});
afterAll(async () => {
  await service.close();
});

describe('organizations', () => {
  it('are made with the limits of a new account: pay-as-you-go off on free, on otherwise', async () => {
    for (const [plan, payAsYouGo] of [
      ['free', false],
      ['pro', true],
      ['team', true],
    ] as const) {
      const slug = `new-${plan}`;
      const made = await operator.post('/api/organizations', { name: 'New', slug, plan, seats: 3 });
      expect(made.status).toBe(201);
      expect(made.body).toMatchObject({
        slug,
        name: 'New',
        plan,
        seats: 3,
        limits: {
          monthlySpendLimitUsd: '100',
          maxSpendLimitUsd: '100',
          payAsYouGo,
          requestsPerMinute: null,
          requestsPerDay: null,
        },
      });
      expect((await operator.get(`/api/organizations/${slug}`)).body).toEqual(made.body);
      expect(await budgetOf(made.body.id)).toEqual({
        scope: 'account',
        limit_pico_usd: '100000000000000',
        is_pay_as_you_go: payAsYouGo,
        held_pico_usd: '0',
        is_closed: false,
      });
    }
  });

  it('take one slug once, however many ask for it at the same time', async () => {
    const asks = Array.from({ length: 8 }, () =>
      operator.post('/api/organizations', { name: 'R', slug: 'raced', plan: 'pro' }),
    );
    const statuses = (await Promise.all(asks)).map(({ status }) => status).sort();
    expect(statuses).toEqual([201, 409, 409, 409, 409, 409, 409, 409]);
    const again = await operator.post('/api/organizations', {
      name: 'R',
      slug: 'raced',
      plan: 'pro',
    });
    expect(again.body.error.code).toBe('conflict');
  });

  it('change only in what a PATCH names', async () => {
    await operator.post('/api/organizations', {
      name: 'A',
      slug: 'patched',
      plan: 'free',
      seats: 2,
    });
    const renamed = await operator.patch('/api/organizations/patched', { name: 'B' });
    expect(renamed.body).toMatchObject({ name: 'B', plan: 'free', seats: 2 });
    const moved = await operator.patch('/api/organizations/patched', { plan: 'team', seats: 5 });
    expect(moved.body).toMatchObject({ name: 'B', plan: 'team', seats: 5 });
    expect((await operator.get('/api/organizations/patched')).body).toEqual(moved.body);
  });

  it('are listed in pages that neither repeat nor lose one', async () => {
    for (let index = 0; index < 5; index += 1) {
      const slug = `page-${index}`;
      await operator.post('/api/organizations', { name: 'P', slug, plan: 'free' });
    }
    const seen: unknown[] = [];
    let cursor: string | null = null;
    do {
      const query = cursor === null ? '' : `&cursor=${cursor}`;
      const { body } = await operator.get(`/api/organizations?limit=2${query}`);
      expect(body.data.length).toBeLessThanOrEqual(2);
      seen.push(...body.data.map(({ slug }) => slug));
      cursor = body.nextCursor;
    } while (cursor !== null);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual([...seen].sort());
    expect(seen.filter((slug) => String(slug).startsWith('page-'))).toHaveLength(5);
  });
});

describe('members', () => {
  it('are added, listed, changed and removed', async () => {
    await operator.post('/api/organizations', { name: 'M', slug: 'crew', plan: 'team' });
    const path = '/api/organizations/crew/members';
    const ada = await operator.post(path, {
      email: ' ada@example.com ',
      name: 'Ada',
      role: 'owner',
      monthlyLimitUsd: '12.50',
    });
    expect(ada.status).toBe(201);
    expect(ada.body).toMatchObject({
      email: 'ada@example.com',
      role: 'owner',
      monthlyLimitUsd: '12.5',
    });
    expect(await budgetOf(ada.body.id)).toMatchObject({
      scope: 'member',
      limit_pico_usd: '12500000000000',
      held_pico_usd: '0',
    });
    const changed = await operator.patch(`${path}/${ada.body.id}`, {
      role: 'admin',
      monthlyLimitUsd: null,
    });
    expect(changed.body).toMatchObject({ name: 'Ada', role: 'admin', monthlyLimitUsd: null });
    expect(await budgetOf(ada.body.id)).toMatchObject({
      limit_pico_usd: null,
      held_pico_usd: null,
    });
    expect((await operator.get(path)).body.data).toEqual([changed.body]);
    expect((await operator.delete(`${path}/${ada.body.id}`)).status).toBe(204);
    expect((await operator.get(path)).body.data).toEqual([]);
    expect((await operator.delete(`${path}/${ada.body.id}`)).body.error.code).toBe('not_found');
    expect((await operator.patch(`${path}/${ada.body.id}`, { name: 'x' })).status).toBe(404);
  });

  it('have one e-mail address each in an organization, whatever its case, until they are removed', async () => {
    await operator.post('/api/organizations', { name: 'M', slug: 'mail', plan: 'team' });
    const path = '/api/organizations/mail/members';
    const bob = { email: 'bob@example.com', name: 'Bob', role: 'member' };
    const first = await operator.post(path, bob);
    const second = await operator.post(path, { ...bob, email: 'BOB@example.com' });
    expect([second.status, second.body.error.code]).toEqual([409, 'conflict']);
    await operator.delete(`${path}/${first.body.id}`);
    expect((await operator.post(path, bob)).status).toBe(201);
  });
});

describe('tokens', () => {
  it('are shown with their secret once, and by their prefix ever after', async () => {
    await operator.post('/api/organizations', { name: 'T', slug: 'keys', plan: 'pro' });
    const made = await operator.post('/api/organizations/keys/tokens', {
      name: 'ci',
      monthlyLimitUsd: '5.00',
      requestsPerMinute: 60,
      expiresAt: '2999-01-01T00:00:00+02:00',
    });
    expect(made.status).toBe(201);
    const { token, ...view } = made.body;
    expect(token).toMatch(/^tg_[0-9A-Za-z]{43}$/);
    expect(view).toMatchObject({
      name: 'ci',
      prefix: token.slice(0, 11),
      organization: 'keys',
      memberId: null,
      scopes: ['inference', 'usage.read'],
      monthlyLimitUsd: '5',
      requestsPerMinute: 60,
      expiresAt: '2998-12-31T22:00:00.000Z',
      lastUsedAt: null,
      revokedAt: null,
    });
    const listed = await operator.get('/api/organizations/keys/tokens');
    expect(listed.body.data).toEqual([view]);
    expect(listed.text).not.toContain(token);
  });

  it('change only in what a PATCH names, at once for whoever uses them', async () => {
    const { tokenId, secret } = await operator.addOrganization('keys-2');
    const caller = operator.as(secret);
    expect((await caller.get('/api/me')).body).toMatchObject({ token: { name: 'test' } });
    const changed = await operator.patch(`/api/tokens/${tokenId}`, {
      name: 'other',
      scopes: ['usage.read', 'billing.read'],
      monthlyLimitUsd: '1.25',
      requestsPerMinute: 5,
    });
    expect(changed.body).toMatchObject({
      name: 'other',
      scopes: ['usage.read', 'billing.read'],
      monthlyLimitUsd: '1.25',
      requestsPerMinute: 5,
      expiresAt: null,
    });
    expect((await caller.get('/api/me')).body['token']).toEqual(changed.body);
    const cleared = await operator.patch(`/api/tokens/${tokenId}`, {
      monthlyLimitUsd: null,
      requestsPerMinute: null,
    });
    expect(cleared.body).toMatchObject({
      monthlyLimitUsd: null,
      requestsPerMinute: null,
      name: 'other',
    });
  });

  it('are revoked for good: twice is once, and nothing changes them any more', async () => {
    const { tokenId } = await operator.addOrganization('keys-3');
    expect((await operator.delete(`/api/tokens/${tokenId}`)).status).toBe(204);
    expect((await operator.delete(`/api/tokens/${tokenId}`)).status).toBe(204);
    const patched = await operator.patch(`/api/tokens/${tokenId}`, { name: 'x' });
    expect([patched.status, patched.body.error.code]).toEqual([409, 'conflict']);
    const entries = await service.database.query(
      `SELECT 1 FROM audit_log WHERE action = 'token.revoke' AND subject = $1`,
      [`token:${tokenId}`],
    );
    expect(entries).toHaveLength(1);
  });

  it('are made only for members of their own organization who are still in it', async () => {
    await operator.addOrganization('mine');
    await operator.addOrganization('theirs');
    const person = { email: 'p@example.com', name: 'P', role: 'member' };
    const foreign = await operator.post('/api/organizations/theirs/members', person);
    const own = await operator.post('/api/organizations/mine/members', person);
    await operator.delete(`/api/organizations/mine/members/${own.body.id}`);
    for (const memberId of [foreign.body.id, own.body.id, '01a1fbb9-e210-7a3f-9424-b2a1839201d0']) {
      const made = await operator.post('/api/organizations/mine/tokens', { name: 'x', memberId });
      expect(made.status).toBe(400);
      expect(made.body.error.details).toEqual([
        { field: 'memberId', problem: 'is not the id of a member of this organization' },
      ]);
    }
  });
});

describe('the audit log', () => {
  it('tells of every write who, what, from what to what and from where, without secrets', async () => {
    const { tokenId, secret } = await operator.addOrganization('audited', 'pro', [
      'tokens.write',
      'limits.write',
    ]);
    const token = operator.as(secret);
    await token.put('/api/organizations/audited/limits', {
      monthlySpendLimitUsd: '50.00',
      payAsYouGo: true,
    });
    await token.delete(`/api/tokens/${tokenId}`);
    const { body, text } = await operator.get('/api/audit-log?limit=4');
    expect(body.data).toMatchObject([
      {
        actor: `token:${tokenId}`,
        action: 'token.revoke',
        subject: `token:${tokenId}`,
        address: '127.0.0.1',
      },
      {
        actor: `token:${tokenId}`,
        action: 'organization.limits',
        subject: 'organization:audited',
        before: { monthlySpendLimitUsd: '100', payAsYouGo: true },
        after: { monthlySpendLimitUsd: '50', payAsYouGo: true },
      },
      {
        actor: 'operator',
        action: 'token.create',
        before: null,
        after: { organization: 'audited' },
      },
      { actor: 'operator', action: 'organization.create', subject: 'organization:audited' },
    ]);
    expect(text).not.toContain(secret.slice(11));
    const next = await operator.get(`/api/audit-log?limit=2&cursor=${String(body.nextCursor)}`);
    expect(next.body.data[0]?.id.localeCompare(body.data[3]?.id ?? '')).toBe(-1);
  });

  it('has no entry for a write that failed', async () => {
    const count = async (): Promise<unknown> =>
      (await service.database.query('SELECT count(*) FROM audit_log'))[0];
    const before = await count();
    await operator.post('/api/organizations', { name: 'R', slug: 'audited', plan: 'pro' });
    await operator.delete('/api/tokens/01a1fbb9-e210-7a3f-9424-b2a1839201d0');
    expect(await count()).toEqual(before);
  });
});

describe('a bad request', () => {
  const ORGANIZATION = { name: 'X', slug: 'xx', plan: 'pro' };
  const MEMBER = { email: 'x@example.com', name: 'X', role: 'member' };
  const LIMITS = { monthlySpendLimitUsd: '1', payAsYouGo: true };
  const NEW = '/api/organizations';
  const MEMBERS = '/api/organizations/keys/members';
  const TOKENS = '/api/organizations/keys/tokens';
  const LIMITS_PATH = '/api/organizations/keys/limits';

  it.each<[ApiMethod, string, unknown, string, string]>([
    ['POST', NEW, { ...ORGANIZATION, slug: 'x' }, 'slug', '2 to 40 of'],
    ['POST', NEW, { ...ORGANIZATION, slug: 'Acme' }, 'slug', '2 to 40 of'],
    ['POST', NEW, { ...ORGANIZATION, slug: 'a'.repeat(41) }, 'slug', '2 to 40 of'],
    ['POST', NEW, { ...ORGANIZATION, slug: 'a_b' }, 'slug', '2 to 40 of'],
    ['POST', NEW, { ...ORGANIZATION, slug: 'ab\n' }, 'slug', '2 to 40 of'],
    ['POST', NEW, { ...ORGANIZATION, slug: 7 }, 'slug', '2 to 40 of'],
    ...[
      'api',
      'v1',
      'partners',
      'webhooks',
      'livez',
      'readyz',
      'metrics',
      'app',
      'assets',
      'auth',
    ].map((slug): [ApiMethod, string, unknown, string, string] => [
      'POST',
      NEW,
      { ...ORGANIZATION, slug },
      'slug',
      'reserved',
    ]),
    ['POST', NEW, { slug: 'xx', plan: 'pro' }, 'name', '1 to 200 characters'],
    ['POST', NEW, { ...ORGANIZATION, name: '   ' }, 'name', '1 to 200 characters'],
    ['POST', NEW, { ...ORGANIZATION, name: 'a\u0000b' }, 'name', '1 to 200 characters'],
    ['POST', NEW, { ...ORGANIZATION, name: '\ud800' }, 'name', '1 to 200 characters'],
    ['POST', NEW, { ...ORGANIZATION, name: 'x'.repeat(201) }, 'name', '1 to 200 characters'],
    ['POST', NEW, { ...ORGANIZATION, name: { $ne: 1 } }, 'name', '1 to 200 characters'],
    ['POST', NEW, { ...ORGANIZATION, plan: 'gold' }, 'plan', 'free, pro, team'],
    ['POST', NEW, { ...ORGANIZATION, seats: 0 }, 'seats', 'whole number from 1'],
    ['POST', NEW, { ...ORGANIZATION, seats: 1.5 }, 'seats', 'whole number from 1'],
    ['POST', NEW, { ...ORGANIZATION, seats: '3' }, 'seats', 'whole number from 1'],
    ['POST', NEW, { ...ORGANIZATION, seats: null }, 'seats', 'whole number from 1'],
    ['POST', NEW, { ...ORGANIZATION, seat: 3 }, 'seat', 'the fields are: name, slug, plan, seats'],
    ['PATCH', `${NEW}/keys`, { slug: 'other' }, 'slug', 'is not known'],
    ['PATCH', `${NEW}/keys`, { name: null }, 'name', '1 to 200 characters'],
    ['PUT', LIMITS_PATH, { payAsYouGo: true }, 'monthlySpendLimitUsd', 'decimal string'],
    ['PUT', LIMITS_PATH, { monthlySpendLimitUsd: '1' }, 'payAsYouGo', 'true or false'],
    ['PUT', LIMITS_PATH, { ...LIMITS, payAsYouGo: 'yes' }, 'payAsYouGo', 'true or false'],
    [
      'PUT',
      LIMITS_PATH,
      { ...LIMITS, monthlySpendLimitUsd: 50 },
      'monthlySpendLimitUsd',
      'write "50" in quotes',
    ],
    [
      'PUT',
      LIMITS_PATH,
      { ...LIMITS, monthlySpendLimitUsd: '-1' },
      'monthlySpendLimitUsd',
      'at least 0',
    ],
    [
      'PUT',
      LIMITS_PATH,
      { ...LIMITS, monthlySpendLimitUsd: '1e3' },
      'monthlySpendLimitUsd',
      'decimal string',
    ],
    [
      'PUT',
      LIMITS_PATH,
      { ...LIMITS, monthlySpendLimitUsd: '1,000' },
      'monthlySpendLimitUsd',
      'decimal string',
    ],
    [
      'PUT',
      LIMITS_PATH,
      { ...LIMITS, monthlySpendLimitUsd: '0.0000000000001' },
      'monthlySpendLimitUsd',
      '12 decimals',
    ],
    [
      'PUT',
      LIMITS_PATH,
      { ...LIMITS, monthlySpendLimitUsd: '9'.repeat(40) },
      'monthlySpendLimitUsd',
      'decimal string',
    ],
    [
      'PUT',
      LIMITS_PATH,
      { ...LIMITS, requestsPerMinute: -1 },
      'requestsPerMinute',
      'null for no limit',
    ],
    [
      'PUT',
      LIMITS_PATH,
      { ...LIMITS, requestsPerDay: 2 ** 31 },
      'requestsPerDay',
      'null for no limit',
    ],
    ['PUT', LIMITS_PATH, { ...LIMITS, maxSpendLimitUsd: 5 }, 'maxSpendLimitUsd', 'in quotes'],
    ['POST', MEMBERS, { ...MEMBER, email: 'nobody' }, 'email', 'an e-mail address'],
    ['POST', MEMBERS, { ...MEMBER, email: 'a@b.co\u0000' }, 'email', 'an e-mail address'],
    ['POST', MEMBERS, { ...MEMBER, role: 'king' }, 'role', 'owner, admin, billing, member'],
    [
      'POST',
      MEMBERS,
      { ...MEMBER, monthlyLimitUsd: 3.5 },
      'monthlyLimitUsd',
      'write "3.5" in quotes',
    ],
    ['POST', TOKENS, { name: '' }, 'name', '1 to 200 characters'],
    ['POST', TOKENS, { name: 'x', scopes: ['root'] }, 'scopes', 'at least one of: inference'],
    ['POST', TOKENS, { name: 'x', scopes: [] }, 'scopes', 'at least one of: inference'],
    ['POST', TOKENS, { name: 'x', scopes: 'inference' }, 'scopes', 'at least one of: inference'],
    [
      'POST',
      TOKENS,
      { name: 'x', scopes: ['inference', 'inference'] },
      'scopes',
      'different scopes',
    ],
    [
      'POST',
      TOKENS,
      { name: 'x', expiresAt: '2020-01-01T00:00:00Z' },
      'expiresAt',
      'in the future',
    ],
    ['POST', TOKENS, { name: 'x', expiresAt: '2999-02-30T00:00:00Z' }, 'expiresAt', 'ISO 8601'],
    ['POST', TOKENS, { name: 'x', expiresAt: '2999-01-01' }, 'expiresAt', 'ISO 8601'],
    ['POST', TOKENS, { name: 'x', expiresAt: 32503680000 }, 'expiresAt', 'ISO 8601'],
    ['POST', TOKENS, { name: 'x', memberId: 'me' }, 'memberId', 'the id of a member'],
    [
      'POST',
      TOKENS,
      { name: 'x', requestsPerMinute: -1 },
      'requestsPerMinute',
      'null for no limit',
    ],
    ['POST', TOKENS, { name: 'x', hash: 'aa' }, 'hash', 'is not known'],
    ['GET', `${NEW}?limit=0`, undefined, 'limit', 'from 1 to 200'],
    ['GET', `${NEW}?limit=201`, undefined, 'limit', 'from 1 to 200'],
    ['GET', `${NEW}?limit=1e2`, undefined, 'limit', 'from 1 to 200'],
    ['GET', `${NEW}?limit=1&limit=2`, undefined, 'limit', 'from 1 to 200'],
    ['GET', `${NEW}?page=2`, undefined, 'page', 'is not known'],
    ['GET', `${NEW}?cursor=!`, undefined, 'cursor', 'nextCursor'],
    ['GET', `${NEW}?cursor=${cursorOf(['a', 'b'])}`, undefined, 'cursor', 'nextCursor'],
    ['GET', `${NEW}?cursor=${cursorOf(['\u0000'])}`, undefined, 'cursor', 'nextCursor'],
    ['GET', `${TOKENS}?cursor=${cursorOf(['no-uuid'])}`, undefined, 'cursor', 'nextCursor'],
    ['GET', `${TOKENS}?cursor=${cursorOf({})}`, undefined, 'cursor', 'nextCursor'],
    ['GET', '/api/audit-log?cursor=WzFd', undefined, 'cursor', 'nextCursor'],
  ])('%s %s %j is refused by the name of %s (%s)', async (method, path, body, field, problem) => {
    const answer = await operator.call(method, path, body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({
      code: 'invalid_request',
      type: 'invalid_request_error',
      param: field,
      details: [{ field }],
    });
    expect(answer.body.error.message).toContain(problem);
    expect(answer.body.error.message.startsWith(`${field} `)).toBe(true);
  });

  it('lists every wrong field at once', async () => {
    const { body } = await operator.post(NEW, { slug: '!', plan: 'x' });
    expect(body.error.details).toMatchObject([
      { field: 'name' },
      { field: 'slug' },
      { field: 'plan' },
    ]);
  });

  it.each(['{', '', '[]', '"text"', '17', 'null', '{"__proto__": {"name": "x"}}'])(
    'with the body %j is 400 invalid_json',
    async (body) => {
      const answer = await operator.send(NEW, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      expect([answer.status, answer.body.error.code]).toEqual([400, 'invalid_json']);
    },
  );

  it.each(['application/x-www-form-urlencoded', 'text/plain', 'application/xml'])(
    'of content type %s is told to send JSON',
    async (contentType) => {
      const answer = await operator.send(NEW, {
        method: 'POST',
        headers: { 'content-type': contentType },
        body: '{"name":"X","slug":"xx","plan":"pro"}',
      });
      // A type that nobody reads leaves no body; either way the answer names the header.
      expect([400, 415]).toContain(answer.status);
      expect(answer.body.error.message).toContain('application/json');
    },
  );

  it.each([
    ['GET', '/api/nowhere'],
    ['GET', '/nowhere'],
    ['DELETE', '/api/organizations'],
    ['POST', '/api/me'],
  ] as const)('%s %s is 404 unknown_route in our shape', async (method, path) => {
    const answer = await operator.call(method, path);
    expect(answer.status).toBe(404);
    expect(answer.body).toEqual({
      error: {
        message: `There is no ${method} ${path}.`,
        type: 'unknown_route',
        param: null,
        code: 'unknown_route',
        details: null,
      },
    });
  });

  it.each([
    '/api/organizations/unknown',
    '/api/organizations/%00',
    "/api/organizations/'%20OR%201=1",
    '/api/organizations/KEYS',
    '/api/organizations/unknown/members',
  ])('for %s is 404 not_found', async (path) => {
    const answer = await operator.get(path);
    expect([answer.status, answer.body.error.code]).toEqual([404, 'not_found']);
  });

  it.each([
    '1',
    '%00',
    "01a1fbb9-e210-7a3f-9424-b2a1839201d0'",
    '01a1fbb9-e210-7a3f-9424-b2a1839201d0',
  ])('for the token %s is 404 not_found', async (id) => {
    const answer = await operator.delete(`/api/tokens/${id}`);
    expect([answer.status, answer.body.error.code]).toEqual([404, 'not_found']);
  });
});

describe('every answer', () => {
  it('carries a request id of ours, whatever the caller sent, and is not cached', async () => {
    const answer = await operator.send('/api/me', { headers: { 'x-request-id': 'mine' } });
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    const missing = await operator.get('/nowhere');
    expect(missing.headers.get('x-request-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(missing.headers.get('x-request-id')).not.toBe(answer.headers.get('x-request-id'));
  });

  it('to our own failure names the request and nothing of what happened', async () => {
    const { secret } = await operator.addOrganization('broken');
    const failure = vi
      .spyOn(service.app.get(TokensService, { strict: false }), 'find')
      .mockRejectedValueOnce(new Error('SELECT secret FROM somewhere'));
    const answer = await operator.as(secret).get('/api/me');
    failure.mockRestore();
    expect([answer.status, answer.body.error.code]).toEqual([500, 'internal_error']);
    expect(answer.body.error.details).toEqual({ requestId: answer.headers.get('x-request-id') });
    expect(answer.text).not.toContain('SELECT');
  });
});

async function budgetOf(subjectId: string): Promise<unknown> {
  const [row] = await service.database.query(
    'SELECT scope, limit_pico_usd, is_pay_as_you_go, held_pico_usd, is_closed FROM budgets WHERE subject_id = $1',
    [subjectId],
  );
  return row;
}

function cursorOf(tuple: unknown): string {
  return Buffer.from(JSON.stringify(tuple)).toString('base64url');
}
