import type { Task } from './tasks.js';
import type { Unit } from './units.js';
import { QUANTITY_MAX, type Quantities } from './usage.js';
import { HOLD_CONSTANTS, type HoldConstants } from './worst-case.js';

/** A provider's figure is never longer; an exponent never larger. */
const FIGURE_MAX_CHARS = 64;
const EXPONENT_MAX = 64;
const FIGURE = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;

/** Base units of one second, and of one megapixel. */
export const MS_PER_SECOND = 1_000n;
export const PIXELS_PER_MEGAPIXEL = 1_000_000n;

/** A quantity as somebody wrote it down, in whole base units. */
export type QuantityReading =
  | { readonly ok: true; readonly quantity: bigint }
  /** Never charged: the event is for a person to decide. */
  | { readonly ok: false; readonly problem: 'negative' | 'unparseable' | 'too large' };

/**
 * The decimal text of a quantity, times the base units in one of it, floored: `0.2505` s at 1,000 is
 * 250 ms. Exact whatever its length: no float is ever made of it. An exponent is understood
 * (`1e-05`), as some languages write small numbers so.
 */
export function quantityOf(text: string, baseUnits: bigint): QuantityReading {
  const trimmed = text.trim();
  const match = trimmed.length > FIGURE_MAX_CHARS ? null : FIGURE.exec(trimmed);
  if (match === null) return { ok: false, problem: 'unparseable' };
  const whole = match[2] ?? '';
  const fraction = match[3] ?? '';
  if (whole === '' && fraction === '') return { ok: false, problem: 'unparseable' };
  const digits = BigInt(whole + fraction);
  if (match[1] === '-' && digits !== 0n) return { ok: false, problem: 'negative' };
  const exponent = Number(match[4] ?? '0');
  if (digits === 0n) return { ok: true, quantity: 0n };
  if (exponent > EXPONENT_MAX) return { ok: false, problem: 'too large' };
  // Below any base unit: floored to nothing.
  if (exponent < -2 * EXPONENT_MAX) return { ok: true, quantity: 0n };
  const shift = exponent - fraction.length;
  const scaled = digits * baseUnits;
  const quantity = shift >= 0 ? scaled * 10n ** BigInt(shift) : scaled / 10n ** BigInt(-shift);
  return quantity > QUANTITY_MAX ? { ok: false, problem: 'too large' } : { ok: true, quantity };
}

/** Unicode code points of a text: a pair of surrogates is one, a lone one is one too. */
export function codePointsOf(text: string): number {
  let count = text.length;
  for (let at = 1; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0xdc00 || unit > 0xdfff) continue;
    const before = text.charCodeAt(at - 1);
    // Two low surrogates in a row never make two pairs: each has a high one of its own before it.
    if (before >= 0xd800 && before <= 0xdbff) count -= 1;
  }
  return count;
}

/** What a request says about the media that it brings or asks for; null: it does not say. */
export interface MediaRequestFacts {
  /** Images or videos asked for. */
  readonly n: number | null;
  /** Of one image. */
  readonly pixels: bigint | null;
  /** Code points of the text to be spoken. */
  readonly characters: number | null;
  /** Length of one video. */
  readonly videoMs: bigint | null;
  /** Decoded bytes of audio that the request brings. */
  readonly audioBytes: number;
  /** Duration of that audio as its own file states it. */
  readonly audioMs: bigint | null;
  /** The audio is behind a link: neither its bytes nor its duration are here. */
  readonly isAudioElsewhere: boolean;
}

export const NO_MEDIA_FACTS: MediaRequestFacts = {
  n: null,
  pixels: null,
  characters: null,
  videoMs: null,
  audioBytes: 0,
  audioMs: null,
  isAudioElsewhere: false,
};

/**
 * Bytes that a millisecond of audio has at most where its file is believed (16 bit stereo at 48 kHz):
 * a file that claims to be shorter than that holds as if it were that long, since its header is the
 * caller's word.
 */
const BELIEVED_AUDIO_BYTES_PER_MS = 192n;
/** What is held for audio behind a link: an hour. */
const AUDIO_ELSEWHERE_MS = 3_600_000n;
/** No voice speaks a code point more slowly. */
const SPOKEN_MS_PER_CHARACTER = 200n;

/**
 * Upper bounds of what a request will be charged for in other units than tokens, for its hold. Units
 * that are not here are bounded by `worstCaseOf` itself.
 */
export function statedQuantities(
  task: Task,
  request: MediaRequestFacts,
  constants: HoldConstants = HOLD_CONSTANTS,
): Quantities {
  const n = BigInt(request.n ?? 1);
  const image = { image: n, pixel: n * wholeMegapixels(request.pixels, constants) };
  const spoken = spokenQuantities(request);
  const video = { video_ms: n * (request.videoMs ?? BigInt(constants.videoMs)) };
  const hasAudio = request.audioBytes > 0 || request.audioMs !== null || request.isAudioElsewhere;
  const heard = hasAudio ? { audio_ms: heardMs(request, constants) } : {};
  switch (task) {
    case 'image':
      return bounded(image);
    case 'speech':
      return bounded(spoken);
    case 'transcription':
      return bounded({ audio_ms: heardMs(request, constants) });
    case 'video':
      return bounded(video);
    case 'inference':
      return bounded({ ...image, ...spoken, ...video, ...heard });
    case 'chat':
    case 'completion':
    case 'responses':
    case 'messages':
    case 'embedding':
      return {};
  }
}

/** Providers that bill by megapixel round the part of one up. */
function wholeMegapixels(pixels: bigint | null, constants: HoldConstants): bigint {
  if (pixels === null) return BigInt(constants.pixelsPerImage);
  return ((pixels + PIXELS_PER_MEGAPIXEL - 1n) / PIXELS_PER_MEGAPIXEL) * PIXELS_PER_MEGAPIXEL;
}

function spokenQuantities({ characters }: MediaRequestFacts): Partial<Record<Unit, bigint>> {
  if (characters === null) return {};
  const character = BigInt(characters);
  return { character, audio_ms: character * SPOKEN_MS_PER_CHARACTER };
}

function heardMs(request: MediaRequestFacts, constants: HoldConstants): bigint {
  const { audioMs } = request;
  if (request.isAudioElsewhere) return AUDIO_ELSEWHERE_MS;
  const bytes = BigInt(request.audioBytes);
  if (audioMs === null) {
    const perMs = BigInt(constants.audioBytesPerMs);
    return (bytes + perMs - 1n) / perMs;
  }
  const least = (bytes + BELIEVED_AUDIO_BYTES_PER_MS - 1n) / BELIEVED_AUDIO_BYTES_PER_MS;
  return audioMs > least ? audioMs : least;
}

/** A hold that cannot be stored is refused by its amount; the quantity must not overflow before. */
function bounded(quantities: Partial<Record<Unit, bigint>>): Quantities {
  const within: Partial<Record<Unit, bigint>> = {};
  for (const [unit, quantity] of Object.entries(quantities) as [Unit, bigint][]) {
    within[unit] = quantity > QUANTITY_MAX ? QUANTITY_MAX : quantity;
  }
  return within;
}
