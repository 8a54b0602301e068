import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BookEntry } from './books.js';
import { startSimulator, type Simulator } from './server.js';
import { answerOf, call, chat, chunksOf, openChat } from './spec-client.js';
import { EVERY_DIALECT, ONE_PROVIDER_DOWN, ROUND_PRICES, SHORT_CONTEXT } from './special-models.js';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ seed: 3, apiKey: 'hf_simulated' });
});
afterAll(() => simulator.close());
beforeEach(() => {
  simulator.books.reset();
});

const key = { authorization: 'Bearer hf_simulated' };

function lastLine(): BookEntry | undefined {
  return simulator.books.since().at(-1);
}

describe('the books', () => {
  it('bill cached, fresh and output tokens to the pico-dollar', async () => {
    const sim = 'input=100 cached=30 output=8 reasoning=2 tag=sums';
    await chat(simulator, { model: ROUND_PRICES, sim, headers: key });
    expect(simulator.books.tagged('sums')).toMatchObject([
      {
        promptTokens: 100,
        cachedTokens: 30,
        completionTokens: 8,
        reasoningTokens: 2,
        // 70 x USD 1.00 + 30 x USD 0.50 + 8 x USD 2.00, each per million
        costPicoUsd: 101_000_000n,
        outcome: 'complete',
        billed: true,
        status: 200,
        stream: false,
      },
    ]);
  });

  it('bill the same for a stream as for a plain answer', async () => {
    const sim = 'input=100 cached=30 output=8';
    await chat(simulator, { model: ROUND_PRICES, sim, headers: key, stream: true });
    expect(lastLine()).toMatchObject({ costPicoUsd: 101_000_000n, stream: true });
  });

  it('keep the price that held when the request came', async () => {
    const sim = 'input=100 cached=0 output=8 chunk_delay=2';
    const open = openChat(simulator, { model: ROUND_PRICES, sim, headers: key, stream: true });
    await open.firstBytes;
    const dearer = { provider: 'together', inputUsdPerMillion: '9', outputUsdPerMillion: '9' };
    simulator.catalogue.setOffer(ROUND_PRICES, dearer);
    await open.received;
    // 100 x USD 1.00 + 8 x USD 2.00; then 108 x USD 9.00, each per million
    expect(lastLine()?.costPicoUsd).toBe(116_000_000n);
    await chat(simulator, { model: ROUND_PRICES, sim: 'input=100 output=8', headers: key });
    expect(lastLine()?.costPicoUsd).toBe(972_000_000n);
    simulator.catalogue.reset();
  });

  it('are read, filtered and reset over HTTP', async () => {
    await chat(simulator, { model: ROUND_PRICES, sim: 'tag=a', headers: key });
    await chat(simulator, { model: ROUND_PRICES, sim: 'tag=b', headers: key });
    const seq = simulator.books.seq;
    const read = async (query: string): Promise<{ tag: string; costPicoUsd: string }[]> => {
      const { text } = await call(simulator, 'GET', `/_sim/books${query}`);
      return (JSON.parse(text) as { entries: { tag: string; costPicoUsd: string }[] }).entries;
    };
    expect((await read('')).map((line) => line.tag)).toEqual(['a', 'b']);
    expect((await read('?tag=a')).map((line) => line.tag)).toEqual(['a']);
    const [newest] = await read(`?since=${seq - 1}`);
    expect(newest).toMatchObject({ tag: 'b', costPicoUsd: lastLine()?.costPicoUsd.toString() });
    expect(await read(`?since=${seq}`)).toEqual([]);
    await call(simulator, 'DELETE', '/_sim/books');
    expect(await read('')).toEqual([]);
  });
});

describe('tokens', () => {
  it('counts four characters of text as one prompt token, rounded up', async () => {
    const fields = { messages: [{ role: 'user', content: 'x'.repeat(41) }] };
    const answer = await chat(simulator, { model: ROUND_PRICES, fields, headers: key });
    expect(answerOf(answer).usage?.prompt_tokens).toBe(11);
  });

  it.each([['max_tokens'], ['max_completion_tokens']])('never exceeds %s', async (field) => {
    const ask = { model: ROUND_PRICES, sim: 'output=50', fields: { [field]: 7 }, headers: key };
    const answer = answerOf(await chat(simulator, ask));
    expect(answer.usage?.completion_tokens).toBe(7);
    expect(answer.choices[0]?.finish_reason).toBe('length');
  });

  it('bills every choice of n', async () => {
    const ask = { model: ROUND_PRICES, sim: 'output=5', fields: { n: 3 }, headers: key };
    const plain = answerOf(await chat(simulator, ask));
    expect(plain.choices).toHaveLength(3);
    expect(plain.usage?.completion_tokens).toBe(15);
    await chat(simulator, { ...ask, stream: true });
    expect(lastLine()?.completionTokens).toBe(15);
  });

  it('gives the same answer to the same request', async () => {
    const ask = { model: ROUND_PRICES, fields: { max_tokens: 500 }, headers: key };
    const [first, second] = [await chat(simulator, ask), await chat(simulator, ask)];
    expect(answerOf(first).usage).toEqual(answerOf(second).usage);
    expect(first.headers['x-request-id']).not.toBe(second.headers['x-request-id']);
  });

  it('sometimes caches and reasons, and sometimes says details null', async () => {
    const lines = [];
    for (let i = 0; i < 40; i += 1) {
      const fields = { messages: [{ role: 'user', content: `question ${i}` }] };
      lines.push(answerOf(await chat(simulator, { model: ROUND_PRICES, fields, headers: key })));
    }
    const usages = lines.map((line) => line.usage);
    expect(usages.some((usage) => usage?.prompt_tokens_details === null)).toBe(true);
    expect(usages.some((usage) => (usage?.prompt_tokens_details?.cached_tokens ?? 0) > 0)).toBe(
      true,
    );
    expect(usages.some((usage) => usage?.completion_tokens_details !== undefined)).toBe(true);
  });

  it('refuses a prompt past the context', async () => {
    const sim = 'input=5000';
    const refused = await chat(simulator, { model: SHORT_CONTEXT, sim, headers: key });
    expect(refused.status).toBe(400);
    expect(refused.text).toContain('context_length_exceeded');
  });
});

describe('tool calls', () => {
  const fields = {
    tools: [{ type: 'function', function: { name: 'look_up', parameters: { type: 'object' } } }],
  };

  it('come whole in a plain answer', async () => {
    const sim = 'tools=2 output=6';
    const answer = answerOf(
      await chat(simulator, { model: ROUND_PRICES, sim, fields, headers: key }),
    );
    const calls = answer.choices[0]?.message.tool_calls;
    expect(calls).toHaveLength(2);
    expect(calls?.[0]?.function.name).toBe('look_up');
    expect(answer.choices[0]?.finish_reason).toBe('tool_calls');
  });

  it('come as argument fragments in a stream', async () => {
    const sim = 'tools=1 output=40 chunks=10';
    const ask = { model: ROUND_PRICES, sim, fields, headers: key, stream: true };
    const chunks = chunksOf((await chat(simulator, ask)).text);
    const deltas = chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
    expect(deltas[0]?.function.name).toBe('look_up');
    const text = deltas.map((delta) => delta.function.arguments).join('');
    expect(Object.keys(JSON.parse(text) as object)).toEqual(['text']);
  });
});

describe('refusals of the router', () => {
  it('401 without the key, which no line in the books follows', async () => {
    const refused = await chat(simulator, { model: ROUND_PRICES });
    expect(refused.status).toBe(401);
    expect(JSON.parse(refused.text)).toEqual({
      error: 'Invalid credentials in Authorization header',
    });
    expect(simulator.books.since()).toEqual([]);
  });

  it('400 model_not_supported for a model nobody serves', async () => {
    const refused = await chat(simulator, { model: 'no/such', headers: key });
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text)).toMatchObject({
      error: { type: 'invalid_request_error', param: 'model', code: 'model_not_supported' },
    });
  });

  it('400 for a provider that does not serve the model', async () => {
    const refused = await chat(simulator, { model: `${ROUND_PRICES}:groq`, headers: key });
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text)).toEqual({ error: 'Model not supported by provider groq' });
  });

  it('503 for a pinned provider in error', async () => {
    const refused = await chat(simulator, { model: `${ONE_PROVIDER_DOWN}:groq`, headers: key });
    expect(refused.status).toBe(503);
  });

  it('400 for a directive it does not know', async () => {
    const refused = await chat(simulator, { model: ROUND_PRICES, sim: 'outptu=3', headers: key });
    expect(refused.status).toBe(400);
    expect(refused.text).toContain('outptu');
  });
});

describe('the providers themselves', () => {
  it('take their own model id at their own route, without the router header', async () => {
    const served = await chat(simulator, {
      model: 'accounts/fireworks/models/every-dialect',
      path: '/fireworks-ai/inference/v1/chat/completions',
      headers: key,
      sim: 'output=1',
    });
    expect(served.status).toBe(200);
    expect(served.headers['x-inference-provider']).toBeUndefined();
    expect(lastLine()).toMatchObject({ provider: 'fireworks-ai', model: EVERY_DIALECT });
  });
});

describe('the catalogue over HTTP', () => {
  it('answers plain and encoded model ids, 404 for others', async () => {
    const plain = await call(simulator, 'GET', `/v1/models/${ROUND_PRICES}`);
    const encoded = await call(simulator, 'GET', `/v1/models/${encodeURIComponent(ROUND_PRICES)}`);
    expect(plain.text).toBe(encoded.text);
    expect((await call(simulator, 'GET', '/v1/models/no/such')).status).toBe(404);
  });

  it('changes prices at run time', async () => {
    const change = {
      model: ROUND_PRICES,
      provider: 'together',
      inputUsdPerMillion: '4',
      outputUsdPerMillion: '5.5',
    };
    expect((await call(simulator, 'PUT', '/_sim/prices', change)).status).toBe(200);
    const { text } = await call(simulator, 'GET', `/v1/models/${ROUND_PRICES}`);
    expect(text).toContain('"pricing":{"input":4,"output":5.5}');
    const wrong = { ...change, inputUsdPerMillion: '-1' };
    expect((await call(simulator, 'PUT', '/_sim/prices', wrong)).status).toBe(400);
    await call(simulator, 'POST', '/_sim/reset');
  });

  it('maps a model to its providers as the Hub does', async () => {
    const path = `/api/models/${ROUND_PRICES}?expand[]=inferenceProviderMapping`;
    const { text } = await call(simulator, 'GET', path);
    expect(JSON.parse(text)).toMatchObject({
      inferenceProviderMapping: { together: { status: 'live', task: 'conversational' } },
    });
  });
});
