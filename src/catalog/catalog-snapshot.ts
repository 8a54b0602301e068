import { closestModels, knownModel, type KnownModel } from '../domain/closest-models.js';
import { ANY_MODEL, rowsInForce, type PriceRow, type RowsByUnit } from '../domain/pricing.js';
import type { ModelOffers, Offer, RouterChoice } from '../domain/routing-offers.js';
import {
  isPriced,
  parseAskedModel,
  unknownModel,
  type AccountRouting,
  type AskedModel,
  type Resolution,
  type RouteAsk,
} from '../domain/routing.js';
import type { Task } from '../domain/tasks.js';
import { DEFAULT_UPSTREAM, OPENAI_COMPATIBLE, type PriceKey } from './catalog.js';
import type { Health } from './health.js';
import { behaviourOf, ROUTER_BEHAVIOUR } from './provider-behaviour.js';
import { isRouter, pathOf, type UpstreamKind } from './provider-routes.js';
import { RoutePlan } from './route-plan.js';
import type {
  StoredCatalog,
  StoredModel,
  StoredProvider,
  StoredRoute,
  StoredUpstream,
} from './stored-catalog.js';

export interface SnapshotOptions {
  readonly unpricedModels: 'reject' | 'allow';
  /** How long after `at` an admission may take its price (`ADMIT_WAIT_MAX_MS`). */
  readonly admitWaitMaxMs: number;
  /** Providers that refused to be asked for usage since the process started. */
  readonly neverAsked: ReadonlySet<string>;
  /** What `:cheapest` compares; see `RoutingPolicy`. */
  readonly cheapestBy: 'total' | 'output';
  readonly health: Health;
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
  /** For accounts that decided nothing. */
  readonly plans: RememberedPlans;
  /** For the others, for as long as their settings are the same object. */
  readonly byAccount: WeakMap<AccountRouting, RememberedPlans>;
}

type RememberedPlans = Map<Task, Map<string, RoutePlan>>;

/**
 * The catalogues of the upstreams and the price book at one moment, in memory. Its contents never
 * change: a refresh builds another beside it, which then takes its place.
 */
export class CatalogSnapshot {
  private remembered: Remembered = {
    fromMs: 0,
    untilMs: 0,
    plans: new Map(),
    byAccount: new WeakMap(),
  };

  private constructor(
    private readonly options: SnapshotOptions,
    /** By id, the upstreams' own entries. */
    private readonly models: ReadonlyMap<string, readonly StoredModel[]>,
    private readonly routes: ReadonlyMap<string, readonly StoredRoute[]>,
    private readonly listed: readonly KnownModel[],
    /** By upstream and provider, then by model. */
    private readonly rows: ReadonlyMap<string, ReadonlyMap<string, readonly PriceRow[]>>,
    private readonly all: ReadonlyMap<string, readonly PriceRow[]>,
    private readonly upstreams: ReadonlyMap<string, StoredUpstream>,
    private readonly providers: ReadonlyMap<string, StoredProvider>,
    /** Instants, sorted, at which what a resolution says may change. */
    private readonly changesMs: readonly number[],
  ) {}

  /** The indexes over what the store says; other work gets its turn in between. */
  static async build(stored: StoredCatalog, options: SnapshotOptions): Promise<CatalogSnapshot> {
    const upstreams = new Map(stored.upstreams.map((upstream) => [upstream.name, upstream]));
    const models = new Map<string, StoredModel[]>();
    const routes = new Map<string, StoredRoute[]>();
    await inChunks(stored.models, (model) => {
      push(models, model.id, model);
    });
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
    addPricedModels(stored, upstreams, models, routes);
    const listed = new Set(stored.models.flatMap(({ id, isListed }) => (isListed ? [id] : [])));
    return new CatalogSnapshot(
      options,
      models,
      routes,
      [...listed].map(knownModel),
      rows,
      all,
      upstreams,
      new Map(stored.providers.map((provider) => [provider.slug, provider])),
      [...changes].sort((one, other) => one - other),
    );
  }

  /** Before anything was read: knows no model. */
  static empty(options: SnapshotOptions): CatalogSnapshot {
    const none = new Map<string, never>();
    return new CatalogSnapshot(options, none, none, [], none, none, none, none, []);
  }

  /** Whether a catalogue was ever read. */
  get hasModels(): boolean {
    return this.listed.length > 0;
  }

  /**
   * The same answer for the same text, task and settings until a price or the health of a route
   * changes: computed once, unless a session or the cost of this very request has a say.
   */
  resolve(ask: RouteAsk): Resolution {
    return this.planOf(ask).resolve(ask);
  }

  /** The same object for as long as no price changes. */
  stateAt(at: Date): object {
    return this.spanAt(at);
  }

  /** What `neverAsked` says has changed. */
  forgetResolutions(): void {
    this.remembered = { ...this.remembered, plans: new Map(), byAccount: new WeakMap() };
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
    // The router's own entry says most.
    const entries = (this.models.get(id) ?? []).filter(({ isListed }) => isListed);
    const model = entries.find(({ upstream }) => upstream === DEFAULT_UPSTREAM) ?? entries[0];
    if (model === undefined) return null;
    const key = { model: id, condition: null, at };
    const routes = (this.routes.get(id) ?? [])
      .filter((route) => route.isListed && this.isEnabled(route.provider) && this.isCalled(route))
      .map((route) => ({
        ...route,
        prices: this.pricesInForce(route.upstream, route.provider, key),
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

  private planOf({ modelText, task, at, account }: RouteAsk): RoutePlan {
    const routing = decided(account?.routing ?? null);
    if (modelText.length > REMEMBERED_MAX_CHARS)
      return this.planAfresh(modelText, task, at, routing);
    const plans = this.plansAt(at, routing);
    let byText = plans.get(task);
    if (byText === undefined) plans.set(task, (byText = new Map<string, RoutePlan>()));
    let plan = byText.get(modelText);
    if (plan === undefined) {
      plan = this.planAfresh(modelText, task, at, routing);
      if (byText.size >= REMEMBERED_MAX) byText.clear();
      byText.set(modelText, plan);
    }
    return plan;
  }

  private plansAt(at: Date, routing: AccountRouting | null): RememberedPlans {
    const { plans, byAccount } = this.spanAt(at);
    if (routing === null) return plans;
    let own = byAccount.get(routing);
    if (own === undefined) byAccount.set(routing, (own = new Map<Task, Map<string, RoutePlan>>()));
    return own;
  }

  private planAfresh(
    text: string,
    task: Task,
    at: Date,
    routing: AccountRouting | null,
  ): RoutePlan {
    const asked = parseAskedModel(text);
    const { unpricedModels, cheapestBy, health } = this.options;
    return new RoutePlan(
      asked,
      this.isKnown(asked)
        ? this.offersOf(asked.model, task, at)
        : unknownModel(asked, this.closestTo(asked.model)),
      routing,
      { unpricedModels, cheapestBy, routerBehaviour: ROUTER_BEHAVIOUR },
      health,
    );
  }

  /** Listed by somebody, or known from the price book alone. */
  private isKnown({ model }: AskedModel): boolean {
    const entries = this.models.get(model);
    return entries === undefined
      ? this.routes.has(model)
      : entries.some(({ isListed }) => isListed);
  }

  private offersOf(id: string, task: Task, at: Date): ModelOffers {
    const offers: Offer[] = [];
    for (const route of this.routes.get(id) ?? []) {
      const upstream = this.upstreams.get(route.upstream);
      if (upstream === undefined || !route.isListed) continue;
      const offer = this.offerOf(route, upstream, task, at);
      if (offer !== null) offers.push(offer);
    }
    return {
      model: id,
      router: this.routerOf(id, task),
      offers: [...offers, ...this.offersToOwnKeys(id, task, at, offers)],
    };
  }

  /** Where the default upstream may choose who serves a model: where it lists it and is a router. */
  private routerOf(id: string, task: Task): RouterChoice | null {
    const router = this.upstreams.get(DEFAULT_UPSTREAM);
    const path = router === undefined ? null : pathOf(router.kind, null, task);
    if (router === undefined || path === null) return null;
    const isListed = this.models
      .get(id)
      ?.some((model) => model.isListed && model.upstream === router.name);
    const isChoice = this.routes
      .get(id)
      ?.every((one) => one.upstream !== router.name || one.provider !== OPENAI_COMPATIBLE);
    return isListed === true && isChoice === true ? { upstream: router.name, path } : null;
  }

  /**
   * What an organization's own key opens: a provider's service of a model that only the router lists
   * for it, since we have no key to read the provider's own catalogue with.
   */
  private offersToOwnKeys(
    id: string,
    task: Task,
    at: Date,
    offers: readonly Offer[],
  ): readonly Offer[] {
    const direct = new Set(offers.flatMap((offer) => (offer.isDirect ? [offer.provider] : [])));
    return (this.routes.get(id) ?? []).flatMap((route) => {
      const upstream = this.upstreams.get(route.provider);
      const isOpened =
        route.isListed && route.upstream === DEFAULT_UPSTREAM && !direct.has(route.provider);
      if (upstream === undefined || !isOpened) return [];
      const offer = this.offerOf({ ...route, upstream: upstream.name }, upstream, task, at);
      return offer === null ? [] : [{ ...offer, needsOwnKey: true }];
    });
  }

  /** null: the task is not served there. */
  private offerOf(
    route: StoredRoute,
    { name, kind, hasKey, isEnabled }: StoredUpstream,
    task: Task,
    at: Date,
  ): Offer | null {
    const { provider, model } = route;
    const path = pathOf(kind, provider, task);
    if (path === null) return null;
    const rows = this.rowsFor(name, provider, model);
    const ordinary = rowsInForce(rows, { model, condition: null, at });
    return {
      upstream: name,
      provider,
      isDirect: !isRouter(kind),
      needsOwnKey: !hasKey,
      isLive: route.status === 'live',
      isEnabled: isEnabled && this.isEnabled(provider),
      isPriced: isPriced(ordinary, task),
      contextLength: route.contextLength,
      throughput: numberOf(route.entry['throughput']),
      inputPrice: ordinary.get('input') ?? null,
      outputPrice: ordinary.get('output') ?? null,
      prices: this.pricesWithin(rows, model, at),
      behaviour: this.behaviourOf(kind, provider),
      modelSent: modelSentTo(kind, route, path),
      path,
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

  /** Whether its upstream can be called at all. */
  private isCalled({ upstream }: StoredRoute): boolean {
    const known = this.upstreams.get(upstream);
    return known !== undefined && known.isEnabled && known.hasKey;
  }

  private behaviourOf(kind: UpstreamKind, provider: string): Offer['behaviour'] {
    const behaviour = behaviourOf(kind, provider, this.providers.get(provider));
    return this.options.neverAsked.has(provider)
      ? { ...behaviour, streamUsage: 'never' }
      : behaviour;
  }

  private spanAt(at: Date): Remembered {
    const atMs = at.getTime();
    if (atMs < this.remembered.fromMs || atMs >= this.remembered.untilMs) {
      this.remembered = {
        ...this.spanAround(atMs),
        plans: new Map(),
        byAccount: new WeakMap(),
      };
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
 * Models that an upstream does not list (the router's catalogue has chat models only) and that
 * somebody gave a price: they are served by whom they are priced for.
 */
function addPricedModels(
  stored: StoredCatalog,
  upstreams: ReadonlyMap<string, StoredUpstream>,
  models: ReadonlyMap<string, readonly StoredModel[]>,
  routes: Map<string, StoredRoute[]>,
): void {
  for (const { upstream, provider, model } of stored.prices) {
    const isListed = models.get(model)?.some((one) => one.upstream === upstream) === true;
    if (model === ANY_MODEL || isListed || !upstreams.has(upstream)) continue;
    const isThere = routes
      .get(model)
      ?.some((route) => route.upstream === upstream && route.provider === provider);
    if (isThere === true) continue;
    push(routes, model, {
      upstream,
      model,
      provider,
      providerModelId: null,
      status: 'live',
      contextLength: null,
      entry: {},
      isListed: true,
      isPriceStale: false,
    });
  }
}

/**
 * The router's own routes take `model:provider`; a provider's own, also behind the router, the name
 * that the provider gives it.
 */
function modelSentTo(kind: UpstreamKind, route: StoredRoute, path: string | null): string {
  const isRoutersOwn =
    isRouter(kind) &&
    route.provider !== OPENAI_COMPATIBLE &&
    path?.startsWith(`/${route.provider}/`) !== true;
  return isRoutersOwn ? `${route.model}:${route.provider}` : (route.providerModelId ?? route.model);
}

/** Settings that decide nothing are none. */
function decided(routing: AccountRouting | null): AccountRouting | null {
  if (routing === null || routing.default !== null || routing.preferred.length > 0) return routing;
  return routing.disabled.size > 0 || routing.ownKeys.size > 0 ? routing : null;
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
