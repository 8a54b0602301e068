/** 10^-12 USD. The simulator has its own type and arithmetic: it must not share the service's mistakes. */
export type PicoUsd = bigint;

/** What a provider takes, in pico-USD per token. `cachedInput` null: cached tokens cost what input costs. */
export interface TokenPrice {
  readonly input: PicoUsd;
  readonly output: PicoUsd;
  readonly cachedInput: PicoUsd | null;
}

/** Tokens of one answer. `cached` is inside `prompt`; reasoning is inside `completion`. */
export interface BilledTokens {
  readonly prompt: number;
  readonly cached: number;
  readonly completion: number;
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
  const fresh = BigInt(tokens.prompt - tokens.cached) * price.input;
  const cached = BigInt(tokens.cached) * (price.cachedInput ?? price.input);
  return fresh + cached + BigInt(tokens.completion) * price.output;
}
