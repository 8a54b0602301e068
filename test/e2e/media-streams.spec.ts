/** Pictures, speech and transcripts as event streams: what passes, and what each costs however it ends. */
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  IMAGE_TOKENS,
  PER_IMAGE,
  PER_PIXEL,
  SPEECH,
  SPEECH_TOKENS,
  TRANSCRIPTION,
  TRANSCRIPTION_TOKENS,
} from '../../simulator/unlisted-models.js';
import { formatUsd } from '../../src/domain/money.js';
import { bookedAs, startSelling, type BookedEvent } from '../support/books.js';
import { allEnded, eventually, type SimulatedService } from '../support/simulated.js';
import { wavOf } from '../support/wav.js';

interface Stream {
  readonly name: string;
  /** Two providers that sell it, each at prices of its own. */
  readonly model: string;
  readonly providers: readonly [string, string];
  readonly path: string;
  /** Whether tokens are what is priced: nobody but the provider can say how many there were. */
  readonly isInTokens: boolean;
  /** The event that is the last of a whole answer. */
  readonly last: string;
  readonly body: (model: string, prompt: string) => BodyInit;
}

const inJson = (body: object): string => JSON.stringify(body);
const drawing = (model: string, prompt: string) =>
  inJson({ model, prompt, stream: true, partial_images: 2, size: '512x512' });
const speaking = (model: string, input: string) =>
  inJson({ model, input, voice: 'alloy', stream_format: 'sse' });
const hearing = (model: string, prompt: string): FormData => {
  const form = new FormData();
  for (const [name, value] of Object.entries({ model, prompt, stream: 'true' })) {
    form.append(name, value);
  }
  form.append('file', new Blob([new Uint8Array(wavOf(3_000))], { type: 'audio/wav' }), 'three.wav');
  return form;
};

const IMAGES = { path: '/v1/images/generations', last: 'image_generation.completed' };
const VOICE = { path: '/v1/audio/speech', last: 'speech.audio.done', body: speaking };
const TEXT = { path: '/v1/audio/transcriptions', last: 'transcript.text.done', body: hearing };

const STREAMS: readonly Stream[] = [
  {
    ...{ name: 'images by tokens', model: IMAGE_TOKENS, providers: ['openai', 'nebius'] },
    ...{ ...IMAGES, body: drawing, isInTokens: true },
  },
  {
    ...{ name: 'images by piece', model: PER_IMAGE, providers: ['together', 'nebius'] },
    ...{ ...IMAGES, body: drawing, isInTokens: false },
  },
  {
    ...{ name: 'images by pixel', model: PER_PIXEL, providers: ['together', 'deepinfra'] },
    ...{ ...IMAGES, body: drawing, isInTokens: false },
  },
  {
    ...{ name: 'speech by tokens', model: SPEECH_TOKENS, providers: ['openai', 'nebius'] },
    ...{ ...VOICE, isInTokens: true },
  },
  {
    ...{ name: 'speech by character', model: SPEECH, providers: ['together', 'deepinfra'] },
    ...{ ...VOICE, isInTokens: false },
  },
  {
    ...{ name: 'transcripts by tokens', model: TRANSCRIPTION_TOKENS },
    ...{ ...TEXT, providers: ['openai', 'nebius'], isInTokens: true },
  },
  {
    ...{ name: 'transcripts by the second', model: TRANSCRIPTION },
    ...{ ...TEXT, providers: ['groq', 'openai'], isInTokens: false },
  },
];
const BY_TOKENS = STREAMS.filter(({ isInTokens }) => isInTokens);
const BY_UNITS = STREAMS.filter(({ isInTokens }) => !isInTokens);
const named = (name: string): Stream => {
  const stream = STREAMS.find((one) => one.name === name);
  if (stream === undefined) throw new Error(`no stream ${name}`);
  return stream;
};

let service: SimulatedService;
let client: OpenAI;

beforeAll(async () => {
  const models = STREAMS.map(({ model }) => model);
  service = await startSelling(models, {
    // Answers name the second in which they were made: asked twice, they are to be the same.
    simulator: { now: () => new Date('2026-03-01T12:00:00Z') },
  });
  client = new OpenAI({ apiKey: service.token, baseURL: `${service.url}/v1`, maxRetries: 0 });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

beforeEach(() => {
  service.simulator.faults.clear();
});

interface Ask {
  /** Default: the first provider alone; null: whichever the router takes. */
  readonly provider?: string | null;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
  readonly url?: string;
  readonly key?: string;
}

function post(stream: Stream, directives: string, ask: Ask = {}): Promise<Response> {
  const { provider = stream.providers[0], headers, signal } = ask;
  const { url = service.url, key = service.token } = ask;
  const model = provider === null ? stream.model : `${stream.model}:${provider}`;
  const body = stream.body(model, `Say it [[sim ${directives}]]`);
  const type = typeof body === 'string' ? { 'content-type': 'application/json' } : {};
  return fetch(`${url}${stream.path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, ...type, ...headers },
    body,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The same request to the provider itself: what is to pass. */
async function asSent(stream: Stream, directives: string): Promise<Buffer> {
  const direct = await post(stream, directives, { url: service.simulator.url, key: 'sim-key' });
  return Buffer.from(await direct.arrayBuffer());
}

const idOf = (response: Response): string | null => response.headers.get('x-request-id');
const booked = (response: Response) => bookedAs(service, idOf(response));

async function eventOf(response: Response): Promise<BookedEvent> {
  const { body } = await service.api<BookedEvent>(`/requests/${idOf(response) ?? ''}`);
  return body;
}

type Payload = Record<string, unknown> & { readonly type?: string };

/** The JSON of each event, in order. */
function payloadsOf(text: string): Payload[] {
  const events = text.split(/\r?\n\r?\n/).map((event) =>
    event
      .split(/\r?\n/)
      .filter((line) => line.startsWith('data: '))
      .map((line) => line.slice('data: '.length))
      .join('\n'),
  );
  return events
    .filter((data) => data !== '' && data !== '[DONE]')
    .map((data) => JSON.parse(data) as Payload);
}

const typesOf = (text: string): unknown[] => payloadsOf(text).map(({ type }) => type);

describe.each(STREAMS)('$name', (stream) => {
  it('pass byte for byte and cost what was billed', async () => {
    const response = await post(stream, 'input=100 output=700');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(bytes.equals(await asSent(stream, 'input=100 output=700'))).toBe(true);
    expect(typesOf(bytes.toString()).at(-1)).toBe(stream.last);
    const { event, line } = await booked(response);
    expect(line.costPicoUsd).toBeGreaterThan(0n);
    expect(line.provider).toBe(stream.providers[0]);
    expect(event).toMatchObject({ outcome: 'complete', stream: true, usageSource: 'provider' });
  });

  it.each([
    'split=random',
    'split=7',
    'fault=crlf',
    'fault=multi-line-data',
    'fault=crlf,multi-line-data split=random',
    'done=yes',
    'done=no',
    'fault=no-last-blank-line done=no',
    'fault=gzip',
    'fault=gzip split=random',
    'fault=gzip,no-last-blank-line done=no',
    'burst=yes',
  ])('cost the same however they come: %s', async (how) => {
    const directives = `input=100 output=700 ${how}`;
    const response = await post(stream, directives);
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(bytes.equals(await asSent(stream, directives))).toBe(true);
    const { event } = await booked(response);
    expect(event).toMatchObject({ outcome: 'complete', usageSource: 'provider' });
  });

  it('show their cost in the last usage, once, where the caller wants it', async () => {
    const headers = { 'x-tollgate-include-cost': 'true' };
    const response = await post(stream, 'input=100 output=700', { headers });
    const text = await response.text();
    const { event, line } = await booked(response);
    const usage = payloadsOf(text).at(-1)?.['usage'] as Record<string, unknown> | undefined;
    expect(text.match(/"cost_details"/g) ?? []).toHaveLength(usage === undefined ? 0 : 1);
    if (stream.isInTokens) expect(usage).toBeDefined();
    if (usage === undefined) return;
    expect(usage['cost']).toBe(Number(event.costUsd));
    expect(event.costUsd).toBe(formatUsd(line.costPicoUsd));
  });

  it('are paid for whole by a client that leaves in the middle', async () => {
    const abort = new AbortController();
    const directives = 'input=100 output=700 chunk_delay=20';
    const response = await post(stream, directives, { signal: abort.signal });
    await response.body!.getReader().read();
    abort.abort();
    await allEnded(service);
    const { event } = await booked(response);
    expect(event).toMatchObject({ outcome: 'client_gone', usageSource: 'provider' });
  });

  it('that break before the first event come from the next provider', async () => {
    service.simulator.faults.add({
      match: { model: stream.model },
      directives: { faults: ['reset-mid-stream'], after: 0 },
      times: 1,
    });
    const response = await post(stream, 'input=100', { provider: null });
    const text = await response.text();
    expect(typesOf(text).at(-1)).toBe(stream.last);
    expect(text).not.toContain('"error"');
    const { event, line } = await booked(response);
    const [first, second, ...more] = event.attempts ?? [];
    expect(more).toEqual([]);
    expect(second?.provider).toBe(line.provider);
    expect(first?.provider).not.toBe(line.provider);
  });

  it('that break before the first event cost nothing where nobody else is left', async () => {
    for (const fault of ['fault=reset-mid-stream after=0', 'fault=error-first-event']) {
      const response = await post(stream, fault);
      expect(response.status).toBe(200);
      const payloads = payloadsOf(await response.text());
      expect(payloads).toHaveLength(1);
      expect(payloads[0]).toHaveProperty('error');
      expect(await eventOf(response)).toMatchObject({
        state: 'released',
        outcome: 'upstream_error',
        costUsd: null,
      });
    }
  });

  it('that break in the middle end in one error event', async () => {
    for (const fault of ['reset-mid-stream', 'error-mid-stream']) {
      const response = await post(stream, `input=100 output=700 fault=${fault} after=1`);
      const payloads = payloadsOf(await response.text());
      expect(payloads).toHaveLength(2);
      expect(payloads[1]).toHaveProperty('error');
      expect((await eventOf(response)).outcome).toBe('upstream_error');
    }
  });

  it('whose usage cannot be one are for a person, and pass all the same', async () => {
    if (!stream.isInTokens) return;
    for (const fault of ['usage-negative', 'usage-huge', 'missing-usage']) {
      const response = await post(stream, `input=100 output=700 fault=${fault}`);
      expect(typesOf(await response.text()).at(-1)).toBe(stream.last);
      const event = await eventOf(response);
      expect({ fault, state: event.state, costUsd: event.costUsd }).toEqual({
        fault,
        state: 'quarantined',
        costUsd: null,
      });
    }
  });
});

const ENDS = ['reset-mid-stream', 'error-mid-stream', 'end-mid-stream'];

describe('an answer that breaks off', () => {
  it.each(BY_UNITS)('of $name costs what was made of it', async (stream) => {
    for (const fault of ENDS) {
      const response = await post(stream, `input=100 fault=${fault} after=1`);
      await response.text();
      const { event, line } = await booked(response);
      // A picture that is half done is no picture; a text was read, a recording heard, as a whole.
      expect(line.costPicoUsd > 0n, fault).toBe(stream.path !== IMAGES.path);
      // How long the recording is, only its own header says by then.
      expect(event.usageSource).toBe(stream.model === TRANSCRIPTION ? 'estimated' : 'provider');
    }
  });

  it.each(BY_TOKENS)('of $name is for a person: only the provider counted', async (stream) => {
    for (const fault of ENDS) {
      const response = await post(stream, `input=100 output=700 fault=${fault} after=1`);
      await response.text();
      expect(await eventOf(response)).toMatchObject({ state: 'quarantined', costUsd: null });
    }
  });

  it.each(['images by piece', 'images by pixel', 'images by tokens'])(
    'of several %s costs those that were done',
    async (name) => {
      const drawn = (model: string, prompt: string) =>
        inJson({ model, prompt, stream: true, n: 3, partial_images: 1, size: '512x512' });
      const several = { ...named(name), body: drawn };
      const whole = await post(several, 'input=100 output=700');
      expect(typesOf(await whole.text())).toHaveLength(6);
      const all = await booked(whole);
      expect(all.line.units['image']).toBe(3n);
      for (const fault of ENDS) {
        const response = await post(several, `input=100 output=700 fault=${fault} after=4`);
        await response.text();
        const { event, line } = await booked(response);
        expect(line.units['image']).toBe(2n);
        expect(line.costPicoUsd).toBeLessThan(all.line.costPicoUsd);
        expect(event.usageSource).toBe('provider');
      }
    },
  );
});

describe('a client that leaves, and is not waited for', () => {
  it('pays for what was made until then', async () => {
    const impatient = await startSelling([PER_IMAGE, SPEECH, TRANSCRIPTION], {
      environment: { DRAIN_MAX_MS: '50' },
    });
    const { url, token: key } = impatient;
    for (const [name, provider] of [
      ['images by piece', 'together'],
      ['speech by character', 'together'],
      ['transcripts by the second', 'openai'],
    ] as const) {
      const abort = new AbortController();
      const directives = 'chunk_delay=60000';
      const ask = { provider, url, key, signal: abort.signal };
      const response = await post(named(name), directives, ask);
      await response.body!.getReader().read();
      abort.abort();
      await allEnded(impatient);
      await eventually('the line of the provider', () =>
        impatient.simulator.openRequests() === 0 ? true : null,
      );
      const { event, line } = await bookedAs(impatient, idOf(response));
      expect({ name, outcome: event.outcome, line: line.outcome }).toEqual({
        name,
        outcome: 'client_gone',
        line: 'client_aborted',
      });
      expect(line.costPicoUsd > 0n, name).toBe(name !== 'images by piece');
    }
    await impatient.close();
  });
});

describe('a large picture', () => {
  /** More than an event that is held together may have: the last is read in passing. */
  it.each([3, 7, 12, 40])('of %i MB in one event passes and is metered', async (megabytes) => {
    const bytes = megabytes * 1024 * 1024;
    for (const name of ['images by tokens', 'images by piece']) {
      const one = (model: string, prompt: string) => inJson({ model, prompt, stream: true });
      const stream = { ...named(name), body: one };
      const directives = `input=100 output=700 bytes=${bytes}`;
      const response = await post(stream, directives);
      const passed = Buffer.from(await response.arrayBuffer());
      expect(passed.length).toBeGreaterThan(bytes);
      expect(passed.equals(await asSent(stream, directives))).toBe(true);
      const { event } = await booked(response);
      expect(event).toMatchObject({ outcome: 'complete', usageSource: 'provider' });
    }
  });

  it('counts with the small ones beside it', async () => {
    const three = (model: string, prompt: string) => inJson({ model, prompt, stream: true, n: 3 });
    const stream = { ...named('images by piece'), body: three };
    const response = await post(stream, `bytes=${30 * 1024 * 1024} split=65536`);
    await response.arrayBuffer();
    expect((await booked(response)).line.units['image']).toBe(3n);
  });
});

describe('the client of OpenAI', () => {
  it('sees pictures half done and done', async () => {
    const { data, response } = await client.images
      .generate({
        model: `${IMAGE_TOKENS}:openai`,
        prompt: 'A gate [[sim input=100 output=700]]',
        stream: true,
        partial_images: 2,
        size: '1024x1024',
      })
      .withResponse();
    const partials: number[] = [];
    let usage: OpenAI.ImageGenCompletedEvent.Usage | null = null;
    for await (const event of data) {
      expect(Buffer.from(event.b64_json, 'base64').subarray(1, 4).toString()).toBe('PNG');
      if (event.type === 'image_generation.completed') usage = event.usage;
      else partials.push(event.partial_image_index);
    }
    expect(partials).toEqual([0, 1]);
    expect(usage).toEqual({
      input_tokens: 100,
      output_tokens: 900,
      total_tokens: 1_000,
      input_tokens_details: { text_tokens: 100, image_tokens: 0 },
    });
    const { event, line } = await booked(response);
    // 100 x USD 5 + 900 x USD 40, each per million
    expect(line.costPicoUsd).toBe(36_500_000_000n);
    expect(event.units).toEqual({ input: '100', output: '0', image_output: '900' });
  });

  it('hears speech', async () => {
    const response = await client.audio.speech.create({
      model: `${SPEECH_TOKENS}:openai`,
      input: 'Hello [[sim input=100 output=700 bytes=30000]]',
      voice: 'alloy',
      stream_format: 'sse',
    });
    const payloads = payloadsOf(await response.text());
    const sound = payloads.map(({ audio }) =>
      Buffer.from(typeof audio === 'string' ? audio : '', 'base64'),
    );
    expect(Buffer.concat(sound)).toHaveLength(30_000);
    expect(payloads.at(-1)).toEqual({
      type: 'speech.audio.done',
      usage: { input_tokens: 100, output_tokens: 700, total_tokens: 800 },
    });
    const { event, line } = await booked(response);
    // 100 x USD 0.60 + 700 x USD 12, each per million
    expect(line.costPicoUsd).toBe(8_460_000_000n);
    expect(event.units).toEqual({ input: '100', output: '0', audio_output: '700' });
  });

  it.each([
    [`${TRANSCRIPTION_TOKENS}:openai`, { type: 'tokens', input_tokens: 100 }],
    [`${TRANSCRIPTION}:groq`, { type: 'duration', seconds: 3 }],
  ])('reads a transcript of %s', async (model, stated) => {
    const { data, response } = await client.audio.transcriptions
      .create({
        model,
        file: await toFile(wavOf(3_000), 'three.wav'),
        prompt: '[[sim input=100]]',
        stream: true,
      })
      .withResponse();
    let text = '';
    for await (const event of data) {
      if (event.type === 'transcript.text.delta') text += event.delta;
      else if (event.type === 'transcript.text.done') {
        expect(event.text).toBe(text);
        expect(event.usage).toMatchObject(stated);
      }
    }
    expect(text.length).toBeGreaterThan(0);
    await booked(response);
  });

  it.each(STREAMS.filter(({ path }) => path === IMAGES.path))(
    'throws the error in the middle of $name',
    async ({ model, providers }) => {
      for (const fault of ['reset-mid-stream', 'error-mid-stream']) {
        const stream = await client.images.generate({
          model: `${model}:${providers[0]}`,
          prompt: `[[sim fault=${fault} after=1]]`,
          stream: true,
          partial_images: 2,
        });
        await expect(
          (async () => {
            for await (const event of stream) expect(event.type).toContain('partial');
          })(),
        ).rejects.toThrow(OpenAI.APIError);
      }
    },
  );
});

describe('a stream of speech', () => {
  it('counts among the streams that are open', async () => {
    const abort = new AbortController();
    const response = await post(named('speech by character'), 'chunks=4 chunk_delay=300', {
      signal: abort.signal,
    });
    await response.body!.getReader().read();
    const open = await eventually('an open stream', async () => {
      const rows = await service.database.query<{ is_stream: boolean }>(
        'SELECT is_stream FROM open_events WHERE id = $1',
        [idOf(response)],
      );
      return rows[0] ?? null;
    });
    expect(open.is_stream).toBe(true);
    abort.abort();
    await allEnded(service);
    await booked(response);
  });
});
