import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ChatRequestFacts, readChatRequest } from './chat-request.js';

function read(body: unknown): ChatRequestFacts {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const result = readChatRequest(Buffer.from(text));
  if (!result.ok) throw new Error(result.message);
  return result.facts;
}

function refusalOf(body: unknown): { code: string; field: string | null; message: string } {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const result = readChatRequest(Buffer.from(text));
  if (result.ok) throw new Error('accepted');
  return result;
}

const user = (content: unknown): unknown => ({ role: 'user', content });
const chat = (content: unknown, rest: object = {}): object => ({
  model: 'm',
  messages: [user(content)],
  ...rest,
});
/** Bytes of every name and string value. */
function bytesOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, each) => sum + bytesOf(each), 0);
  return Object.entries(value).reduce((sum, [k, v]) => sum + Buffer.byteLength(k) + bytesOf(v), 0);
}

describe('the fields that we read', () => {
  it('are read as the caller wrote them', () => {
    const facts = read({
      model: 'org/mödel',
      stream: true,
      stream_options: { include_usage: false, x: [1] },
      max_tokens: 30,
      max_completion_tokens: 20,
      n: 3,
      best_of: 2,
      background: false,
      service_tier: 'flex',
      session_id: 's',
      prompt_cache_key: 'k',
      messages: [],
    });
    expect(facts).toMatchObject({
      model: 'org/mödel',
      stream: true,
      includeUsage: false,
      maxOutput: { max_tokens: 30, max_completion_tokens: 20 },
      callerMaxOutputTokens: 30,
      n: 3,
      bestOf: 2,
      outputs: 3,
      background: false,
      serviceTier: 'flex',
      sessionId: 's',
      promptCacheKey: 'k',
    });
  });

  it('are not given when null, which is not 0', () => {
    const nulls = {
      stream: null,
      stream_options: null,
      max_tokens: null,
      n: null,
      background: null,
    };
    const facts = read({ model: 'm', ...nulls });
    expect(facts).toMatchObject({ stream: null, includeUsage: null, callerMaxOutputTokens: null });
    expect(facts).toMatchObject({ maxOutput: {}, n: null, outputs: 1, background: null });
    expect(read({ model: 'm', max_tokens: 0 }).callerMaxOutputTokens).toBe(0);
  });

  it('are found under escaped names too', () => {
    expect(read('{"\\u006dodel":"a\\u002fb","max\\u005ftokens":7}')).toMatchObject({
      model: 'a/b',
      callerMaxOutputTokens: 7,
    });
  });

  it.each([
    ['model', 5],
    ['model', ''],
    ['model', null],
    ['stream', 'true'],
    ['stream', 1],
    ['stream_options', true],
    ['stream_options', []],
    ['max_tokens', '5'],
    ['max_tokens', -1],
    ['max_tokens', 1.5],
    ['max_completion_tokens', []],
    ['max_output_tokens', true],
    ['max_new_tokens', 1e21],
    ['n', 0],
    ['best_of', 0.5],
    ['background', 'false'],
    ['service_tier', 1],
    ['session_id', {}],
    ['prompt_cache_key', 1],
  ])('refuse %s: %j by name', (field, value) => {
    expect(refusalOf({ model: 'm', [field]: value })).toMatchObject({
      code: 'invalid_request',
      field,
      message: expect.stringMatching(`^\`${field}\` must be `) as string,
    });
  });

  it.each(['1e2', '10.0', '-0'])('refuse an integer written as %s', (text) => {
    expect(refusalOf(`{"model":"m","n":${text}}`).field).toBe('n');
  });

  it('refuse include_usage of another type, and a missing model', () => {
    const body = { model: 'm', stream_options: { include_usage: 'yes' } };
    expect(refusalOf(body).field).toBe('stream_options.include_usage');
    expect(refusalOf({}).field).toBe('model');
    const options = { isModelRequired: false };
    expect(readChatRequest(Buffer.from('{}'), options)).toMatchObject({ facts: { model: null } });
  });
});

describe('a body', () => {
  it.each([
    ['{"model":"m","model":"m"}', 'model'],
    ['{"model":"m","mo\\u0064el":"m"}', 'model'],
    ['{"model":"m","x":1,"\\u0078":2}', 'x'],
    ['{"model":"m","é":1,"\\u00e9":2}', 'é'],
    ['{"model":"m","stream_options":{"a":{"b":1},"a":2}}', 'stream_options.a'],
    [
      '{"model":"m","stream_options":{"include_usage":true,"include\\u005fusage":false}}',
      'stream_options.include_usage',
    ],
  ])('with a name twice is refused: %s', (text, field) => {
    expect(refusalOf(text)).toMatchObject({ code: 'invalid_request', field });
  });

  it('may repeat names elsewhere, and have any names of its own', () => {
    expect(read('{"model":"m","x":{"a":1,"a":2},"__proto__":1,"constructor":2}').model).toBe('m');
    expect(read('{"model":"m","stream_options":{"x":{"a":1,"a":2}}}').includeUsage).toBeNull();
  });

  it('must be a JSON object', () => {
    expect(refusalOf('[]')).toMatchObject({ code: 'invalid_request', field: null });
    expect(refusalOf('"model"').code).toBe('invalid_request');
    expect(refusalOf('{"model":').code).toBe('invalid_json');
    expect(refusalOf('').code).toBe('invalid_json');
    expect(refusalOf('\ufeff{}').message).toContain('byte-order mark');
    expect(refusalOf(`{"a":${'['.repeat(64)}${']'.repeat(64)}}`).message).toContain('64 levels');
  });

  it('has a bounded number of fields', () => {
    const fields = Object.fromEntries(
      Array.from({ length: 1_024 }, (_, i) => [`f${String(i)}`, 1]),
    );
    expect(refusalOf({ model: 'm', ...fields }).message).toContain('1024 fields');
  });

  it('of any bytes is answered, never thrown at', () => {
    const near = fc.json().map((text) => Buffer.from(`{"model":"m","messages":${text}}`));
    const any = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(near, any), (body) => typeof readChatRequest(body).ok === 'boolean'),
      { numRuns: 3_000 },
    );
  });
});

describe('the bound of the input', () => {
  it('has the bytes of every string, of tools and schema twice', () => {
    const any = fc.jsonValue({ stringUnit: 'binary', maxDepth: 4 });
    const content = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(content, any, any, (text, tools, extra) => {
        const once = { model: 'm', messages: [user(text), extra], metadata: extra };
        const twice = { tools: [tools], response_format: { schema: extra } };
        const { input } = read({ ...once, ...twice });
        expect(input.stringBytes).toBe(bytesOf(once) + 2 * bytesOf(twice));
      }),
      { numRuns: 1_000 },
    );
  });

  it('counts messages, tools, and token ids', () => {
    expect(read(chat('hi', { tools: [] })).input).toMatchObject({ messages: 1, hasTools: false });
    expect(read(chat('hi', { functions: [{}] })).input.hasTools).toBe(true);
    const input = [{ role: 'user' }, { role: 'user' }];
    expect(read({ model: 'm', input }).input.messages).toBe(2);
    expect(read({ model: 'm', prompt: [1, 2, 3] })).toMatchObject({
      prompts: 1,
      input: { tokenIds: 3 },
    });
    expect(read({ model: 'm', n: 4, prompt: [[1, 2], [3]] })).toMatchObject({
      prompts: 2,
      outputs: 8,
      input: { tokenIds: 3 },
    });
    expect(read({ model: 'm', prompt: ['a', 'b', 'c'], best_of: 2 }).outputs).toBe(6);
    expect(read({ model: 'm', input: [1, 2], top_k: 5 }).input.tokenIds).toBe(2);
    expect(read({ model: 'm', logit_bias: [1] }).input.tokenIds).toBe(0);
  });

  const DATA = `data:image/png;base64,${'A'.repeat(4_000)}`;

  it.each([
    ['chat', { type: 'image_url', image_url: { url: DATA } }, DATA],
    ['chat, type last', { image_url: { detail: 'low', url: DATA }, type: 'image_url' }, DATA],
    ['responses', { type: 'input_image', image_url: DATA }, DATA],
    [
      'messages',
      { type: 'image', source: { type: 'base64', data: 'A'.repeat(4_000) } },
      'A'.repeat(4_000),
    ],
    [
      'messages, type last',
      { source: { data: 'A'.repeat(4_000), type: 'base64' }, type: 'image' },
      'A'.repeat(4_000),
    ],
    ['a link', { type: 'image_url', image_url: { url: 'https://x/y.png' } }, ''],
  ])('counts an image by part, not by byte: %s', (_name, part, data) => {
    const body = chat([part, { type: 'text', text: 'what is it?' }]);
    const { input } = read(body);
    expect(input.imageParts).toBe(1);
    expect(input.stringBytes).toBe(bytesOf(body) - data.length);
    expect(input.isInputElsewhere).toBe(false);
  });

  it('counts audio by decoded byte', () => {
    const data = 'A'.repeat(4_000);
    for (const part of [
      { type: 'input_audio', input_audio: { data, format: 'wav' } },
      { type: 'audio_url', audio_url: { url: `data:audio/wav;base64,${data}` } },
    ]) {
      const { input } = read(chat([part]));
      expect(input).toMatchObject({ audioBytes: 3_000, imageParts: 0, isInputElsewhere: false });
      expect(input.stringBytes).toBeLessThan(200);
    }
  });

  it('counts as text whatever only looks like media', () => {
    const image = { type: 'image_url', image_url: { url: DATA } };
    const source = { type: 'base64', data: 'A'.repeat(4_000) };
    const disguised: object[] = [
      chat('x', { tools: [{ parameters: image }] }),
      chat('x', { metadata: image }),
      chat([{ type: 'tool_use', input: image }]),
      chat([{ type: 'tool_use', input: { type: 'image', source } }]),
      chat([{ type: 'text', source }]),
      chat([{ type: 'document', source: { type: 'text', data: 'A'.repeat(4_000) } }]),
      chat([{ type: 'image_url', image_url: [{ url: DATA }, { url: DATA }] }]),
      chat([{ type: 'text', url: DATA }]),
      chat([{ type: 'text', data: DATA }]),
    ];
    for (const body of disguised) {
      expect(read(body).input.stringBytes).toBeGreaterThanOrEqual(bytesOf(body));
    }
  });

  it('never counts less than the text, whatever is nested where', () => {
    const word = fc.constantFrom(
      'image_url',
      'url',
      'source',
      'data',
      'type',
      'text',
      'input',
      'audio',
    );
    const value = fc.constantFrom<unknown>(
      'data:x',
      'image',
      'base64',
      'text',
      'input_audio',
      5,
      null,
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 5 },
        value,
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(word, tie('tree'), { maxKeys: 3 }),
      ),
    }));
    fc.assert(
      fc.property(tree, (content) => {
        const body = chat(content);
        const { stringBytes, imageParts, audioBytes } = read(body).input;
        expect(stringBytes).toBeLessThanOrEqual(bytesOf(body));
        const missing = bytesOf(body) - stringBytes;
        expect(missing === 0 || imageParts + audioBytes > 0).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each<[string, object]>([
    ['previous_response_id', { previous_response_id: 'r' }],
    ['conversation', { conversation: { id: 'c' } }],
    ['a stored prompt', { prompt: { id: 'p' } }],
    ['a file', { messages: [user([{ type: 'file', file: { file_data: 'x' } }])] }],
    ['a file id', { input: [user([{ type: 'input_image', file_id: 'f' }])] }],
    [
      'a document',
      { messages: [user([{ type: 'document', source: { type: 'base64', data: 'x' } }])] },
    ],
    ['a video', { messages: [user([{ type: 'video_url', video_url: { url: 'https://x' } }])] }],
    ['an earlier spoken answer', { messages: [{ role: 'assistant', audio: { id: 'a' } }] }],
    ['audio behind a link', { messages: [user([{ audio_url: { url: 'https://x' } }])] }],
  ])('knows that input is elsewhere: %s', (_name, body) => {
    expect(read({ model: 'm', ...body }).input.isInputElsewhere).toBe(true);
  });

  it('knows that input is here where such a field is null', () => {
    const body = { model: 'm', previous_response_id: null, conversation: null };
    expect(read(body).input.isInputElsewhere).toBe(false);
  });
});

describe('the text for an estimate', () => {
  it('is the content, without roles, types, ids and media', () => {
    expect(read(chat('héllo')).textBytes).toBe(6);
    const parts = [
      { type: 'text', text: 'four' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
    ];
    expect(read(chat(parts, { user: 'somebody', service_tier: 'flex' })).textBytes).toBe(4);
    expect(read({ model: 'm', prompt: ['ab', 'c'], suffix: 'd' }).textBytes).toBe(4);
    expect(read({ model: 'm', input: 'ab', instructions: 'c' }).textBytes).toBe(3);
  });
});
