/** 10^-12 USD. The simulator has its own type and arithmetic: it must not share the service's mistakes. */
export type PicoUsd = bigint;

/** What a provider takes, in pico-USD per token. Null or left out: such tokens cost what input costs. */
export interface TokenPrice {
  readonly input: PicoUsd;
  readonly output: PicoUsd;
  readonly cachedInput: PicoUsd | null;
  readonly cacheWrite5m?: PicoUsd | null;
  readonly cacheWrite1h?: PicoUsd | null;
}

/**
 * Tokens of one answer. `cached` and `cacheWrite` are inside `prompt`, `cacheWrite1h` is inside
 * `cacheWrite`, reasoning is inside `completion`.
 */
export interface BilledTokens {
  readonly prompt: number;
  readonly cached: number;
  readonly cacheWrite?: number;
  readonly cacheWrite1h?: number;
  readonly completion: number;
}

/** Units that a price can be published in beside tokens, with the base unit and how many it holds. */
const publishedUnits = {
  image: ['image', 1n],
  megapixel: ['pixel', 1_000_000n],
  audio_second: ['audio_ms', 1_000n],
  audio_minute: ['audio_ms', 60_000n],
  audio_hour: ['audio_ms', 3_600_000n],
  character: ['character', 1n],
} as const satisfies Record<string, readonly [unit: string, size: bigint]>;

/** Tokens that are no text: published per million. */
const tokenUnits = ['audio_input', 'audio_output', 'image_input', 'image_output'] as const;

export type RateUnit = keyof typeof publishedUnits | (typeof tokenUnits)[number];

/** A price beyond text tokens: pico-USD for `perUnits` of the base unit, and as it was published. */
export interface UnitRate {
  readonly unit: string;
  readonly picoUsd: PicoUsd;
  readonly perUnits: bigint;
  readonly published: RateUnit;
  readonly usd: string;
}

const PICO_PER_USD_DIGITS = 12;

/**
 * ("audio_hour", "0.111") -> 111,000,000,000 per 3,600,000 audio_ms; ("image_output", "40") -> USD per
 * million tokens. Throws RangeError on text that is not a plain decimal with at most twelve places.
 */
export function unitRate(published: RateUnit, usd: string): UnitRate {
  if (isTokenUnit(published)) {
    return { unit: published, picoUsd: picoUsdPerToken(usd), perUnits: 1n, published, usd };
  }
  const match = /^(\d{1,6})(?:\.(\d{1,12}))?$/.exec(usd);
  if (match === null) throw new RangeError(`Not a price in USD: ${usd}`);
  const [unit, perUnits] = publishedUnits[published];
  const digits = (match[1] ?? '0') + (match[2] ?? '').padEnd(PICO_PER_USD_DIGITS, '0');
  return { unit, picoUsd: BigInt(digits), perUnits, published, usd };
}

/** True for the units whose price is published per million tokens. */
export function isTokenUnit(unit: RateUnit): unit is (typeof tokenUnits)[number] {
  return tokenUnits.some((known) => known === unit);
}

/** True for the name of a unit that `unitRate` takes. */
export function isRateUnit(name: string): name is RateUnit {
  return Object.hasOwn(publishedUnits, name) || tokenUnits.some((known) => known === name);
}

/** What quantities cost: each unit that has a rate, rounded down by itself. */
export function unitCostPicoUsd(
  rates: readonly UnitRate[],
  quantities: Readonly<Record<string, bigint>>,
): PicoUsd {
  return rates.reduce(
    (sum, { unit, picoUsd, perUnits }) => sum + ((quantities[unit] ?? 0n) * picoUsd) / perUnits,
    0n,
  );
}

/**
 * "0.90" (USD per million tokens) -> 900000n (pico-USD per token).
 * Throws RangeError on anything but a plain decimal with at most six decimals.
 */
export function picoUsdPerToken(usdPerMillion: string): PicoUsd {
  const match = /^(\d{1,9})(?:\.(\d{1,6}))?$/.exec(usdPerMillion);
  if (match === null) throw new RangeError(`Not a price in USD per million: ${usdPerMillion}`);
  return BigInt(match[1] ?? '0') * 1_000_000n + BigInt((match[2] ?? '').padEnd(6, '0'));
}

/** 900000n (pico-USD per token) -> 0.9 (USD per million), the number the catalogue publishes. */
export function usdPerMillion(price: PicoUsd): number {
  return Number(`${price / 1_000_000n}.${String(price % 1_000_000n).padStart(6, '0')}`);
}

/** Pico-USD -> USD as a JSON number, for the providers that state a cost in their usage. */
export function usdNumber(amount: PicoUsd): number {
  const scale = 1_000_000_000_000n;
  return Number(`${amount / scale}.${String(amount % scale).padStart(12, '0')}`);
}

/** What the provider bills for these tokens, exact, in pico-USD. */
export function costPicoUsd(price: TokenPrice, tokens: BilledTokens): PicoUsd {
  const { prompt, cached, completion, cacheWrite = 0, cacheWrite1h = 0 } = tokens;
  return (
    BigInt(prompt - cached - cacheWrite) * price.input +
    BigInt(cached) * (price.cachedInput ?? price.input) +
    BigInt(cacheWrite - cacheWrite1h) * (price.cacheWrite5m ?? price.input) +
    BigInt(cacheWrite1h) * (price.cacheWrite1h ?? price.input) +
    BigInt(completion) * price.output
  );
}
