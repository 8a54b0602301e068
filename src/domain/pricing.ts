import { PICO_USD_MAX, type PicoUsd, type UnitPrice } from './money.js';
import { PARENT_UNIT, UNITS, type Unit } from './units.js';
import { QUANTITY_MAX, type Quantities } from './usage.js';

/** A row of the price book. Immutable but for `effectiveTo`, which is set once. */
export interface PriceRow extends UnitPrice {
  readonly id: bigint;
  readonly upstream: string;
  readonly provider: string;
  /** `*`: any model of that provider without a row of its own. */
  readonly model: string;
  readonly unit: Unit;
  /** Service tier, context tier or batch; null: the ordinary price. */
  readonly condition: string | null;
  readonly effectiveFrom: Date;
  /** First instant at which the row is no longer in force; null: open. */
  readonly effectiveTo: Date | null;
  readonly source: 'router_catalogue' | 'provider_catalogue' | 'manual' | 'statement';
}

/** The rows that price one attempt: at most one per unit, all in force and of one condition. */
export type RowsByUnit = ReadonlyMap<Unit, PriceRow>;

export const ANY_MODEL = '*';

/** What providers and callers call the ordinary tier; any other name is a price condition. */
const ORDINARY_TIERS: ReadonlySet<string> = new Set([
  'auto',
  'default',
  'standard',
  'standard_only',
  'on_demand',
]);

/**
 * The price condition of a service tier: the one the answer named, else the one the request asked
 * for; null for the ordinary price.
 */
export function conditionOf(answerTier: string | null, requestTier: string | null): string | null {
  const tier = answerTier ?? requestTier;
  return tier === null || ORDINARY_TIERS.has(tier) ? null : tier;
}

/** Half-open: a row is in force from `effectiveFrom` up to, not including, `effectiveTo`. */
export function isInForce(row: PriceRow, at: Date): boolean {
  return (
    row.effectiveFrom.getTime() <= at.getTime() &&
    (row.effectiveTo === null || at.getTime() < row.effectiveTo.getTime())
  );
}

/**
 * The rows in force for a model among all rows of its (upstream, provider), by unit. Rows of `*`
 * serve only a model without any row of its own in force, whatever its condition. A condition
 * without a row leaves its units unpriced: no tier is ever priced as another.
 */
export function rowsInForce(
  rows: readonly PriceRow[],
  key: { readonly model: string; readonly condition: string | null; readonly at: Date },
): RowsByUnit {
  const inForce = rows.filter((row) => isInForce(row, key.at));
  const own = inForce.filter((row) => row.model === key.model);
  const serving = own.length > 0 ? own : inForce.filter((row) => row.model === ANY_MODEL);
  const byUnit = new Map<Unit, PriceRow>();
  for (const row of serving) {
    if (row.condition === key.condition && !byUnit.has(row.unit)) byUnit.set(row.unit, row);
  }
  return byUnit;
}

/** floor(quantity x picoUsd / perUnits): the only place where a usage price is applied. */
export function costOf(quantity: bigint, price: UnitPrice): PicoUsd {
  const product = quantity * price.picoUsd;
  return price.perUnits === 1n ? product : product / price.perUnits;
}

/** One unit of a priced request and the one row that priced it. */
export interface PricedLine {
  readonly unit: Unit;
  readonly quantity: bigint;
  readonly rowId: bigint;
  readonly costPicoUsd: PicoUsd;
}

export type PricedUsage =
  | {
      readonly kind: 'priced';
      /** Sum of the lines, at most `PICO_USD_MAX`. */
      readonly costPicoUsd: PicoUsd;
      readonly lines: readonly PricedLine[];
      /** The rows of the lines, each once, in the order of the units. */
      readonly rowIds: readonly bigint[];
      /** A unit was priced as its parent (`cached_input` as `input`). */
      readonly isPriceAssumed: boolean;
    }
  /** Units that were used and have no row: shown and alarmed, never $0. */
  | { readonly kind: 'unpriced'; readonly missingUnits: readonly Unit[] }
  /** A quantity or the cost does not fit what can be stored (or is negative): quarantined. */
  | { readonly kind: 'overflow' };

/**
 * What a request costs: the sum over its units of floor(quantity x picoUsd / perUnits), each unit
 * by its own row, else by its parent's (then the price is marked as assumed). A quantity of 0 needs
 * no price: without a row of its own it has no line, assumes nothing and never makes a request
 * unpriced.
 */
export function priceUsage(quantities: Quantities, rows: RowsByUnit): PricedUsage {
  const lines: PricedLine[] = [];
  const missingUnits: Unit[] = [];
  let costPicoUsd = 0n;
  let isPriceAssumed = false;
  for (const unit of UNITS) {
    const quantity = quantities[unit];
    if (quantity === undefined) continue;
    if (quantity < 0n || quantity > QUANTITY_MAX) return { kind: 'overflow' };
    let row = rows.get(unit);
    if (row === undefined) {
      if (quantity === 0n) continue;
      const parent = PARENT_UNIT[unit];
      row = parent === undefined ? undefined : rows.get(parent);
      if (row === undefined) {
        missingUnits.push(unit);
        continue;
      }
      isPriceAssumed = true;
    }
    const lineCost = costOf(quantity, row);
    costPicoUsd += lineCost;
    lines.push({ unit, quantity, rowId: row.id, costPicoUsd: lineCost });
  }
  if (missingUnits.length > 0) return { kind: 'unpriced', missingUnits };
  if (costPicoUsd > PICO_USD_MAX) return { kind: 'overflow' };
  const rowIds = [...new Set(lines.map((line) => line.rowId))];
  return { kind: 'priced', costPicoUsd, lines, rowIds, isPriceAssumed };
}
