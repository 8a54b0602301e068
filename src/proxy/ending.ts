import { noteOfCondition } from '../catalog/unpriced-note.js';
import { outputTokensOf } from '../domain/usage.js';
import { rateMedia, type MediaReport } from '../domain/media-rating.js';
import { conditionOf, type RowsByUnit } from '../domain/pricing.js';
import { type PicoUsd, PICO_USD_PER_USD } from '../domain/money.js';
import { rateAnswer, type Rating } from '../domain/rating.js';
import type { Ending, EventOutcome } from '../metering/journal.js';
import type { Task } from '../domain/tasks.js';
import { TOKEN_UNITS } from '../domain/units.js';
import type { Call, RoutedRequest, Served } from './call.js';
import type { AnswerReading } from './dialects/answer-reader.js';
import { assumedPixelsOf, meterFor } from './media/answer-meter.js';

const TEXT_MAX = 256;
const RAW_USAGE_MAX = 2048;

/** Nothing was read: no usage, no content. */
export const NOTHING_READ: AnswerReading = {
  usage: { kind: 'none' },
  contentBytes: 0,
  hasContent: false,
  providerModel: null,
  serviceTier: null,
  firstError: null,
  hasEnd: false,
  unreadableEvents: 0,
};

/**
 * What the answer costs, by the rows in force when the request was admitted. `report` is what was
 * metered of an answer that is not made of text; null: what its headers say is all there is.
 */
export function rateCall(
  call: Call,
  routed: RoutedRequest,
  served: Served,
  reading: AnswerReading,
  report: MediaReport | null = null,
): Rating {
  const { event } = call;
  if (event === null) throw new Error(`proxy: ${call.id} is rated before it was admitted`);
  const { endpoint } = routed;
  if (!endpoint.isCharged) return { state: 'released' };
  const rows = served.rowsFor(conditionOfCall(routed, reading));
  const facts = {
    hasContent: reading.hasContent,
    inputTextBytes: routed.textBytes,
    holdPicoUsd: event.holdPicoUsd,
    rows,
  };
  const rating =
    endpoint.isMeteredInTokens && (rows.size === 0 || hasTokenRow(rows))
      ? rateAnswer({ ...facts, usage: reading.usage, contentBytes: reading.contentBytes })
      : rateMedia({
          ...facts,
          task: endpoint.task,
          report: report ?? { ...headersReport(endpoint.task, served), usage: reading.usage },
          request: routed.media,
          assumedPixels: assumedPixelsOf(served.provider),
        });
  return served.route.isExternal ? asExternal(rating) : rating;
}

function hasTokenRow(rows: RowsByUnit): boolean {
  for (const unit of rows.keys()) if (TOKEN_UNITS.has(unit)) return true;
  return false;
}

/** What the headers of an answer say about its use. */
function headersReport(task: Task, { status, headers }: Served): MediaReport {
  return meterFor(task, { status, headers }).end().report;
}

/** Nobody is charged for it: a price that is missing keeps nothing waiting. */
function asExternal(rating: Rating): Rating {
  return rating.state === 'unpriced'
    ? { ...rating, state: 'settled', costPicoUsd: 0n, priceRowIds: [], isPriceAssumed: false }
    : rating;
}

/** Output tokens that the provider counted; null: it did not. */
export function outputTokensRead({ usage }: AnswerReading): number | null {
  const tokens = usage.kind === 'reported' ? outputTokensOf(usage.quantities) : null;
  return tokens === null ? null : Number(tokens);
}

/** The price condition (service tier) of an answer; null for the ordinary one. */
export function conditionOfCall(routed: RoutedRequest, reading: AnswerReading): string | null {
  return conditionOf(reading.serviceTier, routed.facts.serviceTier);
}

/**
 * The end of a call as the journal records it. `condition` is what an unpriced event has to keep, to
 * be rated under it when there are prices.
 */
export function endingOf(
  call: Call,
  served: Served | null,
  reading: AnswerReading,
  rating: Rating,
  outcome: EventOutcome,
  condition: string | null = null,
): Ending {
  const isUsed = rating.state === 'settled' || rating.state === 'unpriced';
  const hasAnswered = served !== null;
  const stated = reading.usage.kind === 'reported' ? reading.usage.statedCostUsd : null;
  return {
    state: rating.state,
    outcome,
    servedAt: hasAnswered ? new Date() : null,
    ...(served === null
      ? {}
      : { upstream: served.route.upstream, isExternal: served.route.isExternal }),
    provider: served?.provider ?? null,
    providerModelId: clean(reading.providerModel),
    providerRequestId: clean(served?.providerRequestId ?? null),
    status: served?.status ?? null,
    quantities: isUsed ? rating.quantities : null,
    reasoningTokens: isUsed ? rating.reasoningTokens : null,
    usageSource: isUsed ? rating.usageSource : 'none',
    isPriceAssumed: rating.state === 'settled' && rating.isPriceAssumed,
    ratedCostPicoUsd: rating.state === 'settled' ? rating.costPicoUsd : null,
    priceRowIds: rating.state === 'settled' ? rating.priceRowIds : [],
    providerReportedPicoUsd: stated === null ? null : picoUsdFloored(stated),
    firstByteMs:
      call.firstByteAtMs === null ? null : Math.round(call.firstByteAtMs - call.startedAtMs),
    durationMs: call.elapsedMs(),
    attempts: call.attempts,
    rawUsage: rawUsageOf(rating, condition),
    givesKeyBack:
      rating.state === 'released' &&
      (served === null || served.status >= 400 || outcome === 'upstream_error'),
  };
}

/** What a person, or a price that comes later, needs to decide on the event. */
function rawUsageOf(rating: Rating, condition: string | null): string | null {
  if (rating.state === 'quarantined') return clean(JSON.stringify(rating), RAW_USAGE_MAX);
  return rating.state === 'unpriced' ? clean(noteOfCondition(condition)) : null;
}

/** A provider's figure may have more decimals than a pico-dollar: it is information, floored. */
export function picoUsdFloored(usdText: string): PicoUsd | null {
  const match = /^(\d{1,6})(?:\.(\d+))?$/.exec(usdText);
  if (match === null) return null;
  const fraction = (match[2] ?? '').slice(0, 12).padEnd(12, '0');
  return BigInt(match[1] ?? '0') * PICO_USD_PER_USD + BigInt(fraction);
}

/** Text of a provider as the store takes it: bounded, without NUL and without half characters. */
export function clean(text: string | null, maxChars = TEXT_MAX): string | null {
  return text === null ? null : text.replaceAll('\0', '').slice(0, maxChars).toWellFormed();
}
