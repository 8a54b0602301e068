import { formatUsd, type PicoUsd } from '../domain/money.js';
import { type PriceRow, priceUsage } from '../domain/pricing.js';
import { isUnit, type Unit } from '../domain/units.js';
import type { JsonOf } from './json-of.js';
import type { EventRecord, PriceRowRecord } from './requests-query.js';
import type { PricedUnitAnswer, UsageEventAnswer } from './requests.dto.js';

/** A request as our API shows it: money as decimal text, null where nothing is known. */
export function usageEventAnswer(event: EventRecord): JsonOf<UsageEventAnswer> {
  return {
    id: event.id,
    createdAt: event.createdAt.toISOString(),
    admittedAt: event.admittedAt.toISOString(),
    servedAt: event.servedAt?.toISOString() ?? null,
    settledAt: event.settledAt?.toISOString() ?? null,
    period: event.period,
    state: event.state,
    organization: event.organization,
    userId: event.userId,
    memberId: event.memberId,
    tokenId: event.tokenId,
    tokenName: event.tokenName,
    tags: event.tags,
    sessionId: event.sessionId,
    clientRequestId: event.clientRequestId,
    upstream: event.upstream,
    provider: event.provider,
    model: event.model,
    providerModelId: event.providerModelId,
    providerRequestId: event.providerRequestId,
    task: event.task,
    stream: event.isStream,
    status: event.status,
    outcome: event.outcome,
    inputTokens: countOf(event.inputTokens),
    cachedInputTokens: countOf(event.cachedInputTokens),
    outputTokens: countOf(event.outputTokens),
    reasoningTokens: countOf(event.reasoningTokens),
    units: event.units,
    usageSource: event.usageSource,
    priceAssumed: event.isPriceAssumed,
    external: event.isExternal,
    holdUsd: formatUsd(event.holdPicoUsd),
    costUsd: usdOf(event.costPicoUsd),
    creditUsd: usdOf(event.creditPicoUsd),
    payAsYouGoUsd: usdOf(event.payAsYouGoPicoUsd),
    ratedCostUsd: usdOf(event.ratedCostPicoUsd),
    absorbedUsd: usdOf(event.absorbedPicoUsd),
    providerReportedCostUsd: usdOf(event.providerReportedPicoUsd),
    firstByteMs: event.firstByteMs,
    durationMs: event.durationMs,
    priceRows: pricedUnits(event),
    attempts: event.attempts,
  };
}

/**
 * The lines that make up `ratedCostUsd`, each with the row that it names: the pricing rule applied
 * again to the stored quantities and rows, so the amounts add up to what was booked.
 */
function pricedUnits(event: EventRecord): JsonOf<PricedUnitAnswer>[] {
  const rows = event.priceRows.flatMap(priceRowFrom);
  const priced = priceUsage(quantitiesOf(event.units), new Map(rows.map((row) => [row.unit, row])));
  if (priced.kind !== 'priced') return [];
  const byId = new Map(rows.map((row) => [row.id, row]));
  return priced.lines.flatMap((line) => {
    const row = byId.get(line.rowId);
    if (row === undefined) return [];
    return [
      {
        id: row.id.toString(),
        unit: line.unit,
        quantity: line.quantity.toString(),
        priceUsd: formatUsd(row.picoUsd),
        perUnits: row.perUnits.toString(),
        amountUsd: formatUsd(line.costPicoUsd),
        pricedAs: row.unit,
        model: row.model,
        condition: row.condition,
        source: row.source,
        effectiveFrom: row.effectiveFrom.toISOString(),
        effectiveTo: row.effectiveTo?.toISOString() ?? null,
      },
    ];
  });
}

function priceRowFrom(record: PriceRowRecord): PriceRow[] {
  if (!isUnit(record.unit)) return [];
  return [
    {
      ...record,
      unit: record.unit,
      condition: record.condition === '' ? null : record.condition,
    },
  ];
}

function quantitiesOf(
  units: Readonly<Record<string, string>> | null,
): Partial<Record<Unit, bigint>> {
  const quantities: Partial<Record<Unit, bigint>> = {};
  for (const [unit, text] of Object.entries(units ?? {})) {
    if (isUnit(unit)) quantities[unit] = BigInt(text);
  }
  return quantities;
}

function countOf(count: bigint | null): number | null {
  return count === null ? null : Number(count);
}

function usdOf(amount: PicoUsd | null): string | null {
  return amount === null ? null : formatUsd(amount);
}
