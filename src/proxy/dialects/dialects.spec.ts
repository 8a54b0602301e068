import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Quantities } from '../../domain/usage.js';
import { type AnswerReading, AnswerReader, type EventKind } from './answer-reader.js';
import { SseSplitter } from './sse-splitter.js';
import { type AnswerFamily } from './usage-fields.js';

interface Dialect {
  readonly name: string;
  readonly family: AnswerFamily;
  readonly stream: string;
  readonly kinds: readonly EventKind[];
  readonly quantities: Quantities;
  readonly reasoningTokens?: bigint;
  readonly statedCostUsd?: string;
  readonly serviceTier?: string;
  readonly contentBytes: number;
  readonly hasEnd?: boolean;
}

function data(value: unknown, newline = '\n'): string {
  return `data: ${JSON.stringify(value)}${newline}${newline}`;
}

function named(type: string, rest: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`;
}

function chunk(content: string, rest: object = {}, finish: string | null = null): object {
  return {
    id: 'c1',
    object: 'chat.completion.chunk',
    model: 'provider/own-id',
    choices: [{ index: 0, delta: { content }, finish_reason: finish }],
    ...rest,
  };
}

const DONE = 'data: [DONE]\n\n';
const CACHED = { cached_tokens: 4 };
const usage = { prompt_tokens: 10, completion_tokens: 6, total_tokens: 16 };

const DIALECTS: readonly Dialect[] = [
  {
    name: 'OpenAI, TGI: one extra chunk with empty choices',
    family: 'chat',
    stream:
      data(chunk('Grüße', { usage: null })) +
      data(chunk(' 🚪', { usage: null, service_tier: 'default' }, 'stop')) +
      data({
        choices: [],
        usage: {
          ...usage,
          prompt_tokens_details: { ...CACHED, audio_tokens: 0 },
          completion_tokens_details: { reasoning_tokens: 2, audio_tokens: 0 },
        },
      }) +
      DONE,
    kinds: ['other', 'other', 'usage_only', 'end'],
    quantities: { input: 6n, cached_input: 4n, audio_input: 0n, output: 6n, audio_output: 0n },
    reasoningTokens: 2n,
    serviceTier: 'default',
    contentBytes: 12,
  },
  {
    name: 'Together, Fireworks: the last chunk that still has a choice',
    family: 'chat',
    stream:
      data(chunk('a')) + data(chunk('', { usage: { ...usage, ...CACHED } }, 'stop'), '\r\n') + DONE,
    kinds: ['other', 'usage', 'end'],
    quantities: { input: 6n, cached_input: 4n, output: 6n },
    contentBytes: 1,
  },
  {
    name: 'Fireworks (newer models): extra chunk, details null',
    family: 'chat',
    stream:
      data(chunk('a', { usage: null })) +
      data({ choices: [], usage: { ...usage, prompt_tokens_details: null } }) +
      DONE,
    kinds: ['other', 'usage_only', 'end'],
    quantities: { input: 10n, output: 6n },
    contentBytes: 1,
  },
  {
    name: 'Mistral, Cohere, Cerebras: on the finish chunk, no [DONE]',
    family: 'chat',
    stream:
      data(chunk('a')) + data(chunk('b', { usage: { ...usage, num_cached_tokens: 4 } }, 'stop')),
    kinds: ['other', 'usage'],
    quantities: { input: 6n, cached_input: 4n, output: 6n },
    contentBytes: 2,
    hasEnd: false,
  },
  {
    name: 'Novita, Perplexity, Gemini, vLLM: cumulative on every chunk',
    family: 'chat',
    stream:
      [1, 2, 4, 6]
        .map((n) =>
          data(chunk('x', { usage: { ...usage, completion_tokens: n, total_tokens: 10 + n } })),
        )
        .join('') +
      data({ choices: [], usage }) +
      DONE,
    kinds: ['usage', 'usage', 'usage', 'usage', 'usage_only', 'end'],
    quantities: { input: 10n, output: 6n },
    contentBytes: 4,
  },
  {
    name: 'Groq: x_groq.usage and once more in a usage chunk',
    family: 'chat',
    stream:
      data(chunk('hi', { x_groq: { id: 'req_1' } })) +
      data(chunk('', { x_groq: { id: 'req_1', usage: { ...usage, queue_time: 0.01 } } }, 'stop')) +
      data({ choices: [], usage: { ...usage, total_time: 0.25 } }) +
      DONE,
    kinds: ['other', 'usage', 'usage_only', 'end'],
    quantities: { input: 10n, output: 6n },
    contentBytes: 2,
  },
  {
    name: 'xAI: second-to-last chunk, reasoning beside completion_tokens',
    family: 'chat',
    stream:
      data(chunk('hi')) +
      data({
        choices: [],
        usage: {
          prompt_tokens: 32,
          completion_tokens: 9,
          total_tokens: 135,
          prompt_tokens_details: { text_tokens: 32, audio_tokens: 0, cached_tokens: 6 },
          completion_tokens_details: { reasoning_tokens: 94, audio_tokens: 0 },
          cost_in_usd_ticks: 232856000,
        },
      }) +
      data({ choices: [] }) +
      DONE,
    kinds: ['other', 'usage_only', 'other', 'end'],
    quantities: { input: 26n, cached_input: 6n, audio_input: 0n, output: 103n, audio_output: 0n },
    reasoningTokens: 94n,
    statedCostUsd: '0.0232856',
    contentBytes: 2,
  },
  {
    name: 'Moonshot: inside the choice',
    family: 'chat',
    stream:
      data(chunk('hi')) +
      data({
        choices: [
          { index: 0, delta: {}, finish_reason: 'stop', usage: { ...usage, cached_tokens: 4 } },
        ],
      }) +
      DONE,
    kinds: ['other', 'usage', 'end'],
    quantities: { input: 6n, cached_input: 4n, output: 6n },
    contentBytes: 2,
  },
  {
    name: 'SambaNova: extra timing fields',
    family: 'chat',
    stream:
      data(chunk('hi')) +
      data({
        choices: [],
        usage: {
          ...usage,
          time_to_first_token: 0.0123,
          total_latency: 1.5e-2,
          is_last_response: true,
        },
      }) +
      DONE,
    kinds: ['other', 'usage_only', 'end'],
    quantities: { input: 10n, output: 6n },
    contentBytes: 2,
  },
  {
    name: 'DeepInfra: estimated_cost',
    family: 'chat',
    stream:
      data(chunk('hi')) +
      `data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":6,"estimated_cost":2.1e-06}}\n\n` +
      DONE,
    kinds: ['other', 'usage_only', 'end'],
    quantities: { input: 10n, output: 6n },
    statedCostUsd: '0.0000021',
    contentBytes: 2,
  },
  {
    name: 'OpenRouter: cost, and comments',
    family: 'chat',
    stream:
      ': OPENROUTER PROCESSING\n\n' +
      data(chunk('hi')) +
      ': OPENROUTER PROCESSING\n\n' +
      `data: {"choices":[{"delta":{"content":""}}],"usage":{"prompt_tokens":10,"completion_tokens":6,` +
      `"cost":0.00014130000000000001,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":1}}}\n\n` +
      DONE,
    kinds: ['other', 'other', 'other', 'usage', 'end'],
    quantities: { input: 5n, cached_input: 4n, cache_write_5m: 1n, output: 6n },
    statedCostUsd: '0.00014130000000000001',
    contentBytes: 2,
  },
  {
    name: 'DeepSeek: prompt_cache_hit_tokens',
    family: 'chat',
    stream:
      data({ choices: [{ delta: { reasoning_content: 'hmm' } }] }) +
      data(
        chunk(
          '',
          { usage: { ...usage, prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 6 } },
          'stop',
        ),
      ) +
      DONE,
    kinds: ['other', 'usage', 'end'],
    quantities: { input: 6n, cached_input: 4n, output: 6n },
    contentBytes: 3,
  },
  {
    name: 'Anthropic style: message_start and cumulative message_delta, no [DONE]',
    family: 'messages',
    stream:
      named('message_start', {
        message: {
          model: 'provider/own-id',
          content: [],
          usage: {
            input_tokens: 10,
            cache_read_input_tokens: 100,
            cache_creation_input_tokens: 30,
            cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 },
            output_tokens: 1,
            service_tier: 'standard',
          },
        },
      }) +
      named('ping', {}) +
      named('content_block_start', {
        index: 0,
        content_block: { type: 'thinking', thinking: '' },
      }) +
      named('content_block_delta', { index: 0, delta: { type: 'thinking_delta', thinking: 'ö' } }) +
      named('content_block_delta', { index: 1, delta: { type: 'text_delta', text: 'abc' } }) +
      named('content_block_start', {
        index: 2,
        content_block: { type: 'tool_use', id: 't', name: 'fn', input: {} },
      }) +
      named('content_block_delta', {
        index: 2,
        delta: { type: 'input_json_delta', partial_json: '{}' },
      }) +
      named('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 42 } }) +
      named('message_stop', {}),
    kinds: ['usage', 'other', 'other', 'other', 'other', 'other', 'other', 'usage', 'end'],
    quantities: {
      input: 10n,
      cached_input: 100n,
      cache_write_5m: 10n,
      cache_write_1h: 20n,
      output: 42n,
    },
    serviceTier: 'standard',
    contentBytes: 9,
  },
  ...(['completed', 'incomplete', 'failed'] as const).map((state): Dialect => ({
    name: `Responses API: response.${state}`,
    family: 'responses',
    stream:
      named('response.created', { response: { usage: null, error: null, service_tier: 'auto' } }) +
      named('response.output_item.added', { item: { type: 'function_call', name: 'fn' } }) +
      named('response.function_call_arguments.delta', { delta: '{"a":1}' }) +
      named('response.output_text.delta', { delta: 'hé' }) +
      named('response.output_text.done', { text: 'hé' }) +
      named(`response.${state}`, {
        response: {
          model: 'provider/own-id',
          service_tier: 'flex',
          error: state === 'failed' ? { code: 'server_error', message: 'broke' } : null,
          output: [{ type: 'message', content: [{ type: 'output_text', text: 'hé' }] }],
          usage: {
            input_tokens: 10,
            input_tokens_details: CACHED,
            output_tokens: 6,
            output_tokens_details: { reasoning_tokens: 5 },
            total_tokens: 16,
          },
        },
      }),
    kinds: ['other', 'other', 'other', 'other', 'other', 'end'],
    quantities: { input: 6n, cached_input: 4n, output: 6n },
    reasoningTokens: 5n,
    serviceTier: 'flex',
    contentBytes: 12,
  })),
  {
    name: 'several data lines, CRLF, a byte-order mark, an id and a retry',
    family: 'chat',
    stream:
      '\uFEFFid: 1\r\nretry: 5\r\ndata: {"choices":[],\r\n: note\r\ndata:"usage":\r\ndata: ' +
      '{"prompt_tokens":10,"completion_tokens":6}}\r\n\r\n\r\ndata: [DONE]\r\n\r\n',
    kinds: ['usage_only', 'other', 'end'],
    quantities: { input: 10n, output: 6n },
    contentBytes: 0,
  },
];

interface Relayed {
  readonly events: { raw: string; name: string | null; text: string; isPartial: boolean }[];
  readonly kinds: EventKind[];
  readonly bytes: Buffer;
  readonly reading: AnswerReading;
}

function relay(bytes: Buffer, family: AnswerFamily, cuts: readonly number[]): Relayed {
  const splitter = new SseSplitter();
  const reader = new AnswerReader(family);
  const all = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    // A copy, so that nothing can be read across the boundary.
    all.push(...splitter.push(Buffer.from(bytes.subarray(from, cut))));
    from = cut;
  }
  const rest = splitter.end();
  if (rest !== null) all.push(rest);
  return {
    kinds: all.map((event) => reader.readEvent(event)),
    events: all.map((event) => ({
      raw: event.raw.toString('hex'),
      name: event.name,
      text: event.dataText(),
      isPartial: event.isPartial,
    })),
    bytes: Buffer.concat(all.map((event) => event.raw)),
    reading: reader.reading(),
  };
}

describe.each(DIALECTS)('$name', (dialect) => {
  const bytes = Buffer.from(dialect.stream);
  const whole = relay(bytes, dialect.family, []);

  it('reads the usage, the kinds of events and the length of the content', () => {
    expect(whole.kinds).toEqual(dialect.kinds);
    expect(whole.reading.usage).toEqual({
      kind: 'reported',
      quantities: dialect.quantities,
      reasoningTokens: dialect.reasoningTokens ?? null,
      hasDecreased: false,
      statedCostUsd: dialect.statedCostUsd ?? null,
      serviceTier: dialect.serviceTier ?? null,
    });
    expect(whole.reading.contentBytes).toBe(dialect.contentBytes);
    expect(whole.reading.hasContent).toBe(dialect.contentBytes > 0);
    expect(whole.reading.hasEnd).toBe(dialect.hasEnd ?? true);
    expect(whole.reading.unreadableEvents).toBe(0);
    expect(whole.bytes.equals(bytes)).toBe(true);
  });

  it('reads the same when every byte comes alone', () => {
    const single = relay(
      bytes,
      dialect.family,
      Array.from(bytes, (_byte, index) => index),
    );
    expect(single).toEqual(whole);
  });

  it('reads the same however the bytes are cut', () => {
    const cuts = fc
      .array(fc.nat({ max: bytes.length }), { maxLength: 24 })
      .map((at) => [...at].sort((a, b) => a - b));
    fc.assert(
      fc.property(cuts, (at) => {
        const cut = relay(bytes, dialect.family, at);
        // Equality of text first: toEqual on every run is what would make this slow.
        return (
          cut.bytes.equals(bytes) &&
          JSON.stringify(cut.events) === JSON.stringify(whole.events) &&
          textOf(cut.reading) === textOf(whole.reading) &&
          cut.kinds.join() === whole.kinds.join()
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('reads nothing beyond what came when the stream breaks off anywhere', () => {
    const full = whole.reading;
    for (let length = 0; length <= bytes.length; length += 1) {
      const broken = relay(bytes.subarray(0, length), dialect.family, []);
      expect(broken.bytes.length).toBe(length);
      expect(broken.reading.contentBytes).toBeLessThanOrEqual(full.contentBytes);
    }
  });
});

function textOf(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'bigint' ? `${inner.toString()}n` : inner,
  );
}
