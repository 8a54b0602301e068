import { estimateUsage } from './estimate.js';
import {
  MS_PER_SECOND,
  PIXELS_PER_MEGAPIXEL,
  quantityOf,
  type MediaRequestFacts,
} from './media.js';
import type { PicoUsd } from './money.js';
import { priceUsage, type RowsByUnit } from './pricing.js';
import type { Rating } from './rating.js';
import type { Task } from './tasks.js';
import { INPUT_TOKEN_UNITS, OUTPUT_TOKEN_UNITS, TOKEN_UNITS, UNITS, type Unit } from './units.js';
import { inputTokensOf, outputTokensOf, type Quantities, type ReportedUsage } from './usage.js';

/** Parts of the token totals that some prices tell apart; null: the answer did not. */
export interface TokenDetails {
  readonly imageInput: bigint | null;
  readonly audioInput: bigint | null;
  readonly imageOutput: bigint | null;
  readonly audioOutput: bigint | null;
}

export const NO_TOKEN_DETAILS: TokenDetails = {
  imageInput: null,
  audioInput: null,
  imageOutput: null,
  audioOutput: null,
};

/** What an answer and its headers say about what was used. */
export interface MediaReport {
  /** Tokens, and the cost that the provider states. */
  readonly usage: ReportedUsage;
  readonly details: TokenDetails;
  /** In base units, in other units than tokens; headers before the body. */
  readonly quantities: Quantities;
  /** `x-fal-billable-units`: in the unit of the price, whichever that is; null: not given. */
  readonly billableUnits: string | null;
  /** A figure that cannot be one; null: none. */
  readonly problem: { readonly problem: string; readonly raw: string } | null;
  /** The figures as the provider wrote them, for the person who has to decide. */
  readonly texts: readonly string[];
}

export interface MediaFacts {
  readonly task: Task;
  readonly report: MediaReport;
  readonly request: MediaRequestFacts;
  /** What an image has where nobody said so: the provider's own default; null: unknown. */
  readonly assumedPixels: bigint | null;
  /** Anything of use to the caller passed. */
  readonly hasContent: boolean;
  /** UTF-8 bytes of the request's text. */
  readonly inputTextBytes: number;
  readonly holdPicoUsd: PicoUsd;
  /** The rows in force at admission for the provider that answered; empty where there are none. */
  readonly rows: RowsByUnit;
}

const OTHER_UNITS: readonly Unit[] = UNITS.filter((unit) => !TOKEN_UNITS.has(unit));

/** Base units in one billable unit of a price in this unit. A character price has no agreed one. */
const BILLABLE: Readonly<Partial<Record<Unit, bigint>>> = {
  image: 1n,
  pixel: PIXELS_PER_MEGAPIXEL,
  video_ms: MS_PER_SECOND,
  audio_ms: MS_PER_SECOND,
  gpu_ms: MS_PER_SECOND,
  compute_ms: MS_PER_SECOND,
  request: 1n,
};

interface Problem {
  readonly problem: string;
}

/** Quantities of one kind of units, or why they are not known. */
interface Measured {
  readonly quantities: Partial<Record<Unit, bigint>>;
  readonly isEstimated: boolean;
}

/**
 * Books one answer by whatever units its price rows are in: of what was measured or stated, the
 * units that have a row. A unit with a price whose quantity nobody states is quarantined, content
 * without any row is unpriced, neither content nor a report is nothing.
 *
 * Each quantity comes from the first that knows it: the provider's headers, its answer, the request
 * (exact: what was asked for is what was delivered), the uploaded file's own duration (`estimated`).
 */
export function rateMedia(facts: MediaFacts): Rating {
  const { report, rows } = facts;
  const { usage } = report;
  const quarantined = ({ problem }: Problem, raw: readonly string[] = []): Rating => {
    const texts = [...new Set([...raw, ...report.texts])];
    return { state: 'quarantined', problem, raw: texts.length === 0 ? null : texts.join('; ') };
  };
  if (usage.kind === 'malformed') {
    return { state: 'quarantined', problem: usage.problem, raw: usage.raw };
  }
  if (!facts.hasContent && usage.kind === 'none') return { state: 'released' };
  if (report.problem !== null) return quarantined(report.problem, [report.problem.raw]);
  const reasoningTokens = usage.kind === 'reported' ? usage.reasoningTokens : null;
  if (rows.size === 0) {
    const unrated = unratedOf(facts);
    const isNothing = !facts.hasContent && Object.keys(unrated.quantities).length === 0;
    return isNothing ? { state: 'released' } : { ...unrated, reasoningTokens };
  }
  const tokens = tokensOf(facts);
  if ('problem' in tokens) return quarantined(tokens);
  // Of an answer without content only what its usage states is charged.
  const others = facts.hasContent ? othersOf(facts) : { quantities: {}, isEstimated: false };
  if ('problem' in others) return quarantined(others);
  const quantities: Quantities = { ...tokens.quantities, ...others.quantities };
  const usageSource = tokens.isEstimated || others.isEstimated ? 'estimated' : 'provider';
  if (!facts.hasContent && Object.keys(quantities).length === 0) return { state: 'released' };
  const priced = priceUsage(quantities, rows);
  switch (priced.kind) {
    case 'priced':
      return {
        state: 'settled',
        usageSource,
        quantities,
        reasoningTokens,
        costPicoUsd: priced.costPicoUsd,
        priceRowIds: priced.rowIds,
        isPriceAssumed: priced.isPriceAssumed,
      };
    case 'unpriced':
      return { state: 'unpriced', usageSource, quantities, reasoningTokens };
    case 'overflow':
      return quarantined({ problem: 'a quantity or the cost is too large to be one' });
  }
}

/**
 * Of quantities that waited for a price, those that the rows are in; null while they are in none of
 * them. Token units are taken together: a row for the input alone does not make the output free.
 */
export function quantitiesInRows(quantities: Quantities, rows: RowsByUnit): Quantities | null {
  const hasTokenRow = hasRowIn(rows, INPUT_TOKEN_UNITS) || hasRowIn(rows, OUTPUT_TOKEN_UNITS);
  const within: Partial<Record<Unit, bigint>> = {};
  for (const unit of UNITS) {
    const quantity = quantities[unit];
    if (quantity === undefined) continue;
    if (TOKEN_UNITS.has(unit) ? hasTokenRow : rows.has(unit)) within[unit] = quantity;
  }
  return Object.keys(within).length === 0 ? null : within;
}

/** Everything that is known, for a price that comes later. */
function unratedOf(facts: MediaFacts): Rating & { readonly state: 'unpriced' } {
  const { usage } = facts.report;
  const quantities: Partial<Record<Unit, bigint>> =
    usage.kind === 'reported' ? { ...usage.quantities } : {};
  let usageSource: 'provider' | 'estimated' = 'provider';
  for (const unit of facts.hasContent ? OTHER_UNITS : []) {
    const known = otherOf(unit, facts, null);
    if (known === null) continue;
    quantities[unit] = known.quantity;
    if (known.isEstimated) usageSource = 'estimated';
  }
  return { state: 'unpriced', usageSource, quantities, reasoningTokens: null };
}

function tokensOf(facts: MediaFacts): Measured | Problem {
  const { rows, task, report } = facts;
  const hasInputRow = hasRowIn(rows, INPUT_TOKEN_UNITS);
  const hasOutputRow = hasRowIn(rows, OUTPUT_TOKEN_UNITS);
  if (!hasInputRow && !hasOutputRow) return { quantities: {}, isEstimated: false };
  const { usage } = report;
  // A vector and a ranking are made of no tokens.
  const isInputOnly = task === 'embedding' || task === 'inference';
  const reported = usage.kind === 'reported' ? usage.quantities : {};
  const isInputKnown = inputTokensOf(reported) !== null;
  if (hasInputRow && !isInputKnown && isPricedIn(rows, INPUT_TOKEN_UNITS)) {
    if (!isInputOnly || !facts.hasContent) return missing('input tokens');
    const { input } = estimateUsage({ ...facts, outputTextBytes: 0 });
    return { quantities: { input }, isEstimated: true };
  }
  const isOutputNeeded = hasOutputRow && !isInputOnly && isPricedIn(rows, OUTPUT_TOKEN_UNITS);
  if (isOutputNeeded && outputTokensOf(reported) === null) return missing('output tokens');
  return separated(reported, facts);
}

/**
 * Image and audio tokens apart from text, where a price tells them apart. Where none does they are
 * part of the input and the output, as in every answer that does not detail them.
 */
function separated(reported: Quantities, { report, rows, task }: MediaFacts): Measured | Problem {
  const { details } = report;
  const quantities: Partial<Record<Unit, bigint>> = { ...reported };
  const pairs: readonly (readonly [Unit, 'input' | 'output', bigint | null, boolean])[] = [
    ['image_input', 'input', details.imageInput, false],
    ['audio_input', 'input', details.audioInput, task === 'transcription'],
    ['image_output', 'output', details.imageOutput, task === 'image'],
    ['audio_output', 'output', details.audioOutput, task === 'speech'],
  ];
  for (const [unit, whole, detail, isWhatTheTaskIsAbout] of pairs) {
    const total = quantities[whole];
    if (total === undefined || quantities[unit] !== undefined) continue;
    const kind: readonly Unit[] = unit.startsWith('image')
      ? ['image_input', 'image_output']
      : ['audio_input', 'audio_output'];
    if (!hasRowIn(rows, kind)) continue;
    // Without details, all the output of a drawing is the picture, if pictures have a price; all
    // the input of a transcription is sound only where text has none.
    const isAll =
      detail === null &&
      isWhatTheTaskIsAbout &&
      rows.has(unit) &&
      (whole === 'output' || !rows.has(whole));
    const part = isAll ? total : (detail ?? 0n);
    if (part > total) return { problem: `${unit} tokens exceed the ${whole} tokens` };
    if (part === 0n) continue;
    quantities[unit] = part;
    quantities[whole] = total - part;
  }
  return { quantities, isEstimated: false };
}

function othersOf(facts: MediaFacts): Measured | Problem {
  const { rows } = facts;
  const quantities: Partial<Record<Unit, bigint>> = {};
  const billable = billableOf(facts);
  if (billable !== null && 'problem' in billable) return billable;
  let isEstimated = false;
  for (const unit of OTHER_UNITS) {
    const row = rows.get(unit);
    if (row === undefined) continue;
    const known = otherOf(unit, facts, billable);
    if (known !== null) {
      quantities[unit] = known.quantity;
      isEstimated ||= known.isEstimated;
    } else if (row.picoUsd !== 0n) return missing(unit);
  }
  return { quantities, isEstimated };
}

/** The billable units in the unit of the only row that they can be in. */
function billableOf({
  report,
  rows,
}: MediaFacts): { readonly unit: Unit; readonly quantity: bigint } | Problem | null {
  const text = report.billableUnits;
  if (text === null) return null;
  const priced = OTHER_UNITS.filter((unit) => unit !== 'request' && rows.has(unit));
  const unit = priced.length === 0 && rows.has('request') ? 'request' : priced[0];
  const baseUnits = unit === undefined || priced.length > 1 ? undefined : BILLABLE[unit];
  const reading = quantityOf(text, baseUnits ?? 1n);
  if (!reading.ok) return { problem: `x-fal-billable-units is ${reading.problem}` };
  if (unit === undefined || baseUnits === undefined) return null;
  return { unit, quantity: reading.quantity };
}

interface Known {
  readonly quantity: bigint;
  readonly isEstimated: boolean;
}

/** A quantity by the first source that knows it; null: none does. */
function otherOf(
  unit: Unit,
  { report, request, assumedPixels, task }: MediaFacts,
  billable: { readonly unit: Unit; readonly quantity: bigint } | null,
): Known | null {
  const exactly = (quantity: bigint): Known => ({ quantity, isEstimated: false });
  if (billable?.unit === unit) return exactly(billable.quantity);
  const reported = report.quantities[unit];
  if (reported !== undefined) return exactly(reported);
  const asked = request.n === null ? null : BigInt(request.n);
  switch (unit) {
    case 'request':
      return exactly(1n);
    case 'image':
      return task !== 'image' && asked === null ? null : exactly(asked ?? 1n);
    case 'pixel': {
      const images = report.quantities.image ?? asked ?? 1n;
      if (request.pixels !== null) return exactly(images * request.pixels);
      if (assumedPixels === null) return null;
      return { quantity: images * assumedPixels, isEstimated: true };
    }
    case 'video_ms':
      return request.videoMs === null ? null : exactly((asked ?? 1n) * request.videoMs);
    case 'audio_ms':
      return request.audioMs === null ? null : { quantity: request.audioMs, isEstimated: true };
    case 'character':
      return request.characters === null ? null : exactly(BigInt(request.characters));
    default:
      return null;
  }
}

function missing(what: string): Problem {
  return { problem: `nobody states the ${what} that the price is in` };
}

function hasRowIn(rows: RowsByUnit, units: readonly Unit[]): boolean {
  return units.some((unit) => rows.has(unit));
}

function isPricedIn(rows: RowsByUnit, units: readonly Unit[]): boolean {
  return units.some((unit) => (rows.get(unit)?.picoUsd ?? 0n) !== 0n);
}
