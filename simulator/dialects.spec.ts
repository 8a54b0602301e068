import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { providers } from './providers.js';
import { startSimulator, type Simulator } from './server.js';
import {
  answerOf,
  chat,
  chunksOf,
  dataOf,
  type Received,
  type SentChunk,
  type SentUsage,
} from './spec-client.js';
import { EVERY_DIALECT } from './special-models.js';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ seed: 7 });
});
afterAll(() => simulator.close());

const asksUsage = { stream_options: { include_usage: true } };
/** The request's text is 40 characters and the directives; `input` fixes the prompt tokens. */
const SIM = 'input=100 output=8 chunks=4 cached=30 reasoning=2';

async function stream(provider: string, fields: Record<string, unknown> = {}): Promise<Received> {
  return chat(simulator, { model: `${EVERY_DIALECT}:${provider}`, stream: true, sim: SIM, fields });
}

/** Every usage in the stream with the place it was found in. */
function usages(chunks: readonly SentChunk[]): { at: number; where: string; usage: SentUsage }[] {
  return chunks.flatMap((chunk, at) => {
    const inChoice = chunk.choices[0]?.usage;
    const inGroq = chunk.x_groq?.usage;
    const top = chunk.choices.length === 0 ? 'empty chunk' : 'choice chunk';
    return [
      ...(chunk.usage ? [{ at, where: top, usage: chunk.usage }] : []),
      ...(inChoice ? [{ at, where: 'inside the choice', usage: inChoice }] : []),
      ...(inGroq ? [{ at, where: 'x_groq', usage: inGroq }] : []),
    ];
  });
}

function finishAt(chunks: readonly SentChunk[]): number {
  return chunks.findIndex((chunk) => chunk.choices[0]?.finish_reason === 'stop');
}

const full = {
  prompt_tokens: 100,
  completion_tokens: 8,
  total_tokens: 108,
  prompt_tokens_details: { cached_tokens: 30 },
  completion_tokens_details: { reasoning_tokens: 2 },
};

describe('usage in an extra chunk with empty choices, only when asked', () => {
  const slugs = [
    'openai',
    'openai-compatible',
    'hf-inference',
    'fireworks-newer',
    'nscale',
    'ovhcloud',
    'scaleway',
    'sambanova',
    'deepinfra',
  ];
  it.each(slugs)('%s', async (slug) => {
    const asked = chunksOf((await stream(slug, asksUsage)).text);
    const found = usages(asked);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ at: asked.length - 1, where: 'empty chunk', usage: full });
    expect(asked.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    const silent = chunksOf((await stream(slug)).text);
    expect(usages(silent)).toEqual([]);
    expect(silent.some((chunk) => 'usage' in chunk)).toBe(false);
  });
});

describe('usage on the finish_reason chunk, asked or not', () => {
  it.each(['together', 'fireworks-ai', 'cohere', 'cerebras', 'mistral'])('%s', async (slug) => {
    const chunks = chunksOf((await stream(slug)).text);
    const found = usages(chunks);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ at: finishAt(chunks), where: 'choice chunk', usage: full });
    expect(found[0]?.at).toBe(chunks.length - 1);
  });
});

describe('cumulative usage on every chunk', () => {
  it.each([
    ['novita', {}],
    ['perplexity', {}],
    ['gemini', {}],
    ['vllm', { stream_options: { continuous_usage_stats: true } }],
  ])('%s', async (slug, fields) => {
    const chunks = chunksOf((await stream(slug, fields)).text);
    expect(usages(chunks).map(({ usage }) => usage.completion_tokens)).toEqual([0, 2, 4, 6, 8, 8]);
    expect(usages(chunks)).toHaveLength(chunks.length);
    expect(usages(chunks).at(-1)?.usage).toEqual(full);
  });

  it('vllm reports only in the extra chunk without continuous_usage_stats', async () => {
    const found = usages(chunksOf((await stream('vllm', asksUsage)).text));
    expect(found.map(({ where }) => where)).toEqual(['empty chunk']);
  });
});

describe('places of their own', () => {
  it('groq: x_groq.usage in the last chunk, and once more in a usage chunk when asked', async () => {
    const silent = chunksOf((await stream('groq')).text);
    expect(usages(silent)).toEqual([{ at: silent.length - 1, where: 'x_groq', usage: full }]);
    const asked = chunksOf((await stream('groq', asksUsage)).text);
    expect(usages(asked)).toEqual([
      { at: asked.length - 2, where: 'x_groq', usage: full },
      { at: asked.length - 1, where: 'empty chunk', usage: full },
    ]);
  });

  it('xai: in the second-to-last chunk, then an empty one', async () => {
    const chunks = chunksOf((await stream('xai')).text);
    expect(usages(chunks)).toMatchObject([{ at: chunks.length - 2, usage: full }]);
    expect(chunks.at(-1)?.choices).toEqual([]);
  });

  it('moonshot: inside the choice', async () => {
    const chunks = chunksOf((await stream('moonshot', asksUsage)).text);
    const expected = { at: chunks.length - 1, where: 'inside the choice', usage: full };
    expect(usages(chunks)).toEqual([expected]);
  });

  it('openrouter: the cost in the last chunk, comments before and between', async () => {
    const { text } = await stream('openrouter');
    const chunks = chunksOf(text);
    expect(text.startsWith(': OPENROUTER PROCESSING\n\n')).toBe(true);
    const [found] = usages(chunks);
    expect(found).toMatchObject({ at: chunks.length - 1, where: 'choice chunk', usage: full });
    expect(found?.usage.cost).toBe(Number(simulator.books.since().at(-1)?.costPicoUsd) / 1e12);
  });

  it('deepinfra: estimated_cost is what the books say', async () => {
    const [found] = usages(chunksOf((await stream('deepinfra', asksUsage)).text));
    const billed = simulator.books.since().at(-1)?.costPicoUsd;
    expect(found?.usage.estimated_cost).toBe(Number(billed) / 1e12);
    expect(billed).toBeGreaterThan(0n);
  });

  it('sambanova: timing fields beside the counts', async () => {
    const [found] = usages(chunksOf((await stream('sambanova', asksUsage)).text));
    expect(found?.usage.total_latency).toBe(0.75);
  });

  it('cerebras sends no [DONE], the others do; done= overrules', async () => {
    expect(dataOf((await stream('cerebras')).text)).not.toContain('[DONE]');
    expect(dataOf((await stream('together')).text).at(-1)).toBe('[DONE]');
    const model = `${EVERY_DIALECT}:together`;
    const cut = await chat(simulator, { model, stream: true, sim: 'done=no' });
    expect(cut.text).not.toContain('[DONE]');
  });
});

describe('what providers refuse', () => {
  it('mistral answers 422 that names stream_options', async () => {
    const refused = await stream('mistral', asksUsage);
    expect(refused.status).toBe(422);
    expect(refused.text).toContain('stream_options');
    expect(simulator.books.since().at(-1)).toMatchObject({ billed: false, costPicoUsd: 0n });
  });

  it('openai answers 400 to stream_options without a stream', async () => {
    const model = `${EVERY_DIALECT}:openai`;
    const refused = await chat(simulator, { model, fields: asksUsage });
    expect(refused.status).toBe(400);
    expect(refused.text).toContain('stream_options');
  });

  it('cerebras rejects store', async () => {
    expect((await stream('cerebras', { store: true })).status).toBe(400);
  });
});

describe('every provider', () => {
  it.each([...providers.keys()])('%s streams the text that it bills', async (slug) => {
    const received = await stream(slug);
    const deltas = chunksOf(received.text).map((chunk) => chunk.choices[0]?.delta ?? {});
    const text = deltas.map((delta) => `${delta.reasoning_content ?? ''}${delta.content ?? ''}`);
    expect(Buffer.byteLength(text.join(''))).toBe(8 * 4);
    expect(received.headers['x-inference-provider']).toBe(slug);
    const line = simulator.books.since().at(-1);
    expect(line).toMatchObject({ provider: slug, completionTokens: 8, outcome: 'complete' });
    expect(line?.requestId).toBe(received.headers['x-request-id']);
  });

  it.each([...providers.keys()])('%s reports usage in a plain answer', async (slug) => {
    const model = `${EVERY_DIALECT}:${slug}`;
    const answer = answerOf(await chat(simulator, { model, sim: SIM }));
    expect(answer.usage).toMatchObject(full);
    expect(answer.model).not.toBe(EVERY_DIALECT);
  });
});
