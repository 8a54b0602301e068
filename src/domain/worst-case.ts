import { type PicoUsd, type UnitPrice } from './money.js';
import { INPUT_TOKEN_UNITS, OUTPUT_TOKEN_UNITS, TOKEN_UNITS, type Unit } from './units.js';
import { type Quantities } from './usage.js';

/**
 * How much a request can cost at most, before any provider has seen it. All counts are upper
 * bounds: a token is at least one byte, so bytes stand for tokens.
 */
export interface InputFacts {
  /**
   * Decoded UTF-8 bytes of every string in the body (names too) except media data; strings of tools
   * and of the response schema count twice.
   */
  readonly stringBytes: number;
  readonly messages: number;
  readonly hasTools: boolean;
  readonly imageParts: number;
  /** Decoded bytes of audio in the body. */
  readonly audioBytes: number;
  /** Token ids, where the input is given as integers. */
  readonly tokenIds: number;
  /** Input that is not in the body or cannot be bounded by it: stored responses, files, video. */
  readonly isInputElsewhere: boolean;
}

/** The constants of the rule: data, so that a model may have its own. */
export interface HoldConstants {
  /** M where the caller gives no maximum (`HOLD_DEFAULT_OUTPUT_TOKENS`). */
  readonly defaultOutputTokens: number;
  /** A maximum of ours is never written below this; what does not fit with it is refused. */
  readonly minimumOutputTokens: number;
  readonly tokensPerMessage: number;
  readonly tokensWithTools: number;
  readonly tokensPerImagePart: number;
  readonly audioBytesPerToken: number;
  readonly pixelsPerImage: number;
  readonly audioBytesPerMs: number;
  readonly videoMs: number;
  readonly computeMs: number;
  /** For a priced unit whose quantity nothing bounds (`HOLD_UNKNOWN_USD`). */
  readonly unknownPicoUsd: PicoUsd;
  /** For a route without any price, where such routes are allowed (`UNPRICED_HOLD_USD`). */
  readonly unpricedPicoUsd: PicoUsd;
}

export const HOLD_CONSTANTS: HoldConstants = {
  defaultOutputTokens: 16_384,
  minimumOutputTokens: 256,
  tokensPerMessage: 16,
  tokensWithTools: 1_024,
  tokensPerImagePart: 16_384,
  audioBytesPerToken: 16,
  pixelsPerImage: 4_194_304,
  audioBytesPerMs: 2,
  videoMs: 20_000,
  computeMs: 60_000,
  unknownPicoUsd: 500_000_000_000n,
  unpricedPicoUsd: 1_000_000_000_000n,
};

/** One way in which the request may be served: a route under one price condition. */
export interface PricedRoute {
  /** Tokens; null when the catalogue does not say. */
  readonly contextLength: number | null;
  /** Prices in force by unit; empty for a route without any price. */
  readonly prices: ReadonlyMap<Unit, UnitPrice>;
}

/** One route's cost as a line over M: `fixed + ceil(outputs x M x output price)`. */
export interface HoldLine {
  readonly fixedPicoUsd: PicoUsd;
  readonly outputPrice: UnitPrice;
  readonly outputs: bigint;
}

/** The dearest of the lines at each M. Never empty. */
export interface HoldCurve {
  readonly lines: readonly HoldLine[];
}

export interface WorstCase {
  /** Tokens: the largest input bound of the routes. */
  readonly inputBound: number;
  readonly outputs: number;
  /** M. */
  readonly maxOutputTokens: number;
  /** The caller's own maximum, never changed; null: M is ours, may be lowered and is then written. */
  readonly callerMaxOutputTokens: number | null;
  readonly minimumOutputTokens: number;
  readonly curve: HoldCurve;
  /** The curve at M. */
  readonly worstCasePicoUsd: PicoUsd;
}

export interface WorstCaseInput {
  readonly facts: InputFacts;
  /** max(`n`, `best_of`, 1) x number of prompts. */
  readonly outputs: number;
  /** The largest of the caller's maxima; null when none was given. */
  readonly callerMaxOutputTokens: number | null;
  /** Every route and condition that may serve; at least one. */
  readonly routes: readonly PricedRoute[];
  /** Quantities of other units where the request states them (images, pixels, characters ...). */
  readonly stated?: Quantities;
}

/**
 * The worst case of a request: input bound x dearest input unit + outputs x M x dearest output
 * unit, dearest over the routes and conditions that may serve (each bounded with its own context
 * length), and the quantity bounds of any other priced unit. Prices are rounded up, so no
 * combination of units within the bounds costs more.
 *
 * Without a caller's maximum M is the smaller of the default and what the shortest context leaves
 * beside the input bound, but at least the minimum: a bound in bytes can fill a context that the
 * tokens do not. Throws a RangeError without routes.
 */
export function worstCaseOf(
  input: WorstCaseInput,
  constants: HoldConstants = HOLD_CONSTANTS,
): WorstCase {
  if (input.routes.length === 0) throw new RangeError('worst case: no route');
  let inputBound = 0;
  let ours = constants.defaultOutputTokens;
  const lines: HoldLine[] = [];
  for (const route of input.routes) {
    const bound = inputBoundOf(input.facts, route.contextLength, constants);
    inputBound = Math.max(inputBound, bound);
    if (route.contextLength !== null) ours = Math.min(ours, route.contextLength - bound);
    addLine(lines, lineOf(input, route, bound, constants));
  }
  const leastOfOurs = Math.min(constants.minimumOutputTokens, constants.defaultOutputTokens);
  const maxOutputTokens = input.callerMaxOutputTokens ?? Math.max(ours, leastOfOurs);
  const curve = { lines };
  return {
    inputBound,
    outputs: input.outputs,
    maxOutputTokens,
    callerMaxOutputTokens: input.callerMaxOutputTokens,
    minimumOutputTokens: Math.min(constants.minimumOutputTokens, maxOutputTokens),
    curve,
    worstCasePicoUsd: holdAt(curve, maxOutputTokens),
  };
}

/**
 * Most input tokens a body can be for a context of this length: the context length where the input
 * is not in the body; where neither is known, the bound of what is in the body.
 */
export function inputBoundOf(
  facts: InputFacts,
  contextLength: number | null,
  constants: HoldConstants = HOLD_CONSTANTS,
): number {
  if (facts.isInputElsewhere && contextLength !== null) return contextLength;
  const bound =
    facts.stringBytes +
    facts.tokenIds +
    facts.messages * constants.tokensPerMessage +
    (facts.hasTools ? constants.tokensWithTools : 0) +
    facts.imageParts * constants.tokensPerImagePart +
    Math.ceil(facts.audioBytes / constants.audioBytesPerToken);
  return contextLength === null ? bound : Math.min(contextLength, bound);
}

/** What the curve holds at M, in pico-USD: the dearest line. */
export function holdAt(curve: HoldCurve, maxOutputTokens: number): PicoUsd {
  const tokens = BigInt(maxOutputTokens);
  let hold = 0n;
  for (const line of curve.lines) {
    const amount = line.fixedPicoUsd + roundedUp(line.outputs * tokens, line.outputPrice);
    if (amount > hold) hold = amount;
  }
  return hold;
}

/**
 * The largest M whose hold is within an amount; -1 when not even M = 0 fits (or the amount is
 * negative and anything costs). Where output is free it is `Number.MAX_SAFE_INTEGER`.
 */
export function largestOutputWithin(curve: HoldCurve, amount: PicoUsd): number {
  let largest = BigInt(Number.MAX_SAFE_INTEGER);
  for (const { fixedPicoUsd, outputPrice, outputs } of curve.lines) {
    const rest = amount - fixedPicoUsd;
    const perToken = outputs * outputPrice.picoUsd;
    if (fixedPicoUsd === 0n && perToken === 0n) continue;
    if (rest < 0n) return -1;
    if (perToken === 0n) continue;
    const tokens = (rest * outputPrice.perUnits) / perToken;
    if (tokens < largest) largest = tokens;
  }
  return Number(largest);
}

/** What a number of output tokens of this model costs alone, at the dearest line. */
export function outputCost(curve: HoldCurve, tokens: number): PicoUsd {
  let cost = 0n;
  for (const { outputPrice } of curve.lines) {
    const amount = roundedUp(BigInt(tokens), outputPrice);
    if (amount > cost) cost = amount;
  }
  return cost;
}

const FREE: UnitPrice = { picoUsd: 0n, perUnits: 1n };

function lineOf(
  input: WorstCaseInput,
  route: PricedRoute,
  inputBound: number,
  constants: HoldConstants,
): HoldLine {
  const outputs = BigInt(input.outputs);
  if (route.prices.size === 0) {
    return { fixedPicoUsd: constants.unpricedPicoUsd, outputPrice: FREE, outputs };
  }
  const inputPrice = dearest(route.prices, INPUT_TOKEN_UNITS);
  let fixedPicoUsd = roundedUp(BigInt(inputBound), inputPrice);
  const isInputUnbounded = input.facts.isInputElsewhere && route.contextLength === null;
  if (isInputUnbounded && inputPrice.picoUsd > 0n && fixedPicoUsd < constants.unknownPicoUsd) {
    fixedPicoUsd = constants.unknownPicoUsd;
  }
  for (const [unit, price] of route.prices) {
    if (TOKEN_UNITS.has(unit) || price.picoUsd === 0n) continue;
    const quantity = input.stated?.[unit] ?? otherQuantityOf(unit, input, constants);
    fixedPicoUsd += quantity === null ? constants.unknownPicoUsd : roundedUp(quantity, price);
  }
  return { fixedPicoUsd, outputPrice: dearest(route.prices, OUTPUT_TOKEN_UNITS), outputs };
}

/** The bound of a unit that is not counted in tokens, unless stated; null: nothing bounds it. */
function otherQuantityOf(
  unit: Unit,
  { facts, outputs }: WorstCaseInput,
  constants: HoldConstants,
): bigint | null {
  switch (unit) {
    case 'request':
      return 1n;
    case 'image':
      return BigInt(outputs);
    case 'pixel':
      return BigInt(outputs) * BigInt(constants.pixelsPerImage);
    case 'video_ms':
      return BigInt(outputs) * BigInt(constants.videoMs);
    case 'audio_ms':
      return BigInt(Math.ceil(facts.audioBytes / constants.audioBytesPerMs));
    case 'compute_ms':
      return BigInt(constants.computeMs);
    case 'character':
      return BigInt(facts.stringBytes);
    default:
      return null;
  }
}

function dearest(prices: ReadonlyMap<Unit, UnitPrice>, units: readonly Unit[]): UnitPrice {
  let found = FREE;
  for (const unit of units) {
    const price = prices.get(unit);
    if (price !== undefined && isDearer(price, found)) found = price;
  }
  return found;
}

function isDearer(one: UnitPrice, other: UnitPrice): boolean {
  return one.picoUsd * other.perUnits > other.picoUsd * one.perUnits;
}

function roundedUp(quantity: bigint, { picoUsd, perUnits }: UnitPrice): PicoUsd {
  const product = quantity * picoUsd;
  return perUnits === 1n ? product : (product + perUnits - 1n) / perUnits;
}

/** Keeps the curve short: admission computes it for every request, under the lock. */
function addLine(lines: HoldLine[], line: HoldLine): void {
  const covers = (one: HoldLine, other: HoldLine): boolean =>
    one.fixedPicoUsd >= other.fixedPicoUsd && !isDearer(other.outputPrice, one.outputPrice);
  if (lines.some((existing) => covers(existing, line))) return;
  const kept = lines.filter((existing) => !covers(line, existing));
  lines.splice(0, lines.length, ...kept, line);
}
