import { ANY_MODEL, rowsInForce, type PriceRow, type RowsByUnit } from '../domain/pricing.js';
import {
  closestModels,
  isPriced,
  knownModel,
  parseAskedModel,
  routesFor,
  unknownModel,
  type KnownModel,
  type ModelOffers,
  type Offer,
  type Resolution,
} from '../domain/routing.js';
import type { PriceKey } from './catalog.js';
import { behaviourOf, ROUTER_BEHAVIOUR, type BehaviourSettings } from './provider-behaviour.js';

/** A model as the store keeps it; `entry` is the upstream's own, without its providers. */
export interface StoredModel {
  readonly id: string;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly isListed: boolean;
}

/** A provider that serves a model, as the store keeps it. */
export interface StoredRoute {
  readonly model: string;
  readonly provider: string;
  readonly status: 'live' | 'error';
  readonly contextLength: number | null;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly isListed: boolean;
  readonly isPriceStale: boolean;
}

export interface StoredProvider extends BehaviourSettings {
  readonly slug: string;
  readonly isEnabled: boolean;
}

/** Everything the store says about one upstream and the prices of every upstream. */
export interface StoredCatalog {
  readonly upstream: string;
  readonly models: readonly StoredModel[];
  readonly routes: readonly StoredRoute[];
  readonly prices: readonly PriceRow[];
  readonly providers: readonly StoredProvider[];
}

export interface SnapshotOptions {
  readonly unpricedModels: 'reject' | 'allow';
  /** How long after `at` an admission may take its price (`ADMIT_WAIT_MAX_MS`). */
  readonly admitWaitMaxMs: number;
  /** Providers that refused to be asked for usage since the process started. */
  readonly neverAsked: ReadonlySet<string>;
}

/** A listed provider of a listed model, with its ordinary prices in force. */
export interface ServedRoute extends StoredRoute {
  readonly prices: RowsByUnit;
}

export interface ServedModel {
  readonly model: StoredModel;
  readonly routes: readonly ServedRoute[];
}

/** Callers choose the texts that are asked for: what is remembered of them must have an end. */
const REMEMBERED_MAX = 10_000;
const REMEMBERED_MAX_CHARS = 256;
const NO_ROWS: readonly PriceRow[] = [];
const CHUNK = 2_000;

interface Remembered {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly byText: Map<string, Resolution>;
}

/**
 * The catalogue of one upstream and the price book at one moment, in memory. Its contents never
 * change: a refresh builds another beside it, which then takes its place.
 */
export class CatalogSnapshot {
  private remembered: Remembered = { fromMs: 0, untilMs: 0, byText: new Map() };

  private constructor(
    private readonly upstream: string,
    private readonly options: SnapshotOptions,
    private readonly models: ReadonlyMap<string, StoredModel>,
    private readonly routes: ReadonlyMap<string, readonly StoredRoute[]>,
    private readonly listed: readonly KnownModel[],
    /** By upstream and provider, then by model. */
    private readonly rows: ReadonlyMap<string, ReadonlyMap<string, readonly PriceRow[]>>,
    private readonly all: ReadonlyMap<string, readonly PriceRow[]>,
    private readonly providers: ReadonlyMap<string, StoredProvider>,
    /** Instants, sorted, at which what a resolution says may change. */
    private readonly changesMs: readonly number[],
  ) {}

  /** The indexes over what the store says; other work gets its turn in between. */
  static async build(stored: StoredCatalog, options: SnapshotOptions): Promise<CatalogSnapshot> {
    const models = new Map(stored.models.map((model) => [model.id, model]));
    const routes = new Map<string, StoredRoute[]>();
    await inChunks(stored.routes, (route) => {
      push(routes, route.model, route);
    });
    const rows = new Map<string, Map<string, PriceRow[]>>();
    const all = new Map<string, PriceRow[]>();
    const changes = new Set<number>();
    await inChunks(stored.prices, (row) => {
      const key = keyOf(row.upstream, row.provider);
      let byModel = rows.get(key);
      if (byModel === undefined) rows.set(key, (byModel = new Map<string, PriceRow[]>()));
      push(byModel, row.model, row);
      push(all, key, row);
      for (const boundary of [row.effectiveFrom, row.effectiveTo]) {
        if (boundary === null) continue;
        changes.add(boundary.getTime());
        // From here on an admission may wait past the boundary.
        changes.add(boundary.getTime() - options.admitWaitMaxMs);
      }
    });
    addPricedModels(stored, models, routes);
    return new CatalogSnapshot(
      stored.upstream,
      options,
      models,
      routes,
      stored.models.filter(({ isListed }) => isListed).map(({ id }) => knownModel(id)),
      rows,
      all,
      new Map(stored.providers.map((provider) => [provider.slug, provider])),
      [...changes].sort((one, other) => one - other),
    );
  }

  /** Before anything was read: knows no model. */
  static empty(upstream: string, options: SnapshotOptions): CatalogSnapshot {
    const none = new Map<string, never>();
    return new CatalogSnapshot(upstream, options, none, none, [], none, none, none, []);
  }

  /** Whether a catalogue was ever read. */
  get hasModels(): boolean {
    return this.listed.length > 0;
  }

  /** The same answer for the same text until a price changes: computed once. */
  resolve(text: string, at: Date): Resolution {
    if (text.length > REMEMBERED_MAX_CHARS) return this.resolveAfresh(text, at);
    const { byText } = this.spanAt(at);
    let resolution = byText.get(text);
    if (resolution === undefined) {
      resolution = this.resolveAfresh(text, at);
      if (byText.size >= REMEMBERED_MAX) byText.clear();
      byText.set(text, resolution);
    }
    return resolution;
  }

  /** The same object for as long as no price changes. */
  stateAt(at: Date): object {
    return this.spanAt(at);
  }

  /** What `neverAsked` says has changed. */
  forgetResolutions(): void {
    this.remembered = { ...this.remembered, byText: new Map() };
  }

  priceRows(upstream: string, provider: string): readonly PriceRow[] {
    return this.all.get(keyOf(upstream, provider)) ?? NO_ROWS;
  }

  pricesInForce(upstream: string, provider: string, key: PriceKey): RowsByUnit {
    return rowsInForce(this.rowsFor(upstream, provider, key.model), key);
  }

  /** The listed models with their listed providers; each is made when it is asked for. */
  *served(at: Date): Generator<ServedModel> {
    for (const { id } of this.listed) {
      const served = this.servedModel(at, id);
      if (served !== null) yield served;
    }
  }

  servedModel(at: Date, id: string): ServedModel | null {
    const model = this.models.get(id);
    if (model?.isListed !== true) return null;
    const key = { model: id, condition: null, at };
    const routes = (this.routes.get(id) ?? [])
      .filter(({ isListed, provider }) => isListed && this.isEnabled(provider))
      .map((route) => ({
        ...route,
        prices: this.pricesInForce(this.upstream, route.provider, key),
      }));
    return { model, routes };
  }

  /** The listed id that is this one but for its slashes (`org/name` asked for as `orgname`). */
  idWithoutSlash(text: string): string | null {
    return this.listed.find(({ id }) => id.replaceAll('/', '') === text)?.id ?? null;
  }

  closestTo(id: string): readonly string[] {
    return closestModels(id, this.listed);
  }

  private resolveAfresh(text: string, at: Date): Resolution {
    const asked = parseAskedModel(text);
    const model = this.models.get(asked.model);
    if (model?.isListed !== true && !this.isPricedOnly(asked.model)) {
      return unknownModel(asked, this.closestTo(asked.model));
    }
    return routesFor(asked, this.offersOf(asked.model, at), {
      unpricedModels: this.options.unpricedModels,
      routerBehaviour: ROUTER_BEHAVIOUR,
    });
  }

  private isPricedOnly(id: string): boolean {
    return !this.models.has(id) && this.routes.has(id);
  }

  private offersOf(id: string, at: Date): ModelOffers {
    const isListed = this.models.get(id)?.isListed === true;
    const routes = this.routes.get(id) ?? [];
    return {
      upstream: this.upstream,
      model: id,
      isListed,
      offers: routes
        .filter((route) => route.isListed)
        .map((route) => this.offerOf(route, at, isListed)),
    };
  }

  private offerOf(route: StoredRoute, at: Date, isChat: boolean): Offer {
    const rows = this.rowsFor(this.upstream, route.provider, route.model);
    const ordinary = rowsInForce(rows, { model: route.model, condition: null, at });
    return {
      provider: route.provider,
      isLive: route.status === 'live',
      isEnabled: this.isEnabled(route.provider),
      isPriced: isPriced(ordinary, isChat),
      contextLength: route.contextLength,
      throughput: numberOf(route.entry['throughput']),
      outputPrice: ordinary.get('output') ?? null,
      prices: this.pricesWithin(rows, route.model, at),
      behaviour: this.behaviourOf(route.provider),
    };
  }

  /**
   * One map per condition that has rows (the ordinary one always) for `at` and for every change
   * within the time an admission may wait.
   */
  private pricesWithin(rows: readonly PriceRow[], model: string, at: Date): readonly RowsByUnit[] {
    const fromMs = at.getTime();
    const untilMs = fromMs + this.options.admitWaitMaxMs;
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

  private rowsFor(upstream: string, provider: string, model: string): readonly PriceRow[] {
    const byModel = this.rows.get(keyOf(upstream, provider));
    if (byModel === undefined) return NO_ROWS;
    const own = byModel.get(model);
    const any = byModel.get(ANY_MODEL);
    if (own === undefined || model === ANY_MODEL) return any ?? NO_ROWS;
    return any === undefined ? own : [...own, ...any];
  }

  private isEnabled(provider: string): boolean {
    return this.providers.get(provider)?.isEnabled ?? true;
  }

  private behaviourOf(provider: string): Offer['behaviour'] {
    const behaviour = behaviourOf('huggingface_router', provider, this.providers.get(provider));
    return this.options.neverAsked.has(provider)
      ? { ...behaviour, streamUsage: 'never' }
      : behaviour;
  }

  private spanAt(at: Date): Remembered {
    const atMs = at.getTime();
    if (atMs < this.remembered.fromMs || atMs >= this.remembered.untilMs) {
      this.remembered = { ...this.spanAround(atMs), byText: new Map() };
    }
    return this.remembered;
  }

  /** The longest span around an instant in which no resolution changes. */
  private spanAround(atMs: number): { fromMs: number; untilMs: number } {
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
}

/**
 * Models that the upstream does not list (its catalogue has chat models only) and that somebody gave
 * a price: they are served by whom they are priced for.
 */
function addPricedModels(
  stored: StoredCatalog,
  models: ReadonlyMap<string, StoredModel>,
  routes: Map<string, StoredRoute[]>,
): void {
  for (const row of stored.prices) {
    const isKnown = row.model === ANY_MODEL || models.has(row.model);
    if (row.upstream !== stored.upstream || isKnown) continue;
    if (routes.get(row.model)?.some(({ provider }) => provider === row.provider) === true) continue;
    push(routes, row.model, {
      model: row.model,
      provider: row.provider,
      status: 'live',
      contextLength: null,
      entry: {},
      isListed: true,
      isPriceStale: false,
    });
  }
}

async function inChunks<Item>(items: readonly Item[], each: (item: Item) => void): Promise<void> {
  for (let start = 0; start < items.length; start += CHUNK) {
    if (start > 0) await new Promise<void>((resume) => setImmediate(resume));
    for (const item of items.slice(start, start + CHUNK)) each(item);
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

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
