import {
  codePointsOf,
  MS_PER_SECOND,
  NO_MEDIA_FACTS,
  quantityOf,
  type MediaRequestFacts,
} from '../../domain/media.js';
import { isTextTask, type Task } from '../../domain/tasks.js';
import { skipWhitespace, visitMembers } from '../dialects/json-bytes.js';
import type { ChatRequestFacts } from './chat-request.js';

export type MediaRequestResult =
  | { readonly ok: true; readonly media: MediaRequestFacts; readonly textBytes: number }
  | {
      readonly ok: false;
      readonly code: 'invalid_request';
      readonly field: string;
      readonly message: string;
    };

/** Fields with one meaning, by the names that providers give them. */
const COUNTS = [
  'n',
  'num_images',
  'num_outputs',
  'image_num',
  'num_images_per_prompt',
  'num_videos',
] as const;
const SIZES = ['size', 'image_size'] as const;
const SECONDS = ['seconds', 'duration'] as const;
const FRAMES = ['num_frames', 'frames', 'frames_number'] as const;
const FRAME_RATES = ['fps', 'frame_rate', 'frames_per_second'] as const;
const TEXTS = ['input', 'text', 'inputs', 'prompt'] as const;
const SOUNDS = ['file', 'audio', 'audio_url', 'inputs', 'input', 'url'] as const;
/** Texts of requests that are not written like a chat's. */
const OTHER_TEXTS = ['inputs', 'query', 'documents', 'texts', 'text', 'source_sentence'] as const;
/** Objects in which some providers put a request's own fields. */
const NESTED: ReadonlySet<string> = new Set(['parameters', 'input', 'inputs']);

const FIELDS: ReadonlySet<string> = new Set([
  ...COUNTS,
  ...SIZES,
  ...SECONDS,
  ...FRAMES,
  ...FRAME_RATES,
  ...TEXTS,
  ...SOUNDS,
  ...OTHER_TEXTS,
  'width',
  'height',
]);

/** fal's names for sizes. */
const NAMED_SIZES: Readonly<Record<string, bigint>> = {
  square_hd: 1024n * 1024n,
  square: 512n * 512n,
  portrait_4_3: 768n * 1024n,
  portrait_16_9: 576n * 1024n,
  landscape_4_3: 1024n * 768n,
  landscape_16_9: 1024n * 576n,
};

/** A field's value as its own JSON text: a number is never made a float. */
interface Field {
  readonly name: string;
  readonly path: string;
  readonly json: string;
}

/**
 * What a JSON request states about the media that it asks for or brings. Where the route says what
 * is asked (an image, a video, speech) a wrong type in a field that prices is refused; on a
 * provider's own route (`inference`) its fields may mean something else, and are then not known.
 */
export function readMediaRequest(
  body: Buffer,
  request: ChatRequestFacts,
  task: Task,
): MediaRequestResult {
  if (isTextTask(task) && request.textBytes > 0) {
    return { ok: true, media: NO_MEDIA_FACTS, textBytes: request.textBytes };
  }
  const reader = new MediaFieldReader(body, request, task !== 'inference');
  const media = reader.facts(task);
  if (reader.wrong !== null) {
    const { field, expected } = reader.wrong;
    const message = `\`${field}\` ${expected}.`;
    return { ok: false, code: 'invalid_request', field, message };
  }
  const textBytes = request.textBytes > 0 ? request.textBytes : reader.textBytes();
  return { ok: true, media, textBytes };
}

/** Whether the sound is to come in events: the one route that does not call that `stream`. */
export function asksForSoundInEvents(body: Buffer, { layout }: ChatRequestFacts): boolean {
  return layout.members.some(
    ({ name, kind, valueStart, valueEnd }) =>
      name === 'stream_format' &&
      kind === 'string' &&
      parsed(body.toString('utf8', valueStart, valueEnd)) === 'sse',
  );
}

class MediaFieldReader {
  wrong: { readonly field: string; readonly expected: string } | null = null;
  private readonly fields: Field[] = [];

  constructor(
    private readonly body: Buffer,
    request: ChatRequestFacts,
    private readonly isStrict: boolean,
  ) {
    for (const { name, kind, valueStart, valueEnd } of request.layout.members) {
      if (FIELDS.has(name) && kind !== 'null') this.add(name, name, valueStart, valueEnd);
      if (kind === 'object' && NESTED.has(name)) this.addNested(name, valueStart);
    }
  }

  facts(task: Task): MediaRequestFacts {
    switch (task) {
      case 'image':
        return { ...NO_MEDIA_FACTS, n: this.count(), pixels: this.pixels() };
      case 'video':
        return { ...NO_MEDIA_FACTS, n: this.count(), videoMs: this.videoMs() };
      case 'speech':
        return { ...NO_MEDIA_FACTS, characters: this.characters() };
      case 'transcription':
        return { ...NO_MEDIA_FACTS, ...this.sound() };
      case 'inference':
        return {
          n: this.count(),
          pixels: this.pixels(),
          videoMs: this.videoMs(),
          characters: this.characters(),
          audioMs: null,
          ...this.sound(),
        };
      case 'chat':
      case 'completion':
      case 'responses':
      case 'messages':
      case 'embedding':
        return NO_MEDIA_FACTS;
    }
  }

  /** UTF-8 bytes of the texts of a request that has none where a chat has them. */
  textBytes(): number {
    let bytes = 0;
    for (const { name, path, json } of this.fields) {
      const isText = name === path && (OTHER_TEXTS as readonly string[]).includes(name);
      if (isText) bytes += textBytesOf(parsed(json));
    }
    return bytes;
  }

  private add(name: string, path: string, start: number, end: number): void {
    const { body } = this;
    this.fields.push({
      name,
      path,
      // Made when it is asked for: of a text's request nobody does, and its input may be long.
      get json() {
        return body.toString('utf8', start, end);
      },
    });
  }

  /** A name that stands twice is read in more than one way: refused, as at the top. */
  private addNested(parent: string, start: number): void {
    const seen = new Set<string>();
    visitMembers(this.body, skipWhitespace(this.body, start), (name, valueStart, valueEnd) => {
      if (!FIELDS.has(name)) return;
      const path = `${parent}.${name}`;
      if (seen.has(name)) this.wrong ??= { field: path, expected: 'is given more than once' };
      seen.add(name);
      if (this.body[valueStart] !== 0x6e) this.add(name, path, valueStart, valueEnd);
    });
  }

  private named(names: readonly string[]): Field[] {
    return this.fields.filter(({ name }) => names.includes(name));
  }

  private reject(field: string, expected: string): null {
    if (this.isStrict) this.wrong ??= { field, expected: `must be ${expected}` };
    return null;
  }

  /** How many; of several that are told, the most. */
  private count(): number | null {
    let most: number | null = null;
    for (const { path, json } of this.named(COUNTS)) {
      const count = wholeNumber(json);
      if (count === null || count < 1) this.reject(path, 'an integer of at least 1, or null');
      else most = Math.max(most ?? 0, count);
    }
    return most;
  }

  private pixels(): bigint | null {
    for (const { path, json } of this.named(SIZES)) {
      const value = parsed(json);
      if (typeof value === 'string') {
        const pixels = pixelsOf(value);
        if (pixels !== null) return pixels;
      } else if (isObject(value)) {
        const { width, height } = value;
        if (isSide(width) && isSide(height)) return BigInt(width) * BigInt(height);
        this.reject(path, 'an object with `width` and `height` in pixels');
      } else this.reject(path, 'a text such as "1024x1024"');
    }
    const width = this.side('width');
    const height = this.side('height');
    return width === null || height === null ? null : width * height;
  }

  private side(name: string): bigint | null {
    let largest: bigint | null = null;
    for (const { path, json } of this.named([name])) {
      const side = wholeNumber(json);
      if (!isSide(side)) this.reject(path, 'an integer of at least 1, or null');
      else if (largest === null || BigInt(side) > largest) largest = BigInt(side);
    }
    return largest;
  }

  private videoMs(): bigint | null {
    for (const { path, json } of this.named(SECONDS)) {
      // "5", "5s" and 5 are all in use; "auto" states nothing.
      const text = /^(?:"([^"\\]{0,32})"|([^"[{tfn].*))$/.exec(json);
      if (text === null) {
        this.reject(path, 'a number of seconds');
        continue;
      }
      const figure = (text[1] ?? text[2] ?? '').replace(/\s*s(?:ec(?:onds?)?)?$/, '');
      const reading = quantityOf(figure, MS_PER_SECOND);
      if (reading.ok && reading.quantity > 0n) return reading.quantity;
      if (text[2] !== undefined) this.reject(path, 'a number of seconds above 0');
    }
    const frames = this.firstWhole(FRAMES);
    const rate = this.firstWhole(FRAME_RATES);
    if (frames === null || rate === null) return null;
    return (BigInt(frames) * MS_PER_SECOND + BigInt(rate) - 1n) / BigInt(rate);
  }

  private firstWhole(names: readonly string[]): number | null {
    for (const { path, json } of this.named(names)) {
      const value = wholeNumber(json);
      if (value !== null && value > 0) return value;
      this.reject(path, 'an integer of at least 1, or null');
    }
    return null;
  }

  /** Of the text to be spoken: the first that there is, in the order in which routes name it. */
  private characters(): number | null {
    for (const name of TEXTS) {
      for (const { path, json } of this.named([name])) {
        const value = parsed(json);
        if (typeof value === 'string') return codePointsOf(value);
        if (name === 'input' && path === name && !isObject(value)) this.reject(path, 'a string');
      }
    }
    return null;
  }

  /** Audio inside the body, as base64, or behind a link. */
  private sound(): { audioBytes: number; isAudioElsewhere: boolean } {
    let audioBytes = 0;
    let isAudioElsewhere = false;
    for (const { json } of this.named(SOUNDS)) {
      if (!json.startsWith('"')) continue;
      if (/^"https?:/i.test(json)) isAudioElsewhere = true;
      else audioBytes += Math.floor(((json.length - 2) * 3) / 4);
    }
    return { audioBytes, isAudioElsewhere };
  }
}

/** `1024x1024`, `1024*1024`, or a name that fal gives sizes; null for `auto` and the like. */
export function pixelsOf(size: string): bigint | null {
  const named = Object.hasOwn(NAMED_SIZES, size) ? NAMED_SIZES[size] : undefined;
  if (named !== undefined) return named;
  const sides = /^(\d{1,6})\s*[x*X×]\s*(\d{1,6})$/.exec(size.trim());
  if (sides === null) return null;
  const pixels = BigInt(sides[1] ?? '0') * BigInt(sides[2] ?? '0');
  return pixels === 0n ? null : pixels;
}

/** Digits only, as a number or as a text of digits. */
function wholeNumber(json: string): number | null {
  const text = /^"?(\d{1,9})"?$/.exec(json);
  return text === null ? null : Number(text[1]);
}

function isSide(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value < 1_000_000;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The body was found to be JSON before. */
function parsed(json: string): unknown {
  return JSON.parse(json);
}

function textBytesOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.reduce<number>((sum, one) => sum + textBytesOf(one), 0);
  if (!isObject(value)) return 0;
  return Object.values(value).reduce<number>((sum, one) => sum + textBytesOf(one), 0);
}
