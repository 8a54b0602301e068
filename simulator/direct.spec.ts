import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Simulator, startSimulator } from './server.js';
import { chatBody, chunksOf } from './spec-client.js';
import { EVERY_DIALECT, ONE_PROVIDER_DOWN, UNPRICED } from './special-models.js';
import { EMBEDDINGS, PER_IMAGE } from './unlisted-models.js';

const LLAMA = 'meta-llama/Llama-3.3-70B-Instruct';
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({
    apiKey: 'hf_router',
    providerKeys: { together: 'tk', 'fal-ai': 'fk', cerebras: 'ck', replicate: 'rk', novita: 'nk' },
  });
});
afterAll(() => simulator.close());

const routes = [
  ['together', '/v1'],
  ['fireworks-ai', '/inference/v1'],
  ['groq', '/openai/v1'],
  ['cerebras', '/v1'],
  ['deepinfra', '/v1/openai'],
  ['novita', '/v3/openai'],
  ['cohere', '/compatibility/v1'],
  ['scaleway', '/v1'],
  ['nscale', '/v1'],
  ['zai-org', '/api/paas/v4'],
  ['openrouter', '/api/v1'],
  ['openai-compatible', '/v1'],
] as const;

function keyOf(provider: string): string {
  return simulator.providerKeys.get(provider) ?? 'any';
}

function idAt(provider: string, model = EVERY_DIALECT): string {
  return simulator.catalogue.offer(model, provider)?.providerModelId ?? '';
}

async function get(path: string, authorization?: string): Promise<Response> {
  return fetch(`${simulator.url}/_direct/${path}`, {
    ...(authorization !== undefined && { headers: { authorization } }),
  });
}

async function post(path: string, body: string, authorization: string): Promise<Response> {
  return fetch(`${simulator.url}/_direct/${path}`, {
    method: 'POST',
    headers: { authorization },
    body,
  });
}

describe('a provider called directly', () => {
  it.each(routes)('%s chats at its own route under its own model id', async (provider, base) => {
    const body = chatBody({ model: idAt(provider), sim: `output=3 tag=direct-${provider}` });
    const path = `${provider}${base}/chat/completions`;
    const response = await post(path, body, `Bearer ${keyOf(provider)}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      model: idAt(provider),
      usage: { completion_tokens: 3 },
    });
    // That header is the router's.
    expect(response.headers.has('x-inference-provider')).toBe(false);
    expect(simulator.books.tagged(`direct-${provider}`)).toMatchObject([
      { provider, model: EVERY_DIALECT, requestId: response.headers.get('x-request-id') },
    ]);
  });

  it.each(routes)('%s does not know the public id of a model', async (provider, base) => {
    const body = chatBody({ model: LLAMA });
    const path = `${provider}${base}/chat/completions`;
    const response = await post(path, body, `Bearer ${keyOf(provider)}`);
    expect([400, 404]).toContain(response.status);
  });

  it.each([
    ['together/v1/models', 'Bearer no', { error: { code: 'invalid_api_key' } }],
    ['cerebras/v1/models', 'Bearer no', { message: 'Wrong API Key', code: 'wrong_api_key' }],
    ['novita/v3/openai/models', 'Bearer no', { code: 401, reason: 'INVALID_API_KEY' }],
    ['fal-run/fal-ai/flux/dev', 'Bearer fk', { detail: expect.any(String) as string }],
    ['replicate/v1/predictions/x', 'Bearer no', { title: 'Unauthenticated', status: 401 }],
  ])('%s answers a wrong key in its own words', async (path, authorization, said) => {
    const response = await get(path, authorization);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject(said);
  });

  it("does not take the router's key, nor no key", async () => {
    expect((await get('together/v1/models', 'Bearer hf_router')).status).toBe(401);
    expect((await get('together/v1/models')).status).toBe(401);
    expect((await get('together/v1/models', 'Bearer tk')).status).toBe(200);
  });

  it('keeps its quirks: cerebras rejects store, deepinfra and openrouter state the cost', async () => {
    const store = chatBody({ model: idAt('cerebras'), fields: { store: true } });
    expect((await post('cerebras/v1/chat/completions', store, 'Bearer ck')).status).toBe(400);
    const deepinfra = await post(
      'deepinfra/v1/openai/chat/completions',
      chatBody({ model: idAt('deepinfra') }),
      'Bearer any',
    );
    expect(await deepinfra.json()).toMatchObject({
      usage: { estimated_cost: expect.any(Number) as number },
    });
    const stream = await post(
      'openrouter/api/v1/chat/completions',
      chatBody({ model: idAt('openrouter'), stream: true }),
      'Bearer any',
    );
    const text = await stream.text();
    expect(text).toContain(': OPENROUTER PROCESSING');
    expect(chunksOf(text).at(-1)?.usage?.cost).toEqual(expect.any(Number));
  });

  it('serves the siblings of its chat route, and what others do not', async () => {
    const vectors = JSON.stringify({ model: idAt('together', EMBEDDINGS), input: 'a toll' });
    const answer = await post('together/v1/embeddings', vectors, 'Bearer tk');
    expect(await answer.json()).toMatchObject({ object: 'list' });
    const foreign = JSON.stringify({ model: EMBEDDINGS, input: 'a toll' });
    expect((await post('together/v1/embeddings', foreign, 'Bearer tk')).status).toBe(404);
    const completion = JSON.stringify({ model: idAt('novita'), prompt: 'a toll' });
    expect((await post('novita/v3/openai/completions', completion, 'Bearer nk')).status).toBe(200);
  });

  it('is 404 where it has no route', async () => {
    expect((await post('groq/v1/chat/completions', '{}', 'Bearer any')).status).toBe(404);
    expect((await get('nobody/v1/models')).status).toBe(404);
  });
});

describe("a provider's own catalogue", () => {
  interface Entry {
    readonly id: string;
    readonly pricing?: Record<string, unknown>;
    readonly metadata?: { readonly pricing?: Record<string, unknown> };
    readonly [key: string]: unknown;
  }

  async function entries(path: string, key: string): Promise<readonly Entry[]> {
    const body = (await (await get(path, `Bearer ${key}`)).json()) as
      readonly Entry[] | { readonly data: readonly Entry[] };
    return 'data' in body ? body.data : body;
  }

  function llama(list: readonly Entry[], provider: string): Entry | undefined {
    return list.find(({ id }) => id === idAt(provider, LLAMA));
  }

  it('together: a bare array, prices per million tokens', async () => {
    const response = await get('together/v1/models', 'Bearer tk');
    const list = (await response.json()) as Entry[];
    expect(Array.isArray(list)).toBe(true);
    expect(llama(list, 'together')).toMatchObject({
      object: 'model',
      type: 'chat',
      context_length: 131_072,
      pricing: { input: 0.88, output: 0.88, base: 0 },
    });
    // What is not priced per token has zeros there, and is not free.
    const picture = list.find(({ id }) => id === idAt('together', PER_IMAGE));
    expect(picture).toMatchObject({ type: 'image', pricing: { input: 0, output: 0 } });
    const vectors = list.find(({ id }) => id === idAt('together', EMBEDDINGS));
    expect(vectors).toMatchObject({ type: 'embedding', pricing: { input: 0.5, output: 0 } });
    const hidden = list.find(({ id }) => id === idAt('together', UNPRICED));
    expect(hidden).not.toHaveProperty('pricing');
  });

  it('openrouter: decimal text per token, shown to anybody', async () => {
    const { data } = (await (await get('openrouter/api/v1/models')).json()) as { data: Entry[] };
    const found = data.find(({ id }) => id === idAt('openrouter'));
    const offer = simulator.catalogue.offer(EVERY_DIALECT, 'openrouter');
    expect(found?.pricing?.['prompt']).toMatch(/^0\.0{6}\d+$/);
    expect(Number(found?.pricing?.['prompt']) * 1e12).toBeCloseTo(Number(offer?.price.input), 3);
  });

  it('deepinfra: prices in the metadata', async () => {
    const list = await entries('deepinfra/v1/openai/models', 'any');
    const found = list.find(({ id }) => id === idAt('deepinfra'));
    const { input_tokens: input } = found?.metadata?.pricing ?? {};
    expect(Number(input) * 1e6).toBe(
      Number(simulator.catalogue.offer(EVERY_DIALECT, 'deepinfra')?.price.input),
    );
  });

  it('novita: ten-thousandths of a USD per million tokens', async () => {
    const found = llama(await entries('novita/v3/openai/models', 'nk'), 'novita');
    expect(found).toMatchObject({ input_token_price_per_m: 1350, output_token_price_per_m: 4000 });
  });

  it.each([
    ['groq', 'groq/openai/v1/models'],
    ['fireworks-ai', 'fireworks-ai/inference/v1/models'],
    ['openai-compatible', 'openai-compatible/v1/models'],
    ['cohere', 'cohere/compatibility/v1/models'],
  ])('%s: a plain list without prices', async (provider, path) => {
    const list = await entries(path, 'any');
    const found = list.find(({ id }) => id === idAt(provider));
    expect(found).toMatchObject({ object: 'model' });
    expect(JSON.stringify(list)).not.toContain('pricing');
  });

  it('leaves out what is down', async () => {
    const list = await entries('groq/openai/v1/models', 'any');
    const ids = list.map(({ id }) => id);
    expect(ids).toContain(idAt('groq'));
    expect(ids).not.toContain(idAt('groq', ONE_PROVIDER_DOWN));
  });

  it('lists ids that the provider itself accepts', async () => {
    const [first] = await entries('fireworks-ai/inference/v1/models', 'any');
    expect(first?.id).toMatch(/^accounts\/fireworks\/models\//);
    const body = chatBody({ model: first?.id ?? '' });
    const path = 'fireworks-ai/inference/v1/chat/completions';
    expect((await post(path, body, 'Bearer any')).status).toBe(200);
  });
});

describe('jobs at a provider directly', () => {
  it('fal: a queue and a synchronous host of their own, key with its own prefix', async () => {
    const body = '{"prompt":"[[sim polls=0 tag=fal-direct]]"}';
    const submit = await post('fal-queue/fal-ai/flux/dev', body, 'Key fk');
    const { response_url: url } = (await submit.json()) as { response_url: string };
    const { pathname } = new URL(url);
    const status = await get(`fal-queue${pathname}/status`, 'Key fk');
    expect(await status.json()).toMatchObject({ status: 'COMPLETED' });
    const result = await get(`fal-queue${pathname}`, 'Key fk');
    expect(result.headers.get('x-fal-billable-units')).toBe('1.048576');
    expect(result.headers.has('x-inference-provider')).toBe(false);
    expect(simulator.books.tagged('fal-direct')).toHaveLength(1);
    expect((await post('fal-run/fal-ai/flux/dev', body, 'Key fk')).status).toBe(200);
    expect((await post('fal-run/fal-ai/flux/dev', body, 'Bearer fk')).status).toBe(401);
    expect((await post('fal-run/fal-ai/none', body, 'Key fk')).status).toBe(404);
  });

  it('replicate and together take jobs under their own keys', async () => {
    const path = 'replicate/v1/models/black-forest-labs/flux.1-schnell/predictions';
    expect((await post(path, '{"input":{"prompt":""}}', 'Token rk')).status).toBe(201);
    const video = '{"model":"Wan-AI/Wan2.2-T2V-A14B","prompt":""}';
    expect((await post('together/v2/videos', video, 'Bearer tk')).status).toBe(200);
  });

  it('keys can be set while it runs', async () => {
    const admin = `${simulator.url}/_sim/provider-keys`;
    await fetch(admin, { method: 'PUT', body: '{"provider":"groq","key":"gk"}' });
    expect((await get('groq/openai/v1/models', 'Bearer any')).status).toBe(401);
    expect((await get('groq/openai/v1/models', 'Bearer gk')).status).toBe(200);
    await fetch(`${admin}?provider=groq`, { method: 'DELETE' });
    expect((await get('groq/openai/v1/models', 'Bearer any')).status).toBe(200);
  });
});
