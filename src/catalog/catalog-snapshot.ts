import { closestModels, knownModel, type KnownModel } from '../domain/closest-models.js';
import { ANY_MODEL, type PriceRow, type RowsByUnit } from '../domain/pricing.js';
import type { ModelOffers, Offer, RouterChoice } from '../domain/routing-offers.js';
import {
  isPriced,
  parseAskedModel,
  unknownModel,
  type AccountRouting,
  type AskedModel,
  type NotSupported,
  type ProviderBehaviour,
  type Resolution,
  type RouteAsk,
} from '../domain/routing.js';
import type { Task } from '../domain/tasks.js';
import { DEFAULT_UPSTREAM, OPENAI_COMPATIBLE, type PriceKey } from './catalog.js';
import { inChunks } from './chunks.js';
import type { Health } from './health.js';
import { PriceIndex, type Span } from './price-index.js';
import { behaviourOf, ROUTER_BEHAVIOUR } from './provider-behaviour.js';
import { isRouter, KNOWN_PROVIDERS, pathOf, type UpstreamKind } from './provider-routes.js';
import { ModelIds } from './provider-model-ids.js';
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

interface Remembered {
  readonly span: Span;
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
  private remembered: Remembered = remembering({ fromMs: 0, untilMs: 0 });

  private constructor(
    private readonly options: SnapshotOptions,
    /** By id, the upstreams' own entries. */
    private readonly models: ReadonlyMap<string, readonly StoredModel[]>,
    private readonly routes: ReadonlyMap<string, readonly StoredRoute[]>,
    private readonly listed: readonly KnownModel[],
    private readonly prices: PriceIndex,
    private readonly upstreams: ReadonlyMap<string, StoredUpstream>,
    private readonly providers: ReadonlyMap<string, StoredProvider>,
    private readonly modelIds: ModelIds,
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
    const prices = await PriceIndex.build(stored.prices, options.admitWaitMaxMs);
    addPricedModels(stored, upstreams, models, routes);
    // Those that the operator does not call directly are there for accounts with a key of their own.
    for (const [name, { kind }] of KNOWN_PROVIDERS) {
      if (upstreams.has(name)) continue;
      upstreams.set(name, { name, kind, isEnabled: true, provider: name, hasKey: false });
    }
    const listed = new Set(stored.models.flatMap(({ id, isListed }) => (isListed ? [id] : [])));
    return new CatalogSnapshot(
      options,
      models,
      routes,
      [...listed].map(knownModel),
      prices,
      upstreams,
      new Map(stored.providers.map((provider) => [provider.slug, provider])),
      ModelIds.of(stored),
    );
  }

  /** Before anything was read: knows no model. */
  static empty(options: SnapshotOptions): CatalogSnapshot {
    const none = new Map<string, never>();
    const prices = PriceIndex.empty(options.admitWaitMaxMs);
    return new CatalogSnapshot(options, none, none, [], prices, none, none, ModelIds.none);
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
    return this.rememberedAt(at);
  }

  /** What `neverAsked` says has changed. */
  forgetResolutions(): void {
    this.remembered = remembering(this.remembered.span);
  }

  priceRows(upstream: string, provider: string): readonly PriceRow[] {
    return this.prices.rowsOf(upstream, provider);
  }

  pricesInForce(upstream: string, provider: string, key: PriceKey): RowsByUnit {
    return this.prices.inForce(upstream, provider, key);
  }

  /** How a provider behaves there; null: it is switched off, or there is no such upstream. */
  behaviourAt(upstream: string, provider: string): ProviderBehaviour | null {
    const known = this.upstreams.get(upstream);
    const isOn = known?.isEnabled === true && this.isEnabled(provider);
    return isOn ? this.behaviourOf(known.kind, provider) : null;
  }

  /** What a provider calls `ownId`, by the id that it has here. */
  idOf(provider: string, ownId: string): string {
    return this.modelIds.idOf(provider, ownId);
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
    const { plans, byAccount } = this.rememberedAt(at);
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
      this.entryOf(asked, task, at, routing),
      routing,
      { unpricedModels, cheapestBy, routerBehaviour: ROUTER_BEHAVIOUR },
      health,
    );
  }

  private entryOf(
    asked: AskedModel,
    task: Task,
    at: Date,
    routing: AccountRouting | null,
  ): ModelOffers | NotSupported {
    const entry = this.isKnown(asked) ? this.offersOf(asked.model, task, at) : null;
    const own = this.offerToOwnKey(asked, task, at, routing);
    if (own === null) return entry ?? unknownModel(asked, this.closestTo(asked.model));
    if (entry === null) return { model: asked.model, router: null, offers: [own] };
    const isOffered = entry.offers.some((one) => one.isDirect && one.provider === own.provider);
    return isOffered ? entry : { ...entry, offers: [...entry.offers, own] };
  }

  /**
   * What an organization asks, by name, of a provider for which it has a key of its own: nothing of
   * it is charged, so the model need not be known here.
   */
  private offerToOwnKey(
    { model, suffix }: AskedModel,
    task: Task,
    at: Date,
    routing: AccountRouting | null,
  ): Offer | null {
    if (suffix.kind !== 'provider' || routing?.ownKeys.has(suffix.provider) !== true) return null;
    const { provider } = suffix;
    const upstream = this.upstreams.get(provider);
    if (upstream === undefined) return null;
    const route = unlistedRoute(provider, provider, model);
    const offer = this.offerOf(route, upstream, task, at);
    return offer === null ? null : { ...offer, needsOwnKey: true };
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
    const isChoice = isListed === true && !this.isServedByItself(id);
    return isChoice ? { upstream: router.name, path } : null;
  }

  /** Whether what stands at the default upstream's address serves the model itself: no router. */
  private isServedByItself(id: string): boolean {
    const routes = (this.routes.get(id) ?? []).filter(
      ({ upstream }) => upstream === DEFAULT_UPSTREAM,
    );
    return routes.every(({ provider }) => provider === OPENAI_COMPATIBLE);
  }

  /**
   * The router's own routes take `model:provider`; a provider's own, also behind the router, the name
   * that the provider gives it.
   */
  private modelSentTo(kind: UpstreamKind, route: StoredRoute, path: string | null): string {
    const { provider, model } = route;
    const isRoutersOwn = isRouter(kind) && path?.startsWith(`/${provider}/`) !== true;
    return isRoutersOwn && !this.isServedByItself(model)
      ? `${model}:${provider}`
      : (this.modelIds.ownIdOf(provider, model) ?? route.providerModelId ?? model);
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
    const ordinary = this.prices.inForce(name, provider, { model, condition: null, at });
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
      prices: this.prices.within(name, provider, model, at),
      behaviour: this.behaviourOf(kind, provider),
      modelSent: this.modelSentTo(kind, route, path),
      path,
    };
  }

  private isEnabled(provider: string): boolean {
    return this.providers.get(provider)?.isEnabled ?? true;
  }

  /** Whether its upstream can be called at all. */
  private isCalled({ upstream }: StoredRoute): boolean {
    const known = this.upstreams.get(upstream);
    return known !== undefined && known.isEnabled && known.hasKey;
  }

  private behaviourOf(kind: UpstreamKind, provider: string): ProviderBehaviour {
    const behaviour = behaviourOf(kind, provider, this.providers.get(provider));
    return this.options.neverAsked.has(provider)
      ? { ...behaviour, streamUsage: 'never' }
      : behaviour;
  }

  private rememberedAt(at: Date): Remembered {
    const atMs = at.getTime();
    const { fromMs, untilMs } = this.remembered.span;
    if (atMs < fromMs || atMs >= untilMs) {
      this.remembered = remembering(this.prices.spanAround(atMs));
    }
    return this.remembered;
  }
}

function remembering(span: Span): Remembered {
  return { span, plans: new Map(), byAccount: new WeakMap() };
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
    push(routes, model, unlistedRoute(upstream, provider, model));
  }
}

/** Of a model that its upstream does not list. */
function unlistedRoute(upstream: string, provider: string, model: string): StoredRoute {
  return {
    upstream,
    model,
    provider,
    providerModelId: null,
    status: 'live',
    contextLength: null,
    entry: {},
    isListed: true,
    isPriceStale: false,
  };
}

/** Settings that decide nothing are none. */
function decided(routing: AccountRouting | null): AccountRouting | null {
  if (routing === null || routing.default !== null || routing.preferred.length > 0) return routing;
  return routing.disabled.size > 0 || routing.ownKeys.size > 0 ? routing : null;
}

function push<Item>(map: Map<string, Item[]>, key: string, item: Item): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
