import { PICO_USD_MAX, type PicoUsd, type UnitPrice } from './money.js';
import { costOf, type RowsByUnit } from './pricing.js';
import { QUANTITY_MAX } from './usage.js';

const BYTES_PER_TOKEN = 4;

export interface EstimateInput {
  /** UTF-8 bytes of the request's text. */
  readonly inputTextBytes: number;
  /** UTF-8 bytes of content, reasoning and tool-call deltas that passed; never of error frames. */
  readonly outputTextBytes: number;
  readonly holdPicoUsd: PicoUsd;
  /** The rows that price the attempt. */
  readonly rows: RowsByUnit;
}

export interface EstimatedUsage {
  readonly input: bigint;
  readonly output: bigint;
}

/** floor(bytes / 4): the tokens of a text that nobody counted. */
export function estimatedTokens(textBytes: number): bigint {
  return BigInt(Math.floor(textBytes / BYTES_PER_TOKEN));
}

/**
 * Usage where content passed but the provider reported none: floor(UTF-8 bytes / 4) tokens each
 * way, lowered until its cost is at most the hold. It is the quantities that are lowered, so that
 * the cost recomputed from them and their rows is the stored cost: the input keeps what the hold
 * buys, then the output what the rest of the hold buys. A unit without a row is not lowered (the
 * event is unpriced then, not free).
 */
export function estimateUsage(estimate: EstimateInput): EstimatedUsage {
  const inputRow = estimate.rows.get('input');
  const outputRow = estimate.rows.get('output');
  const input = lowered(estimatedTokens(estimate.inputTextBytes), inputRow, estimate.holdPicoUsd);
  const inputCost = inputRow === undefined ? 0n : costOf(input, inputRow);
  const rest = estimate.holdPicoUsd - inputCost;
  const output = lowered(estimatedTokens(estimate.outputTextBytes), outputRow, rest);
  return { input, output };
}

/** The quantity, or the largest whose floored cost is within the amount. */
function lowered(quantity: bigint, price: UnitPrice | undefined, amount: PicoUsd): bigint {
  if (price === undefined || price.picoUsd === 0n) return quantity;
  const bounded = amount < 0n ? 0n : amount < PICO_USD_MAX ? amount : PICO_USD_MAX;
  const affordable = ((bounded + 1n) * price.perUnits - 1n) / price.picoUsd;
  const most = affordable < QUANTITY_MAX ? affordable : QUANTITY_MAX;
  return quantity < most ? quantity : most;
}
