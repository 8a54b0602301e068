import { InferenceClient } from '@huggingface/inference';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startSimulator, type Simulator } from '../../simulator/server.js';
import { startCountingProxy, type CountingProxy } from '../support/counting-proxy.js';
import { ADMIN_TOKEN, startService, type TestService } from '../support/service.js';
import { eventually } from '../support/simulated.js';

interface ShownEvent {
  readonly id: string;
  readonly state: string;
  readonly model: string;
  readonly task: string;
  readonly provider: string;
  readonly providerRequestId: string;
  readonly costUsd: string | null;
  readonly absorbedUsd: string | null;
  readonly external: boolean | null;
  readonly upstream: string;
}

let simulator: Simulator;
let wire: CountingProxy;
let service: TestService;
let mine = '';
let other = '';
const realFetch = globalThis.fetch;

const api = async <Body>(path: string, body?: unknown, method = 'POST'): Promise<Body> => {
  const response = await realFetch(`${service.url}/api${path}`, {
    method: body === undefined ? 'GET' : method,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Body;
};

async function tokenOf(slug: string): Promise<string> {
  await api('/organizations', { name: slug, slug, plan: 'pro' });
  const { token } = await api<{ token: string }>(`/organizations/${slug}/tokens`, { name: 't' });
  return token;
}

const PRICES = [
  ['fal-ai', 'fal-ai/flux/dev', 'megapixel', '0.025'],
  ['together', 'Wan-AI/Wan2.2-T2V-A14B', 'video_second', '0.132'],
  ['novita', 'wan-t2v', 'video_second', '0.06'],
  ['replicate', 'black-forest-labs/flux.1-schnell', 'image', '0.003'],
  ['wavespeed', 'wavespeed-ai/flux-dev', 'image', '0.012'],
  ['zai-org', 'glm-image', 'image', '0.015'],
] as const;

beforeAll(async () => {
  simulator = await startSimulator({ apiKey: 'sim-key', cachedPrices: false });
  wire = await startCountingProxy(simulator.url);
  service = await startService({
    UPSTREAM_BASE_URL: wire.url,
    ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1',
    SETTLE_WAIT_MAX_MS: '1500',
  });
  mine = await tokenOf('mine');
  other = await tokenOf('other');
  for (const [provider, model, unit, usdPerUnit] of PRICES) {
    await api('/prices', { provider, model, unit, usdPerUnit, source: 'manual' });
  }
  // The client knows one router; here it is Tollgate. What it looks up at the Hub the simulator says.
  globalThis.fetch = (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.host === 'router.huggingface.co') {
      return realFetch(`${service.url}${url.pathname}${url.search}`, init);
    }
    if (url.host === 'huggingface.co') {
      return realFetch(`${simulator.url}${url.pathname}${url.search}`, init);
    }
    return realFetch(input, init);
  };
});

afterAll(async () => {
  globalThis.fetch = realFetch;
  await service.close();
  await wire.close();
  await simulator.close();
});

beforeEach(() => {
  wire.requests.length = 0;
});
afterEach(() => {
  simulator.faults.clear();
});

const call = (
  method: string,
  path: string,
  { token = mine, body, headers }: { token?: string; body?: unknown; headers?: object } = {},
): Promise<Response> =>
  realFetch(`${service.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

const eventOf = (response: Response): Promise<ShownEvent> =>
  api(`/requests/${response.headers.get('x-request-id') ?? ''}`);

const settled = (id: string): Promise<ShownEvent> =>
  eventually('the end of the event', async () => {
    const event = await api<ShownEvent>(`/requests/${id}`);
    return event.state === 'open' ? null : event;
  });

/** What the provider billed for a job. */
const billed = (jobId: string): { costPicoUsd: bigint; units: unknown }[] =>
  simulator.books.since().filter(({ requestId, billed }) => requestId === jobId && billed);

const openHolds = async (): Promise<string> => {
  const [row] = await service.database.query<{ held: string }>(
    'SELECT coalesce(sum(held_pico_usd), 0)::text AS held FROM budgets',
  );
  return row?.held ?? '';
};

describe('an image from fal’s queue through Hugging Face’s client', () => {
  it('is one event, at what the simulator billed, settled by the fetch of the result', async () => {
    const client = new InferenceClient(`hf_${mine}`);
    const url = await client.textToImage(
      { provider: 'fal-ai', model: 'black-forest-labs/FLUX.1-dev', inputs: 'A toll gate' },
      { outputType: 'url' },
    );
    expect(url).toMatch(/^http/);
    const [event] = (await api<{ data: ShownEvent[] }>('/organizations/mine/requests')).data;
    expect(event).toMatchObject({
      state: 'settled',
      task: 'image',
      provider: 'fal-ai',
      model: 'fal-ai/flux/dev',
    });
    const [line] = billed(event?.providerRequestId ?? '');
    expect(line).toBeDefined();
    const [stored] = await service.database.query<{ cost: string; units: unknown }>(
      'SELECT cost_pico_usd::text AS cost, units FROM usage_events WHERE id = $1',
      [event?.id],
    );
    expect(BigInt(stored?.cost ?? -1)).toBe(line?.costPicoUsd);
    expect(await openHolds()).toBe('0');
    // The polls and the fetch are no events.
    expect((await api<{ data: unknown[] }>('/organizations/mine/requests')).data).toHaveLength(1);
  });
});

const SUBMITS = [
  [
    'fal-ai',
    '/fal-ai/fal-ai/flux/dev?_subdomain=queue',
    { prompt: 'x' },
    (answer: { request_id: string }) => answer.request_id,
    (id: string): readonly string[] => [
      `/fal-ai/fal-ai/flux/requests/${id}/status?_subdomain=queue`,
      `/fal-ai/fal-ai/flux/requests/${id}?_subdomain=queue`,
    ],
  ],
  [
    'together',
    '/together/v2/videos',
    { model: 'Wan-AI/Wan2.2-T2V-A14B', prompt: 'x', seconds: '4' },
    (answer: { id: string }) => answer.id,
    (id: string): readonly string[] => [`/together/v2/videos/${id}`],
  ],
  [
    'novita',
    '/novita/v3/async/wan-t2v',
    { prompt: 'x' },
    (answer: { task_id: string }) => answer.task_id,
    (id: string): readonly string[] => [`/novita/v3/async/task-result?task_id=${id}`],
  ],
  [
    'replicate',
    '/replicate/v1/models/black-forest-labs/flux.1-schnell/predictions',
    { input: { prompt: 'x' } },
    (answer: { id: string }) => answer.id,
    (id: string): readonly string[] => [`/replicate/v1/predictions/${id}`],
  ],
  [
    'wavespeed',
    '/wavespeed/api/v3/wavespeed-ai/flux-dev',
    { prompt: 'x' },
    (answer: { data: { id: string } }) => answer.data.id,
    (id: string): readonly string[] => [`/wavespeed/api/v3/predictions/${id}/result`],
  ],
  [
    'zai-org',
    '/zai-org/api/paas/v4/async/images/generations',
    { model: 'glm-image', prompt: 'x' },
    (answer: { id: string }) => answer.id,
    (id: string): readonly string[] => [`/zai-org/api/paas/v4/async-result/${id}`],
  ],
] as const;

describe.each(SUBMITS)('a job at %s', (provider, submitPath, body, idOf, pathsOf) => {
  const submit = async (
    directives: object = {},
    token = mine,
  ): Promise<{ id: string; eventId: string }> => {
    const response = await call('POST', submitPath, { token, body: { ...body, ...directives } });
    const answer: unknown = await response.json();
    expect(response.status, JSON.stringify(answer)).toBeLessThan(300);
    return { id: idOf(answer as never), eventId: response.headers.get('x-request-id') ?? '' };
  };
  const withDirectives = (text: string): object =>
    'input' in body ? { input: { prompt: `x [[sim ${text}]]` } } : { prompt: `x [[sim ${text}]]` };

  it('is settled once, by whoever fetches its result, at what the simulator billed', async () => {
    const { id, eventId } = await submit(withDirectives('polls=1'));
    expect(await api(`/requests/${eventId}`)).toMatchObject({ state: 'open' });
    const paths = pathsOf(id);
    const pollPath = paths[0] ?? '';
    const resultPath = paths.at(-1) ?? '';
    for (let polls = 0; polls < 3; polls += 1) {
      const polled = await call('GET', pollPath);
      expect(polled.status).toBeLessThan(300);
    }
    const result = await call('GET', resultPath);
    expect(result.status).toBe(200);
    const event = await settled(eventId);
    expect(event).toMatchObject({ state: 'settled', provider, providerRequestId: id });
    // Together says what it costs.
    const reported = provider === 'together' ? event['costUsd'] : null;
    expect(event).toMatchObject({ providerReportedCostUsd: reported });
    const [stored] = await service.database.query<{ cost: string }>(
      'SELECT cost_pico_usd::text AS cost FROM usage_events WHERE id = $1',
      [eventId],
    );
    expect(billed(id).map(({ costPicoUsd }) => costPicoUsd)).toEqual([BigInt(stored?.cost ?? -1)]);
    expect((await call('GET', resultPath)).status).toBe(200);
  });

  it('is settled although its caller never comes back', async () => {
    const { id, eventId } = await submit(withDirectives('polls=0'));
    const event = await settled(eventId);
    expect(event).toMatchObject({ state: 'settled', provider, providerRequestId: id });
    expect(billed(id)).toHaveLength(1);
    expect(await openHolds()).toBe('0');
  });

  it('is released where the provider says that it failed', async () => {
    const { eventId } = await submit(withDirectives('polls=0 end=failed'));
    expect(await settled(eventId)).toMatchObject({ state: 'released', costUsd: null });
  });

  it('is nobody else’s: a foreign look at it is 404 and goes nowhere', async () => {
    const { id, eventId } = await submit(withDirectives('polls=0 end=never'));
    wire.requests.length = 0;
    for (const path of pathsOf(id)) {
      const foreign = await call('GET', path, { token: other });
      expect(foreign.status).toBe(404);
      const unknown = await call('GET', path.replace(id, 'no-such-job'), { token: other });
      expect(await foreign.text()).toBe(await unknown.text());
    }
    expect(wire.requests.filter((line) => !isOurPoll(line, id))).toEqual([]);
    for (const job of simulator.jobs.all()) if (job.id === id) job.cancel();
    await settled(eventId);
  });

  /** The service itself looks at the job once a second or so. */
  const isOurPoll = (line: string, id: string): boolean =>
    line.startsWith('GET ') && line.includes(id) && !line.includes('no-such-job');
});

describe('a foreign job', () => {
  it('cannot be looked at, fetched or cancelled: no call leaves for it', async () => {
    const response = await call('POST', '/fal-ai/fal-ai/flux/dev?_subdomain=queue', {
      body: { prompt: 'x [[sim polls=0 end=never]]' },
    });
    const { request_id: id } = (await response.json()) as { request_id: string };
    const eventId = response.headers.get('x-request-id') ?? '';
    // Nobody looks at it but those who are asked to here.
    await service.database.query(
      `UPDATE media_jobs SET next_poll_at = now() + interval '1 hour' WHERE event_id = $1`,
      [eventId],
    );
    wire.requests.length = 0;
    const base = `/fal-ai/fal-ai/flux/requests/${id}`;
    for (const [method, path] of [
      ['GET', `${base}/status?_subdomain=queue`],
      ['GET', `${base}?_subdomain=queue`],
      ['PUT', `${base}/cancel?_subdomain=queue`],
      ['GET', `/replicate/v1/predictions/${id}`],
      ['POST', `/replicate/v1/predictions/${id}/cancel`],
    ] as const) {
      const answer = await call(method, path, { token: other });
      expect([answer.status, method, path]).toEqual([404, method, path]);
      expect(await answer.json()).toMatchObject({ error: { code: 'unknown_route' } });
    }
    expect(wire.requests).toEqual([]);
    // Its owner can, and the provider hears of it once.
    expect((await call('PUT', `${base}/cancel?_subdomain=queue`)).status).toBe(202);
    expect(wire.requests).toEqual([`PUT ${base}/cancel?_subdomain=queue`]);
    await service.database.query(`UPDATE media_jobs SET next_poll_at = now() WHERE event_id = $1`, [
      eventId,
    ]);
    expect(await settled(eventId)).toMatchObject({ state: 'released' });
  });
});

describe('what is not in the tables', () => {
  it.each([
    ['GET', '/replicate/v1/predictions'],
    ['POST', '/replicate/v1/predictions'],
    ['GET', '/together/v1/files'],
    ['GET', '/openrouter/api/v1/keys'],
    ['POST', '/openrouter/api/v1/keys'],
    ['GET', '/fal-ai/storage/files'],
    ['DELETE', '/together/v2/videos/abc'],
    ['GET', '/together/v2/videos/abc'],
    ['POST', '/nobody/v1/chat/completions'],
  ])('is 404 and goes nowhere: %s %s', async (method, path) => {
    const answer = await call(method, path, method === 'POST' ? { body: {} } : {});
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ error: { code: 'unknown_route' } });
    expect(wire.requests).toEqual([]);
  });

  it.each([
    ['/fal-ai/fal-ai/flux/dev?_subdomain=queue&fal_webhook=https://x.example', {}, 'fal_webhook'],
    [
      '/replicate/v1/models/black-forest-labs/flux.1-schnell/predictions',
      { input: {}, webhook: 'https://x.example' },
      'webhook',
    ],
    ['/novita/v3/async/wan-t2v', { extra: { webhook: { url: 'https://x.example' } } }, 'webhook'],
    ['/wavespeed/api/v3/wavespeed-ai/flux-dev?webhook=https://x.example', {}, 'webhook'],
    ['/together/v2/videos', { model: 'm', webhook_url: 'https://x.example' }, 'webhook_url'],
  ])('a result webhook is refused by name: %s', async (path, body, param) => {
    const answer = await call('POST', path, { body });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { code: 'invalid_request', param } });
    expect(wire.requests).toEqual([]);
  });

  it('a model without a price is refused before anything leaves', async () => {
    const answer = await call('POST', '/fal-ai/acme/secret-app?_subdomain=queue', { body: {} });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { code: 'model_not_supported' } });
    expect(wire.requests).toEqual([]);
  });
});

describe('a provider that is switched off', () => {
  const asked = (token?: string): Promise<Response> =>
    call('POST', '/wavespeed/api/v3/wavespeed-ai/flux-dev', {
      body: { prompt: 'x [[sim polls=0]]' },
      ...(token === undefined ? {} : { token }),
    });
  const statusBecomes = (status: number, token?: string): Promise<true> =>
    eventually(`status ${status}`, async () =>
      (await asked(token)).status === status ? true : null,
    );

  it('by an organization takes nothing from that one, on its own routes either', async () => {
    await api('/organizations/other/providers/wavespeed', { enabled: false }, 'PUT');
    await statusBecomes(403, other);
    wire.requests.length = 0;
    const refused = await asked(other);
    expect(await refused.json()).toMatchObject({ error: { code: 'provider_disabled' } });
    expect(wire.requests.filter((line) => line.startsWith('POST'))).toEqual([]);
    const taken = await asked();
    expect(taken.status).toBe(200);
    await settled(taken.headers.get('x-request-id') ?? '');
  });

  it('by the operator takes nothing from anybody', async () => {
    await api('/providers/wavespeed', { enabled: false }, 'PUT');
    await statusBecomes(403);
    await api('/providers/wavespeed', { enabled: true }, 'PUT');
    await statusBecomes(200);
  });
});

describe('a prediction that is waited for', () => {
  it('is settled by the answer to its submit, as no job', async () => {
    const response = await call(
      'POST',
      '/replicate/v1/models/black-forest-labs/flux.1-schnell/predictions',
      { body: { input: { prompt: 'x' } }, headers: { prefer: 'wait' } },
    );
    expect(response.status).toBe(201);
    const { id } = (await response.json()) as { id: string };
    const event = await eventOf(response);
    expect(event).toMatchObject({ state: 'settled', providerRequestId: id });
    expect(billed(id)).toHaveLength(1);
    expect(
      await service.database.query('SELECT 1 FROM media_jobs WHERE event_id = $1', [event.id]),
    ).toEqual([]);
  });
});

describe('a submit whose job cannot be recorded in time', () => {
  it('is withheld from the caller, and its job is ours to pay', async () => {
    const client = new pg.Client({ connectionString: service.database.url });
    await client.connect();
    // The hand-over waits for this lock.
    simulator.faults.add({
      match: { route: 'job' },
      directives: { delay: { minMs: 500, maxMs: 500 } },
      times: 1,
    });
    const answering = call('POST', '/novita/v3/async/wan-t2v', { body: { prompt: 'x' } });
    const eventId = await eventually('the admission', async () => {
      const [row] = await service.database.query<{ id: string }>(
        `SELECT id FROM open_events WHERE model = 'wan-t2v' AND owner_id IS NOT NULL`,
      );
      return row?.id ?? null;
    });
    await client.query('BEGIN');
    await client.query('SELECT 1 FROM open_events WHERE id = $1 FOR UPDATE', [eventId]);
    const answer = await answering;
    expect(answer.status).toBe(503);
    expect(answer.headers.get('x-should-retry')).toBe('false');
    await client.query('COMMIT');
    await client.end();
    const event = await settled(eventId);
    expect(event).toMatchObject({ state: 'settled', costUsd: '0' });
    expect(event.absorbedUsd).not.toBe('0');
    const [job] = simulator.jobs.all().slice(-1);
    expect(
      (await call('GET', `/novita/v3/async/task-result?task_id=${job?.id ?? ''}`)).status,
    ).toBe(404);
  });
});

describe('a job under the organization’s own key', () => {
  it('runs and is followed under that key alone, is shown and costs nothing here', async () => {
    simulator.providerKeys.set('replicate', 'acme-own-key');
    await api(
      '/providers/replicate',
      { kind: 'replicate', baseUrl: `${simulator.url}/_direct/replicate`, apiKey: 'operator-key' },
      'PUT',
    );
    await api('/organizations/mine/providers/replicate', { apiKey: 'acme-own-key' }, 'PUT');
    const path = '/replicate/v1/models/black-forest-labs/flux.1-schnell/predictions';
    const response = await eventually('the key', async () => {
      const answer = await call('POST', path, { body: { input: { prompt: 'x [[sim polls=1]]' } } });
      return answer.status === 201 ? answer : null;
    });
    const { id } = (await response.json()) as { id: string };
    expect((await call('GET', `/replicate/v1/predictions/${id}`)).status).toBe(200);
    // The other organization would come with the operator's key, and is not let near it.
    expect((await call('GET', `/replicate/v1/predictions/${id}`, { token: other })).status).toBe(
      404,
    );
    const event = await settled(response.headers.get('x-request-id') ?? '');
    expect(event).toMatchObject({
      state: 'settled',
      external: true,
      upstream: 'replicate',
      costUsd: '0',
    });
    // Nothing of it went over the router's wire.
    expect(wire.requests.filter((line) => line.includes('replicate'))).toEqual([]);
    expect(await openHolds()).toBe('0');
  });
});
