import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CatalogRepository } from '../../src/catalog/catalog.repository.js';
import type { StoredCatalog } from '../../src/catalog/stored-catalog.js';
import { MetricsService } from '../../src/http/metrics.service.js';
import { eventually } from '../support/api-client.js';
import {
  listed,
  startCatalog,
  startScriptedUpstream,
  type CatalogUnderTest,
  type ScriptedUpstream,
} from './catalog-fixture.js';

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Several providers at one address, each under a path of its own. */
interface Providers {
  readonly url: string;
  readonly seen: { readonly path: string; readonly headers: IncomingHttpHeaders }[];
  answer(path: string, body: unknown, status?: number): void;
  close(): Promise<void>;
}

async function startProviders(): Promise<Providers> {
  const answers = new Map<string, Answer>();
  const seen: Providers['seen'] = [];
  const server: Server = createServer((request, response) => {
    const path = request.url ?? '';
    seen.push({ path, headers: request.headers });
    const { status, body } = answers.get(path) ?? { status: 404, body: '{}' };
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    answer: (path, body, status = 200) => {
      answers.set(path, { status, body: typeof body === 'string' ? body : JSON.stringify(body) });
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

const GROQ = '/groq/openai/v1/models';
const TOGETHER = '/together/v1/models';

describe('the catalogues of providers called directly', () => {
  let router: ScriptedUpstream;
  let providers: Providers;
  let service: CatalogUnderTest;
  let time = Date.now() + 3_600_000;

  const later = (): void => {
    time += 60_000;
    service.setTime(new Date(time));
  };
  const stored = (): Promise<StoredCatalog> =>
    service.app.get(CatalogRepository, { strict: false }).readAll(new Date(0));
  const set = async (slug: string, body: unknown): Promise<void> => {
    const { status, text } = await service.api.put(`/api/providers/${slug}`, body);
    if (status !== 200) throw new Error(text);
  };
  const syncs = async (upstream: string, result: string): Promise<number> => {
    const metrics = service.app.get(MetricsService, { strict: false });
    const { values } = await metrics.catalogueSyncs.get();
    const found = values.find(
      ({ labels }) => labels.upstream === upstream && labels.result === result,
    );
    return found?.value ?? 0;
  };

  beforeAll(async () => {
    router = await startScriptedUpstream();
    router.answer(
      JSON.stringify({
        data: [{ id: 'Org/Name', providers: [listed('groq', { input: 1, output: 2 })] }],
      }),
    );
    providers = await startProviders();
    service = await startCatalog(router.url, {
      PRICE_SYNC_INTERVAL_S: '86400',
      ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1',
    });
    service.setTime(new Date(time));
  });
  beforeEach(() => {
    later();
  });
  afterAll(async () => {
    await service.close();
    await router.close();
    await providers.close();
  });

  it('are read soon after a provider was set up, with its key, under its own prices', async () => {
    providers.answer(TOGETHER, [
      { id: 'org/name', context_length: 8192, pricing: { input: 0.2, output: 0.4 } },
      { id: 'together/own', pricing: { input: 0.1, output: 0.1 } },
      { id: 'together/free-of-what', pricing: { hourly: 0, input: 0, output: 0 } },
    ]);
    await set('together', { apiKey: 'tk-secret', baseUrl: `${providers.url}/together` });
    await eventually(async () => (await service.prices(`upstream = 'together'`)).length === 4);
    const asked = providers.seen.find(({ path }) => path === TOGETHER);
    expect(asked?.headers.authorization).toBe('Bearer tk-secret');
    // Called as the router calls it, where the case of letters is all that differs.
    expect(await service.prices(`upstream = 'together'`)).toMatchObject([
      { provider: 'together', model: 'Org/Name', unit: 'input', pico_usd: '200000' },
      { provider: 'together', model: 'Org/Name', unit: 'output', pico_usd: '400000' },
      { model: 'together/own', source: 'provider_catalogue' },
      { model: 'together/own', source: 'provider_catalogue' },
    ]);
    const { upstreams, routes, models } = await stored();
    expect(upstreams).toEqual([
      { name: 'default', kind: 'openai_router', isEnabled: true, provider: null, hasKey: true },
      {
        name: 'together',
        kind: 'openai_compatible',
        isEnabled: true,
        provider: 'together',
        hasKey: true,
      },
    ]);
    expect(routes.filter(({ upstream }) => upstream === 'together')).toMatchObject([
      { model: 'Org/Name', providerModelId: 'org/name', contextLength: 8192, status: 'live' },
      { model: 'together/free-of-what', providerModelId: null },
      { model: 'together/own', providerModelId: null, isListed: true },
    ]);
    expect(models.map(({ upstream, id }) => [upstream, id])).toEqual([
      ['default', 'Org/Name'],
      ['together', 'Org/Name'],
      ['together', 'together/free-of-what'],
      ['together', 'together/own'],
    ]);
  });

  it('write nothing when they say the same again, and touch no other upstream', async () => {
    await service.syncNow();
    const before = await service.prices();
    later();
    expect(await service.syncNow()).toMatchObject({
      pricesAdded: 0,
      pricesEnded: 0,
      pricesStale: 0,
      failures: [],
    });
    expect(await service.prices()).toEqual(before);
  });

  it('change prices by the rules of the router: ahead, pending, and never a manual one', async () => {
    await service.api.post('/api/prices', {
      upstream: 'together',
      provider: 'together',
      model: 'together/manual',
      unit: 'input',
      usdPerMillion: '5',
    });
    later();
    providers.answer(TOGETHER, [
      { id: 'org/name', pricing: { input: 0.3, output: 400 } },
      { id: 'together/manual', pricing: { input: 6, output: 7 } },
      { id: 'together/own' },
    ]);
    expect(await service.syncNow()).toMatchObject({
      pricesAdded: 2,
      pricesEnded: 1,
      pricesPending: 2,
      pricesStale: 1,
    });
    const { body } = await service.api.get('/api/prices/pending');
    expect(body.data.map(({ upstream, reason }) => [upstream, reason])).toEqual([
      ['together', 'large_change'],
      ['together', 'differs_from_manual'],
    ]);
    expect(await service.prices(`upstream = 'together' AND source = 'manual'`)).toMatchObject([
      { pico_usd: '5000000', to_ms: null },
    ]);
    expect(await service.prices(`upstream = 'default' AND effective_to IS NOT NULL`)).toEqual([]);
  });

  it('fail alone: the others are taken over, and the failure is told', async () => {
    providers.answer(GROQ, { data: [{ id: 'llama-3', context_window: 131_072 }] });
    await set('groq', { apiKey: 'gk', baseUrl: `${providers.url}/groq` });
    await eventually(async () => (await syncs('groq', 'taken')) > 0);
    await service.syncNow();
    const alarms = await service.alarms('price_sync');
    providers.answer(TOGETHER, 'no', 500);
    providers.answer(GROQ, { data: [{ id: 'llama-4' }] });
    router.answer(
      JSON.stringify({
        data: [{ id: 'Org/Other', providers: [listed('groq', { input: 1, output: 2 })] }],
      }),
    );
    const report = await service.syncNow();
    expect(report.failures).toEqual([
      { upstream: 'together', problem: 'the upstream answered 500' },
    ]);
    const listedNow = (await stored()).models.filter(({ isListed }) => isListed);
    expect(listedNow.map(({ upstream, id }) => `${upstream} ${id}`)).toEqual([
      'default Org/Other',
      'groq llama-4',
      'together Org/Name',
      'together together/manual',
      'together together/own',
    ]);
    expect(await service.alarms('price_sync')).toBe(alarms + 1);
    expect(await syncs('together', 'failed')).toBe(1);
    const { body } = await service.api.get('/api/jobs');
    expect(body.data.find(({ name }) => name === 'price-sync')).toMatchObject({
      lastError: 'together: the upstream answered 500',
    });
    const asked = await service.api.post('/api/prices/sync');
    expect(asked).toMatchObject({
      status: 200,
      body: { failures: [{ upstream: 'together', problem: 'the upstream answered 500' }] },
    });
  });

  it.each([
    ['HTML', '<html></html>'],
    ['nothing', ''],
    ['an empty list', '{"data":[]}'],
    [
      'what nests without end',
      `[{"id":"a","architecture":${'['.repeat(200_000)}${']'.repeat(200_000)}}]`,
    ],
  ])('fail alone with %s', async (_what, body) => {
    providers.answer(TOGETHER, body);
    const before = await stored();
    const { failures } = await service.syncNow();
    expect(failures).toMatchObject([{ upstream: 'together' }]);
    expect(await stored()).toEqual(before);
  });

  it('are taken over while the router fails', async () => {
    router.answer('no', 503);
    providers.answer(GROQ, { data: [{ id: 'llama-5' }] });
    expect(await service.sync.syncNow()).toMatchObject({
      kind: 'failed',
      problem: 'the upstream answered 503',
      failures: [{ upstream: 'default' }, { upstream: 'together' }],
    });
    const { models } = await stored();
    expect(models.find(({ id }) => id === 'llama-5')).toMatchObject({ isListed: true });
    expect(models.find(({ id }) => id === 'Org/Other')).toMatchObject({ isListed: true });
    router.answerProviders(listed('groq', { input: 1, output: 2 }));
    providers.answer(TOGETHER, [{ id: 'together/own' }]);
  });

  it('may not be there: the models are those with a price, and nothing is wrong', async () => {
    await set('my-vllm', { baseUrl: `${providers.url}/vllm` });
    await service.api.post('/api/prices', {
      upstream: 'my-vllm',
      provider: 'my-vllm',
      model: 'mine',
      unit: 'input',
      usdPerMillion: '0',
    });
    const alarms = await service.alarms('price_sync');
    expect((await service.syncNow()).failures).toEqual([]);
    expect(await syncs('my-vllm', 'absent')).toBeGreaterThan(0);
    expect(await service.alarms('price_sync')).toBe(alarms);
    const { upstreams, prices } = await stored();
    expect(upstreams.find(({ name }) => name === 'my-vllm')).toMatchObject({ hasKey: true });
    expect(prices.find(({ upstream }) => upstream === 'my-vllm')).toMatchObject({ model: 'mine' });
  });

  it('are asked of nobody who is switched off or gone', async () => {
    await set('groq', { enabled: false });
    await set('together', { kind: null });
    const seen = providers.seen.length;
    await service.syncNow();
    expect(providers.seen.slice(seen).map(({ path }) => path)).toEqual(['/vllm/v1/models']);
    const { upstreams, models, routes } = await stored();
    expect(upstreams.map(({ name, isEnabled }) => [name, isEnabled])).toEqual([
      ['default', true],
      ['groq', false],
      ['my-vllm', true],
    ]);
    expect([...models, ...routes].some(({ upstream }) => upstream === 'together')).toBe(false);
  });

  it('are asked at no private address that the environment does not name', async () => {
    await service.database.query(
      `UPDATE providers SET base_url = 'http://127.0.0.2:1', kind = 'openai_compatible' WHERE slug = 'together'`,
    );
    await service.database.query(`SELECT pg_notify('tollgate_upstreams', '')`);
    const failures = async (): Promise<unknown> => (await service.syncNow()).failures;
    await eventually(async () => JSON.stringify(await failures()) !== '[]');
    expect(await failures()).toEqual([
      { upstream: 'together', problem: 'the host is a private address, or resolves to one' },
    ]);
  });
});

describe('a default upstream that is no router', () => {
  it('serves its models itself, under the name openai-compatible', async () => {
    const upstream = await startScriptedUpstream();
    upstream.answer(
      '{"object":"list","data":[{"id":"tgi","object":"model","max_model_len":4096}]}',
    );
    const service = await startCatalog(upstream.url, {});
    await service.api.post('/api/prices', {
      provider: 'openai-compatible',
      model: 'tgi',
      unit: 'input',
      usdPerMillion: '1',
    });
    await service.api.post('/api/prices', {
      provider: 'openai-compatible',
      model: 'tgi',
      unit: 'output',
      usdPerMillion: '2',
    });
    const answer = await fetch(`${service.url}/v1/models/tgi`);
    expect(await answer.json()).toEqual({
      id: 'tgi',
      object: 'model',
      providers: [
        {
          provider: 'openai-compatible',
          status: 'live',
          context_length: 4096,
          pricing: { input: 1, output: 2 },
        },
      ],
    });
    await service.close();
    await upstream.close();
  });
});
