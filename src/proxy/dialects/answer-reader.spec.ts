import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ReportedUsage } from '../../domain/usage.js';
import { type AnswerReading, AnswerReader, type EventKind } from './answer-reader.js';
import { SseSplitter } from './sse-splitter.js';
import { type AnswerFamily, RAW_USAGE_MAX_BYTES } from './usage-fields.js';

interface Read extends AnswerReading {
  readonly kinds: readonly EventKind[];
}

function readStream(text: string | Buffer, family: AnswerFamily = 'chat'): Read {
  const reader = new AnswerReader(family);
  const splitter = new SseSplitter();
  const events = splitter.push(Buffer.from(text));
  const rest = splitter.end();
  if (rest !== null) events.push(rest);
  const kinds = events.map((event) => reader.readEvent(event));
  return { kinds, ...reader.reading() };
}

function readData(values: readonly (string | object)[], family?: AnswerFamily): Read {
  const text = values
    .map((value) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`)
    .join('');
  return readStream(text, family);
}

function readBody(body: string | object, family: AnswerFamily = 'chat'): Read {
  const reader = new AnswerReader(family);
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const kind = reader.readBody(Buffer.from(text));
  return { kinds: [kind], ...reader.reading() };
}

function reported(usage: ReportedUsage): ReportedUsage & { kind: 'reported' } {
  if (usage.kind !== 'reported') throw new Error(`usage is ${JSON.stringify(usage)}`);
  return usage;
}

function malformed(usage: ReportedUsage): ReportedUsage & { kind: 'malformed' } {
  if (usage.kind !== 'malformed') throw new Error(`usage is ${usage.kind}`);
  return usage;
}

describe('the maximum over all usages', () => {
  const counts = fc.array(fc.nat({ max: 1000 }), { minLength: 1, maxLength: 6 });

  it('is the maximum of each field, never a sum, wherever the usages sit', () => {
    fc.assert(
      fc.property(
        counts,
        counts,
        fc.array(fc.nat({ max: 3 }), { maxLength: 6 }),
        (p, c, places) => {
          const events = Array.from({ length: Math.max(p.length, c.length) }, (_, index) => {
            const usage = {
              ...(p[index] === undefined ? {} : { prompt_tokens: p[index] }),
              completion_tokens: c[index] ?? null,
            };
            return [
              { usage },
              { x_groq: { usage }, usage: null },
              { choices: [{ usage }] },
              { choices: [], usage },
            ][places[index] ?? 0]!;
          });
          const usage = reported(readData(events).usage);
          expect(usage.quantities).toEqual({
            input: BigInt(Math.max(...p)),
            output: BigInt(Math.max(...c)),
          });
          const falls = (values: number[]): boolean =>
            values.some((value, index) => value < Math.max(...values.slice(0, index), 0));
          expect(usage.hasDecreased).toBe(falls(p) || falls(c));
        },
      ),
    );
  });

  it('is taken per raw field, before the classes are separated', () => {
    const { usage } = readData([
      { usage: { prompt_tokens: 100, prompt_tokens_details: { cached_tokens: 0 } } },
      { usage: { prompt_tokens: 100, prompt_tokens_details: { cached_tokens: 40 } } },
    ]);
    expect(reported(usage).quantities).toEqual({ input: 60n, cached_input: 40n });
  });

  it('does not take null or missing for 0, nor for a decrease', () => {
    const { usage } = readData([
      { usage: { prompt_tokens: 7, completion_tokens: null } },
      { usage: { prompt_tokens: null } },
      { usage: null },
      { usage: {} },
    ]);
    expect(reported(usage)).toMatchObject({ quantities: { input: 7n }, hasDecreased: false });
    expect(reported(usage).quantities).not.toHaveProperty('output');
    expect(reported(usage).quantities).not.toHaveProperty('cached_input');
  });

  it('keeps a 0 that was reported', () => {
    const { usage } = readData([{ usage: { prompt_tokens: 7, completion_tokens: 0 } }]);
    expect(reported(usage).quantities).toEqual({ input: 7n, output: 0n });
  });

  it('is none where every usage is null, missing or empty', () => {
    expect(readData([{ usage: null }, {}, { usage: {} }, { usage: [] }]).usage.kind).toBe('none');
    expect(readData([{ usage: { prompt_tokens: null } }]).usage.kind).toBe('none');
  });
});

describe('a usage that is never charged', () => {
  it.each([
    ['-1', 'is negative'],
    ['1.5', 'is fractional'],
    ['0.5', 'is fractional'],
    ['12.00000000000000000001', 'is fractional'],
    ['0.99999999999999999999', 'is fractional'],
    ['9007199254740992', 'is too large'],
    ['9007199254740993', 'is too large'],
    ['1e400', 'is too large'],
    ['1e16', 'is too large'],
    ['"12"', 'is not a number'],
    ['true', 'is not a number'],
    ['[]', 'is not a number'],
    ['{}', 'is not a number'],
  ])('names the field whose value is %s', (text, why) => {
    const json = `{"choices":[],"usage":{"completion_tokens":1,"prompt_tokens":${text}}}`;
    for (const read of [readData([json]), readBody(json)]) {
      const usage = malformed(read.usage);
      expect(usage.problem).toBe(`prompt_tokens ${why}`);
      expect(usage.raw).toBe(`{"completion_tokens":1,"prompt_tokens":${text}}`);
    }
  });

  it.each(['12.0', '1.2e1', '120e-1', '12', '12.000'])('takes %s for 12', (text) => {
    const { usage } = readData([`{"usage":{"prompt_tokens":${text},"completion_tokens":1}}`]);
    expect(reported(usage).quantities).toEqual({ input: 12n, output: 1n });
  });

  it('takes the largest whole number that is exact', () => {
    const { usage } = readData([{ usage: { prompt_tokens: Number.MAX_SAFE_INTEGER } }]);
    expect(reported(usage).quantities).toEqual({ input: 9007199254740991n });
  });

  it.each([
    [{ prompt_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } }, 'cached_tokens exceed'],
    [
      { prompt_tokens: 5, prompt_tokens_details: { cached_tokens: 3, audio_tokens: 3 } },
      'subsets exceed',
    ],
    [{ prompt_tokens: 3, prompt_cache_hit_tokens: 4 }, 'cached_tokens exceed'],
    [
      { completion_tokens: 3, completion_tokens_details: { reasoning_tokens: 4 } },
      'reasoning_tokens exceed',
    ],
    [
      { completion_tokens: 3, completion_tokens_details: { audio_tokens: 4 } },
      'audio_tokens exceed',
    ],
    [{ prompt_tokens_details: { cached_tokens: 4 } }, 'input details without a total'],
    [{ prompt_tokens: 1, prompt_tokens_details: 7 }, 'prompt_tokens_details is not an object'],
  ])('is one whose parts exceed the whole: %j', (usage, why) => {
    const read = malformed(readData([{ usage }]).usage);
    expect(read.problem).toContain(why);
    expect(JSON.parse(read.raw)).toEqual(usage);
  });

  it('does not judge a subset before the last usage', () => {
    const { usage } = readData([
      { usage: { prompt_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } } },
      { usage: { prompt_tokens: 9, prompt_tokens_details: { cached_tokens: 4 } } },
    ]);
    expect(reported(usage).quantities).toEqual({ input: 5n, cached_input: 4n });
  });

  it('stays malformed whatever follows, and keeps a bounded text', () => {
    const { usage } = readData([
      { usage: { prompt_tokens: -1, note: 'é'.repeat(5000) } },
      { usage: { prompt_tokens: 9, completion_tokens: 1 } },
    ]);
    expect(Buffer.byteLength(malformed(usage).raw)).toBeLessThanOrEqual(RAW_USAGE_MAX_BYTES);
  });

  it('is a usage that is no object', () => {
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
    for (const text of ['7', '"x"', 'true', '[1]', deep]) {
      const { usage } = readData([`{"usage":${text}}`]);
      expect(malformed(usage).problem).toBe('usage is not an object');
    }
  });
});

describe('separation by dialect', () => {
  it('does not subtract Anthropic caches from the input', () => {
    const usage = { input_tokens: 5, cache_read_input_tokens: 100, output_tokens: 1 };
    for (const family of ['messages', 'chat'] as const) {
      expect(reported(readBody({ usage }, family).usage).quantities).toEqual({
        input: 5n,
        cached_input: 100n,
        output: 1n,
      });
    }
  });

  it('takes an undifferentiated cache write for a 5 minute one', () => {
    const usage = { input_tokens: 5, cache_creation_input_tokens: 9, output_tokens: 1 };
    expect(reported(readBody({ usage }, 'messages').usage).quantities).toEqual({
      input: 5n,
      cache_write_5m: 9n,
      output: 1n,
    });
  });

  it('refuses cache writes whose parts exceed the total', () => {
    const usage = {
      input_tokens: 5,
      cache_creation_input_tokens: 9,
      cache_creation: { ephemeral_5m_input_tokens: 5, ephemeral_1h_input_tokens: 5 },
    };
    expect(malformed(readBody({ usage }, 'messages').usage).problem).toContain('cache_creation');
  });

  it('subtracts the cached tokens of the Responses API, and of LiteLLM beside prompt_tokens', () => {
    const response = { input_tokens: 10, input_tokens_details: { cached_tokens: 4 } };
    expect(reported(readBody({ usage: response }, 'responses').usage).quantities).toEqual({
      input: 6n,
      cached_input: 4n,
    });
    const lite = { prompt_tokens: 10, cache_read_input_tokens: 4 };
    expect(reported(readBody({ usage: lite }).usage).quantities).toEqual({
      input: 6n,
      cached_input: 4n,
    });
  });

  it('knows the details of a transcription, whose name is in the singular', () => {
    const usage = {
      type: 'tokens',
      input_tokens: 24,
      input_token_details: { text_tokens: 10, audio_tokens: 14 },
      output_tokens: 101,
      output_token_details: { reasoning_tokens: 3, audio_tokens: 1 },
      total_tokens: 125,
    };
    expect(reported(readBody({ usage }).usage)).toMatchObject({
      quantities: { input: 10n, audio_input: 14n, output: 100n, audio_output: 1n },
      reasoningTokens: 3n,
    });
    const wrong = { input_tokens: 24, input_token_details: { audio_tokens: 25 } };
    expect(malformed(readBody({ usage: wrong }).usage).problem).toContain('audio_tokens');
  });

  it('separates audio tokens on both sides', () => {
    const usage = {
      prompt_tokens: 20,
      prompt_tokens_details: { cached_tokens: 4, audio_tokens: 6 },
      completion_tokens: 30,
      completion_tokens_details: { reasoning_tokens: 3, audio_tokens: 20 },
    };
    expect(reported(readBody({ usage }).usage)).toMatchObject({
      quantities: { input: 10n, cached_input: 4n, audio_input: 6n, output: 10n, audio_output: 20n },
      reasoningTokens: 3n,
    });
  });

  it('adds reasoning only where the total proves that it is beside the output', () => {
    const details = { completion_tokens_details: { reasoning_tokens: 5 } };
    const inside = { prompt_tokens: 1, completion_tokens: 8, total_tokens: 9, ...details };
    expect(reported(readBody({ usage: inside }).usage).quantities.output).toBe(8n);
    const beside = { prompt_tokens: 1, completion_tokens: 8, total_tokens: 14, ...details };
    expect(reported(readBody({ usage: beside }).usage).quantities.output).toBe(13n);
  });

  it('takes the lone total of an embedding for its input', () => {
    const body = { object: 'list', data: [{ embedding: [0.5] }], usage: { total_tokens: 8 } };
    expect(reported(readBody(body, 'embeddings').usage).quantities).toEqual({ input: 8n });
    expect(readBody(body, 'chat').usage.kind).toBe('none');
    expect(readBody(body, 'embeddings').hasContent).toBe(true);
  });
});

describe('the cost that a provider states', () => {
  it.each([
    ['"cost":0.1', '0.1'],
    ['"cost":1', '1'],
    ['"cost":0', '0'],
    ['"cost":1.50', '1.50'],
    ['"cost":0.1000000000000000055511151231257827', '0.1000000000000000055511151231257827'],
    ['"cost":1.25e-7', '0.000000125'],
    ['"cost":12.5E+1', '125'],
    ['"cost":"0.25"', '0.25'],
    ['"estimated_cost":2e-06', '0.000002'],
    ['"cost":{"total_cost":0.006,"currency":"x"}', '0.006'],
    ['"cost_in_usd_ticks":37756000', '0.0037756'],
    ['"c\\u006fst":0.5', '0.5'],
    ['"cost":9,"cost":0.5', '0.5'],
  ])('is exact decimal text: %s', (member, text) => {
    const json = `{"choices":[],"usage":{"prompt_tokens":1,${member}}}`;
    expect(reported(readData([json]).usage).statedCostUsd).toBe(text);
    expect(reported(readBody(json).usage).statedCostUsd).toBe(text);
  });

  it.each(['null', '-0.5', '1e999999999', '1e-999999999', '"x"', '[]', '{}', 'true'])(
    'is not stated where it is %s',
    (text) => {
      const json = `{"usage":{"prompt_tokens":1,"cost":${text}}}`;
      expect(reported(readData([json]).usage).statedCostUsd).toBeNull();
    },
  );

  it('is the largest of several, compared as decimals', () => {
    const costs = ['9e-3', '0.0100000000000000000001', '0.01', '0.002'];
    const { usage } = readData(costs.map((cost) => `{"usage":{"prompt_tokens":1,"cost":${cost}}}`));
    expect(reported(usage).statedCostUsd).toBe('0.0100000000000000000001');
    const twice = '{"usage":{"cost":0.3},"x_groq":{"usage":{"cost":0.2}}}';
    expect(reported(readData([twice]).usage).statedCostUsd).toBe('0.3');
  });

  it('is not looked for in the content', () => {
    const json = `{"choices":[{"delta":{"content":"\\"cost\\": 99.5"}}],"usage":{"cost":0.5}}`;
    expect(reported(readData([json]).usage)).toMatchObject({
      quantities: {},
      statedCostUsd: '0.5',
    });
  });
});

describe('content', () => {
  it('counts text, reasoning and tool calls of all choices in UTF-8 bytes', () => {
    const call = { function: { name: 'fn', arguments: '{"é":1}' } };
    const read = readData([
      { choices: [{ delta: { content: 'ä' } }, { delta: { reasoning: 'bb' } }] },
      { choices: [{ delta: { reasoning_content: 'ccc', tool_calls: [call] } }] },
      { choices: [{ delta: { content: [{ type: 'thinking', thinking: [{ text: 'dd' }] }] } }] },
      { choices: [{ text: 'e' }] },
    ]);
    expect(read.contentBytes).toBe(2 + 2 + 3 + (2 + 8) + 2 + 1);
  });

  it('counts reasoning once where it is said under two names', () => {
    const delta = { reasoning: 'same', reasoning_content: 'same' };
    expect(readData([{ choices: [{ delta }] }]).contentBytes).toBe(4);
  });

  it('does not count empty deltas, roles or error frames', () => {
    const read = readData([
      { choices: [{ delta: { role: 'assistant', content: '' } }] },
      { error: { message: 'no' }, choices: [{ delta: { content: 'hidden' } }] },
    ]);
    expect(read).toMatchObject({ contentBytes: 0, hasContent: false, kinds: ['other', 'error'] });
  });

  it.each([
    [{ choices: [{ message: { content: 'four' } }] }, 4],
    [{ type: 'message', content: [{ type: 'text', text: 'four' }] }, 4],
    [{ type: 'message', content: [{ type: 'tool_use', name: 'fn', input: { a: 1 } }] }, 9],
    [{ object: 'response', output: [{ type: 'message', content: [{ text: 'four' }] }] }, 4],
    [{ object: 'response', output: [{ name: 'fn', arguments: '{}' }] }, 4],
    [{ text: 'four' }, 4],
  ])('counts a plain body: %j', (body, bytes) => {
    expect(readBody(body).contentBytes).toBe(bytes);
  });
});

describe('errors and ends', () => {
  it.each([
    ['data: {"error":"Model overloaded","error_type":"x"}\n\n', 'Model overloaded'],
    ['data: {"error":{"message":"m","type":"t","code":429}}\n\n', 'm'],
    ['event: error\ndata: {"type":"error","error":{"type":"t","message":"m"}}\n\n', 'm'],
    ['event: error\ndata: plain words\n\n', 'plain words'],
    ['data: {"type":"error","code":"c","message":"m","param":null}\n\n', 'm'],
    ['data: {"object":"error","message":"m","code":400}\n\n', 'm'],
    ['data: [{"error":{"message":"m","code":429}}]\n\n', 'm'],
    ['data: {"x_groq":{"error":"m"},"choices":[]}\n\n', 'm'],
  ])('sees the error in %j', (text, message) => {
    const read = readStream(text);
    expect(read.kinds).toEqual(['error']);
    expect(read.firstError?.message).toBe(message);
  });

  it('keeps the first error, with its type and code', () => {
    const read = readData([
      { error: { message: 'a', type: 't', code: 429 } },
      { error: { message: 'b' } },
    ]);
    expect(read.firstError).toEqual({ message: 'a', type: 't', code: '429' });
  });

  it('takes no error from null, and keeps the error of a failed response', () => {
    expect(readData([{ error: null, choices: [] }])).toMatchObject({
      kinds: ['other'],
      firstError: null,
    });
    const failed = { type: 'response.failed', response: { error: { code: 'c', message: 'm' } } };
    expect(readData([failed], 'responses')).toMatchObject({
      kinds: ['end'],
      firstError: { message: 'm', code: 'c' },
    });
  });

  it.each([
    ['data: [DONE]\n\n', 'end'],
    ['data:[DONE]\r\n\r\n', 'end'],
    ['data: [DONE] \n\n', 'end'],
    ['data: [DONE]', 'end'],
    ['data: {"content":"[DONE]"}\n\n', 'other'],
    ['event: message_stop\ndata: {"type":"message_stop"}\n\n', 'end'],
    ['event: message_stop\ndata: {}\n\n', 'end'],
    ['data: {"type":"message\\u005fstop"}\n\n', 'end'],
  ])('classifies %j', (text, kind) => {
    expect(readStream(text).kinds).toEqual([kind]);
  });

  it('calls usage_only exactly what may be removed', () => {
    const kindOf = (value: object): EventKind => readData([value]).kinds[0]!;
    expect(kindOf({ choices: [], usage: { prompt_tokens: 1 } })).toBe('usage_only');
    expect(kindOf({ choices: [], usage: null })).toBe('other');
    expect(kindOf({ choices: [] })).toBe('other');
    expect(kindOf({ choices: [], x_groq: { usage: { prompt_tokens: 1 } } })).toBe('usage');
    expect(kindOf({ usage: { prompt_tokens: 1 } })).toBe('usage');
    expect(kindOf({ choices: [{}], usage: { prompt_tokens: 1 } })).toBe('usage');
    expect(kindOf({ choices: [], usage: { prompt_tokens: 1 }, error: 'x' })).toBe('error');
  });

  it('knows from which event on a usage is final', () => {
    const reader = new AnswerReader();
    const events = new SseSplitter().push(
      Buffer.from(
        'data: {"choices":[{"finish_reason":null}],"usage":{"prompt_tokens":1}}\n\n' +
          'data: {"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n',
      ),
    );
    const finished = events.map((event) => {
      reader.readEvent(event);
      return reader.hasFinished;
    });
    expect(finished).toEqual([false, true]);
  });
});

describe('hostile JSON', () => {
  it('is not fooled by escaped or duplicate keys, and reads no prototype', () => {
    const escaped = '{"choices":[],"us\\u0061ge":{"prompt\\u005ftokens":3,"completion_tokens":1}}';
    expect(readData([escaped])).toMatchObject({ kinds: ['usage_only'] });
    expect(reported(readData([escaped]).usage).quantities).toEqual({ input: 3n, output: 1n });
    const twice = '{"usage":{"prompt_tokens":9},"usage":{"prompt_tokens":3,"prompt_tokens":4}}';
    expect(reported(readData([twice]).usage).quantities).toEqual({ input: 4n });
    const proto = '{"__proto__":{"usage":{"prompt_tokens":9}},"constructor":{"usage":1}}';
    expect(readData([proto]).usage.kind).toBe('none');
    const inner = '{"usage":{"__proto__":{"prompt_tokens":9},"completion_tokens":1}}';
    expect(reported(readData([inner]).usage).quantities).toEqual({ output: 1n });
  });

  it('survives deep nesting, in small and in large events', () => {
    for (const depth of [1000, 40_000, 2_000_000]) {
      const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`;
      const call = `{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":${deep}}}}]}}]}`;
      for (const text of [deep, `{"a":${deep}}`, call, '['.repeat(depth), '{"a":'.repeat(depth)]) {
        expect(readData([text]).usage.kind).toBe('none');
        expect(readBody(text).usage.kind).toBe('none');
      }
    }
  });

  it('does not build a large event that nests deeper than anything a provider says', () => {
    const deep = `{"a":${'['.repeat(40_000)}${']'.repeat(40_000)},"usage":{"prompt_tokens":1}}`;
    expect(readData([deep])).toMatchObject({ usage: { kind: 'none' }, unreadableEvents: 1 });
    expect(readBody(deep)).toMatchObject({ usage: { kind: 'none' }, hasEnd: false });
  });

  it('counts what it cannot read and goes on', () => {
    const read = readData(['{"cut', 'null', '7', '"x"', '', { usage: { prompt_tokens: 1 } }]);
    expect(read.unreadableEvents).toBe(1);
    expect(reported(read.usage).quantities).toEqual({ input: 1n });
  });

  it('does not read an event over the limit', () => {
    const reader = new AnswerReader();
    const splitter = new SseSplitter(64);
    const text = `data: {"usage":{"prompt_tokens":1},"pad":"${'x'.repeat(100)}"}\n\n`;
    const kinds = splitter.push(Buffer.from(text)).map((event) => reader.readEvent(event));
    expect(kinds).toEqual(['other']);
    expect(reader.reading()).toMatchObject({ usage: { kind: 'none' }, unreadableEvents: 1 });
  });

  it('never throws on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (random) => {
        const bytes = Buffer.from(random);
        readStream(bytes);
        readStream(Buffer.concat([Buffer.from('data: '), bytes, Buffer.from('\n\n')]));
        new AnswerReader('messages').readBody(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  it('never throws on random JSON in the places that are read', () => {
    const keys = fc.constantFrom(
      ...['usage', 'choices', 'delta', 'message', 'response', 'x_groq', 'error', 'type', 'cost'],
      ...['prompt_tokens', 'completion_tokens', 'prompt_tokens_details', 'cached_tokens'],
      ...['content', 'tool_calls', 'function', 'output', 'item', '__proto__', 'service_tier'],
    );
    const leaf = fc.oneof(
      fc.constantFrom('message_delta', 'response.completed', 'error', 'tool_use', '0.5'),
      fc.integer(),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'large', withCrossShrink: true },
        leaf,
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(keys, tie('tree'), { maxKeys: 5 }),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        for (const family of ['chat', 'messages', 'responses', 'embeddings'] as const) {
          const text = JSON.stringify(value);
          const { usage } = readData([text], family);
          if (usage.kind === 'reported') {
            for (const quantity of Object.values(usage.quantities)) {
              expect(quantity >= 0n && quantity <= 2n * BigInt(Number.MAX_SAFE_INTEGER)).toBe(true);
            }
          }
          readBody(text, family);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('plain bodies', () => {
  it('reads a body with a byte-order mark, and says when one is cut off', () => {
    const body = JSON.stringify({ model: 'm', usage: { prompt_tokens: 3 }, choices: [] });
    expect(readBody(`\uFEFF${body}`)).toMatchObject({
      hasEnd: true,
      providerModel: 'm',
      kinds: ['usage'],
    });
    expect(readBody(body.slice(0, -1))).toMatchObject({ hasEnd: false, unreadableEvents: 1 });
  });

  it('reads a large body as a small one, without building its vectors', () => {
    const vectors = Array.from({ length: 40 }, () => ({
      embedding: new Array(400).fill(0.1234567),
    }));
    const large = JSON.stringify(
      { object: 'list', data: vectors, model: 'm"\u2028', usage: { prompt_tokens: 3, cost: 0.1 } },
      null,
      1,
    );
    expect(large.length).toBeGreaterThan(64 * 1024);
    const read = readBody(large, 'embeddings');
    expect(read).toMatchObject({ hasEnd: true, hasContent: true, providerModel: 'm"\u2028' });
    expect(reported(read.usage)).toMatchObject({ quantities: { input: 3n }, statedCostUsd: '0.1' });
    expect(readBody(large.slice(0, -1), 'embeddings').hasEnd).toBe(false);
    expect(readBody(`[${large}]`).hasEnd).toBe(true);
    expect(readBody(`[${large}`).hasEnd).toBe(false);
  });
});
