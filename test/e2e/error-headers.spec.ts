import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import {
  allEnded,
  ask,
  chat,
  eventually,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';
import { ADMIN_TOKEN } from '../support/service.js';
import { callDirectly, postPrice } from '../support/upstreams.js';

const MODEL = 'meta-llama/Llama-3.3-70B-Instruct';
const TWO_PROVIDERS = 'tollgate-sim/two-providers';
const PATH_MODELS = ['fal-ai/flux/dev', 'fal-ai/flux/schnell'] as const;

interface ErrorAnswer {
  readonly type?: string;
  readonly request_id?: string;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly param: string | null;
    readonly details: { readonly closest?: readonly string[] } | null;
  };
}

let service: SimulatedService;

beforeAll(async () => {
  service = await startSimulated({ environment: { ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1' } });
  for (const [provider, tokensPerSecond] of [
    ['together', 500],
    ['fireworks-ai', 50],
  ] as const) {
    service.simulator.catalogue.setOffer(TWO_PROVIDERS, {
      provider,
      inputUsdPerMillion: '1.00',
      outputUsdPerMillion: '1.00',
      tokensPerSecond,
    });
  }
  // Without a price it is never called, and so the choice is never left to the router.
  service.simulator.catalogue.setOffer(TWO_PROVIDERS, {
    provider: 'groq',
    inputUsdPerMillion: '0.10',
    outputUsdPerMillion: '0.10',
    tokensPerSecond: 900,
    display: 'hidden',
  });
  await service.api('/prices/sync', { method: 'POST' });
  await eventually('the model is known', async () => {
    const response = await fetch(`${service.url}/v1/models/${TWO_PROVIDERS}`);
    return response.status === 200 ? true : null;
  });
  for (const model of PATH_MODELS) {
    const price = { provider: 'fal-ai', model, unit: 'megapixel', usdPerUnit: '0.025' };
    const { status } = await service.api('/prices', {
      method: 'POST',
      body: { ...price, source: 'manual' },
    });
    expect(status).toBe(201);
  }
});

afterEach(() => {
  service.simulator.faults.clear();
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

const errorOf = async (response: Response): Promise<ErrorAnswer> =>
  (await response.json()) as ErrorAnswer;

const namesOf = ({ headers }: Response): readonly (string | null)[] => [
  headers.get('x-inference-provider'),
  headers.get('x-tollgate-model'),
  headers.get('x-tollgate-attempts'),
];

function expectIds({ headers }: Response): string {
  const id = headers.get('x-request-id') ?? '';
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  expect([headers.get('request-id'), headers.get('inference-id')]).toEqual([id, id]);
  return id;
}

function post(path: string, body: unknown, headers: object = {}): Promise<Response> {
  return fetch(`${service.url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${service.token}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(body),
  });
}

describe('an error of ours after a provider was called', () => {
  it.each([
    ['about our key', '401', 502, 'upstream_error'],
    ['of a broken answer', 'reset-mid-stream', 502, 'upstream_error'],
    ['of a call without an answer', 'reset-before-headers', 502, 'upstream_error'],
  ])('names provider, model and attempts: %s', async (_what, fault, status, code) => {
    const response = await chat(service, ask(`${TWO_PROVIDERS}:together`, `fault=${fault}`));
    expect(response.status).toBe(status);
    expect((await errorOf(response)).error.code).toBe(code);
    const [provider, model, attempts] = namesOf(response);
    expect([provider, model]).toEqual(['together', TWO_PROVIDERS]);
    expect(Number(attempts)).toBeGreaterThanOrEqual(1);
    expect(response.headers.get('x-tollgate-max-tokens')).toMatch(/^\d+$/);
    expectIds(response);
  });

  it('names the provider of the last of two attempts', async () => {
    for (const [provider, fault] of [
      ['together', '500'],
      ['fireworks-ai', '401'],
    ] as const) {
      service.simulator.faults.add({
        match: { provider, model: TWO_PROVIDERS },
        directives: { faults: [fault] },
        times: 1,
      });
    }
    const response = await chat(service, ask(`${TWO_PROVIDERS}:fastest`, 'output=5'));
    expect(response.status).toBe(502);
    expect(namesOf(response)).toEqual(['fireworks-ai', TWO_PROVIDERS, '2']);
  });

  it('names them where the model is being loaded', async () => {
    const response = await chat(service, ask(`${EVERY_DIALECT}:hf-inference`, 'fault=503-loading'));
    expect(response.status).toBe(503);
    expect((await errorOf(response)).error.code).toBe('model_loading');
    expect(namesOf(response)).toEqual(['hf-inference', EVERY_DIALECT, '1']);
  });

  it('says that nobody was called where it was refused after routing', async () => {
    const made = await service.api<{ token: string }>(
      `/organizations/${service.organization}/tokens`,
      { method: 'POST', body: { name: 'poor', monthlyLimitUsd: '0' } },
    );
    expect(made.status).toBe(201);
    const response = await chat({ url: service.url, token: made.body.token }, ask(MODEL, ''));
    expect(response.status).toBe(402);
    expect(namesOf(response)).toEqual([null, MODEL, '0']);
  });

  it('says nothing of them before routing', async () => {
    for (const body of ['{', { model: 'nobody/knows-this' }]) {
      const response = await chat(service, body);
      expect(response.status).toBe(400);
      expect(namesOf(response)).toEqual([null, null, null]);
      expectIds(response);
    }
  });
});

it('an answer about a job says how often a provider was asked', async () => {
  const submitted = await post('/fal-ai/fal-ai/flux/dev?_subdomain=queue', { prompt: 'x' });
  expect(submitted.status).toBe(200);
  expect(namesOf(submitted)).toEqual(['fal-ai', PATH_MODELS[0], '1']);
  const { request_id: id } = (await submitted.json()) as { request_id: string };
  for (const path of ['/status', '']) {
    const followed = await fetch(
      `${service.url}/fal-ai/fal-ai/flux/requests/${id}${path}?_subdomain=queue`,
      { headers: { authorization: `Bearer ${service.token}` } },
    );
    await followed.arrayBuffer();
    expect(namesOf(followed)).toEqual(['fal-ai', PATH_MODELS[0], '1']);
  }
});

it('a provider that cannot be reached is named', async () => {
  await callDirectly(service, 'groq', { baseUrl: 'http://127.0.0.1:9/v1', apiKey: 'sk-nobody' });
  const price = { upstream: 'groq', provider: 'groq', model: 'nobody-is-there' };
  for (const unit of ['input', 'output']) {
    await postPrice(service, { ...price, unit, usdPerMillion: '1' });
  }
  const response = await chat(service, ask('nobody-is-there:groq', ''));
  expect([response.status, (await errorOf(response)).error.message]).toEqual([
    502,
    'The provider could not be reached.',
  ]);
  expect(namesOf(response)).toEqual(['groq', 'nobody-is-there', '1']);
});

describe('a model that is not known', () => {
  it.each(['meta-llama/Llama-3.3-70B', 'llama-3.3-70b-instruct-versatile', 'Llama 3.3 70B'])(
    'is answered with what was meant: %s',
    async (model) => {
      const { error } = await errorOf(await chat(service, { model, messages: [] }));
      expect(error.code).toBe('model_not_supported');
      expect(error.details?.closest).toContain(MODEL);
      expect(error.message).toContain(MODEL);
    },
  );

  it.each(['m', `${MODEL}:p`, 'é'])('is not repeated at any length: %s', async (piece) => {
    const model = piece.padEnd(100_000, piece.at(-1));
    const response = await chat(service, { model, messages: [] });
    expect(response.status).toBe(400);
    const text = await response.text();
    expect(text.length).toBeLessThan(2_000);
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'invalid_request', param: 'model' } });
  });

  it('may be as long as any that there is, with a provider behind it', async () => {
    const model = `${'m'.repeat(256)}:together`;
    const { error } = await errorOf(await chat(service, { model, messages: [] }));
    expect(error.code).toBe('model_not_supported');
  });

  it('is refused at the same length in a form', async () => {
    const form = new FormData();
    form.set('model', 'm'.repeat(100_000));
    form.set('file', new Blob(['x']), 'x.wav');
    const response = await fetch(`${service.url}/v1/audio/transcriptions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token}` },
      body: form,
    });
    expect(response.status).toBe(400);
    expect((await response.text()).length).toBeLessThan(2_000);
  });
});

describe('a route that there is not', () => {
  it.each([
    ['GET', '/v1/messages'],
    ['DELETE', '/v1/messages?beta=true'],
    ['GET', '/v1/messages/count_tokens'],
    ['POST', '/v1/messages/batches'],
  ])('has the form that clients of messages read: %s %s', async (method, path) => {
    const response = await fetch(`${service.url}${path}`, { method });
    expect(response.status).toBe(404);
    const id = expectIds(response);
    expect(await response.json()).toMatchObject({
      type: 'error',
      error: { code: 'unknown_route' },
      request_id: id,
    });
  });

  it.each([
    ['GET', '/v1/chat/completions', 404],
    ['POST', '/v1/nothing', 404],
    ['PATCH', '/together/v1/chat/completions', 404],
    ['GET', '/v1/chat//completions', 400],
    ['GET', '/%zz', 400],
  ])('names the request as every other answer does: %s %s', async (method, path, status) => {
    const response = await fetch(`${service.url}${path}`, { method });
    expect(response.status).toBe(status);
    expectIds(response);
    expect(await response.json()).not.toHaveProperty('type');
  });

  it('is told of our own API as before', async () => {
    const response = await fetch(`${service.url}/api/nothing`);
    expect(response.status).toBe(404);
    expect(response.headers.has('x-request-id')).toBe(true);
    expect(response.headers.has('request-id')).toBe(false);
    expect(response.headers.has('inference-id')).toBe(false);
  });
});

describe('a request without a body that says it has JSON', () => {
  const HEADERS = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };

  it.each([undefined, ''])('is taken as one without: DELETE with body %j', async (body) => {
    const made = await service.api<{ id: string }>(
      `/organizations/${service.organization}/tokens`,
      { method: 'POST', body: { name: 'short' } },
    );
    const deleted = await fetch(`${service.url}/api/tokens/${made.body.id}`, {
      method: 'DELETE',
      headers: HEADERS,
      ...(body === undefined ? {} : { body }),
    });
    expect([deleted.status, await deleted.text()]).toEqual([204, '']);
  });

  it('is taken as one without: GET', async () => {
    const url = `${service.url}/api/organizations/${service.organization}`;
    expect((await fetch(url, { headers: HEADERS })).status).toBe(200);
  });

  it('is refused where a body is needed, and where it is broken', async () => {
    const url = `${service.url}/api/organizations`;
    const missing = await fetch(url, { method: 'POST', headers: HEADERS });
    expect((await errorOf(missing)).error.code).toBe('invalid_json');
    const broken = await fetch(`${service.url}/api/tokens/x`, {
      method: 'DELETE',
      headers: HEADERS,
      body: '{',
    });
    expect((await errorOf(broken)).error.code).toBe('invalid_json');
  });
});

describe('an Idempotency-Key', () => {
  it('is of one route: the same body on another is another request', async () => {
    const headers = { 'idempotency-key': 'of-one-route' };
    const body = { ...ask(MODEL, 'output=5'), prompt: 'x', max_tokens: 5 };
    expect((await post('/v1/chat/completions', body, headers)).status).toBe(200);
    await allEnded(service);
    for (const path of ['/v1/completions', '/together/v1/chat/completions']) {
      const other = await post(path, body, headers);
      expect([other.status, (await errorOf(other)).error.code]).toEqual([
        422,
        'idempotency_key_reused',
      ]);
    }
    for (const path of ['/v1/chat/completions', '/v1/chat/completions?x=1']) {
      const same = await post(path, body, headers);
      expect([same.status, (await errorOf(same)).error.code]).toEqual([
        409,
        'request_already_processed',
      ]);
    }
  });

  it('is of one model where the path names it', async () => {
    const headers = { 'idempotency-key': 'of-one-model' };
    const [dev, schnell] = PATH_MODELS;
    const body = { prompt: 'x' };
    expect((await post(`/fal-ai/${dev}`, body, headers)).status).toBe(200);
    await allEnded(service);
    const other = await post(`/fal-ai/${schnell}`, body, headers);
    expect([other.status, (await errorOf(other)).error.code]).toEqual([
      422,
      'idempotency_key_reused',
    ]);
    const same = await post(`/fal-ai/${dev}`, body, headers);
    expect([same.status, (await errorOf(same)).error.code]).toEqual([
      409,
      'request_already_processed',
    ]);
  });
});
