/** The real client, pointed straight at the simulator. */
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BookEntry } from './books.js';
import { startSimulator, type Simulator } from './server.js';
import { CACHE_WRITES, ROUND_PRICES } from './special-models.js';
import { dataOf } from './spec-client.js';

let simulator: Simulator;
let client: Anthropic;
beforeAll(async () => {
  simulator = await startSimulator({ seed: 3, apiKey: 'sim-key' });
  client = new Anthropic({ apiKey: 'sim-key', baseURL: simulator.url, maxRetries: 0 });
});
afterAll(() => simulator.close());
beforeEach(() => {
  simulator.books.reset();
});

function line(): BookEntry | undefined {
  return simulator.books.since().at(-1);
}

function ask(sim: string, model = CACHE_WRITES) {
  const messages = [{ role: 'user' as const, content: `[[sim ${sim}]]` }];
  return { model, max_tokens: 100, messages };
}

const SIZE = 'input=100 cached=30 cache_write=10 cache_write_1h=20 output=8 chunks=4';

describe('messages', () => {
  it('report fresh, read and written input beside each other and bill each at its price', async () => {
    const message = await client.messages.create(ask(SIZE));
    expect(message.usage).toMatchObject({
      input_tokens: 40,
      cache_read_input_tokens: 30,
      cache_creation_input_tokens: 30,
      cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 },
      output_tokens: 8,
    });
    expect(line()).toMatchObject({
      task: 'messages',
      promptTokens: 100,
      cachedTokens: 30,
      cacheWriteTokens: 30,
      cacheWrite1hTokens: 20,
      // 40 x USD 3 + 30 x 0.30 + 10 x 3.75 + 20 x 6 + 8 x 15, each per million
      costPicoUsd: 406_500_000n,
    });
  });

  it('stream the same, output cumulative and no [DONE]', async () => {
    const stream = client.messages.stream(ask(SIZE));
    const message = await stream.finalMessage();
    const [block] = message.content;
    expect(block).toMatchObject({ type: 'text' });
    expect(Buffer.byteLength(block?.type === 'text' ? block.text : '')).toBe(32);
    expect(message.usage).toMatchObject({ input_tokens: 40, output_tokens: 8 });
    expect(line()).toMatchObject({ costPicoUsd: 406_500_000n, stream: true });
    const raw = await fetch(`${simulator.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': 'sim-key' },
      body: JSON.stringify({ ...ask(SIZE), stream: true }),
    });
    const text = await raw.text();
    expect(text).not.toContain('[DONE]');
    const events = dataOf(text).map(
      (data) => JSON.parse(data) as { type: string; usage?: unknown },
    );
    expect(events.map(({ type }) => type)).toEqual([
      'message_start',
      'content_block_start',
      'ping',
      ...Array.from({ length: 4 }, () => 'content_block_delta'),
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    expect(events.at(-2)?.usage).toMatchObject({ output_tokens: 8 });
    expect(raw.headers.get('request-id')).toBe(line()?.requestId);
  });

  it('take the key as Bearer too and refuse any other in their own form', async () => {
    const bearer = new Anthropic({
      apiKey: null,
      authToken: 'sim-key',
      baseURL: simulator.url,
      maxRetries: 0,
    });
    expect((await bearer.messages.create(ask('output=1'))).stop_reason).toBe('end_turn');
    const stranger = new Anthropic({ apiKey: 'no', baseURL: simulator.url, maxRetries: 0 });
    const refused: unknown = await stranger.messages
      .create(ask(''))
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Anthropic.AuthenticationError);
    expect(simulator.books.since()).toHaveLength(1);
  });

  it.each([
    ['fault=429', 429, 'rate_limit_error'],
    ['fault=529', 529, 'overloaded_error'],
    ['outptu=3', 400, 'invalid_request_error'],
  ])('answer %s as Anthropic would', async (sim, status, type) => {
    const error: unknown = await client.messages.create(ask(sim)).catch((error: unknown) => error);
    expect(error).toMatchObject({ status, error: { type: 'error', error: { type } } });
    expect((error as InstanceType<typeof Anthropic.APIError>).requestID).toMatch(/^req-/);
  });

  it('break in mid-stream with an error event, billed as far as they came', async () => {
    const stream = client.messages.stream(ask(`${SIZE} fault=error-mid-stream after=5`));
    await expect(stream.finalMessage()).rejects.toThrow('Overloaded');
    expect(line()).toMatchObject({ outcome: 'faulted', completionTokens: 4 });
  });

  it('call tools and stop at the maximum', async () => {
    const tools = [{ name: 'look_up', input_schema: { type: 'object' as const } }];
    const called = await client.messages.stream({ ...ask('tools=1'), tools }).finalMessage();
    expect(called.stop_reason).toBe('tool_use');
    expect(called.content[0]).toMatchObject({ type: 'tool_use', name: 'look_up' });
    const cut = await client.messages.create(ask('output=500'));
    expect(cut.stop_reason).toBe('max_tokens');
    expect(cut.usage.output_tokens).toBe(100);
  });

  it('count tokens for nothing', async () => {
    const messages = [{ role: 'user' as const, content: 'x'.repeat(41) }];
    const counted = await client.messages.countTokens({ model: ROUND_PRICES, messages });
    expect(counted.input_tokens).toBe(11);
    expect(simulator.books.since()).toEqual([]);
  });
});
