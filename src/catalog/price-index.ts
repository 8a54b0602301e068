import { ANY_MODEL, rowsInForce, type PriceRow, type RowsByUnit } from '../domain/pricing.js';
import type { PriceKey } from './catalog.js';
import { inChunks } from './chunks.js';

/** A time in which the price book says the same; `untilMs` is the first instant after it. */
export interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

const NO_ROWS: readonly PriceRow[] = [];

/** The price book at one moment, by what it is asked for. */
export class PriceIndex {
  private constructor(
    private readonly admitWaitMaxMs: number,
    /** By upstream and provider, then by model. */
    private readonly byModel: ReadonlyMap<string, ReadonlyMap<string, readonly PriceRow[]>>,
    private readonly all: ReadonlyMap<string, readonly PriceRow[]>,
    /** Instants, sorted, at which `within` may say something else. */
    private readonly changesMs: readonly number[],
  ) {}

  /** @param admitWaitMaxMs how long after an instant an admission may take its price. */
  static async build(rows: readonly PriceRow[], admitWaitMaxMs: number): Promise<PriceIndex> {
    const byModel = new Map<string, Map<string, PriceRow[]>>();
    const all = new Map<string, PriceRow[]>();
    const changes = new Set<number>();
    await inChunks(rows, (row) => {
      const key = keyOf(row.upstream, row.provider);
      let models = byModel.get(key);
      if (models === undefined) byModel.set(key, (models = new Map<string, PriceRow[]>()));
      push(models, row.model, row);
      push(all, key, row);
      for (const boundary of [row.effectiveFrom, row.effectiveTo]) {
        if (boundary === null) continue;
        changes.add(boundary.getTime());
        // From here on an admission may wait past the boundary.
        changes.add(boundary.getTime() - admitWaitMaxMs);
      }
    });
    const changesMs = [...changes].sort((one, other) => one - other);
    return new PriceIndex(admitWaitMaxMs, byModel, all, changesMs);
  }

  static empty(admitWaitMaxMs: number): PriceIndex {
    return new PriceIndex(admitWaitMaxMs, new Map(), new Map(), []);
  }

  /** Every row of a provider. */
  rowsOf(upstream: string, provider: string): readonly PriceRow[] {
    return this.all.get(keyOf(upstream, provider)) ?? NO_ROWS;
  }

  inForce(upstream: string, provider: string, key: PriceKey): RowsByUnit {
    return rowsInForce(this.rowsFor(upstream, provider, key.model), key);
  }

  /**
   * One map per condition that has rows (the ordinary one always) for `at` and for every change
   * within the time an admission may wait.
   */
  within(upstream: string, provider: string, model: string, at: Date): readonly RowsByUnit[] {
    const rows = this.rowsFor(upstream, provider, model);
    const fromMs = at.getTime();
    const untilMs = fromMs + this.admitWaitMaxMs;
    const instants = new Set([fromMs]);
    for (const row of rows) {
      for (const boundary of [row.effectiveFrom, row.effectiveTo]) {
        const ms = boundary?.getTime() ?? fromMs;
        if (ms > fromMs && ms <= untilMs) instants.add(ms);
      }
    }
    const conditions = new Set<string | null>([null, ...rows.map(({ condition }) => condition)]);
    const found: RowsByUnit[] = [];
    for (const ms of instants) {
      for (const condition of conditions) {
        const byUnit = rowsInForce(rows, { model, condition, at: new Date(ms) });
        if (byUnit.size > 0 || condition === null) found.push(byUnit);
      }
    }
    return found;
  }

  /** The longest span around an instant in which nothing changes. */
  spanAround(atMs: number): Span {
    let low = 0;
    let high = this.changesMs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.changesMs[middle] ?? 0) <= atMs) low = middle + 1;
      else high = middle;
    }
    return {
      fromMs: this.changesMs[low - 1] ?? -Infinity,
      untilMs: this.changesMs[low] ?? Infinity,
    };
  }

  private rowsFor(upstream: string, provider: string, model: string): readonly PriceRow[] {
    const models = this.byModel.get(keyOf(upstream, provider));
    if (models === undefined) return NO_ROWS;
    const own = models.get(model);
    const any = models.get(ANY_MODEL);
    if (own === undefined || model === ANY_MODEL) return any ?? NO_ROWS;
    return any === undefined ? own : [...own, ...any];
  }
}

function push<Item>(map: Map<string, Item[]>, key: string, item: Item): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}

/** A slug has no space, so no two keys are the same text. */
function keyOf(upstream: string, provider: string): string {
  return `${upstream} ${provider}`;
}
