import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_MEDIA_FACTS } from '../../domain/media.js';
import { rateMedia } from '../../domain/media-rating.js';
import type { PriceRow } from '../../domain/pricing.js';
import type { Task } from '../../domain/tasks.js';
import {
  assumedPixelsOf,
  meterFor,
  type MediaReading,
  type MeteredAnswer,
} from './answer-meter.js';

interface Answer extends Partial<MeteredAnswer> {
  readonly body: object | string | Buffer;
  readonly type?: string;
  readonly cuts?: readonly number[];
}

function meter(task: Task, answer: Answer): MediaReading {
  const { body, type = 'application/json', cuts = [], status = 200, headers = {} } = answer;
  const bytes = Buffer.isBuffer(body)
    ? body
    : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const reader = meterFor(task, { status, headers: { ...headers, 'content-type': type } });
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...at, bytes.length]) {
    reader.push(bytes.subarray(from, to));
    from = to;
  }
  return reader.end();
}

const quantitiesOf = (task: Task, answer: Answer): unknown => meter(task, answer).report.quantities;

describe('an answer with images', () => {
  it('is counted, whatever their size, with its usage', () => {
    const picture = 'A'.repeat(9 * 1024 * 1024);
    const body = {
      created: 1,
      data: [{ b64_json: picture }, { b64_json: 'x' }, { url: 'https://x' }],
      usage: {
        input_tokens: 50,
        input_tokens_details: { text_tokens: 20, image_tokens: 30 },
        output_tokens: 4_160,
        output_tokens_details: { image_tokens: 4_160 },
      },
      model: 'gpt-image-1',
    };
    const { report, reading } = meter('image', { body, cuts: [70_000, 9_000_000] });
    expect(report.quantities).toEqual({ image: 3n });
    expect(report.usage).toMatchObject({ quantities: { input: 50n, output: 4_160n } });
    expect(report.details).toMatchObject({ imageInput: 30n, imageOutput: 4_160n });
    expect(reading).toMatchObject({ hasContent: true, providerModel: 'gpt-image-1', hasEnd: true });
  });

  it('is measured where it states the size of each', () => {
    const images = [
      { url: 'https://x', width: 1024, height: 768, content_type: 'image/jpeg' },
      { url: 'https://y', width: 512, height: 512 },
    ];
    expect(quantitiesOf('inference', { body: { images, seed: 1 } })).toEqual({
      image: 2n,
      pixel: 1_048_576n,
    });
    const half = [images[0] ?? {}, { url: 'https://y' }];
    expect(quantitiesOf('image', { body: { images: half } })).toEqual({ image: 2n });
  });

  it('is of no use when there are none, and costs nothing', () => {
    expect(meter('image', { body: { created: 1, data: [] } }).reading.hasContent).toBe(false);
  });

  it('in bytes is one', () => {
    const answer = { body: Buffer.alloc(10), type: 'image/png' };
    expect(quantitiesOf('inference', answer)).toEqual({ image: 1n });
    expect(meter('speech', { body: Buffer.alloc(10), type: 'audio/mpeg' }).reading.hasContent).toBe(
      true,
    );
    expect(meter('speech', { body: '', type: 'audio/mpeg' }).reading.hasContent).toBe(false);
  });
});

describe('seconds', () => {
  it.each<[Task, object | string, object]>([
    ['transcription', { text: 'x', usage: { type: 'duration', seconds: 3 } }, { audio_ms: 3_000n }],
    ['transcription', { text: 'x', duration: 2.505 }, { audio_ms: 2_505n }],
    ['transcription', { duration: '8.47', text: 'x' }, { audio_ms: 8_470n }],
    ['transcription', { duration: 9, text: 'x', usage: { seconds: 3 } }, { audio_ms: 3_000n }],
    ['transcription', '{"text":"x","duration":0.30000000000000000001}', { audio_ms: 300n }],
    ['transcription', { text: 'x', duration: null }, {}],
    ['transcription', { text: 'x', duration: 'long' }, {}],
    ['video', { id: 'v', status: 'completed', seconds: '5' }, { video_ms: 5_000n }],
    [
      'inference',
      { status: 'succeeded', output: 'u', metrics: { predict_time: 1.25 } },
      { image: 1n, gpu_ms: 1_250n },
    ],
  ])('of a %s: %j', (task, body, quantities) => {
    expect(quantitiesOf(task, { body })).toEqual(quantities);
  });

  it('that cannot be are a problem, with what was written', () => {
    const body = { text: 'x', duration: -1 };
    expect(meter('transcription', { body }).report.problem).toEqual({
      problem: 'duration is negative',
      raw: 'duration: -1',
    });
  });

  it('of computing are in a header, which an error is not charged for', () => {
    const headers = { 'x-compute-time': '0.2505', 'x-compute-type': 'gpu' };
    const answer = { body: [{ label: 'x' }], headers };
    expect(meter('inference', answer)).toMatchObject({
      report: { quantities: { compute_ms: 250n }, texts: ['x-compute-time: 0.2505'] },
      reading: { hasContent: true },
    });
    const failed = meter('inference', { ...answer, status: 500 });
    expect(failed.report.quantities).toEqual({});
    expect(failed.reading.hasContent).toBe(false);
    for (const text of ['-1', 'NaN', '1, 2', '']) {
      const wrong = meter('inference', { body: '[1]', headers: { 'x-compute-time': text } });
      expect(wrong.report.problem).not.toBeNull();
    }
  });
});

describe('a report', () => {
  it('of fal is in the unit of the price', () => {
    const headers = { 'x-fal-billable-units': '1.048576' };
    const { report, reading } = meter('inference', { body: { images: [{ url: 'x' }] }, headers });
    expect(report.billableUnits).toBe('1.048576');
    const row: PriceRow = {
      id: 1n,
      upstream: 'fal-ai',
      provider: 'fal-ai',
      model: 'm',
      unit: 'pixel',
      condition: null,
      picoUsd: 25_000n,
      perUnits: 1n,
      effectiveFrom: new Date(0),
      effectiveTo: null,
      source: 'manual',
    };
    const rating = rateMedia({
      task: 'inference',
      report,
      request: NO_MEDIA_FACTS,
      assumedPixels: assumedPixelsOf('fal-ai'),
      hasContent: reading.hasContent,
      inputTextBytes: 0,
      holdPicoUsd: 10n ** 12n,
      rows: new Map([['pixel', row]]),
    });
    expect(rating).toMatchObject({ state: 'settled', costPicoUsd: 1_048_576n * 25_000n });
  });

  it('of an embedding has no output', () => {
    const body = {
      object: 'list',
      data: [{ embedding: Array.from({ length: 5_000 }, () => 0.25), index: 0 }],
      usage: { prompt_tokens: 8, total_tokens: 8 },
    };
    expect(meter('embedding', { body }).report.usage).toMatchObject({ quantities: { input: 8n } });
    const lone = { results: [{ index: 0 }], usage: { total_tokens: 7 } };
    expect(meter('inference', { body: lone }).report.usage).toMatchObject({
      quantities: { input: 7n },
    });
  });

  it('of a transcription tells sound from text', () => {
    const usage = {
      type: 'tokens',
      input_tokens: 14,
      input_token_details: { text_tokens: 4, audio_tokens: 10 },
      output_tokens: 5,
    };
    const { report } = meter('transcription', { body: { text: 'x', usage } });
    expect(report.details.audioInput).toBe(10n);
    const wrong = { ...usage, input_token_details: { audio_tokens: 1.5 } };
    expect(meter('transcription', { body: { usage: wrong } }).report.problem).not.toBeNull();
  });

  it('in a stream is read from its events', () => {
    const events = [
      { type: 'transcript.text.delta', delta: 'a' },
      { type: 'transcript.text.delta', delta: 'b', usage: { type: 'duration', seconds: 2 } },
      { type: 'transcript.text.done', text: 'ab', usage: { type: 'duration', seconds: 3 } },
      { type: 'transcript.text.done', text: 'ab', usage: { type: 'duration', seconds: 1 } },
    ];
    const body = events.map((event) => `data: ${JSON.stringify(event)}\r\n\r\n`).join('');
    const cuts = Array.from({ length: 50 }, (_, at) => at * 7);
    const answer = { body: `${body}data: [DONE]\n\n`, type: 'text/event-stream', cuts };
    expect(meter('transcription', answer)).toMatchObject({
      report: { quantities: { audio_ms: 3_000n } },
      reading: { hasContent: true, hasEnd: true },
    });
    const images = [
      { type: 'image_generation.partial_image', b64_json: 'x' },
      {
        type: 'image_generation.completed',
        b64_json: 'x',
        usage: { input_tokens: 1, output_tokens: 2 },
      },
    ];
    const stream = images.map(
      (event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
    );
    expect(meter('image', { body: stream.join(''), type: 'text/event-stream' })).toMatchObject({
      report: { quantities: { image: 1n }, usage: { quantities: { input: 1n, output: 2n } } },
    });
  });

  it('of an answer that broke off, failed or is no JSON is none', () => {
    const whole = '{"data":[{"url":"x"}],"usage":{"input_tokens":5,"output_tokens":6}}';
    for (const body of [whole.slice(0, -1), `${whole}x`, '', 'oops', '<html>']) {
      expect(meter('image', { body })).toMatchObject({
        report: { usage: { kind: 'none' } },
        reading: { hasContent: false },
      });
    }
    expect(quantitiesOf('transcription', { body: '{"duration":5,"text":"x' })).toEqual({});
    const failed = { status: 'failed', error: 'no', output: null };
    expect(meter('inference', { body: failed })).toMatchObject({
      reading: { hasContent: false, firstError: { message: 'no' } },
    });
    expect(
      meter('inference', { body: { status: 'processing', output: null } }).reading.hasContent,
    ).toBe(false);
  });

  it('is the same however the answer is cut, and never throws', () => {
    const body = fc.dictionary(
      fc.constantFrom(
        'data',
        'images',
        'usage',
        'duration',
        'seconds',
        'output',
        'error',
        'status',
        'metrics',
      ),
      fc.jsonValue({ maxDepth: 3 }),
    );
    const task = fc.constantFrom<Task>(
      'image',
      'transcription',
      'video',
      'speech',
      'inference',
      'embedding',
    );
    const type = fc.constantFrom('application/json', 'text/event-stream', 'text/plain');
    const cuts = fc.array(fc.nat(2_000), { maxLength: 20 });
    fc.assert(
      fc.property(body, task, type, cuts, (value, asked, contentType, at) => {
        const text = JSON.stringify(value);
        const answer = contentType === 'text/event-stream' ? `data: ${text}\n\n` : text;
        const whole = meter(asked, { body: answer, type: contentType });
        expect(meter(asked, { body: answer, type: contentType, cuts: at })).toEqual(whole);
      }),
      { numRuns: 1_000 },
    );
  });
});
