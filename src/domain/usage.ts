import { INPUT_TOKEN_UNITS, OUTPUT_TOKEN_UNITS, type Unit } from './units.js';

/** Disjoint integer quantities >= 0 by unit. An absent unit was not reported, which is not 0. */
export type Quantities = Readonly<Partial<Record<Unit, bigint>>>;

/** The largest quantity that the journal can store (BIGINT). */
export const QUANTITY_MAX = 2n ** 63n - 1n;

/** What an answer said about its own usage. */
export type ReportedUsage =
  | {
      readonly kind: 'reported';
      readonly quantities: Quantities;
      /** Part of `output`; null where the provider did not say. */
      readonly reasoningTokens: bigint | null;
      /** A later figure of the stream was lower than an earlier one; the maximum was taken. */
      readonly hasDecreased: boolean;
      /** The provider's own statement of this request's cost as decimal USD text, where it makes one. */
      readonly statedCostUsd: string | null;
      /** Service tier named by the answer (`service_tier`), a price condition; null when not named. */
      readonly serviceTier: string | null;
    }
  | { readonly kind: 'none' }
  /** A quantity was negative, fractional, not a number or too large: never charged. */
  | { readonly kind: 'malformed'; readonly problem: string; readonly raw: string };

/** Inclusive total of input tokens; null when no input class was reported. */
export function inputTokensOf(quantities: Quantities): bigint | null {
  return sumOf(quantities, INPUT_TOKEN_UNITS);
}

/** Inclusive total of output tokens; null when no output class was reported. */
export function outputTokensOf(quantities: Quantities): bigint | null {
  return sumOf(quantities, OUTPUT_TOKEN_UNITS);
}

function sumOf(quantities: Quantities, units: readonly Unit[]): bigint | null {
  let sum: bigint | null = null;
  for (const unit of units) {
    const quantity = quantities[unit];
    if (quantity !== undefined) sum = (sum ?? 0n) + quantity;
  }
  return sum;
}
