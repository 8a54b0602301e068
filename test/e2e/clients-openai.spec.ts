/** The real client of OpenAI through the whole service: every answer costs what the provider billed. */
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EVERY_DIALECT, ROUND_PRICES } from '../../simulator/special-models.js';
import {
  EMBEDDINGS,
  IMAGE_TOKENS,
  PER_IMAGE,
  PER_PIXEL,
  SPEECH,
  TRANSCRIPTION,
  TRANSCRIPTION_TOKENS,
} from '../../simulator/unlisted-models.js';
import { bookedAs, startSelling } from '../support/books.js';
import { allEnded, type SimulatedService } from '../support/simulated.js';
import { wavOf } from '../support/wav.js';

let service: SimulatedService;
let client: OpenAI;

beforeAll(async () => {
  service = await startSelling([
    ROUND_PRICES,
    EMBEDDINGS,
    PER_IMAGE,
    PER_PIXEL,
    IMAGE_TOKENS,
    TRANSCRIPTION,
    TRANSCRIPTION_TOKENS,
    SPEECH,
  ]);
  client = new OpenAI({ apiKey: service.token, baseURL: `${service.url}/v1`, maxRetries: 0 });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

const SIZE = '[[sim input=100 cached=30 output=8 reasoning=2 chunks=4]]';
const booked = (response: Response) => bookedAs(service, response.headers.get('x-request-id'));

describe('chat', () => {
  const messages = [{ role: 'user' as const, content: SIZE }];

  it('costs what was billed, cached input at its own price, and says so in a header', async () => {
    const { data, response } = await client.chat.completions
      .create({ model: ROUND_PRICES, messages })
      .withResponse();
    expect(data.usage).toMatchObject({ prompt_tokens: 100, completion_tokens: 8 });
    const { event, line } = await booked(response);
    // 70 x USD 1.00 + 30 x USD 0.50 + 8 x USD 2.00, each per million
    expect(line.costPicoUsd).toBe(101_000_000n);
    expect(response.headers.get('x-tollgate-cost-usd')).toBe(event.costUsd);
    expect(event).toMatchObject({ inputTokens: 100, outputTokens: 8, usageSource: 'provider' });
  });

  it('costs the same as a stream', async () => {
    const { data, response } = await client.chat.completions
      .create({ model: ROUND_PRICES, messages, stream: true })
      .withResponse();
    let text = '';
    for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? '';
    expect(text.length).toBeGreaterThan(0);
    expect((await booked(response)).line).toMatchObject({
      costPicoUsd: 101_000_000n,
      stream: true,
    });
  });
});

describe('completions', () => {
  it('cost what was billed, plain and streamed', async () => {
    const plain = await client.completions
      .create({ model: ROUND_PRICES, prompt: SIZE })
      .withResponse();
    expect(plain.data.usage?.completion_tokens).toBe(8);
    expect((await booked(plain.response)).line.costPicoUsd).toBe(101_000_000n);
    const streamed = await client.completions
      .create({ model: ROUND_PRICES, prompt: SIZE, stream: true })
      .withResponse();
    let text = '';
    let usages = 0;
    for await (const chunk of streamed.data) {
      text += chunk.choices[0]?.text ?? '';
      if (chunk.choices.length === 0) usages += 1;
    }
    expect(text).toBe(plain.data.choices[0]?.text);
    expect(usages).toBe(0);
    expect((await booked(streamed.response)).event.stream).toBe(true);
  });

  it('with several candidates of several prompts cost every one of them', async () => {
    const { response } = await client.completions
      .create({
        model: `${EVERY_DIALECT}:groq`,
        prompt: ['one', '[[sim output=5 reasoning=0]]'],
        n: 2,
        best_of: 3,
      })
      .withResponse();
    expect((await booked(response)).event.outputTokens).toBe(30);
  });
});

describe('embeddings', () => {
  it('are the same numbers in base64, which the client asks for by itself, and as a list', async () => {
    const input = ['toll', 'gate [[sim input=1000]]'];
    const hidden = await client.embeddings.create({ model: EMBEDDINGS, input }).withResponse();
    const shown = await client.embeddings
      .create({ model: EMBEDDINGS, input, encoding_format: 'float' })
      .withResponse();
    expect(hidden.data.data.map(({ embedding }) => embedding)).toEqual(
      shown.data.data.map(({ embedding }) => embedding),
    );
    for (const { response } of [hidden, shown]) {
      const { event, line } = await booked(response);
      // Every provider has a price of its own: 0.10, 0.20 or 0.50 per million tokens.
      expect([100_000_000n, 200_000_000n, 500_000_000n]).toContain(line.costPicoUsd);
      expect(event.inputTokens).toBe(1000);
    }
  });

  it('cost the price of who was asked for', async () => {
    for (const suffix of [':together', ':cheapest', ':deepinfra']) {
      const { response } = await client.embeddings
        .create({ model: `${EMBEDDINGS}${suffix}`, input: '[[sim input=77]]' })
        .withResponse();
      await booked(response);
    }
  });
});

describe('responses', () => {
  it('cost what was billed, plain and streamed', async () => {
    const plain = await client.responses
      .create({ model: ROUND_PRICES, input: SIZE })
      .withResponse();
    expect(plain.data.usage).toMatchObject({ input_tokens: 100, output_tokens: 8 });
    expect((await booked(plain.response)).line.costPicoUsd).toBe(101_000_000n);
    const streamed = await client.responses
      .create({ model: ROUND_PRICES, input: SIZE, stream: true })
      .withResponse();
    let text = '';
    let last = '';
    for await (const event of streamed.data) {
      last = event.type;
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    expect(last).toBe('response.completed');
    expect(text).toBe(plain.data.output_text);
    expect((await booked(streamed.response)).line.costPicoUsd).toBe(101_000_000n);
  });

  it.each(['response-incomplete', 'response-failed'])(
    'that end in %s cost the usage they state',
    async (fault) => {
      const input = SIZE.replace(']]', ` fault=${fault}]]`);
      const { data, response } = await client.responses
        .create({ model: ROUND_PRICES, input, stream: true })
        .withResponse();
      let last = '';
      for await (const { type } of data) last = type;
      expect(last).toBe(fault.replace('-', '.'));
      await booked(response);
    },
  );
});

describe('images', () => {
  it('cost their price each, each pixel, or each token', async () => {
    for (const [model, ask] of [
      [PER_IMAGE, { n: 2, size: '512x512' as const }],
      [PER_PIXEL, { size: '1024x1024' as const }],
      [`${PER_PIXEL}:deepinfra`, { n: 3, size: '512x512' as const }],
      [IMAGE_TOKENS, { n: 2, size: '256x256' as const }],
      [PER_IMAGE, { response_format: 'url' as const }],
    ] as const) {
      const { data, response } = await client.images
        .generate({ model, prompt: 'A toll gate', ...ask })
        .withResponse();
      expect(data.data).toHaveLength('n' in ask ? ask.n : 1);
      await booked(response);
    }
  });
});

describe('transcriptions', () => {
  it.each(['json', 'verbose_json', 'text'] as const)(
    'as %s cost the length of the recording, the file sent before the model',
    async (response_format) => {
      for (const provider of ['groq', 'openai', 'together']) {
        const { data, response } = await client.audio.transcriptions
          .create({
            model: `${TRANSCRIPTION}:${provider}`,
            file: await toFile(wavOf(3_000), 'three.wav'),
            response_format,
          })
          .withResponse();
        expect(typeof (response_format === 'text' ? data : data.text)).toBe('string');
        const { event, line } = await booked(response);
        expect(line.units['audio_ms']).toBe(3_000n);
        expect(event.units).toEqual({ audio_ms: '3000' });
      }
    },
  );

  it('cost their audio tokens in and text tokens out where those have a price, streamed too', async () => {
    const body = async () => ({
      model: TRANSCRIPTION_TOKENS,
      file: await toFile(wavOf(2_000), 'two.wav'),
      prompt: '[[sim output=40]]',
    });
    const plain = await client.audio.transcriptions.create(await body()).withResponse();
    expect((await booked(plain.response)).event.stream).toBe(false);
    const streamed = await client.audio.transcriptions
      .create({ ...(await body()), stream: true })
      .withResponse();
    let last = '';
    for await (const { type } of streamed.data) last = type;
    expect(last).toBe('transcript.text.done');
    const { event } = await booked(streamed.response);
    expect(event).toMatchObject({ stream: true, units: { output: '40' } });
  });

  it.each([TRANSCRIPTION, TRANSCRIPTION_TOKENS])(
    'show their cost at the end of a stream to a client that wants to see it: %s',
    async (model) => {
      const body = {
        model,
        file: await toFile(wavOf(2_000), 'two.wav'),
        // Another length than the file's own: what counts is what the provider says.
        prompt: '[[sim audio_ms=12345]]',
        stream: true as const,
      };
      const headers = { 'x-tollgate-include-cost': 'true' };
      const { data, response } = await client.audio.transcriptions
        .create(body, { headers })
        .withResponse();
      const usages: unknown[] = [];
      for await (const part of data) if ('usage' in part) usages.push(part.usage);
      const { costUsd } = (await booked(response)).event;
      expect(usages).toEqual([expect.objectContaining({ cost: Number(costUsd) })]);
    },
  );
});

describe('speech', () => {
  it('passes byte for byte and costs its code points', async () => {
    const ask = { voice: 'alloy', input: '🙂 [[sim bytes=70000]]' };
    const answer = await client.audio.speech.create({ model: SPEECH, ...ask });
    expect(answer.headers.get('content-type')).toBe('audio/mpeg');
    const bytes = Buffer.from(await answer.arrayBuffer());
    const direct = await fetch(`${service.simulator.url}/v1/audio/speech`, {
      method: 'POST',
      headers: { authorization: 'Bearer sim-key', 'content-type': 'application/json' },
      body: JSON.stringify({ model: `${SPEECH}:together`, ...ask }),
    });
    expect(bytes.equals(Buffer.from(await direct.arrayBuffer()))).toBe(true);
    const { event } = await booked(answer);
    expect(event.units).toEqual({ character: '21' });
    expect(answer.headers.get('x-tollgate-cost-usd')).toBe(event.costUsd);
  });
});
