import fs from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import { ADMIN_TOKEN } from '../support/service.js';
import {
  allEnded,
  ask,
  chat,
  eventually,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';
import {
  alarmsOf,
  callDirectly,
  endedEvent,
  expectBilled,
  owedTo,
  postPrice,
  syncCatalogues,
} from '../support/upstreams.js';

/** The slug here, and the simulator's host that it is. */
const PROVIDERS = [
  ['groq', 'groq'],
  ['together', 'together'],
  ['fireworks-ai', 'fireworks-ai'],
  ['cerebras', 'cerebras'],
  ['deepinfra', 'deepinfra'],
  ['openrouter', 'openrouter'],
  ['my-tgi', 'openai-compatible'],
] as const;
const KEYS: Readonly<Record<string, string>> = Object.fromEntries(
  PROVIDERS.map(([, host]) => [host, `sk-${host}-0123456789-secret`]),
);
const WRONG_KEY = 'sk-wrong-9876543210-secret';
/** Only cerebras lists it under this name. */
const ONLY_AT_CEREBRAS = 'llama-3.1-8b-instruct';

let service: SimulatedService;
/** Everything that was logged. */
let logged = '';
/** Every answer to a client. */
let answered = '';

beforeAll(async () => {
  const write = fs.writeSync.bind(fs) as (...args: unknown[]) => number;
  vi.spyOn(fs, 'writeSync').mockImplementation((fd: number, data: unknown, ...rest: unknown[]) => {
    if (fd !== 1) return write(fd, data, ...rest);
    logged += String(data);
    return Buffer.byteLength(String(data));
  });
  service = await startSimulated({
    environment: { ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1', LOG_LEVEL: 'trace' },
    simulator: { providerKeys: KEYS },
  });
  for (const [slug, host] of PROVIDERS) {
    await callDirectly(service, slug, { apiKey: KEYS[host] }, host);
  }
  await syncCatalogues(service);
  for (const [slug, host] of PROVIDERS) await priceAsBilled(slug, host);
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
  vi.restoreAllMocks();
});

beforeEach(async () => {
  await allEnded(service);
});

/** What a provider calls a model. */
const idAt = (host: string, model = EVERY_DIALECT): string =>
  service.simulator.catalogue.offer(model, host)?.providerModelId ?? '';

/** What a model of a provider is called here. */
async function publicId(slug: string, own: string): Promise<string> {
  const [route] = await service.database.query<{ model: string }>(
    `SELECT model FROM model_routes WHERE upstream = $1 AND $2 IN (provider_model_id, model)`,
    [slug, own],
  );
  return route?.model ?? `${slug} does not list ${own}`;
}

/** The prices that a provider's own list does not state. */
async function priceAsBilled(slug: string, host: string): Promise<void> {
  const models =
    host === 'cerebras' ? [EVERY_DIALECT, 'meta-llama/Llama-3.1-8B-Instruct'] : [EVERY_DIALECT];
  for (const model of models) {
    const key = { upstream: slug, provider: slug, model: await publicId(slug, idAt(host, model)) };
    const terms = service.simulator.catalogue.offer(model, host)?.terms;
    const has = await service.database.query(
      `SELECT 1 FROM prices WHERE upstream = $1 AND model = $2 AND unit = 'input'`,
      [slug, key.model],
    );
    if (has.length > 0 || terms === undefined) continue;
    await postPrice(service, { ...key, unit: 'input', usdPerMillion: terms.inputUsdPerMillion });
    await postPrice(service, { ...key, unit: 'output', usdPerMillion: terms.outputUsdPerMillion });
  }
}

/** A chat whose answer is kept for the search for keys. */
async function asked(
  model: string,
  directives: string,
  more: Record<string, unknown> = {},
): Promise<{ response: Response; text: string; id: string }> {
  const response = await chat(service, ask(model, directives, more));
  const text = await response.text();
  answered += JSON.stringify([...response.headers]) + text;
  return { response, text, id: response.headers.get('x-request-id') ?? '' };
}

describe.each(PROVIDERS)('%s, called directly', (slug, host) => {
  it.each([false, true])(
    'chats (stream: %s) with its key under its own id, at its price',
    async (stream) => {
      const own = idAt(host);
      const model = await publicId(slug, own);
      const before = await owedTo(service, slug, slug);
      const { response, text, id } = await asked(`${model}:${slug}`, 'output=7 input=11', {
        stream,
      });
      expect(response.status, text).toBe(200);
      expect(response.headers.get('x-inference-provider')).toBe(slug);
      expect(text).toContain(own);
      const event = await endedEvent(service, id);
      expect(event).toMatchObject({
        upstream: slug,
        provider: slug,
        model,
        stream,
        external: false,
        inputTokens: 11,
        outputTokens: 7,
      });
      const line = await expectBilled(service, event);
      expect(line).toMatchObject({ provider: host, model: EVERY_DIALECT, providerModelId: own });
      expect((await owedTo(service, slug, slug)) - before).toBe(line.costPicoUsd);
    },
  );
});

it('an error after comments alone is not passed on: the provider’s other way is tried', async () => {
  const model = await publicId('openrouter', idAt('openrouter'));
  service.simulator.faults.add({
    match: { provider: 'openrouter' },
    times: 1,
    directives: { faults: ['error-first-event'] },
  });
  const { response, text, id } = await asked(`${model}:openrouter`, 'output=4', { stream: true });
  expect(response.status, text).toBe(200);
  expect(response.headers.get('x-tollgate-attempts')).toBe('2');
  expect(text).not.toContain('"error"');
  expect(text).toContain(': OPENROUTER PROCESSING');
  const event = await endedEvent(service, id);
  expect(event).toMatchObject({ upstream: 'default', provider: 'openrouter', outputTokens: 4 });
  await expectBilled(service, event);
});

describe('a field that the provider refuses', () => {
  it('is left out, and named, where the choice was ours', async () => {
    const { response, text, id } = await asked(ONLY_AT_CEREBRAS, 'output=3', { store: true });
    expect(response.status, text).toBe(200);
    expect(response.headers.get('x-tollgate-dropped')).toBe('store');
    const event = await endedEvent(service, id);
    expect(event).toMatchObject({ upstream: 'cerebras', attempts: [{ status: 200 }] });
    await expectBilled(service, event);
  });

  it('is sent where the caller chose the provider, whose refusal he gets', async () => {
    const { response, text, id } = await asked(`${ONLY_AT_CEREBRAS}:cerebras`, 'output=3', {
      store: true,
    });
    expect(response.status).toBe(400);
    expect(response.headers.get('x-tollgate-dropped')).toBeNull();
    expect(text).toContain('store');
    expect(await endedEvent(service, id)).toMatchObject({ state: 'released', costUsd: null });
  });

  it('is nobody’s business elsewhere', async () => {
    const { response } = await asked(`${await publicId('groq', idAt('groq'))}:groq`, 'output=3', {
      store: true,
    });
    expect([response.status, response.headers.get('x-tollgate-dropped')]).toEqual([200, null]);
  });
});

describe('a key that the provider does not take', () => {
  it('is the operator’s problem: 502, an alarm, and nothing charged', async () => {
    const model = await publicId('groq', idAt('groq'));
    const before = await alarmsOf(service, 'upstream_key');
    await callDirectly(service, 'groq', { apiKey: WRONG_KEY });
    for (const stream of [false, true]) {
      const { response, text, id } = await asked(`${model}:groq`, 'output=3', { stream });
      expect(response.status).toBe(502);
      expect(response.headers.get('x-should-retry')).toBe('false');
      expect(JSON.parse(text)).toMatchObject({ error: { code: 'upstream_error' } });
      expect(await endedEvent(service, id)).toMatchObject({
        state: 'released',
        upstream: 'groq',
        attempts: [{ status: 401 }],
      });
    }
    expect((await alarmsOf(service, 'upstream_key')) - before).toBe(2);
    await callDirectly(service, 'groq', { apiKey: KEYS['groq'] });
    expect((await asked(`${model}:groq`, 'output=3')).response.status).toBe(200);
  });

  it('is, like every key, in no answer, no log, no audit entry, and nowhere in the clear', async () => {
    await eventually('the lines about the key', () =>
      logged.includes('an upstream refused our key') ? true : null,
    );
    const shown = await Promise.all(
      [
        '/providers',
        '/providers/groq',
        '/audit-log?limit=200',
        '/prices',
        '/requests?limit=200',
      ].map(async (path) => JSON.stringify((await service.api(path)).body)),
    );
    const metrics = await fetch(`${service.url}/metrics`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    const stored = await service.database.query(
      `SELECT p::text AS row FROM providers p UNION ALL SELECT a::text FROM audit_log a
       UNION ALL SELECT e::text FROM usage_events e`,
    );
    const everything = [answered, logged, ...shown, await metrics.text(), JSON.stringify(stored)];
    expect(shown[2]).toContain('groq');
    for (const key of [...Object.values(KEYS), WRONG_KEY]) {
      const hex = Buffer.from(key).toString('hex');
      for (const text of everything) {
        expect(text.includes(key) || text.includes(hex), text.slice(0, 40)).toBe(false);
      }
    }
  });
});

describe('a provider that is switched off', () => {
  it('is not called, pinned or not, and serves again once it is switched on', async () => {
    const set = (enabled: boolean): Promise<unknown> =>
      service.api('/providers/cerebras', { method: 'PUT', body: { enabled } });
    await set(false);
    for (const model of [`${ONLY_AT_CEREBRAS}:cerebras`, ONLY_AT_CEREBRAS]) {
      const { response, text } = await asked(model, 'tag=off');
      expect(response.status, text).toBe(400);
      expect(JSON.parse(text)).toMatchObject({ error: { code: 'model_not_supported' } });
    }
    expect(service.simulator.books.tagged('off')).toEqual([]);
    const listed = await fetch(`${service.url}/v1/models`);
    expect(await listed.text()).not.toContain('"provider":"cerebras"');
    await set(true);
    expect((await asked(ONLY_AT_CEREBRAS, 'output=3')).response.status).toBe(200);
  });
});

describe('what the operator says that a provider calls a model', () => {
  const MODEL = 'meta-llama/Llama-3.3-70B-Instruct';
  const slug = 'fireworks-ai';

  it('is what it is asked for under the name that callers use', async () => {
    const own = idAt(slug, MODEL);
    expect(await publicId(slug, own)).toBe(own);
    await callDirectly(service, slug, { modelIds: { [MODEL]: own } });
    await syncCatalogues(service);
    expect(await publicId(slug, own)).toBe(MODEL);
    const terms = service.simulator.catalogue.offer(MODEL, slug)!.terms;
    const key = { upstream: slug, provider: slug, model: MODEL };
    await postPrice(service, { ...key, unit: 'input', usdPerMillion: terms.inputUsdPerMillion });
    await postPrice(service, { ...key, unit: 'output', usdPerMillion: terms.outputUsdPerMillion });

    const { response, text, id } = await asked(`${MODEL}:${slug}`, 'output=7 input=11');
    expect(response.status, text).toBe(200);
    expect(response.headers.get('x-tollgate-model')).toBe(MODEL);
    const event = await endedEvent(service, id);
    expect(event).toMatchObject({ upstream: slug, provider: slug, model: MODEL });
    expect(await expectBilled(service, event)).toMatchObject({ providerModelId: own });
  });

  it('has its price too where a provider’s own route names it', async () => {
    const own = idAt(slug, MODEL);
    const response = await fetch(`${service.url}/${slug}/inference/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(ask(own, 'output=5 input=3')),
    });
    expect(response.status, await response.text()).toBe(200);
    const event = await endedEvent(service, response.headers.get('x-request-id') ?? '');
    expect(event).toMatchObject({ upstream: slug, state: 'settled', model: MODEL });
    expect(await expectBilled(service, event)).toMatchObject({ providerModelId: own });
  });
});

it('an address inside our own network is refused, unless the environment names it', async () => {
  for (const baseUrl of [
    'http://localhost:5432',
    'http://10.0.0.7/v1',
    'http://192.168.1.1',
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]:8000',
    'http://[::ffff:10.0.0.7]',
    'http://0x7f000002',
    'http://2130706434/',
  ]) {
    const { status, body } = await service.api<{ error: { details: { field: string }[] } }>(
      '/providers/inside',
      { method: 'PUT', body: { baseUrl } },
    );
    expect([baseUrl, status]).toEqual([baseUrl, 400]);
    expect(body.error.details.map(({ field }) => field)).toEqual(['baseUrl']);
  }
});
