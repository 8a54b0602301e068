import { isUnit, type Unit } from './units.js';

/** An amount of money: integer 10^-12 US dollars. Never a `number`, in JSON a decimal string. */
export type PicoUsd = bigint;

/** The largest amount of one request or transfer that can be stored (BIGINT): about $9.2 million. */
export const PICO_USD_MAX: PicoUsd = 2n ** 63n - 1n;

export const PICO_USD_PER_USD = 10n ** 12n;
const PICO_USD_PER_NANO_USD = 1_000n;
const FRACTION_DIGITS = 12;
/** No published price or amount is longer; what is longer is refused before it is multiplied out. */
const DECIMAL_TEXT_MAX_CHARS = 64;
const EXPONENT_MAX = 64;

const PLAIN_DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;
const JSON_NUMBER = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * Reads a decimal amount of US dollars exactly: `12`, `0.90`, `-0.000000000001`.
 * Null when the text is no plain decimal (no sign `+`, exponent, spaces or separators), has a digit
 * past the 12th decimal that is not 0, or does not fit a stored amount (`PICO_USD_MAX` either way).
 */
export function parseUsd(text: string): PicoUsd | null {
  if (text.length > DECIMAL_TEXT_MAX_CHARS) return null;
  const match = PLAIN_DECIMAL.exec(text);
  if (match === null) return null;
  const fraction = (match[3] ?? '').replace(/0+$/, '');
  if (fraction.length > FRACTION_DIGITS) return null;
  const absolute = BigInt((match[2] ?? '') + fraction.padEnd(FRACTION_DIGITS, '0'));
  if (absolute > PICO_USD_MAX) return null;
  return match[1] === '-' ? -absolute : absolute;
}

/** The exact decimal text of an amount in US dollars, without trailing zeros: `0.9`, `-12`, `0`. */
export function formatUsd(amount: PicoUsd): string {
  const absolute = amount < 0n ? -amount : amount;
  const whole = (absolute / PICO_USD_PER_USD).toString();
  const rest = absolute % PICO_USD_PER_USD;
  const sign = amount < 0n ? '-' : '';
  if (rest === 0n) return sign + whole;
  const fraction = rest.toString().padStart(FRACTION_DIGITS, '0').replace(/0+$/, '');
  return `${sign}${whole}.${fraction}`;
}

/**
 * The plain decimal text of a JSON number, exponent multiplied out: `1e-7` -> `0.0000001`.
 * Give it the number's own text where that is at hand. A `number` (the product of `JSON.parse`) is
 * taken by its shortest text, which is the published one up to 15 significant digits.
 * Null when it is no JSON number, not finite, or longer than any price.
 */
export function decimalText(value: string | number): string | null {
  const text = typeof value === 'number' ? value.toString() : value;
  if (text.length > DECIMAL_TEXT_MAX_CHARS) return null;
  const match = JSON_NUMBER.exec(text);
  if (match === null) return null;
  const exponent = Number(match[4] ?? '0');
  if (Math.abs(exponent) > EXPONENT_MAX) return null;
  const whole = match[2] ?? '';
  const fraction = match[3] ?? '';
  const pointAt = whole.length + exponent;
  let digits = whole + fraction;
  let point = pointAt;
  if (pointAt <= 0) {
    digits = '0'.repeat(1 - pointAt) + digits;
    point = 1;
  }
  digits = digits.padEnd(point, '0');
  const wholeText = digits.slice(0, point).replace(/^0+(?=\d)/, '');
  const fractionText = digits.slice(point).replace(/0+$/, '');
  const plain = fractionText === '' ? wholeText : `${wholeText}.${fractionText}`;
  return match[1] === '-' && plain !== '0' ? `-${plain}` : plain;
}

/** A price in the form in which it is stored: `picoUsd` per `perUnits` base units, both whole. */
export interface UnitPrice {
  readonly picoUsd: PicoUsd;
  readonly perUnits: bigint;
}

export type PriceQuote<Quoted extends UnitPrice = UnitPrice> =
  | ({ readonly kind: 'price' } & Quoted)
  | {
      readonly kind: 'refused';
      /**
       * `invalid`: no decimal number. `negative`: below 0. `too_large`: past `PRICE_MAX_USD`.
       * `not_whole`: finer than 10^-12 USD for the published unit, so it cannot be stored exactly.
       * `unknown_unit`: neither a unit of quantity nor one that is converted.
       */
      readonly reason: 'invalid' | 'negative' | 'too_large' | 'not_whole' | 'unknown_unit';
    };

/** Bound of any quoted price, per 1M units or per published unit: $10,000. */
export const PRICE_MAX_USD = 10_000n;

const UNITS_PER_MILLION = 1_000_000n;

/** Units that the price API takes beside the units of quantity, and what one of them is. */
const PUBLISHED_UNITS = {
  megapixel: { unit: 'pixel', baseUnits: 1_000_000n },
  compute_second: { unit: 'compute_ms', baseUnits: 1_000n },
  gpu_second: { unit: 'gpu_ms', baseUnits: 1_000n },
  video_second: { unit: 'video_ms', baseUnits: 1_000n },
  audio_second: { unit: 'audio_ms', baseUnits: 1_000n },
  audio_minute: { unit: 'audio_ms', baseUnits: 60_000n },
  audio_hour: { unit: 'audio_ms', baseUnits: 3_600_000n },
} as const satisfies Record<string, { unit: Unit; baseUnits: bigint }>;

export type PublishedUnit = keyof typeof PUBLISHED_UNITS | Unit;

export function isPublishedUnit(text: string): text is PublishedUnit {
  return isUnit(text) || Object.hasOwn(PUBLISHED_UNITS, text);
}

/**
 * Price of one unit from US dollars per 1,000,000 units: `0.90` -> 900,000 per 1; `0.0000005`,
 * which is no whole pico-USD per unit, stays 500,000 per 1,000,000.
 */
export function priceFromUsdPerMillion(usdText: string): PriceQuote {
  return quote(usdText, UNITS_PER_MILLION);
}

/**
 * Price from US dollars per published unit, converted to the unit that quantities are counted in:
 * $0.00012 per `compute_second` -> 120,000 per `compute_ms`. `perUnits` is 1 unless the price of a
 * base unit is not whole; then it is the base units in a published one ($0.111 per `audio_hour` ->
 * 111,000,000,000 per 3,600,000 `audio_ms`).
 */
export function priceFromUsdPerUnit(
  usdText: string,
  publishedUnit: string,
): PriceQuote<UnitPrice & { readonly unit: Unit }> {
  if (isUnit(publishedUnit)) return withUnit(quote(usdText, 1n), publishedUnit);
  if (!isConverted(publishedUnit)) return { kind: 'refused', reason: 'unknown_unit' };
  const { unit, baseUnits } = PUBLISHED_UNITS[publishedUnit];
  return withUnit(quote(usdText, baseUnits), unit);
}

function isConverted(text: string): text is keyof typeof PUBLISHED_UNITS {
  return Object.hasOwn(PUBLISHED_UNITS, text);
}

function withUnit(quoted: PriceQuote, unit: Unit): PriceQuote<UnitPrice & { readonly unit: Unit }> {
  return quoted.kind === 'price' ? { ...quoted, unit } : quoted;
}

function quote(usdText: string, baseUnits: bigint): PriceQuote {
  const plain = decimalText(usdText) ?? (PLAIN_DECIMAL.test(usdText) ? usdText : null);
  if (plain === null) return { kind: 'refused', reason: 'invalid' };
  if (plain.startsWith('-') && /[1-9]/.test(plain)) return { kind: 'refused', reason: 'negative' };
  const picoUsd = parseUsd(plain);
  if (picoUsd === null) {
    const [whole = '', fraction = ''] = plain.split('.');
    const isTooFine = fraction.replace(/0+$/, '').length > FRACTION_DIGITS;
    const isTooLarge = whole.replace(/^0+/, '').length > PRICE_MAX_USD.toString().length;
    return { kind: 'refused', reason: isTooFine && !isTooLarge ? 'not_whole' : 'too_large' };
  }
  if (picoUsd > PRICE_MAX_USD * PICO_USD_PER_USD) return { kind: 'refused', reason: 'too_large' };
  return picoUsd % baseUnits === 0n
    ? { kind: 'price', picoUsd: picoUsd / baseUnits, perUnits: 1n }
    : { kind: 'price', picoUsd, perUnits: baseUnits };
}

/** Integer nano-USD (what partner cost APIs speak) to pico-USD, exactly. */
export function picoUsdFromNanoUsd(nanoUsd: bigint): PicoUsd {
  return nanoUsd * PICO_USD_PER_NANO_USD;
}

/** Pico-USD to integer nano-USD, rounded up (their contract): 1 pico-USD is 1 nano-USD. */
export function nanoUsdRoundedUp(amount: PicoUsd): bigint {
  const truncated = amount / PICO_USD_PER_NANO_USD;
  return amount > 0n && amount % PICO_USD_PER_NANO_USD !== 0n ? truncated + 1n : truncated;
}
