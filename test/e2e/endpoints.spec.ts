/** What every OpenAI- and Anthropic-style route does alike, and each in its own words. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROUND_PRICES } from '../../simulator/special-models.js';
import { EMBEDDINGS, IMAGE_TOKENS, PER_IMAGE, SPEECH } from '../../simulator/unlisted-models.js';
import { startCountingProxy, type CountingProxy } from '../support/counting-proxy.js';
import { bookedAs, startSelling } from '../support/books.js';
import { pennilessToken } from '../support/penniless.js';
import { allEnded, eventOf, type SimulatedService } from '../support/simulated.js';

interface Route {
  readonly path: string;
  readonly model: string;
  readonly body: (text: string) => Record<string, unknown>;
  /** The field into which a maximum of ours is written; null: into none. */
  readonly maximum: string | null;
  readonly streams: boolean;
}

const inMessages = (text: string) => ({ messages: [{ role: 'user', content: text }] });

const ROUTES: readonly Route[] = [
  {
    path: '/v1/chat/completions',
    model: ROUND_PRICES,
    body: inMessages,
    maximum: 'max_tokens',
    streams: true,
  },
  {
    path: '/v1/completions',
    model: ROUND_PRICES,
    body: (prompt) => ({ prompt }),
    maximum: 'max_tokens',
    streams: true,
  },
  {
    path: '/v1/responses',
    model: ROUND_PRICES,
    body: (input) => ({ input }),
    maximum: 'max_output_tokens',
    streams: true,
  },
  {
    path: '/v1/messages',
    model: ROUND_PRICES,
    body: inMessages,
    maximum: 'max_tokens',
    streams: true,
  },
  {
    path: '/v1/embeddings',
    model: EMBEDDINGS,
    body: (input) => ({ input }),
    maximum: null,
    streams: false,
  },
  {
    path: '/v1/images/generations',
    model: PER_IMAGE,
    body: (prompt) => ({ prompt }),
    maximum: null,
    streams: false,
  },
  {
    path: '/v1/audio/speech',
    model: SPEECH,
    body: (input) => ({ input, voice: 'alloy' }),
    maximum: null,
    streams: false,
  },
];
const STREAMING = ROUTES.filter(({ streams }) => streams);
const LONG = STREAMING.filter(({ path }) => path !== '/v1/completions');
const MAXIMA = ['max_tokens', 'max_completion_tokens', 'max_output_tokens'];
const SIZE = 'input=100 cached=0 output=8 chunks=4 reasoning=0';

let service: SimulatedService;
let wire: CountingProxy;

beforeAll(async () => {
  service = await startSelling([ROUND_PRICES, EMBEDDINGS, PER_IMAGE, IMAGE_TOKENS, SPEECH], {
    // The wire stands between the service and the simulator, which is started before it.
    upstream: async (url) => {
      wire = await startCountingProxy(url);
      return wire.url;
    },
  });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
  await wire.close();
});

interface Ask {
  readonly more?: Record<string, unknown>;
  readonly headers?: Record<string, string>;
  readonly token?: string;
  readonly directives?: string;
}

function post(
  { path, model, body }: Route,
  { more, headers, token = service.token, directives = SIZE }: Ask = {},
): Promise<Response> {
  return fetch(`${service.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model, ...body(`Say it [[sim ${directives}]]`), ...more }),
  });
}

const idOf = (response: Response): string | null => response.headers.get('x-request-id');

/** The error of ours, out of the form that the route's clients know. */
async function errorOf({ path }: Route, response: Response): Promise<unknown> {
  const body = (await response.json()) as { error: unknown };
  if (path === '/v1/messages') {
    expect(body).toMatchObject({ type: 'error', request_id: idOf(response) });
  } else expect(Object.keys(body)).toEqual(['error']);
  return body.error;
}

it.each(LONG)('$path: an answer of 9 MB is charged by the usage that it states', async (route) => {
  const directives = `${SIZE} fault=oversize-event size=9000000`;
  const response = await post(route, { directives });
  expect(response.status).toBe(200);
  expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(9_000_000);
  const { event } = await bookedAs(service, idOf(response));
  expect(event).toMatchObject({ usageSource: 'provider', inputTokens: 100, outputTokens: 8 });
});

it.each([
  ['floats', 64, 'float'],
  ['base64', 256, 'base64'],
])('many embeddings as short %s are charged by the usage behind them', async (_, ...form) => {
  const [dimensions, encoding_format] = form;
  const input = Array.from({ length: 400 }, (_one, at) => Array<number>(100).fill(at));
  const response = await fetch(`${service.url}/v1/embeddings`, {
    method: 'POST',
    headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: EMBEDDINGS, input, dimensions, encoding_format }),
  });
  expect(response.status).toBe(200);
  await response.arrayBuffer();
  const { event } = await bookedAs(service, idOf(response));
  expect(event).toMatchObject({ usageSource: 'provider', inputTokens: 40_000 });
});

describe.each(ROUTES)('$path', (route) => {
  it('answers, is charged what was billed, and has a maximum where one can be written', async () => {
    const response = await post(route);
    expect(response.status).toBe(200);
    await response.arrayBuffer();
    const { event } = await bookedAs(service, idOf(response));
    expect(response.headers.get('x-tollgate-cost-usd')).toBe(event.costUsd);
    const sent = JSON.parse(wire.bodies.at(-1) ?? '') as Record<string, unknown>;
    const written = MAXIMA.filter((field) => field in sent);
    expect(written).toEqual(route.maximum === null ? [] : [route.maximum]);
    const told = response.headers.get('x-tollgate-max-tokens');
    expect(told).toBe(route.maximum === null ? null : String(sent[route.maximum]));
  });

  it('keeps the query string where it is the provider’s', async () => {
    const response = await post({ ...route, path: `${route.path}?beta=true` });
    expect(response.status).toBe(200);
    await response.arrayBuffer();
    await bookedAs(service, idOf(response));
    const kept = route.path === '/v1/messages' ? '?beta=true' : '';
    expect(wire.requests.at(-1)).toBe(`POST ${route.path}${kept}`);
  });

  it('leaves a maximum of the caller as it is', async () => {
    if (route.maximum === null) return;
    const response = await post(route, { more: { [route.maximum]: 5 }, directives: 'output=50' });
    await response.arrayBuffer();
    const { line } = await bookedAs(service, idOf(response));
    expect(line.completionTokens).toBe(5);
    expect(response.headers.get('x-tollgate-max-tokens')).toBeNull();
    expect(JSON.parse(wire.bodies.at(-1) ?? '')).toMatchObject({ [route.maximum]: 5 });
  });

  it('refuses what it cannot do in its own form, and asks nobody', async () => {
    const asked = wire.requests.length;
    const bad = await post({ ...route, model: 'nobody/knows' });
    expect(bad.status).toBe(400);
    expect(await errorOf(route, bad)).toMatchObject({
      type: 'invalid_request_error',
      code: 'model_not_supported',
      param: 'model',
    });
    const none = await post(route, { more: { model: undefined } });
    expect(none.status).toBe(400);
    expect(await errorOf(route, none)).toMatchObject({ param: 'model' });
    const background = await post(route, { more: { background: true } });
    expect(background.status).toBe(400);
    expect(await errorOf(route, background)).toMatchObject({ param: 'background' });
    const stranger = await post(route, { token: 'tg_unknown' });
    expect(stranger.status).toBe(401);
    expect(await errorOf(route, stranger)).toMatchObject({ type: 'authentication_error' });
    expect(wire.requests.length).toBe(asked);
  });

  it('is 402 to an account of the free plan without credit, and asks nobody', async () => {
    const asked = wire.requests.length;
    const poor = await post(route, { token: await pennilessToken(service) });
    expect(poor.status).toBe(402);
    expect(await errorOf(route, poor)).toMatchObject({
      code: 'credit_exhausted',
      details: { scope: 'account' },
    });
    expect(wire.requests.length).toBe(asked);
  });

  it('passes an error of the provider on, for nothing', async () => {
    const response = await post(route, { directives: 'fault=422' });
    expect(response.status).toBe(422);
    await response.text();
    expect(await eventOf(service, idOf(response))).toMatchObject({ state: 'released' });
  });
});

describe('a stream that breaks', () => {
  it.each(STREAMING)('on $path ends in the error event of its clients', async (route) => {
    const directives = 'output=40 chunks=10 fault=reset-mid-stream after=6 reasoning=0';
    const response = await post(route, { more: { stream: true }, directives });
    const text = await response.text();
    const last = text.trimEnd().split('\n\n').at(-1) ?? '';
    const data = JSON.parse(/^data: (.*)$/m.exec(last)?.[1] ?? '') as unknown;
    const error = expect.objectContaining({ code: 'upstream_error' }) as unknown;
    switch (route.path) {
      case '/v1/messages':
        expect(last).toMatch(/^event: error\n/);
        expect(data).toEqual({ type: 'error', error, request_id: idOf(response) });
        break;
      case '/v1/responses':
        expect(last).toMatch(/^event: error\n/);
        expect(data).toMatchObject({ type: 'error', code: 'upstream_error', error });
        break;
      default:
        expect(last).not.toContain('event:');
        expect(data).toEqual({ error });
    }
    expect(text).not.toContain('[DONE]');
    await allEnded(service);
    const event = await eventOf(service, idOf(response));
    expect(event).toMatchObject({ state: 'settled', outcome: 'upstream_error' });
    expect(Number(event.costUsd)).toBeGreaterThan(0);
  });
});

describe('X-Tollgate-Include-Cost', () => {
  const headers = { 'x-tollgate-include-cost': 'true' };
  const withUsage: readonly Route[] = [
    ...ROUTES.filter(({ path }) => !/images|audio/.test(path)),
    ...ROUTES.filter(({ path }) => path.includes('images')).map((route) => ({
      ...route,
      model: IMAGE_TOKENS,
    })),
  ];

  it.each(withUsage)('puts the cost into the usage of $path', async (route) => {
    const response = await post(route, { headers });
    const { usage } = (await response.json()) as { usage: Record<string, unknown> };
    const { event } = await bookedAs(service, idOf(response));
    expect(usage['cost']).toBe(Number(event.costUsd));
    expect(usage['cost_details']).toMatchObject({ currency: 'USD', provider: event.provider });
  });

  it.each(STREAMING)('puts it into the last usage of a stream of $path, once', async (route) => {
    const response = await post(route, { headers, more: { stream: true } });
    const text = await response.text();
    const { event } = await bookedAs(service, idOf(response));
    expect(text.match(/"cost":[0-9.]+/g)).toEqual([`"cost":${event.costUsd ?? ''}`]);
    expect(text.match(/"cost_details"/g)).toHaveLength(1);
  });
});
