import { ADJUSTMENT_UNIT } from '../domain/invoices.js';
import { formatUsd, parseUsd } from '../domain/money.js';
import type { Unit } from '../domain/units.js';
import type { DocumentPart } from './invoice-document.js';

/** What a quantity counts: `base` is one of it, and people read prices per `readable` of it. */
interface UnitWords {
  readonly label: string;
  readonly base: string;
  readonly readable: bigint;
}

const MILLION = 1_000_000n;

function tokens(label: string): UnitWords {
  return { label, base: 'token', readable: MILLION };
}

function milliseconds(label: string, readable: bigint): UnitWords {
  return { label: `${label}, milliseconds`, base: 'ms', readable };
}

const UNIT_WORDS: Readonly<Record<Unit, UnitWords>> = {
  input: tokens('Input tokens'),
  cached_input: tokens('Cached input tokens'),
  cache_write_5m: tokens('Cache write tokens, 5 minutes'),
  cache_write_1h: tokens('Cache write tokens, 1 hour'),
  output: tokens('Output tokens'),
  audio_input: tokens('Audio input tokens'),
  audio_output: tokens('Audio output tokens'),
  image_input: tokens('Image input tokens'),
  image_output: tokens('Image output tokens'),
  image: { label: 'Images', base: 'image', readable: 1n },
  pixel: { label: 'Pixels', base: 'pixel', readable: MILLION },
  video_ms: milliseconds('Video', 1_000n),
  audio_ms: milliseconds('Audio', 60_000n),
  compute_ms: milliseconds('Compute time', 1_000n),
  gpu_ms: milliseconds('GPU time', 1_000n),
  character: { label: 'Characters', base: 'character', readable: MILLION },
  request: { label: 'Requests', base: 'request', readable: 1n },
};

/** Names of many units in one word. */
const SPANS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  token: { '1000000': '1M tokens' },
  character: { '1000000': '1M characters' },
  pixel: { '1000000': 'megapixel' },
  ms: { '1000': 'second', '60000': 'minute', '3600000': 'hour' },
};

export interface PartText {
  readonly label: string;
  /** Empty for an adjustment, which has no quantity. */
  readonly quantity: string;
  /** As it is published: `0.90 per 1M tokens`. Null where that is not exact, or says no more. */
  readonly price: string | null;
  /** As it was applied: `0.0000009 per token`. Empty for an adjustment. */
  readonly exactPrice: string;
}

export function partText(part: DocumentPart): PartText {
  if (part.unit === ADJUSTMENT_UNIT) {
    const label = part.exactUsd.startsWith('-')
      ? 'Fractions rounded off per request, and cost not charged to you'
      : 'Cost that was decided by hand';
    return { label, quantity: '', price: null, exactPrice: '' };
  }
  const words = wordsOf(part.unit);
  const perUnits = BigInt(part.perUnits ?? '1');
  const span = nameOfSpan(words, perUnits) ?? spanOf(words, perUnits);
  return {
    label: words.label,
    quantity: grouped(part.quantity),
    price: readablePrice(part.unitPriceUsd, perUnits, words),
    exactPrice: `${usdText(part.unitPriceUsd)} per ${span}`,
  };
}

function wordsOf(unit: string): UnitWords {
  const known: Readonly<Record<string, UnitWords>> = UNIT_WORDS;
  return known[unit] ?? { label: unit, base: unit, readable: 1n };
}

function nameOfSpan({ base }: UnitWords, units: bigint): string | null {
  return units === 1n ? base : (SPANS[base]?.[units.toString()] ?? null);
}

function spanOf({ base }: UnitWords, units: bigint): string {
  return `${grouped(units.toString())} ${base === 'ms' ? base : `${base}s`}`;
}

function readablePrice(unitPriceUsd: string, perUnits: bigint, words: UnitWords): string | null {
  const picoUsd = parseUsd(unitPriceUsd);
  // A price that is already per a span with a name of its own is as readable as it gets.
  if (picoUsd === null || words.readable === 1n) return null;
  if (perUnits !== 1n && nameOfSpan(words, perUnits) !== null) return null;
  const scaled = picoUsd * words.readable;
  if (scaled % perUnits !== 0n) return null;
  const span = nameOfSpan(words, words.readable) ?? spanOf(words, words.readable);
  return `${usdText(formatUsd(scaled / perUnits))} per ${span}`;
}

/** `1234567.5` -> `1,234,567.5`; only the whole part is grouped. */
export function grouped(decimal: string): string {
  const [whole = '', fraction] = decimal.split('.');
  const separated = whole.replace(/\B(?=(?:\d{3})+$)/g, ',');
  return fraction === undefined ? separated : `${separated}.${fraction}`;
}

/** An amount for people: grouped, at least two decimals, none of the others cut. */
export function usdText(decimal: string): string {
  const [whole = '', fraction = ''] = decimal.split('.');
  return grouped(`${whole}.${fraction.padEnd(2, '0')}`);
}
