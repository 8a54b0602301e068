import { isObject, type JsonObject } from './json.js';
import type { Product } from './media-files.js';
import type { UnitOffer } from './unit-offers.js';
import { baseQuantity } from './unit-money.js';

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

const DEFAULT_SIZE: Size = { width: 1024, height: 1024 };
const DEFAULT_FRAMES_PER_SECOND = 16;
const DEFAULT_VIDEO_MS = 5_000;
const MIN_GPU_MS = 500;

const namedSizes: ReadonlyMap<string, Size> = new Map([
  ['square_hd', DEFAULT_SIZE],
  ['square', { width: 512, height: 512 }],
  ['portrait_4_3', { width: 768, height: 1024 }],
  ['portrait_16_9', { width: 576, height: 1024 }],
  ['landscape_4_3', { width: 1024, height: 768 }],
  ['landscape_16_9', { width: 1024, height: 576 }],
]);

/** What the Hub's name of a task makes. */
export function productOf(task: string): Product {
  if (task.endsWith('-to-image')) return 'image';
  if (task.endsWith('-to-video')) return 'video';
  if (task === 'text-to-speech' || task === 'text-to-audio') return 'audio';
  return 'text';
}

/** How many images were asked for. */
export function imageCount(input: JsonObject): number {
  const asked = [input['num_images'], input['num_outputs'], input['n']].map(positive);
  return asked.find((count) => count !== null) ?? 1;
}

/** The size asked for in whichever of the providers' ways. */
export function imageSize(input: JsonObject): Size {
  for (const value of [input['image_size'], input['size'], input['target_size'], input]) {
    const size = sizeOf(value);
    if (size !== null) return size;
  }
  return DEFAULT_SIZE;
}

/** Length of the film asked for, in milliseconds. */
export function videoMs(input: JsonObject): number {
  const seconds = positive(input['duration']) ?? positive(input['seconds']);
  if (seconds !== null) return Math.round(seconds * 1_000);
  const frames = positive(input['num_frames']);
  if (frames === null) return DEFAULT_VIDEO_MS;
  const rate = positive(input['frames_per_second']) ?? positive(input['fps']);
  return Math.round((frames * 1_000) / (rate ?? DEFAULT_FRAMES_PER_SECOND));
}

/**
 * How much a request makes, in the base unit of the offer's price. What is not in the request
 * (compute time) is drawn by its hash; `asked` (a decimal in the published unit) overrules.
 */
export function jobQuantity(
  offer: UnitOffer,
  input: JsonObject,
  asked: string | null,
  hash: number,
): number {
  const { price } = offer;
  if (asked !== null) return baseQuantity(price, asked) ?? 0;
  switch (price.unit) {
    case 'image':
      return imageCount(input);
    case 'pixel': {
      const { width, height } = imageSize(input);
      return width * height * imageCount(input);
    }
    case 'video_ms':
      return videoMs(input);
    case 'character':
      return Array.from(textOfInput(input)).length;
    case 'audio_ms':
    case 'gpu_ms':
    case 'compute_ms':
      return MIN_GPU_MS + (hash % 4_000);
  }
}

/** The text a request is about, in whichever field the provider takes it. */
export function textOfInput(input: JsonObject): string {
  for (const key of ['prompt', 'text', 'input', 'inputs']) {
    const value = input[key];
    if (typeof value === 'string') return value;
  }
  return '';
}

function sizeOf(value: unknown): Size | null {
  if (typeof value === 'string') {
    const [, width, height] = /^(\d{1,5})[x*](\d{1,5})$/.exec(value) ?? [];
    if (width !== undefined) return { width: Number(width), height: Number(height) };
    return namedSizes.get(value) ?? null;
  }
  if (!isObject(value)) return null;
  const width = positive(value['width']);
  const height = positive(value['height']);
  return width === null || height === null ? null : { width, height };
}

/** A number above 0, given as such or as text ("5", "5s"). */
function positive(value: unknown): number | null {
  const number = typeof value === 'string' ? Number(value.replace(/s$/, '')) : value;
  return typeof number === 'number' && Number.isFinite(number) && number > 0 ? number : null;
}
