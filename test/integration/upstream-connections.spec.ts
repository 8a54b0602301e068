import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TollgateError } from '../../src/domain/errors.js';
import { MetricsService } from '../../src/http/metrics.service.js';
import { Upstreams, type Upstream } from '../../src/proxy/upstreams.js';
import { ApiClient, eventually } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';

interface Target {
  readonly url: string;
  readonly seen: IncomingHttpHeaders[];
  close(): Promise<void>;
}

async function startTarget(): Promise<Target> {
  const seen: IncomingHttpHeaders[] = [];
  const server: Server = createServer((request, response) => {
    if (request.method === 'POST') seen.push(request.headers);
    request.resume();
    response.writeHead(request.method === 'POST' ? 200 : 404).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

const SCOPES = ['limits.write'];
const ENVIRONMENT = { UPSTREAM_BASE_URL: 'http://127.0.0.1:9', LOG_LEVEL: 'silent' };
const HOUR_MS = 3_600_000;

let first: Target;
let second: Target;
let service: TestService;
/** Another process on the same database. */
let replica: TestService;
let operator: ApiClient;
let accountId: string;
let owner: ApiClient;

const upstreamsOf = (app: NestFastifyApplication): Upstreams =>
  app.get(Upstreams, { strict: false });

async function call({ dispatcher, basePath, authScheme, apiKey }: Upstream): Promise<number> {
  const { statusCode, body } = await dispatcher.request({
    origin: '',
    method: 'POST',
    path: `${basePath}/v1/chat/completions`,
    headers: apiKey === null ? {} : { authorization: `${authScheme} ${apiKey}` },
    body: '{}',
  });
  await body.dump();
  return statusCode;
}

function refusalOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof TollgateError) return `${error.refusal.code}: ${error.message}`;
    throw error;
  }
  return 'nothing';
}

beforeAll(async () => {
  first = await startTarget();
  second = await startTarget();
  const environment = { ...ENVIRONMENT, ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1' };
  service = await startService(environment);
  replica = await startService(environment, service.database);
  operator = new ApiClient(service.url);
  const made = await operator.addOrganization('acme', 'pro', SCOPES);
  accountId = made.accountId;
  owner = operator.as(made.secret);
  await operator.put('/api/providers/groq', { baseUrl: first.url, apiKey: 'operators-key' });
});
afterAll(async () => {
  await replica.close();
  await service.close();
  await first.close();
  await second.close();
});

describe('the connections to upstreams', () => {
  it('go to the router by its configured address, as ever', () => {
    const router = upstreamsOf(service.app).named('default');
    expect(router).toMatchObject({
      name: 'default',
      kind: 'openai_router',
      authScheme: 'Bearer',
      apiKey: 'sim-key',
      queue: null,
    });
    expect(upstreamsOf(service.app).named('default', accountId)).toBe(router);
  });

  it("go to a provider with the operator's key, through one pool", async () => {
    const upstreams = upstreamsOf(service.app);
    const groq = upstreams.named('groq');
    expect(groq).toMatchObject({ kind: 'openai_compatible', basePath: '', billTo: null });
    expect(upstreams.named('groq').dispatcher).toBe(groq.dispatcher);
    expect(await call(groq)).toBe(200);
    expect(first.seen.at(-1)?.authorization).toBe('Bearer operators-key');
  });

  it('follow a new key and a new address, in every process', async () => {
    const before = upstreamsOf(replica.app).named('groq');
    await operator.put('/api/providers/groq', { baseUrl: `${second.url}/v9/`, apiKey: 'new-key' });
    const here = upstreamsOf(service.app).named('groq');
    expect([here.apiKey, here.basePath]).toEqual(['new-key', '/v9']);
    await eventually(() => upstreamsOf(replica.app).named('groq').apiKey === 'new-key');
    const there = upstreamsOf(replica.app).named('groq');
    expect(there.dispatcher).not.toBe(before.dispatcher);
    expect(await call(there)).toBe(200);
    expect(second.seen.at(-1)?.authorization).toBe('Bearer new-key');
    // What was chosen before may still be under way: its connections are there.
    expect(await call(before)).toBe(200);
  });

  it('are closed when nobody uses them, and opened again', async () => {
    const upstreams = upstreamsOf(service.app);
    const used = upstreams.named('groq');
    upstreams.closeUnused(performance.now());
    expect(upstreams.named('groq').dispatcher).toBe(used.dispatcher);
    upstreams.closeUnused(performance.now() + HOUR_MS);
    await expect(call(used)).rejects.toThrow();
    expect(await call(upstreams.named('groq'))).toBe(200);
    await operator.put('/api/providers/groq', { baseUrl: first.url });
    const old = upstreams.named('groq');
    await operator.put('/api/providers/groq', { baseUrl: second.url });
    upstreams.closeUnused(performance.now());
    await expect(call(old)).rejects.toThrow();
  });

  it("use an account's own key for that account alone", async () => {
    const none = 'upstream_error: There is no key of your own for groq any more: try again.';
    expect(refusalOf(() => upstreamsOf(service.app).named('groq', accountId))).toBe(none);
    await owner.put('/api/organizations/acme/providers/groq', { apiKey: 'acmes-key' });
    const own = upstreamsOf(service.app).named('groq', accountId);
    expect(own.apiKey).toBe('acmes-key');
    expect(upstreamsOf(service.app).named('groq').apiKey).toBe('new-key');
    expect(own.dispatcher).toBe(upstreamsOf(service.app).named('groq').dispatcher);
    const replicas = upstreamsOf(replica.app);
    await eventually(() => refusalOf(() => replicas.named('groq', accountId)) === 'nothing');
    expect(replicas.named('groq', accountId).apiKey).toBe('acmes-key');
    await owner.put('/api/organizations/acme/providers/groq', { apiKey: null });
    expect(refusalOf(() => upstreamsOf(service.app).named('groq', accountId))).toBe(none);
    await eventually(() => refusalOf(() => replicas.named('groq', accountId)) === none);
  });

  it('present the key as the provider wants it, and know its queue', async () => {
    await operator.put('/api/providers/fal-ai', { apiKey: 'fk', enabled: false });
    const known = upstreamsOf(service.app).named('fal-ai');
    expect(known).toMatchObject({ kind: 'fal', authScheme: 'Key', queue: { basePath: '' } });
    expect(known.queue?.dispatcher).not.toBe(known.dispatcher);
    await operator.put('/api/providers/fal-ai', { baseUrl: first.url });
    const own = upstreamsOf(service.app).named('fal-ai');
    expect(own.queue).toBeNull();
    await call(own);
    expect(first.seen.at(-1)?.authorization).toBe('Key fk');
  });

  it('are refused when the name stands for a private address', async () => {
    await service.database.query(`UPDATE providers SET base_url = $1 WHERE slug = 'groq'`, [
      first.url.replace('127.0.0.1', '127.0.0.2'),
    ]);
    await service.database.query(`SELECT pg_notify('tollgate_upstreams', '')`);
    const upstreams = upstreamsOf(service.app);
    const before = upstreams.named('groq').dispatcher;
    await eventually(() => upstreams.named('groq').dispatcher !== before);
    await expect(call(upstreams.named('groq'))).rejects.toMatchObject({ code: 'PRIVATE_ADDRESS' });
    await operator.put('/api/providers/groq', { baseUrl: first.url });
  });

  it('end with the provider', async () => {
    await operator.put('/api/providers/x-passing', { baseUrl: first.url });
    expect(upstreamsOf(service.app).named('x-passing').apiKey).toBeNull();
    await operator.put('/api/providers/x-passing', { kind: null });
    expect(refusalOf(() => upstreamsOf(service.app).named('x-passing'))).toBe(
      'upstream_error: The provider x-passing is no longer called directly: try again.',
    );
  });

  it('are none under another ENCRYPTION_KEY: said, alarmed, and nothing else is broken', async () => {
    await owner.put('/api/organizations/acme/providers/groq', { apiKey: 'acmes-key' });
    const other = await startService(
      { ...ENVIRONMENT, ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1', ENCRYPTION_KEY: '11'.repeat(32) },
      service.database,
    );
    const unreadable =
      'upstream_error: The stored key for groq cannot be opened: it must be entered again.';
    const upstreams = upstreamsOf(other.app);
    expect(refusalOf(() => upstreams.named('groq'))).toBe(unreadable);
    expect(refusalOf(() => upstreams.named('groq', accountId))).toBe(unreadable);
    expect(upstreams.named('default').apiKey).toBe('sim-key');
    const { values } = await other.app.get(MetricsService, { strict: false }).alarms.get();
    const alarm = values.find(({ labels }) => labels.kind === 'provider_key_unreadable');
    expect(alarm?.value).toBeGreaterThanOrEqual(2);
    const shown = await new ApiClient(other.url).get('/api/providers/groq');
    expect(shown.body).toMatchObject({ hasKey: true });
    // A key that was entered again is sealed with the key of now.
    await new ApiClient(other.url).put('/api/providers/groq', { apiKey: 'again' });
    expect(upstreams.named('groq').apiKey).toBe('again');
    await other.close();
  });

  it('do not open a key that was moved to another account', async () => {
    const { accountId: thief } = await operator.addOrganization('thief', 'pro', SCOPES);
    await service.database.query(
      `INSERT INTO account_providers (account_id, provider, api_key, api_key_key_id, updated_at)
       SELECT $1, provider, api_key, api_key_key_id, updated_at FROM account_providers WHERE account_id = $2 AND provider = 'groq'`,
      [thief, accountId],
    );
    await service.database.query(`SELECT pg_notify('tollgate_upstreams', $1)`, [thief]);
    await eventually(() =>
      refusalOf(() => upstreamsOf(service.app).named('groq', thief)).includes('cannot be opened'),
    );
  });
});
