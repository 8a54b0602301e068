import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

/** Every route of an organization, with a body that is valid for it. */
const ROUTES: readonly [ApiMethod, string, unknown][] = [
  ['GET', '', undefined],
  ['PATCH', '', { name: 'X' }],
  ['PUT', '/limits', { monthlySpendLimitUsd: '1', payAsYouGo: true }],
  ['POST', '/members', { email: 'x@example.com', name: 'X', role: 'member' }],
  ['GET', '/members', undefined],
  ['PATCH', '/members/MEMBER', { name: 'X' }],
  ['DELETE', '/members/MEMBER', undefined],
  ['POST', '/tokens', { name: 'x' }],
  ['GET', '/tokens', undefined],
  ['GET', '/routing', undefined],
  ['PUT', '/routing', { default: 'cheapest', preferred: ['groq'] }],
  ['GET', '/providers', undefined],
  ['GET', '/providers/groq', undefined],
  ['PUT', '/providers/groq', { enabled: false }],
];

const ALL_SCOPES = [
  'inference',
  'usage.read',
  'billing.read',
  'tokens.write',
  'members.write',
  'limits.write',
  'partner.billing',
];

describe('who calls', () => {
  it.each<[string, Record<string, string>]>([
    ['nothing', {}],
    ['another scheme', { authorization: 'Basic dGc6dGc=' }],
    ['a malformed token', { authorization: 'Bearer tg_short' }],
    ['an unknown token', { authorization: `Bearer tg_${'a'.repeat(43)}` }],
    ['an unknown token of another service', { authorization: 'Bearer hf_abcdefghijklmnop' }],
    ['the admin token but one character', { authorization: 'Bearer test-admin-token-012345678' }],
    ['an unknown key', { 'x-api-key': `tg_${'b'.repeat(43)}` }],
    ['an empty key', { 'x-api-key': '' }],
  ])('is refused with 401 when %s was presented', async (_what, headers) => {
    const answer = await operator.as(null).send('/api/me', { headers });
    expect(answer.status).toBe(401);
    expect(answer.body.error).toMatchObject({
      code: 'invalid_token',
      type: 'authentication_error',
    });
  });

  it('is asked before the body is judged', async () => {
    const answer = await operator.as(null).post('/api/organizations', { nonsense: true });
    expect(answer.status).toBe(401);
  });

  it('is the operator with the admin token', async () => {
    expect((await operator.get('/api/me')).body).toEqual({ kind: 'operator' });
  });

  it('is the same token as a bearer, behind hf_, and as x-api-key', async () => {
    const { tokenId, secret } = await operator.addOrganization('presented');
    const presentations: Record<string, string>[] = [
      { authorization: `Bearer ${secret}` },
      { authorization: `bearer ${secret}` },
      { authorization: `Bearer hf_${secret}` },
      { 'x-api-key': secret },
      { 'x-api-key': `hf_${secret}` },
    ];
    for (const headers of presentations) {
      const answer = await operator.as(null).send('/api/me', { headers });
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({
        kind: 'token',
        token: { id: tokenId, name: 'test', scopes: ['inference', 'usage.read'] },
        organization: { slug: 'presented', plan: 'pro' },
      });
    }
  });

  it('is nobody with the hash, the prefix or the id of a token', async () => {
    const { tokenId, secret } = await operator.addOrganization('guessed');
    const [row] = await service.database.query<{ hash: Buffer }>(
      'SELECT hash FROM tokens WHERE id = $1',
      [tokenId],
    );
    const hash = row?.hash ?? Buffer.alloc(0);
    for (const guess of [
      tokenId,
      secret.slice(0, 11),
      hash.toString('hex'),
      hash.toString('base64'),
    ]) {
      expect((await operator.as(guess).get('/api/me')).status).toBe(401);
    }
  });
});

describe('a foreign organization', () => {
  it.each(ROUTES)(
    'is 404 not_found on %s %s, even with every scope',
    async (method, path, body) => {
      const slug = `foreign-${ROUTES.findIndex((one) => one[0] === method && one[1] === path)}`;
      await operator.addOrganization(slug);
      const member = { email: 'm@example.com', name: 'M', role: 'member' };
      const { id } = (await operator.post(`/api/organizations/${slug}/members`, member)).body;
      const { secret } = await operator.addOrganization(`own-${slug}`, 'pro', ALL_SCOPES);
      const before = await organizationState(slug);
      const own = operator.as(secret);
      const foreign = await own.call(
        method,
        `/api/organizations/${slug}${path.replace('MEMBER', id)}`,
        body,
      );
      const unknown = await own.call(
        method,
        `/api/organizations/no-such${path.replace('MEMBER', id)}`,
        body,
      );
      expect([foreign.status, foreign.body.error.code]).toEqual([404, 'not_found']);
      // The same answer as for what does not exist: nobody learns which slugs are taken.
      expect(foreign.body).toEqual(unknown.body);
      expect(await organizationState(slug)).toEqual(before);
    },
  );

  it('has its tokens and members hidden behind ids as well', async () => {
    const other = await operator.addOrganization('victim');
    const member = { email: 'm@example.com', name: 'M', role: 'member' };
    const { id } = (await operator.post('/api/organizations/victim/members', member)).body;
    const { secret } = await operator.addOrganization('attacker', 'pro', ALL_SCOPES);
    const attacker = operator.as(secret);
    const before = await organizationState('victim');
    for (const [method, path, body] of [
      ['PATCH', `/api/tokens/${other.tokenId}`, { name: 'x' }],
      ['DELETE', `/api/tokens/${other.tokenId}`, undefined],
      ['PATCH', `/api/organizations/attacker/members/${id}`, { name: 'x' }],
      ['DELETE', `/api/organizations/attacker/members/${id}`, undefined],
    ] as const) {
      const answer = await attacker.call(method, path, body);
      expect([answer.status, answer.body.error.code]).toEqual([404, 'not_found']);
    }
    expect(await organizationState('victim')).toEqual(before);
    expect((await operator.as(other.secret).get('/api/me')).status).toBe(200);
  });
});

describe('a missing scope', () => {
  it.each([
    [
      'PUT',
      '/api/organizations/scoped/limits',
      'limits.write',
      { monthlySpendLimitUsd: '1', payAsYouGo: true },
    ],
    [
      'POST',
      '/api/organizations/scoped/members',
      'members.write',
      { email: 'x@example.com', name: 'X', role: 'member' },
    ],
    ['GET', '/api/organizations/scoped/members', 'members.write', undefined],
    ['POST', '/api/organizations/scoped/tokens', 'tokens.write', { name: 'x' }],
    ['GET', '/api/organizations/scoped/tokens', 'tokens.write', undefined],
  ] as const)('is 403 on %s %s and named: %s', async (method, path, scope, body) => {
    await operator.post('/api/organizations', { name: 'S', slug: 'scoped', plan: 'pro' });
    const without = await operator.addToken('scoped', {
      scopes: ALL_SCOPES.filter((one) => one !== scope),
    });
    const refused = await operator.as(without.secret).call(method, path, body);
    expect(refused.status).toBe(403);
    expect(refused.body.error).toMatchObject({
      code: 'insufficient_scope',
      details: { missingScopes: [scope] },
    });
    expect(refused.body.error.message).toContain(scope);
    const withIt = await operator.addToken('scoped', { scopes: [scope] });
    const allowed = await operator.as(withIt.secret).call(method, path, body);
    expect(allowed.status).toBeLessThan(300);
  });

  it('is 403 also for the own token by its id', async () => {
    const { tokenId, secret } = await operator.addOrganization('self');
    for (const [method, body] of [
      ['PATCH', { monthlyLimitUsd: null }],
      ['DELETE', undefined],
    ] as const) {
      const answer = await operator.as(secret).call(method, `/api/tokens/${tokenId}`, body);
      expect([answer.status, answer.body.error.code]).toEqual([403, 'insufficient_scope']);
    }
  });

  it.each([
    ['POST', '/api/organizations', { name: 'X', slug: 'mine-too', plan: 'pro' }],
    ['GET', '/api/organizations', undefined],
    ['PATCH', '/api/organizations/all-scopes', { plan: 'team' }],
    ['GET', '/api/audit-log', undefined],
  ] as const)('is the admin token on %s %s', async (method, path, body) => {
    await operator.post('/api/organizations', { name: 'A', slug: 'all-scopes', plan: 'pro' });
    const { secret } = await operator.addToken('all-scopes', { scopes: ALL_SCOPES });
    const answer = await operator.as(secret).call(method, path, body);
    expect([answer.status, answer.body.error.code]).toEqual([403, 'insufficient_scope']);
    expect(answer.body.error.message).toContain('admin token');
  });

  it('cannot be had by making or changing a token', async () => {
    const { secret } = await operator.addOrganization('climber', 'pro', ['tokens.write']);
    const climber = operator.as(secret);
    const tokens = '/api/organizations/climber/tokens';
    const made = await climber.post(tokens, { name: 'x', scopes: ['inference', 'limits.write'] });
    expect(made.status).toBe(403);
    expect(made.body.error.details).toEqual({ missingScopes: ['limits.write'] });
    const plain = await climber.post(tokens, { name: 'x' });
    expect(plain.body).toMatchObject({ scopes: ['inference', 'usage.read'] });
    const raised = await climber.patch(`/api/tokens/${plain.body.id}`, {
      scopes: ['members.write'],
    });
    expect(raised.body.error.details).toEqual({ missingScopes: ['members.write'] });
  });
});

async function organizationState(slug: string): Promise<unknown> {
  return service.database.query(
    `SELECT to_jsonb(a) AS account,
       (SELECT jsonb_agg(m ORDER BY m.id) FROM members m WHERE m.account_id = a.id) AS members,
       (SELECT jsonb_agg(to_jsonb(t) - 'last_used_at' ORDER BY t.id) FROM tokens t WHERE t.account_id = a.id) AS tokens,
       (SELECT jsonb_agg(b ORDER BY b.subject_id) FROM budgets b WHERE b.account_id = a.id) AS budgets
     FROM accounts a WHERE a.slug = $1`,
    [slug],
  );
}
