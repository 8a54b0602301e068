import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startSimulator, type Simulator } from '../../simulator/server.js';
import { FREE, PARTLY_PRICED, UNPRICED } from '../../simulator/special-models.js';
import { DEFAULT_UPSTREAM } from '../../src/catalog/catalog.js';
import { eventually } from '../support/api-client.js';
import { freshDatabase } from '../support/database.js';
import {
  asked,
  listed,
  MODEL,
  startCatalog,
  startScriptedUpstream,
  type CatalogUnderTest,
  type ScriptedUpstream,
} from './catalog-fixture.js';

const LEAD_MS = 2000;
/** A good catalogue that says something new. */
const CHANGED = JSON.stringify({
  object: 'list',
  data: [{ id: MODEL, object: 'model', providers: [listed('changed', { input: 7, output: 7 })] }],
});

/** What is in every table that a sync writes, with the version of each row. */
async function everything({ database }: CatalogUnderTest): Promise<unknown> {
  const tables = ['models', 'model_routes', 'prices', 'pending_prices'];
  return Promise.all(
    tables.map((table) => database.query(`SELECT ctid::text, t.* FROM ${table} t ORDER BY ctid`)),
  );
}

describe('with the simulator as upstream', () => {
  let simulator: Simulator;
  let service: CatalogUnderTest;

  beforeAll(async () => {
    simulator = await startSimulator({ apiKey: 'sim-key' });
    service = await startCatalog(simulator.url);
  });
  afterAll(async () => {
    await service.close();
    await simulator.close();
  });

  it('knows every price of the catalogue exactly when the start is over', async () => {
    const rows = await service.prices(`source = 'router_catalogue'`);
    const stored = new Map(rows.map((row) => [`${row.model} ${row.provider} ${row.unit}`, row]));
    let offers = 0;
    for (const model of simulator.catalogue.modelIds()) {
      for (const { provider, price, display } of simulator.catalogue.offers(model)) {
        for (const unit of ['input', 'output'] as const) {
          const row = stored.get(`${model} ${provider} ${unit}`);
          offers += display === 'hidden' ? 0 : 1;
          expect(row?.pico_usd).toBe(display === 'hidden' ? undefined : price[unit].toString());
          if (row !== undefined) expect(row).toMatchObject({ per_units: '1', to_ms: null });
        }
      }
    }
    expect(stored.size).toBe(offers);
    expect(offers).toBeGreaterThan(50);
    expect(service.catalog.isReady).toBe(true);
  });

  it('writes nothing when the same document comes again', async () => {
    await service.syncNow();
    const before = await everything(service);
    const report = await service.syncNow();
    expect(report).toMatchObject({
      pricesAdded: 0,
      pricesEnded: 0,
      pricesPending: 0,
      findings: [],
    });
    expect(await everything(service)).toEqual(before);
  });

  it('makes the row of the serverless tier once', async () => {
    expect(await service.prices(`model = '*'`)).toMatchObject([
      {
        provider: 'hf-inference',
        unit: 'compute_ms',
        pico_usd: '120000',
        per_units: '1',
        source: 'manual',
      },
    ]);
    const again = await startCatalog(simulator.url, {}, service.database);
    expect(await service.prices(`model = '*'`)).toHaveLength(1);
    await again.close();
  });

  it('lets a changed price start 2 s ahead, and holds for the dearer of the two meanwhile', async () => {
    const model = 'meta-llama/Llama-3.3-70B-Instruct';
    const now = new Date();
    service.setTime(now);
    simulator.catalogue.setOffer(model, {
      provider: 'groq',
      inputUsdPerMillion: '0.60',
      outputUsdPerMillion: '0.79',
    });
    expect(await service.syncNow()).toMatchObject({ pricesAdded: 1, pricesEnded: 1 });
    const startMs = now.getTime() + LEAD_MS;
    expect(
      await service.prices(`model = '${model}' AND provider = 'groq' AND unit = 'input'`),
    ).toMatchObject([
      { pico_usd: '590000', to_ms: startMs },
      { pico_usd: '600000', from_ms: startMs, to_ms: null },
    ]);
    const inputsAt = (ms: number): unknown => {
      const resolution = service.catalog.resolve(asked(`${model}:groq`, new Date(ms)));
      if (resolution.kind !== 'routes') throw new Error(resolution.reason);
      return resolution.routes[0]?.candidates[0]?.prices.map((rows) => rows.get('input')?.picoUsd);
    };
    expect(inputsAt(startMs - LEAD_MS - 1)).toEqual([590_000n]);
    expect(inputsAt(startMs - LEAD_MS)).toEqual([590_000n, 600_000n]);
    expect(inputsAt(startMs - 1)).toEqual([590_000n, 600_000n]);
    expect(inputsAt(startMs)).toEqual([600_000n]);
    // Asked for once more: the answers are remembered, each for its own time.
    expect(inputsAt(startMs - 1)).toEqual([590_000n, 600_000n]);
    const inForce = (ms: number): bigint | undefined =>
      service.catalog
        .pricesInForce(DEFAULT_UPSTREAM, 'groq', { model, condition: null, at: new Date(ms) })
        .get('input')?.picoUsd;
    expect([inForce(startMs - 1), inForce(startMs)]).toEqual([590_000n, 600_000n]);
  });

  it('pins the priced provider where a faster one has no price, and refuses what nobody prices', () => {
    expect(service.catalog.resolve(asked(PARTLY_PRICED, new Date()))).toMatchObject({
      kind: 'routes',
      routes: [{ provider: 'together', modelSent: `${PARTLY_PRICED}:together` }],
    });
    expect(service.catalog.resolve(asked(UNPRICED, new Date()))).toMatchObject({
      reason: 'unpriced',
    });
    const free = service.catalog.resolve(asked(FREE, new Date()));
    if (free.kind !== 'routes') throw new Error(free.reason);
    const [prices] = free.routes[0]?.candidates[0]?.prices ?? [];
    expect([prices?.get('input')?.picoUsd, prices?.get('output')?.picoUsd]).toEqual([0n, 0n]);
    expect(
      service.catalog.resolve(asked('meta-llama/Llama-3.3-70B-Instrct', new Date())),
    ).toMatchObject({
      reason: 'unknown',
      closest: ['meta-llama/Llama-3.3-70B-Instruct', expect.any(String)],
    });
  });

  it('forgets a model that the catalogue no longer lists, and keeps its prices', async () => {
    simulator.catalogue.setOffer('org/passing', {
      provider: 'groq',
      inputUsdPerMillion: '1',
      outputUsdPerMillion: '2',
    });
    await service.syncNow();
    expect(service.catalog.resolve(asked('org/passing', new Date())).kind).toBe('routes');
    simulator.catalogue.remove('org/passing');
    expect(await service.syncNow()).toMatchObject({ pricesEnded: 0, pricesStale: 1 });
    expect(service.catalog.resolve(asked('org/passing', new Date()))).toMatchObject({
      reason: 'unknown',
    });
    expect(await service.prices(`model = 'org/passing' AND effective_to IS NULL`)).toHaveLength(2);
  });
});

describe('with an upstream that says anything', () => {
  let upstream: ScriptedUpstream;
  let service: CatalogUnderTest;
  // After everything that the start wrote by the system's clock.
  let time = Date.now() + 3_600_000;

  const later = (ms = 60_000): Date => {
    time += ms;
    service.setTime(new Date(time));
    return new Date(time);
  };
  const ofModel = (provider: string): ReturnType<CatalogUnderTest['prices']> =>
    service.prices(`model = '${MODEL}' AND provider = '${provider}' AND unit = 'input'`);
  const isStale = async (provider: string): Promise<unknown> => {
    const [route] = await service.database.query<{ is_price_stale: boolean }>(
      'SELECT is_price_stale FROM model_routes WHERE provider = $1',
      [provider],
    );
    return route?.is_price_stale;
  };

  beforeAll(async () => {
    upstream = await startScriptedUpstream();
    upstream.answer('nothing yet', 503);
    service = await startCatalog(upstream.url, { PRICE_SYNC_INTERVAL_S: '86400' });
    later(0);
  });
  beforeEach(() => {
    later();
  });
  afterAll(async () => {
    await service.close();
    await upstream.close();
  });

  it('starts without it, raises the alarm, and tries again', async () => {
    expect(service.catalog.isReady).toBe(false);
    expect(await service.alarms('price_sync')).toBeGreaterThan(0);
    upstream.answerProviders(listed('groq', { input: 0.1, output: 0.2 }));
    await eventually(() => service.catalog.isReady);
    expect(await ofModel('groq')).toMatchObject([{ pico_usd: '100000' }]);
  });

  it('keeps a price that vanishes, and flags it until it is back', async () => {
    upstream.answerProviders(listed('groq', null));
    expect(await service.syncNow()).toMatchObject({ pricesStale: 1, pricesEnded: 0 });
    expect(await isStale('groq')).toBe(true);
    expect(await ofModel('groq')).toMatchObject([{ pico_usd: '100000', to_ms: null }]);
    const { body } = await service.api.get('/api/prices?provider=groq');
    expect(body.data.map(({ isStale: flag }) => flag)).toEqual([true, true]);
    upstream.answerProviders(listed('groq', { input: 0.1, output: 0.2 }));
    expect(await service.syncNow()).toMatchObject({ pricesStale: 0, pricesAdded: 0 });
    expect(await isStale('groq')).toBe(false);
  });

  it('lets a change of more than 10x wait, and does what is decided', async () => {
    upstream.answerProviders(listed('groq', { input: 1.1, output: 0.2 }));
    const alarms = await service.alarms('price_pending');
    expect(await service.syncNow()).toMatchObject({ pricesPending: 1, pricesAdded: 0 });
    expect(await service.alarms('price_pending')).toBe(alarms + 1);
    expect(await service.syncNow()).toMatchObject({ pricesPending: 0 });
    const { body } = await service.api.get('/api/prices/pending');
    expect(body.data).toMatchObject([
      {
        provider: 'groq',
        reason: 'large_change',
        usdPerMillion: '1.1',
        current: { usdPerMillion: '0.1' },
      },
    ]);
    const now = later();
    const approved = await service.api.post(
      `/api/prices/pending/${body.data[0]?.id ?? ''}/approve`,
    );
    expect(approved).toMatchObject({
      status: 200,
      body: { usdPerMillion: '1.1', source: 'router_catalogue' },
    });
    expect(await ofModel('groq')).toMatchObject([
      { pico_usd: '100000', to_ms: now.getTime() + LEAD_MS },
      { pico_usd: '1100000', from_ms: now.getTime() + LEAD_MS },
    ]);
    later();
    expect(await service.syncNow()).toMatchObject({ pricesPending: 0, pricesAdded: 0 });
    const again = await service.api.post(`/api/prices/pending/${body.data[0]?.id ?? ''}/approve`);
    expect(again).toMatchObject({ status: 409, body: { error: { code: 'conflict' } } });
  });

  it.each([
    ['free of charge by is_free', listed('groq', undefined, { is_free: true }), 2],
    ['free of charge by a figure', listed('groq', { input: 0, output: 0.2 }), 1],
  ])('lets a price that becomes %s wait', async (_how, entry, pending) => {
    upstream.answerProviders(entry);
    expect(await service.syncNow()).toMatchObject({ pricesAdded: 0 });
    const { body } = await service.api.get('/api/prices/pending');
    expect(body.data.filter(({ reason }) => reason === 'to_or_from_zero')).toHaveLength(pending);
    upstream.answerProviders(listed('groq', { input: 1.1, output: 0.2 }));
    await service.syncNow();
    expect((await service.api.get('/api/prices/pending')).body.data).toEqual([]);
  });

  it('does not ask again about a figure that was rejected', async () => {
    upstream.answerProviders(listed('groq', { input: 500, output: 0.2 }));
    await service.syncNow();
    const { body } = await service.api.get('/api/prices/pending');
    const rejected = await service.api.post(`/api/prices/pending/${body.data[0]?.id ?? ''}/reject`);
    expect(rejected).toMatchObject({ status: 200, body: { decision: 'rejected' } });
    const before = await everything(service);
    expect(await service.syncNow()).toMatchObject({ pricesPending: 0 });
    expect(await everything(service)).toEqual(before);
  });

  it('never ends a manual row: a differing figure waits beside it', async () => {
    const created = await service.api.post('/api/prices', {
      provider: 'novita',
      model: MODEL,
      unit: 'input',
      usdPerMillion: '0.50',
    });
    expect(created.status).toBe(201);
    later();
    upstream.answerProviders(listed('novita', { input: 0.5, output: 1 }));
    expect(await service.syncNow()).toMatchObject({ pricesAdded: 1, pricesPending: 0 });
    upstream.answerProviders(listed('novita', { input: 0.51, output: 1 }));
    expect(await service.syncNow()).toMatchObject({
      pricesAdded: 0,
      pricesEnded: 0,
      pricesPending: 1,
    });
    expect(await service.alarms('price_differs_from_manual')).toBe(1);
    expect(await ofModel('novita')).toMatchObject([
      { pico_usd: '500000', source: 'manual', to_ms: null },
    ]);
    const { body } = await service.api.get('/api/prices/pending');
    expect(body.data).toMatchObject([{ reason: 'differs_from_manual', usdPerMillion: '0.51' }]);
    await service.api.post(`/api/prices/pending/${body.data[0]?.id ?? ''}/approve`);
    expect(await ofModel('novita')).toMatchObject([
      { pico_usd: '500000', source: 'manual', to_ms: time + LEAD_MS },
      { pico_usd: '510000', source: 'router_catalogue', to_ms: null },
    ]);
  });

  it('gives replicas their time where the commit takes too long: undone, and done with more', async () => {
    upstream.answerProviders(listed('nscale', { input: 1, output: 1 }));
    await service.syncNow();
    const startMs = later().getTime();
    let looks = 0;
    service.setClock(() => new Date(startMs + 1500 * looks++));
    upstream.answerProviders(listed('nscale', { input: 2, output: 1 }));
    await service.syncNow();
    // The first attempt took 1.5 s of its 2 s or more, the next had 8 s from when it began. The memory
    // of the catalogue may have looked at the clock in between.
    const [ended, replacing] = await ofModel('nscale');
    expect(replacing).toMatchObject({ pico_usd: '2000000', from_ms: ended?.to_ms });
    const beganMs = (replacing?.from_ms ?? 0) - 8000 - startMs;
    expect(beganMs % 1500).toBe(0);
    expect(beganMs).toBeGreaterThanOrEqual(3000);
    time += 60_000;
  });

  it('waits 2 s before rows of its own take a known route from the row of any model', async () => {
    upstream.answerProviders(listed('hf-inference', null));
    await service.syncNow();
    const now = later();
    upstream.answerProviders(listed('hf-inference', { input: 1, output: 1 }));
    await service.syncNow();
    expect(await ofModel('hf-inference')).toMatchObject([{ from_ms: now.getTime() + LEAD_MS }]);
  });

  it.each([
    ['HTML', '<html><body>502 Bad Gateway</body></html>', 200],
    ['an error, whatever it says', CHANGED, 503],
    ['half a document', '{"object":"list","data":[{"id":"org/name","prov', 200],
    ['nothing', '', 200],
    ['an empty list', '{"object":"list","data":[]}', 200],
    [
      'NaN',
      '{"data":[{"id":"org/name","providers":[{"provider":"groq","pricing":{"input":NaN}}]}]}',
      200,
    ],
    ['a catalogue of 33 MiB', CHANGED.padEnd(33 * 1024 * 1024), 200],
    ['what is not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 200],
    ['a redirect', CHANGED, 302],
  ])('takes nothing over from %s', async (_what, body, status) => {
    const before = await everything(service);
    const alarms = await service.alarms('price_sync');
    upstream.answer(body, status);
    expect(await service.sync.syncNow()).toMatchObject({ kind: 'failed' });
    expect(await service.alarms('price_sync')).toBe(alarms + 1);
    expect(await everything(service)).toEqual(before);
    const asked = await service.api.post('/api/prices/sync');
    expect(asked).toMatchObject({ status: 502, body: { error: { code: 'upstream_error' } } });
  });

  it.each([
    ['negative', -0.5],
    ['a text', '0.5'],
    ['above the bound', 10_001],
    ['not whole', 1e-14],
    ['an object', { usd: 1 }],
  ])('refuses a figure that is %s: the price in force stays', async (_what, input) => {
    const provider = 'together';
    upstream.answerProviders(listed(provider, { input: 0.3, output: 0.3 }));
    await service.syncNow();
    const before = await ofModel(provider);
    const alarms = await service.alarms('price_refused');
    upstream.answerProviders(listed(provider, { input, output: 0.3 }));
    const report = await service.syncNow();
    expect(report.findings).toMatchObject([{ kind: 'price_refused', provider, unit: 'input' }]);
    expect(await service.alarms('price_refused')).toBe(alarms + 1);
    expect(await ofModel(provider)).toEqual(before);
    expect(await isStale(provider)).toBe(true);
  });
});

describe('with two replicas', () => {
  it('syncs one at a time, writes each price once, and both know it in time', async () => {
    const database = await freshDatabase();
    const upstream = await startScriptedUpstream();
    upstream.answerProviders(listed('groq', { input: 0.1, output: 0.2 }));
    const one = await startCatalog(upstream.url, {}, database);
    const other = await startCatalog(upstream.url, {}, database);

    let inUpstream = 0;
    let most = 0;
    upstream.beforeAnswer = async () => {
      inUpstream += 1;
      most = Math.max(most, inUpstream);
      await new Promise((wake) => setTimeout(wake, 30));
      inUpstream -= 1;
    };
    upstream.answerProviders(listed('groq', { input: 0.11, output: 0.2 }));
    const reports = await Promise.all([
      one.syncNow(),
      other.syncNow(),
      one.syncNow(),
      other.syncNow(),
    ]);
    expect(most).toBe(1);
    expect(reports.map(({ pricesAdded }) => pricesAdded).sort()).toEqual([0, 0, 0, 1]);
    expect(await one.prices(`provider = 'groq' AND unit = 'input'`)).toHaveLength(2);

    upstream.answerProviders(listed('groq', { input: 0.12, output: 0.2 }));
    const startedMs = performance.now();
    await one.syncNow();
    await eventually(() => other.catalog.priceRows(DEFAULT_UPSTREAM, 'groq').length === 4);
    expect(performance.now() - startedMs).toBeLessThan(LEAD_MS);
    await one.close();
    await other.close();
    await upstream.close();
    await database.drop();
  });

  it('starts from the store while the upstream is away', async () => {
    const database = await freshDatabase();
    const upstream = await startScriptedUpstream();
    upstream.answerProviders(listed('groq', { input: 0.1, output: 0.2 }));
    const first = await startCatalog(upstream.url, {}, database);
    await first.close();
    await upstream.close();
    const second = await startCatalog('http://127.0.0.1:9', {}, database);
    expect(second.catalog.resolve(asked(MODEL, new Date())).kind).toBe('routes');
    await eventually(async () => (await second.alarms('price_sync')) > 0);
    await second.close();
    await database.drop();
  });
});
