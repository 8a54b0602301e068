/** The real client, pointed straight at the simulator: what it asks by default is answered. */
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BookEntry } from './books.js';
import { startSimulator, type Simulator } from './server.js';
import { EVERY_DIALECT, ROUND_PRICES } from './special-models.js';
import {
  EMBEDDINGS,
  IMAGE_TOKENS,
  PER_IMAGE,
  PER_PIXEL,
  SPEECH,
  TRANSCRIPTION,
  TRANSCRIPTION_TOKENS,
} from './unlisted-models.js';

let simulator: Simulator;
let client: OpenAI;
beforeAll(async () => {
  simulator = await startSimulator({ seed: 3, apiKey: 'sim-key' });
  client = new OpenAI({ apiKey: 'sim-key', baseURL: `${simulator.url}/v1`, maxRetries: 0 });
});
afterAll(() => simulator.close());
beforeEach(() => {
  simulator.books.reset();
});

function line(): BookEntry | undefined {
  return simulator.books.since().at(-1);
}

/** A second of 8 kHz silence per second asked for. */
function wav(seconds: number): Buffer {
  const bytes = Buffer.alloc(44 + 16_000 * seconds);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(8_000, 24);
  bytes.writeUInt32LE(16_000, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write('data', 36);
  bytes.writeUInt32LE(16_000 * seconds, 40);
  return bytes;
}

describe('completions', () => {
  const sim = '[[sim input=100 cached=30 output=8 chunks=4]]';

  it('bill what they report, plain and streamed', async () => {
    const plain = await client.completions.create({ model: ROUND_PRICES, prompt: sim });
    expect(plain.object).toBe('text_completion');
    expect(Buffer.byteLength(plain.choices[0]?.text ?? '')).toBe(32);
    expect(plain.usage).toMatchObject({ prompt_tokens: 100, completion_tokens: 8 });
    // 70 x USD 1.00 + 30 x USD 0.50 + 8 x USD 2.00, each per million
    expect(line()).toMatchObject({ task: 'completion', costPicoUsd: 101_000_000n, stream: false });
    const stream = await client.completions.create({
      model: ROUND_PRICES,
      prompt: sim,
      stream: true,
    });
    let text = '';
    let usage: unknown = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(plain.choices[0]?.text);
    expect(usage).toMatchObject({ prompt_tokens: 100, completion_tokens: 8 });
    expect(line()).toMatchObject({ costPicoUsd: 101_000_000n, stream: true });
  });

  it('bill every candidate of every prompt and show n of each', async () => {
    const answer = await client.completions.create({
      model: ROUND_PRICES,
      prompt: ['one', '[[sim output=5]]'],
      n: 2,
      best_of: 3,
    });
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(answer.usage?.completion_tokens).toBe(30);
    expect(line()?.completionTokens).toBe(30);
  });

  it('count token ids one by one', async () => {
    const prompt = [
      [1, 2, 3],
      [4, 5],
    ];
    const answer = await client.completions.create({ model: ROUND_PRICES, prompt });
    expect(answer.usage?.prompt_tokens).toBe(5);
  });

  it.each(['mistral', 'novita', 'groq', 'xai', 'cerebras', 'openrouter', 'openai'])(
    'stream the same text in the dialect of %s',
    async (slug) => {
      const stream = await client.completions.create({
        model: `${EVERY_DIALECT}:${slug}`,
        prompt: '[[sim output=8 reasoning=0]]',
        stream: true,
      });
      let text = '';
      for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
      expect(Buffer.byteLength(text)).toBe(32);
      expect(line()).toMatchObject({ provider: slug, completionTokens: 8, outcome: 'complete' });
    },
  );
});

describe('embeddings', () => {
  it('are the same numbers in base64, which the client asks for, and as a list', async () => {
    const input = ['toll', 'gate'];
    const hidden = await client.embeddings.create({ model: EMBEDDINGS, input });
    const shown = await client.embeddings.create({
      model: EMBEDDINGS,
      input,
      encoding_format: 'float',
    });
    expect(hidden.data.map(({ embedding }) => embedding)).toEqual(
      shown.data.map(({ embedding }) => embedding),
    );
    expect(hidden.data[0]?.embedding).not.toEqual(hidden.data[1]?.embedding);
    expect(hidden.usage).toEqual({ prompt_tokens: 2, total_tokens: 2 });
  });

  it('bill input tokens alone, at the price of who served', async () => {
    const ask = { input: '[[sim input=1000]]', dimensions: 8 };
    const fastest = await client.embeddings.create({ model: EMBEDDINGS, ...ask });
    expect(fastest.data[0]?.embedding).toHaveLength(8);
    expect(line()).toMatchObject({
      task: 'embedding',
      provider: 'nebius',
      promptTokens: 1000,
      completionTokens: 0,
      costPicoUsd: 200_000_000n,
    });
    await client.embeddings.create({ model: `${EMBEDDINGS}:together`, ...ask });
    expect(line()?.costPicoUsd).toBe(500_000_000n);
    await client.embeddings.create({ model: `${EMBEDDINGS}:cheapest`, input: [[1, 2, 3]] });
    expect(line()?.promptTokens).toBe(3);
  });

  it('leave the usage out when told to, and are billed all the same', async () => {
    const input = '[[sim input=1000 fault=missing-usage]]';
    const answer = await client.embeddings.create({ model: EMBEDDINGS, input });
    expect(answer).not.toHaveProperty('usage');
    expect(line()?.costPicoUsd).toBe(200_000_000n);
  });
});

describe('responses', () => {
  const input = '[[sim input=100 cached=30 output=8 reasoning=2 chunks=3]]';
  const usage = {
    input_tokens: 100,
    input_tokens_details: { cached_tokens: 30 },
    output_tokens: 8,
    output_tokens_details: { reasoning_tokens: 2 },
    total_tokens: 108,
  };

  it('bill what they report, plain and streamed', async () => {
    const plain = await client.responses.create({ model: ROUND_PRICES, input });
    expect(plain.status).toBe('completed');
    expect(Buffer.byteLength(plain.output_text)).toBe(24);
    expect(plain.usage).toEqual(usage);
    expect(line()).toMatchObject({ task: 'responses', costPicoUsd: 101_000_000n });
    const events = await client.responses.create({ model: ROUND_PRICES, input, stream: true });
    const types: string[] = [];
    let text = '';
    let last: unknown = null;
    for await (const event of events) {
      expect(event.sequence_number).toBe(types.length);
      types.push(event.type);
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type === 'response.completed') last = event.response.usage;
    }
    expect(types[0]).toBe('response.created');
    expect(types.at(-1)).toBe('response.completed');
    expect(types.filter((type) => type === 'response.output_text.delta')).toHaveLength(3);
    expect(text).toBe(plain.output_text);
    expect(last).toEqual(usage);
    expect(line()).toMatchObject({ costPicoUsd: 101_000_000n, stream: true, reasoningTokens: 2 });
  });

  it('accumulate in the stream helper of the client', async () => {
    const items = [
      { role: 'user' as const, content: [{ type: 'input_text' as const, text: input }] },
    ];
    const stream = client.responses.stream({ model: ROUND_PRICES, input: items });
    const final = await stream.finalResponse();
    expect(final.usage).toEqual(usage);
  });

  it.each([
    ['response-incomplete', 'response.incomplete', 'complete'],
    ['response-failed', 'response.failed', 'faulted'],
  ])('end in %s with a usage, which is billed', async (fault, type, outcome) => {
    const asked = input.replace(']]', ` fault=${fault}]]`);
    const events = await client.responses.create({
      model: ROUND_PRICES,
      input: asked,
      stream: true,
    });
    let last: unknown = null;
    for await (const event of events) last = event;
    expect(last).toMatchObject({ type, response: { usage } });
    expect(line()).toMatchObject({ outcome, costPicoUsd: 101_000_000n });
  });

  it('are incomplete at the maximum, and call tools', async () => {
    const cut = await client.responses.create({
      model: ROUND_PRICES,
      input: '[[sim output=50]]',
      max_output_tokens: 20,
    });
    expect(cut.status).toBe('incomplete');
    expect(cut.usage?.output_tokens).toBe(20);
    const called = await client.responses.create({
      model: ROUND_PRICES,
      input: '[[sim tools=2 reasoning=0]]',
      tools: [{ type: 'function', name: 'look_up', parameters: {}, strict: false }],
    });
    expect(called.output.map(({ type }) => type)).toEqual(['function_call', 'function_call']);
  });
});

describe('images', () => {
  it('are valid pictures, billed per image or per pixel', async () => {
    const prompt = 'A toll gate';
    const one = await client.images.generate({ model: PER_IMAGE, prompt, n: 2, size: '512x512' });
    const picture = Buffer.from(one.data?.[0]?.b64_json ?? '', 'base64');
    expect(picture.readUInt32BE(16)).toBe(512);
    expect(picture.toString('latin1', 1, 4)).toBe('PNG');
    expect(line()).toMatchObject({
      task: 'image',
      units: { image: 2n, pixel: 524_288n },
      costPicoUsd: 80_000_000_000n,
    });
    await client.images.generate({ model: PER_PIXEL, prompt, size: '1024x1024' });
    // 1,048,576 pixels at USD 0.025 per million
    expect(line()?.costPicoUsd).toBe(26_214_400_000n);
  });

  it('lie at the address that the answer names', async () => {
    const ask = { prompt: '[[sim bytes=100000]]', response_format: 'url' as const };
    const { data } = await client.images.generate({ model: PER_IMAGE, ...ask });
    const fetched = await fetch(data?.[0]?.url ?? '');
    expect(fetched.headers.get('content-type')).toBe('image/png');
    expect(await fetched.arrayBuffer()).toHaveProperty('byteLength', 100_000);
  });

  it('state tokens where tokens are priced', async () => {
    const prompt = '[[sim input=10 output=200]]';
    const { usage } = await client.images.generate({ model: IMAGE_TOKENS, prompt });
    expect(usage).toMatchObject({ input_tokens: 10, output_tokens: 200, total_tokens: 210 });
    // 10 x USD 5 + 200 x USD 40, each per million
    expect(line()).toMatchObject({ promptTokens: 10, costPicoUsd: 8_050_000_000n });
  });
});

describe('transcriptions', () => {
  it('bill the length of the file and say it', async () => {
    const file = await toFile(wav(3), 'three.wav');
    const answer = await client.audio.transcriptions.create({ model: TRANSCRIPTION, file });
    expect(answer.usage).toEqual({ type: 'duration', seconds: 3 });
    expect(line()).toMatchObject({
      task: 'transcription',
      provider: 'groq',
      units: { audio_ms: 3_000n },
      // USD 0.111 an hour
      costPicoUsd: 92_500_000n,
    });
  });

  it('say it as a duration, twice, or not at all', async () => {
    const ask = async (provider: string, prompt: string): Promise<unknown> =>
      client.audio.transcriptions.create({
        model: `${TRANSCRIPTION}:${provider}`,
        file: await toFile(wav(2), 'two.wav'),
        response_format: 'verbose_json',
        prompt,
      });
    const together = await ask('together', '');
    expect(together).toMatchObject({ duration: 2 });
    expect(together).not.toHaveProperty('usage');
    expect(await ask('openai', '')).toMatchObject({ duration: 2, usage: { seconds: 2 } });
    const silent = await ask('openai', '[[sim audio_ms=12345 states=none]]');
    expect(silent).not.toHaveProperty('usage');
    expect(silent).not.toHaveProperty('duration');
    expect(line()?.units).toEqual({ audio_ms: 12_345n });
    const text = await client.audio.transcriptions.create({
      model: TRANSCRIPTION,
      file: await toFile(wav(1), 'one.wav'),
      response_format: 'text',
    });
    expect(typeof text).toBe('string');
  });

  it('stream, and count tokens where tokens are priced', async () => {
    const stream = await client.audio.transcriptions.create({
      model: TRANSCRIPTION_TOKENS,
      file: await toFile(wav(2), 'two.wav'),
      prompt: '[[sim output=40]]',
      stream: true,
    });
    let usage: unknown = null;
    for await (const event of stream) if ('usage' in event) usage = event.usage;
    expect(usage).toMatchObject({ type: 'tokens', input_tokens: 20, output_tokens: 40 });
    // 20 x USD 6 + 40 x USD 10, each per million
    expect(line()).toMatchObject({ completionTokens: 40, costPicoUsd: 520_000_000n });
  });
});

describe('speech', () => {
  it('is bytes of the length asked for, billed per code point', async () => {
    const ask = { model: SPEECH, voice: 'alloy', input: '🙂 [[sim bytes=70000]]' };
    const answer = await client.audio.speech.create(ask);
    const first = Buffer.from(await answer.arrayBuffer());
    expect(answer.headers.get('content-type')).toBe('audio/mpeg');
    expect(first).toHaveLength(70_000);
    expect(line()).toMatchObject({
      task: 'speech',
      units: { character: 21n },
      costPicoUsd: 315_000_000n,
    });
    const again = await client.audio.speech.create(ask);
    expect(Buffer.from(await again.arrayBuffer()).equals(first)).toBe(true);
  });
});
