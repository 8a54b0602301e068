import type { PriceRow } from '../domain/pricing.js';
import { isUnit } from '../domain/units.js';
import type { PendingPrice } from './price-plan.js';

/** The columns of `prices` that make a row of the price book. */
export const PRICE_COLUMNS =
  'id, upstream, provider, model, unit, condition, pico_usd, per_units, effective_from, effective_to, source';

/** A row of `prices` as the driver hands it over. */
export interface PriceRecord {
  readonly id: bigint;
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly unit: string;
  readonly condition: string;
  readonly pico_usd: bigint;
  readonly per_units: bigint;
  readonly effective_from: Date;
  readonly effective_to: Date | null;
  readonly source: string;
}

/** @throws Error on a unit that this version does not know: such a row must not be passed over. */
export function priceRowOf(record: PriceRecord): PriceRow {
  if (!isUnit(record.unit)) throw new Error(`price ${record.id} has an unknown unit`);
  return {
    id: record.id,
    upstream: record.upstream,
    provider: record.provider,
    model: record.model,
    unit: record.unit,
    condition: record.condition === '' ? null : record.condition,
    picoUsd: record.pico_usd,
    perUnits: record.per_units,
    effectiveFrom: record.effective_from,
    effectiveTo: record.effective_to,
    source: record.source as PriceRow['source'],
  };
}

export const PENDING_COLUMNS =
  'id::text AS id, upstream, provider, model, unit, condition, pico_usd, per_units, source, reason, created_at, decision';

/** A row of `pending_prices` as the driver hands it over. */
export interface PendingRecord {
  readonly id: string;
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly unit: string;
  readonly condition: string;
  readonly pico_usd: bigint;
  readonly per_units: bigint;
  readonly source: string;
  readonly reason: string;
  readonly created_at: Date;
  readonly decision: string | null;
}

/** @throws Error on a unit that this version does not know. */
export function pendingOf(record: PendingRecord): PendingPrice {
  if (!isUnit(record.unit)) throw new Error(`pending price ${record.id} has an unknown unit`);
  return {
    id: record.id,
    upstream: record.upstream,
    provider: record.provider,
    model: record.model,
    unit: record.unit,
    condition: record.condition === '' ? null : record.condition,
    picoUsd: record.pico_usd,
    perUnits: record.per_units,
    source: record.source as PriceRow['source'],
    reason: record.reason as PendingPrice['reason'],
    createdAt: record.created_at,
    decision: record.decision as PendingPrice['decision'],
  };
}
