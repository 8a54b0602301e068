import { PICO_USD_PER_USD, type PicoUsd, type UnitPrice } from './money.js';
import { costOf } from './pricing.js';
import { PARENT_UNIT, type Unit, UNITS } from './units.js';

export const PICO_USD_PER_CENT: PicoUsd = PICO_USD_PER_USD / 100n;

export type InvoiceLineKind =
  | 'plan'
  /** What a Stripe subscription collected of a plan fee; of the opposite sign. */
  | 'payment'
  | 'usage'
  | 'credit'
  | 'correction'
  | 'credit_note'
  /** Carried from the invoice before, of either sign. */
  | 'carry';

/** What a quantity cost. */
export interface LinePart {
  /** A unit of quantity, or `ADJUSTMENT_UNIT`. */
  readonly unit: string;
  readonly quantity: bigint;
  /** Of `perUnits` units. */
  readonly unitPricePicoUsd: PicoUsd;
  readonly perUnits: bigint;
  /** quantity x unit price, exactly; where `perUnits` is not 1, divided by it and floored. */
  readonly exactPicoUsd: PicoUsd;
}

export interface InvoiceLine {
  readonly kind: InvoiceLineKind;
  readonly description: string;
  readonly provider: string | null;
  readonly upstream: string | null;
  readonly model: string | null;
  readonly requests: number | null;
  readonly priceRowIds: readonly bigint[];
  /** They sum to the line exactly; null: the line has no unit prices. */
  readonly parts: readonly LinePart[] | null;
  readonly exactPicoUsd: PicoUsd;
}

/** Usage of one account and period, summed per upstream x provider x model x set of price rows. */
export interface UsageGroup {
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  /** At most one per unit. */
  readonly priceRows: readonly (UnitPrice & { readonly id: bigint; readonly unit: Unit })[];
  readonly requests: number;
  readonly quantities: ReadonlyMap<Unit, bigint>;
  /** What the account is charged. */
  readonly costPicoUsd: PicoUsd;
  /** The provider stated the cost: there are no unit prices. */
  readonly isCostStated: boolean;
}

/** The part that makes up for what quantities x prices do not say. */
export const ADJUSTMENT_UNIT = 'adjustment';

/**
 * The line of one group of usage: a part per unit that was used, priced by its own row, else by its
 * parent's as at settlement, and the parts sum to what the account is charged, exactly. Where that is
 * not the sum of the products an adjustment takes the difference: each request was floored by itself
 * (`perUnits` above 1), we bear a part of an overrun, an estimate ended at its hold, or a person
 * decided on the cost.
 */
export function usageLine(group: UsageGroup): InvoiceLine {
  const { upstream, provider, model, requests, costPicoUsd } = group;
  const parts = group.isCostStated ? [] : pricedParts(group);
  const differencePicoUsd = costPicoUsd - sumOf(parts);
  if (parts.length > 0 && differencePicoUsd !== 0n) parts.push(adjustment(differencePicoUsd));
  return {
    kind: 'usage',
    description: `${model} on ${provider}`,
    provider,
    upstream,
    model,
    requests,
    priceRowIds: group.priceRows.map(({ id }) => id),
    parts: parts.length === 0 ? null : parts,
    exactPicoUsd: costPicoUsd,
  };
}

function pricedParts({ priceRows, quantities }: UsageGroup): LinePart[] {
  const parts: LinePart[] = [];
  for (const unit of UNITS) {
    const quantity = quantities.get(unit) ?? 0n;
    const parent = PARENT_UNIT[unit];
    const row =
      priceRows.find((each) => each.unit === unit) ??
      priceRows.find((each) => each.unit === parent);
    // Without a row the unit was never priced: what a person charged for it is the adjustment's.
    if (quantity === 0n || row === undefined) continue;
    parts.push({
      unit,
      quantity,
      unitPricePicoUsd: row.picoUsd,
      perUnits: row.perUnits,
      exactPicoUsd: costOf(quantity, row),
    });
  }
  return parts;
}

function adjustment(amountPicoUsd: PicoUsd): LinePart {
  return {
    unit: ADJUSTMENT_UNIT,
    quantity: 1n,
    unitPricePicoUsd: amountPicoUsd,
    perUnits: 1n,
    exactPicoUsd: amountPicoUsd,
  };
}

export interface InvoiceTotal {
  /** The lines, the carry-in among them. */
  readonly exactSumPicoUsd: PicoUsd;
  /** >= 0: what the account is asked for. */
  readonly totalCents: bigint;
  /** Sum - total, of either sign: the next invoice's carry-in. */
  readonly carriedPicoUsd: PicoUsd;
}

/**
 * The total of an invoice: the exact sum floored once to whole cents, and 0 where that is negative or
 * under the minimum. What it leaves is carried, so that over any chain of invoices billed + carried
 * is exactly what was owed, and an account never pays more than that.
 *
 * @param minimumPicoUsd >= 0.
 */
export function totalOf(lines: readonly InvoiceLine[], minimumPicoUsd: PicoUsd): InvoiceTotal {
  const exactSumPicoUsd = sumOf(lines);
  const cents = flooredCents(exactSumPicoUsd);
  // A negative sum is under any minimum.
  const totalCents = cents * PICO_USD_PER_CENT < minimumPicoUsd ? 0n : cents;
  const carriedPicoUsd = exactSumPicoUsd - totalCents * PICO_USD_PER_CENT;
  return { exactSumPicoUsd, totalCents, carriedPicoUsd };
}

/**
 * What each line shows in whole cents, of either sign: its amount floored (toward minus infinity),
 * then one cent more to the lines with the largest remainders, in line order on ties, until they add
 * up to the floored sum. Only for people: no amount is computed from it.
 */
export function displayCents(
  lines: readonly Pick<InvoiceLine, 'exactPicoUsd'>[],
): readonly bigint[] {
  const shown = lines.map(({ exactPicoUsd }) => flooredCents(exactPicoUsd));
  const remainders = lines.map(({ exactPicoUsd }, index) => ({
    index,
    remainder: exactPicoUsd - (shown[index] ?? 0n) * PICO_USD_PER_CENT,
  }));
  let missing = flooredCents(sumOf(lines)) - shown.reduce((sum, cents) => sum + cents, 0n);
  // The sort is stable, so equal remainders stay in line order.
  remainders.sort((one, other) => Number(other.remainder - one.remainder));
  for (const { index } of remainders) {
    if (missing === 0n) break;
    shown[index] = (shown[index] ?? 0n) + 1n;
    missing -= 1n;
  }
  return shown;
}

/** Whole cents of an amount, rounded toward minus infinity: -0.001 is -1 cent. */
export function flooredCents(amount: PicoUsd): bigint {
  const truncated = amount / PICO_USD_PER_CENT;
  return amount < 0n && amount % PICO_USD_PER_CENT !== 0n ? truncated - 1n : truncated;
}

/** Cents as US dollars with two decimals: `-0.05`, `12.30`. */
export function formatCents(cents: bigint): string {
  const digits = (cents < 0n ? -cents : cents).toString().padStart(3, '0');
  return `${cents < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

function sumOf(amounts: readonly { readonly exactPicoUsd: PicoUsd }[]): PicoUsd {
  return amounts.reduce((sum, { exactPicoUsd }) => sum + exactPicoUsd, 0n);
}
