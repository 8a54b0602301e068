import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_MEDIA_FACTS, type MediaRequestFacts } from '../../domain/media.js';
import type { Task } from '../../domain/tasks.js';
import { readChatRequest } from './chat-request.js';
import { readMediaRequest, type MediaRequestResult } from './media-request.js';

function resultOf(task: Task, body: object | string): MediaRequestResult {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const read = readChatRequest(bytes, { isModelRequired: false });
  if (!read.ok) throw new Error(read.message);
  return readMediaRequest(bytes, read.facts, task);
}

function factsOf(task: Task, body: object | string): MediaRequestFacts {
  const result = resultOf(task, body);
  if (!result.ok) throw new Error(result.message);
  return result.media;
}

function refusedField(task: Task, body: object | string): string | null {
  const result = resultOf(task, body);
  return result.ok ? null : result.field;
}

describe('a request for images', () => {
  it.each<[object, number | null, bigint | null]>([
    [{ prompt: 'a cat' }, null, null],
    [{ n: 2, size: '1024x768' }, 2, 786_432n],
    [{ n: null, size: 'auto' }, null, null],
    [{ size: '1024*1024' }, null, 1_048_576n],
    [{ width: 512, height: 256 }, null, 131_072n],
    [{ width: 512 }, null, null],
    [{ num_images: 4, image_size: 'square_hd' }, 4, 1_048_576n],
    [{ image_size: { width: 10, height: 20 } }, null, 200n],
    [{ input: { prompt: 'x', num_outputs: 3, width: 8, height: 8 } }, 3, 64n],
    [{ inputs: 'x', parameters: { width: 64, height: 32 } }, null, 2_048n],
    [{ n: 2, num_images: 5 }, 5, null],
  ])('states how many and how large: %j', (body, n, pixels) => {
    expect(factsOf('image', body)).toEqual({ ...NO_MEDIA_FACTS, n, pixels });
  });

  it.each<[string, object | string]>([
    ['num_images', { num_images: 0 }],
    ['num_images', { num_images: 1.5 }],
    ['num_images', { num_images: [2] }],
    ['width', { width: -1, height: 5 }],
    ['width', { width: '5px', height: 5 }],
    ['size', { size: 1024 }],
    ['image_size', { image_size: { width: 'x' } }],
    ['parameters.width', { parameters: { width: true } }],
    ['parameters.width', '{"parameters":{"width":1,"height":1,"width":9}}'],
    ['parameters.width', '{"parameters":{"width":1,"wid\\u0074h":9}}'],
  ])('is refused for %s in %j', (field, body) => {
    expect(refusedField('image', body)).toBe(field);
  });
});

describe('a request for a video', () => {
  it.each<[object, bigint | null]>([
    [{ seconds: '5' }, 5_000n],
    [{ seconds: 4 }, 4_000n],
    [{ duration: 2.5 }, 2_500n],
    [{ duration: '8s' }, 8_000n],
    [{ duration: 'auto' }, null],
    [{ num_frames: 81, fps: 16 }, 5_063n],
    [{ num_frames: 81 }, null],
    [{ prompt: 'x' }, null],
  ])('states its length: %j', (body, videoMs) => {
    expect(factsOf('video', body).videoMs).toBe(videoMs);
  });

  it.each([{ seconds: true }, { seconds: -1 }, { seconds: 0 }, { seconds: [5] }])(
    'is refused for the length in %j',
    (body) => {
      expect(refusedField('video', body)).toBe('seconds');
    },
  );
});

describe('a request for speech', () => {
  it('states each code point of its text, escaped or not', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (input) => {
        const escaped = [...Array(input.length).keys()]
          .map((at) => `\\u${input.charCodeAt(at).toString(16).padStart(4, '0')}`)
          .join('');
        const characters = Array.from(input).length;
        expect(factsOf('speech', { model: 'm', input }).characters).toBe(characters);
        expect(factsOf('speech', `{"input":"${escaped}"}`).characters).toBe(characters);
      }),
    );
  });

  it('names the text in more than one way, and refuses what is no text', () => {
    expect(factsOf('speech', { text: 'abc' }).characters).toBe(3);
    expect(factsOf('speech', { inputs: 'ab' }).characters).toBe(2);
    expect(factsOf('speech', { voice: 'x' }).characters).toBeNull();
    expect(refusedField('speech', { input: ['a'] })).toBe('input');
  });
});

describe('other requests', () => {
  it('bring audio as base64, or behind a link', () => {
    const audio = 'A'.repeat(4_000);
    expect(factsOf('transcription', { inputs: audio })).toMatchObject({
      audioBytes: 3_000,
      isAudioElsewhere: false,
    });
    expect(factsOf('inference', { audio_url: 'https://x/y.mp3' })).toMatchObject({
      audioBytes: 0,
      isAudioElsewhere: true,
    });
  });

  it('to a provider’s own route are never refused for fields of another meaning', () => {
    const body = { n: 'many', size: 5, seconds: {}, width: 'wide', input: ['x'], duration: true };
    expect(factsOf('inference', { ...body, n: undefined })).toMatchObject({
      n: null,
      pixels: null,
      videoMs: null,
    });
  });

  it('have a text to estimate from, wherever they put it', () => {
    const bytesOf = (body: object): number => {
      const result = resultOf('embedding', body);
      return result.ok ? result.textBytes : -1;
    };
    expect(bytesOf({ input: ['ab', 'cd'] })).toBe(4);
    expect(bytesOf({ inputs: { source_sentence: 'é', sentences: ['xyz'] } })).toBe(5);
    expect(bytesOf({ query: 'ab', documents: ['c', { text: 'de' }] })).toBe(5);
  });

  it('of any JSON are answered, never thrown at', () => {
    const name = fc.constantFrom('n', 'size', 'width', 'seconds', 'input', 'parameters', 'fps');
    const body = fc.dictionary(name, fc.jsonValue({ maxDepth: 3 }));
    const task = fc.constantFrom<Task>('image', 'video', 'speech', 'transcription', 'inference');
    fc.assert(
      fc.property(body, task, (value, asked) => {
        const bytes = Buffer.from(JSON.stringify(value));
        const read = readChatRequest(bytes, { isModelRequired: false });
        if (read.ok) expect(typeof readMediaRequest(bytes, read.facts, asked).ok).toBe('boolean');
      }),
      { numRuns: 2_000 },
    );
  });
});
