import type * as Pino from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { IdentityService } from '../../src/identity/identity.service.js';
import { ApiClient, eventually } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';

/** Everything that is logged, by loggers as the service makes them. */
const { lines } = vi.hoisted(() => ({ lines: [] as string[] }));
vi.mock('pino', async (original) => {
  const actual = await original<typeof Pino>();
  const sink = { write: (line: string): void => void lines.push(line) };
  const pino = (options: Pino.LoggerOptions): Pino.Logger => actual.pino(options, sink);
  return { ...actual, pino: Object.assign(pino, actual.pino) };
});

const SCOPES = ['inference', 'usage.read', 'limits.write'];
const SECRET = 'gsk_this-is-a-provider-key-0123456789';
/** Nobody listens there. */
const NOWHERE = 'http://127.0.0.1:9';
const OWN_SECRET = 'gsk_this-is-a-key-of-an-organization';

let service: TestService;
let operator: ApiClient;

beforeAll(async () => {
  service = await startService({
    UPSTREAM_BASE_URL: 'http://127.0.0.1:9',
    ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1',
    LOG_LEVEL: 'trace',
  });
  operator = new ApiClient(service.url);
});
afterAll(async () => {
  await service.close();
});

const everyRow = async (): Promise<string> =>
  JSON.stringify(
    await Promise.all(
      ['providers', 'account_providers', 'account_routing', 'audit_log'].map((table) =>
        service.database.query(`SELECT t::text FROM ${table} t`),
      ),
    ),
  );

const auditOf = async (action: string): Promise<readonly Record<string, unknown>[]> =>
  (await operator.get('/api/audit-log')).body.data.filter((entry) => entry['action'] === action);

describe('the providers', () => {
  it('are listed, the known ones too, and page by page', async () => {
    const { body } = await operator.get('/api/providers');
    const slugs = body.data.map(({ slug }) => slug);
    expect(slugs).toEqual([...slugs].sort());
    expect(slugs).toContain('groq');
    expect(slugs).toContain('hf-inference');
    const first = await operator.get('/api/providers?limit=3');
    const second = await operator.get(
      `/api/providers?limit=3&cursor=${first.body.nextCursor ?? ''}`,
    );
    expect([...first.body.data, ...second.body.data].map(({ slug }) => slug)).toEqual(
      slugs.slice(0, 6),
    );
    expect((await operator.get('/api/providers/cohere')).body).toEqual({
      slug: 'cohere',
      enabled: true,
      kind: null,
      baseUrl: null,
      hasKey: false,
      cost: 'price_book',
      costApiUrl: null,
      onClientGone: null,
      streamUsage: null,
      maxOutputField: null,
      rejects: null,
      modelIds: null,
    });
    expect((await operator.get('/api/providers/nobody')).status).toBe(404);
    expect((await operator.get('/api/providers/No%20Slug')).status).toBe(404);
  });

  it('are called directly with nothing but a key where they are known', async () => {
    // Switched off, so that nobody calls there from a test.
    const put = await operator.call('PUT', '/api/providers/groq', {
      enabled: false,
      apiKey: SECRET,
      streamUsage: 'ask',
      rejects: ['store'],
      modelIds: { 'Org/Model': 'own-model' },
    });
    expect(put.status).toBe(200);
    expect(put.body).toEqual({
      slug: 'groq',
      enabled: false,
      kind: 'openai_compatible',
      baseUrl: 'https://api.groq.com',
      hasKey: true,
      cost: 'price_book',
      costApiUrl: null,
      onClientGone: null,
      streamUsage: 'ask',
      maxOutputField: null,
      rejects: ['store'],
      modelIds: { 'Org/Model': 'own-model' },
    });
    expect((await operator.get('/api/providers/groq')).body).toEqual(put.body);
  });

  it('keep what a change does not name, and forget what is null', async () => {
    const path = '/api/providers/novita';
    await operator.call('PUT', path, {
      enabled: false,
      apiKey: SECRET,
      baseUrl: 'https://novita.example.com/v3/openai/',
      cost: 'cost_api',
      costApiUrl: 'https://novita.example.com/cost',
      onClientGone: 'drain',
      maxOutputField: 'max_completion_tokens',
    });
    const kept = await operator.call('PUT', path, { streamUsage: 'never' });
    expect(kept.body).toMatchObject({
      enabled: false,
      streamUsage: 'never',
      baseUrl: 'https://novita.example.com',
      hasKey: true,
      cost: 'cost_api',
      costApiUrl: 'https://novita.example.com/cost',
      onClientGone: 'drain',
      maxOutputField: 'max_completion_tokens',
    });
    const cleared = await operator.call('PUT', path, {
      apiKey: null,
      baseUrl: null,
      cost: 'price_book',
      costApiUrl: null,
      onClientGone: null,
      maxOutputField: null,
    });
    expect(cleared.body).toMatchObject({
      kind: 'openai_compatible',
      baseUrl: 'https://api.novita.ai',
      hasKey: false,
      cost: 'price_book',
      onClientGone: null,
      maxOutputField: null,
    });
    const ended = await operator.call('PUT', path, { kind: null });
    expect(ended.body).toMatchObject({ kind: null, baseUrl: null, hasKey: false });
  });

  it.each<[string, string, unknown, string]>([
    ['a private address', 'x-one', { baseUrl: 'http://10.0.0.1' }, 'baseUrl'],
    ['a loopback address', 'x-one', { baseUrl: 'http://[::1]:80' }, 'baseUrl'],
    ['localhost', 'x-one', { baseUrl: 'http://localhost:8000' }, 'baseUrl'],
    ['the metadata service', 'x-one', { baseUrl: 'http://169.254.169.254' }, 'baseUrl'],
    ['another scheme', 'x-one', { baseUrl: 'ftp://example.com' }, 'baseUrl'],
    ['credentials', 'x-one', { baseUrl: 'https://a:b@example.com' }, 'baseUrl'],
    ['a query', 'x-one', { baseUrl: 'https://example.com?a=b' }, 'baseUrl'],
    ['a number for an address', 'x-one', { baseUrl: 7 }, 'baseUrl'],
    ['no address', 'x-one', { apiKey: 'abc' }, 'baseUrl'],
    ['a private cost API', 'groq', { costApiUrl: 'http://192.168.1.1' }, 'costApiUrl'],
    ['a cost API without address', 'groq', { cost: 'cost_api' }, 'costApiUrl'],
    ['another cost', 'groq', { cost: 'guess' }, 'cost'],
    ['another kind', 'groq', { kind: 'soap' }, 'kind'],
    ['a kind of router', 'groq', { kind: 'huggingface_router' }, 'kind'],
    ['a key with a line break', 'groq', { apiKey: 'a\r\nx: y' }, 'apiKey'],
    ['an empty key', 'groq', { apiKey: '' }, 'apiKey'],
    ['a long key', 'groq', { apiKey: 'a'.repeat(1001) }, 'apiKey'],
    ['a key that is no text', 'groq', { apiKey: 7 }, 'apiKey'],
    ['null for enabled', 'groq', { enabled: null }, 'enabled'],
    ['a text for enabled', 'groq', { enabled: 'yes' }, 'enabled'],
    ['another way of being gone', 'groq', { onClientGone: 'wait' }, 'onClientGone'],
    ['another usage', 'groq', { streamUsage: true }, 'streamUsage'],
    ['another field', 'groq', { maxOutputField: 'tokens' }, 'maxOutputField'],
    ['a field that must be sent', 'groq', { rejects: ['model'] }, 'rejects'],
    ['a path for a field', 'groq', { rejects: ['a.b'] }, 'rejects'],
    ['one field twice', 'groq', { rejects: ['a', 'a'] }, 'rejects'],
    ['a list of model ids', 'groq', { modelIds: ['a'] }, 'modelIds'],
    ['a model id that is a number', 'groq', { modelIds: { 'Org/M': 7 } }, 'modelIds'],
    ['an empty model id', 'groq', { modelIds: { 'Org/M': '' } }, 'modelIds'],
    ['a model with a suffix', 'groq', { modelIds: { 'Org/M:fastest': 'm' } }, 'modelIds'],
    ['two models of one name', 'groq', { modelIds: { 'Org/A': 'm', 'Org/B': 'm' } }, 'modelIds'],
    ['an unknown field', 'groq', { key: 'x' }, 'key'],
    ['a reserved slug', 'api', { enabled: true }, 'slug'],
    ["the router's name", 'default', { enabled: true }, 'slug'],
    ['what is no slug', 'Groq', { enabled: true }, 'slug'],
  ])('refuse %s, naming the field', async (_what, slug, body, field) => {
    const before = await everyRow();
    const answer = await operator.call('PUT', `/api/providers/${slug}`, body);
    expect([answer.status, answer.body.error.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.error.details).toMatchObject([{ field }]);
    expect(await everyRow()).toBe(before);
  });

  it('take a private address that the environment names', async () => {
    const answer = await operator.call('PUT', '/api/providers/x-local', {
      baseUrl: 'http://127.0.0.1:9/v1',
    });
    expect(answer.body).toMatchObject({ kind: 'openai_compatible', baseUrl: 'http://127.0.0.1:9' });
    await operator.call('PUT', '/api/providers/x-local', { kind: null });
  });

  it("are the operator's alone", async () => {
    const { secret } = await operator.addOrganization('curious', 'pro', SCOPES);
    const caller = operator.as(secret);
    for (const answer of [
      await caller.get('/api/providers'),
      await caller.get('/api/providers/groq'),
      await caller.call('PUT', '/api/providers/groq', { enabled: false }),
    ]) {
      expect([answer.status, answer.body.error.code]).toEqual([403, 'insufficient_scope']);
    }
    expect((await operator.as(null).get('/api/providers')).status).toBe(401);
  });

  it('have every change in the audit log, without the key', async () => {
    await operator.call('PUT', '/api/providers/scaleway', { apiKey: SECRET, baseUrl: NOWHERE });
    await operator.call('PUT', '/api/providers/scaleway', { enabled: false });
    const entries = (await auditOf('provider.update')).filter(
      ({ subject }) => subject === 'provider:scaleway',
    );
    expect(entries).toMatchObject([
      {
        actor: 'operator',
        before: { isEnabled: true, hasKey: true },
        after: { isEnabled: false, hasKey: true, isApiKeyNew: false },
      },
      { before: null, after: { kind: 'openai_compatible', hasKey: true, isApiKeyNew: true } },
    ]);
  });
});

describe('what an organization decides', () => {
  const BASE = '/api/organizations/choosy';
  let owner: ApiClient;
  let secret: string;

  beforeAll(async () => {
    ({ secret } = await operator.addOrganization('choosy', 'pro', SCOPES));
    owner = operator.as(secret);
    await operator.call('PUT', '/api/providers/groq', {
      enabled: true,
      apiKey: SECRET,
      baseUrl: NOWHERE,
    });
    await operator.call('PUT', '/api/providers/x-unplaced', { streamUsage: 'never' });
  });

  it('is nothing at first', async () => {
    expect((await owner.get(`${BASE}/routing`)).body).toEqual({ default: null, preferred: [] });
    const { body } = await owner.get(`${BASE}/providers`);
    expect(body.data.find(({ provider }) => provider === 'groq')).toEqual({
      provider: 'groq',
      enabled: true,
      hasKey: false,
      available: true,
      takesKey: true,
    });
    const identities = service.app.get(IdentityService, { strict: false });
    expect((await identities.identify(secret, '127.0.0.1'))?.routing).toBeNull();
  });

  it('is kept, shown, and known to the next request of its tokens', async () => {
    const put = await owner.call('PUT', `${BASE}/routing`, {
      default: 'preferred',
      preferred: ['groq', 'together'],
    });
    expect([put.status, put.body]).toEqual([
      200,
      { default: 'preferred', preferred: ['groq', 'together'] },
    ]);
    expect((await owner.call('PUT', `${BASE}/routing`, { default: null })).body).toEqual({
      default: null,
      preferred: ['groq', 'together'],
    });
    await owner.call('PUT', `${BASE}/routing`, { default: 'cheapest' });
    const off = await owner.call('PUT', `${BASE}/providers/cerebras`, { enabled: false });
    expect(off.body).toEqual({
      provider: 'cerebras',
      enabled: false,
      hasKey: false,
      available: true,
      takesKey: true,
    });
    const own = await owner.call('PUT', `${BASE}/providers/groq`, { apiKey: OWN_SECRET });
    expect(own.body).toMatchObject({ provider: 'groq', enabled: true, hasKey: true });
    expect((await owner.get(`${BASE}/providers/groq`)).body).toEqual(own.body);
    const identities = service.app.get(IdentityService, { strict: false });
    await eventually(async () => {
      const routing = (await identities.identify(secret, '127.0.0.1'))?.routing;
      return routing?.ownKeys.has('groq') === true && routing.default === 'cheapest';
    });
    expect((await identities.identify(secret, '127.0.0.1'))?.routing).toEqual({
      default: 'cheapest',
      preferred: ['groq', 'together'],
      disabled: new Set(['cerebras']),
      ownKeys: new Set(['groq']),
    });
    const gone = await owner.call('PUT', `${BASE}/providers/groq`, { apiKey: null });
    expect(gone.body).toMatchObject({ enabled: true, hasKey: false });
  });

  it.each<[string, string, unknown, string]>([
    ['another policy', '/routing', { default: 'best' }, 'default'],
    ['a provider that can be none', '/routing', { preferred: ['No Slug'] }, 'preferred'],
    ['one twice', '/routing', { preferred: ['groq', 'groq'] }, 'preferred'],
    ['null', '/routing', { preferred: null }, 'preferred'],
    ['a text', '/routing', { preferred: 'groq' }, 'preferred'],
    [
      'too many',
      '/routing',
      { preferred: Array.from({ length: 51 }, (_, index) => `p-${index}`) },
      'preferred',
    ],
    ['an unknown field', '/routing', { prefer: [] }, 'prefer'],
    ['no boolean', '/providers/groq', { enabled: 1 }, 'enabled'],
    ['a key with a space', '/providers/groq', { apiKey: 'a b' }, 'apiKey'],
    ['a key for a place nobody knows', '/providers/x-unplaced', { apiKey: 'abc' }, 'apiKey'],
    ["an operator's field", '/providers/groq', { baseUrl: 'https://example.com' }, 'baseUrl'],
  ])('is refused when it is %s, naming the field', async (_what, path, body, field) => {
    const before = await everyRow();
    const answer = await owner.call('PUT', BASE + path, body);
    expect([answer.status, answer.body.error.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.error.details).toMatchObject([{ field }]);
    expect(await everyRow()).toBe(before);
  });

  it('is about providers that there are', async () => {
    const answer = await owner.call('PUT', `${BASE}/providers/nobody`, { enabled: false });
    expect([answer.status, answer.body.error.code]).toEqual([404, 'not_found']);
    expect((await owner.get(`${BASE}/providers/nobody`)).status).toBe(404);
  });

  it("is nobody else's to see or to change", async () => {
    const other = await operator.addOrganization('nosy', 'pro', SCOPES);
    const nosy = operator.as(other.secret);
    const before = await everyRow();
    for (const [method, path, body] of [
      ['GET', '/routing', undefined],
      ['PUT', '/routing', { default: 'fastest' }],
      ['GET', '/providers', undefined],
      ['GET', '/providers/groq', undefined],
      ['PUT', '/providers/groq', { apiKey: 'stolen' }],
    ] as const) {
      const foreign = await nosy.call(method, BASE + path, body);
      const unknown = await nosy.call(method, `/api/organizations/no-such${path}`, body);
      expect([foreign.status, foreign.body.error.code]).toEqual([404, 'not_found']);
      expect(foreign.body).toEqual(unknown.body);
    }
    expect(await everyRow()).toBe(before);
  });

  it('is changed with the scope for it only', async () => {
    const { secret: reading } = await operator.addOrganization('reader', 'pro', ['usage.read']);
    const reader = operator.as(reading);
    expect((await reader.get('/api/organizations/reader/routing')).status).toBe(200);
    for (const path of ['/routing', '/providers/groq']) {
      const answer = await reader.call('PUT', `/api/organizations/reader${path}`, {});
      expect([answer.status, answer.body.error.code]).toEqual([403, 'insufficient_scope']);
    }
  });

  it("is a user's to decide for his own account too", async () => {
    const user = await operator.post('/api/users', { email: 'u@example.com', name: 'U' });
    const path = `/api/users/${user.body.id}`;
    const token = await operator.post(`${path}/tokens`, { name: 't', scopes: SCOPES });
    const own = operator.as(token.body.token);
    await own.call('PUT', '/api/me/routing', { default: 'cheapest' });
    expect((await own.get(`${path}/routing`)).body).toEqual({ default: 'cheapest', preferred: [] });
    await own.call('PUT', `${path}/providers/groq`, { enabled: false });
    expect((await own.get('/api/me/providers/groq')).body).toMatchObject({ enabled: false });
  });

  it('is in the audit log', async () => {
    const [entry] = await auditOf('routing.update').then((all) =>
      all.filter(({ subject }) => subject === 'organization:choosy'),
    );
    expect(entry).toMatchObject({
      before: { default: null, preferred: ['groq', 'together'] },
      after: { default: 'cheapest', preferred: ['groq', 'together'] },
    });
    const keys = (await auditOf('account_provider.update')).filter(
      ({ subject }) => subject === 'organization:choosy',
    );
    expect(keys[0]).toMatchObject({ before: { hasKey: true }, after: { hasKey: false } });
    expect(keys[1]).toMatchObject({
      before: null,
      after: { provider: 'groq', hasKey: true, isApiKeyNew: true },
    });
  });
});

it('no key is in any table, answer or log line', async () => {
  await operator.call('PUT', '/api/organizations/choosy/providers/groq', { apiKey: OWN_SECRET });
  const answers = await Promise.all(
    [
      '/api/providers',
      '/api/providers/groq',
      '/api/organizations/choosy/providers',
      '/api/organizations/choosy/providers/groq',
      '/api/audit-log?limit=200',
    ].map(async (path) => (await operator.get(path)).text),
  );
  const rows = await everyRow();
  for (const secret of [SECRET, OWN_SECRET]) {
    expect(answers.join('')).not.toContain(secret);
    expect(lines.join('')).not.toContain(secret);
    expect(rows).not.toContain(secret);
    expect(rows).not.toContain(Buffer.from(secret).toString('hex'));
  }
  expect(lines.length).toBeGreaterThan(10);
});
