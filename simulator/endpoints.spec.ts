/** What the endpoints share: providers' own paths, models that are not for everything, their prices. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startSimulator, type Simulator } from './server.js';
import { call, eventually } from './spec-client.js';
import { CACHE_WRITES, EVERY_DIALECT, ROUND_PRICES } from './special-models.js';
import { EMBEDDINGS, PER_IMAGE, SPEECH, TRANSCRIPTION } from './unlisted-models.js';
import { unlistedOffers, unlistedPrices } from './unlisted-prices.js';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ seed: 3 });
});
afterAll(() => simulator.close());
beforeEach(() => {
  simulator.books.reset();
});

const messages = [{ role: 'user', content: 'hello' }];

describe('every route', () => {
  it.each([
    ['together/v1/chat/completions', { model: ROUND_PRICES, messages }, 'chat'],
    ['together/v1/completions', { model: ROUND_PRICES, prompt: 'a' }, 'completion'],
    ['together/v1/responses', { model: ROUND_PRICES, input: 'a' }, 'responses'],
    ['together/v1/messages', { model: ROUND_PRICES, messages, max_tokens: 9 }, 'messages'],
    ['together/v1/embeddings', { model: EMBEDDINGS, input: 'a' }, 'embedding'],
    ['together/v1/images/generations', { model: PER_IMAGE, prompt: 'a' }, 'image'],
    ['deepinfra/v1/openai/audio/speech', { model: SPEECH, input: 'a' }, 'speech'],
    ['v1/embeddings', { model: EMBEDDINGS, input: 'a' }, 'embedding'],
  ])('%s serves and writes one line', async (path, body, task) => {
    const { status, headers } = await call(simulator, 'POST', `/${path}`, body);
    expect(status).toBe(200);
    expect(simulator.books.since()).toMatchObject([{ task, billed: true }]);
    const viaRouter = path.startsWith('v1/');
    expect(headers['x-inference-provider'] === undefined).toBe(!viaRouter);
  });

  it('takes uploads at a provider, too', async () => {
    const form = new FormData();
    form.set('file', new Blob(['x'.repeat(16_000)]), 'a.mp3');
    form.set('model', TRANSCRIPTION);
    const init = { method: 'POST', body: form };
    const answer = await fetch(`${simulator.url}/openai/v1/audio/transcriptions`, init);
    expect(await answer.json()).toMatchObject({ usage: { seconds: 1 } });
    const direct = await fetch(
      `${simulator.url}/_direct/groq/openai/v1/audio/transcriptions`,
      init,
    );
    expect(direct.status).toBe(200);
    expect(simulator.books.since().map(({ provider }) => provider)).toEqual(['openai', 'groq']);
  });

  it('knows a model only for what it does', async () => {
    const asks: [string, unknown][] = [
      ['/v1/chat/completions', { model: EMBEDDINGS, messages }],
      ['/v1/embeddings', { model: ROUND_PRICES, input: 'a' }],
      ['/v1/images/generations', { model: SPEECH, prompt: 'a' }],
    ];
    for (const [path, body] of asks) {
      const { status, text } = await call(simulator, 'POST', path, body);
      expect(status).toBe(400);
      expect(text).toContain('model_not_supported');
    }
    expect((await call(simulator, 'GET', '/v1/models')).text).not.toContain(EMBEDDINGS);
    expect((await call(simulator, 'GET', `/v1/models/${EMBEDDINGS}`)).status).toBe(404);
  });
});

describe('a client that hangs up', () => {
  it.each([
    ['together', 2],
    ['groq', 8],
  ])('pays %s for %i tokens of a message', async (provider, tokens) => {
    const content = '[[sim output=8 chunks=4 fault=hang-mid-stream after=4 reasoning=0]]';
    const body = {
      model: `${EVERY_DIALECT}:${provider}`,
      messages: [{ role: 'user', content }],
      max_tokens: 9,
      stream: true,
    };
    const aborter = new AbortController();
    const init = { method: 'POST', body: JSON.stringify(body), signal: aborter.signal };
    const answer = await fetch(`${simulator.url}/v1/messages`, init);
    expect(answer.status).toBe(200);
    aborter.abort();
    await eventually(() => simulator.openRequests() === 0);
    expect(simulator.books.since()).toMatchObject([
      { task: 'messages', outcome: 'client_aborted', completionTokens: tokens },
    ]);
  });
});

describe('prices that the list does not show', () => {
  it('are those of every model that does not chat, at two providers at least', () => {
    const prices = unlistedOffers(simulator.catalogue);
    for (const model of [EMBEDDINGS, PER_IMAGE, SPEECH, TRANSCRIPTION]) {
      expect(prices.filter((row) => row.model === model).length).toBeGreaterThan(1);
    }
    expect(prices).toContainEqual({
      provider: 'groq',
      model: TRANSCRIPTION,
      unit: 'audio_hour',
      usdPerUnit: '0.111',
    });
    expect(prices.filter((row) => row.model === CACHE_WRITES).map(({ unit }) => unit)).toEqual([
      'cached_input',
      'cache_write_5m',
      'cache_write_1h',
    ]);
  });

  it('name each unit once, jobs and the serverless tier included', () => {
    const keys = unlistedPrices(simulator).map(
      ({ provider, model, unit }) => `${provider} ${model} ${unit}`,
    );
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).toContain('fal-ai black-forest-labs/FLUX.1-dev megapixel');
  });

  it('can be changed while running, and are told over HTTP', async () => {
    const change = {
      model: PER_IMAGE,
      provider: 'together',
      inputUsdPerMillion: '0',
      outputUsdPerMillion: '0',
      rates: { image: '0.07' },
      tokensPerSecond: 900,
    };
    expect((await call(simulator, 'PUT', '/_sim/prices', change)).status).toBe(200);
    await call(simulator, 'POST', '/v1/images/generations', { model: PER_IMAGE, prompt: 'a' });
    expect(simulator.books.since()).toMatchObject([{ costPicoUsd: 70_000_000_000n }]);
    const { text } = await call(simulator, 'GET', '/_sim/unlisted-prices');
    const { data } = JSON.parse(text) as { data: unknown[] };
    const row = { provider: 'together', model: PER_IMAGE, unit: 'image', usdPerUnit: '0.07' };
    expect(data).toContainEqual(row);
    const wrong = { ...change, rates: { furlong: '1' } };
    expect((await call(simulator, 'PUT', '/_sim/prices', wrong)).status).toBe(400);
    await call(simulator, 'POST', '/_sim/reset');
  });
});
