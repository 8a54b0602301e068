import { closestModels } from '../domain/closest-models.js';
import type { PriceRow, RowsByUnit } from '../domain/pricing.js';
import type { AccountRouting, ProviderBehaviour } from '../domain/routing-offers.js';
import {
  parseAskedModel,
  unknownModel,
  type Resolution,
  type RouteAsk,
} from '../domain/routing-ask.js';
import type { Task } from '../domain/tasks.js';
import { DEFAULT_UPSTREAM, type PriceKey } from './catalog.js';
import { emptyIndex, indexOf, type CatalogIndex } from './catalog-index.js';
import type { Health } from './health.js';
import { OfferFinder } from './offer-finder.js';
import type { Span } from './price-index.js';
import { ROUTER_BEHAVIOUR } from './provider-behaviour.js';
import { RoutePlan } from './route-plan.js';
import type { StoredCatalog, StoredModel, StoredRoute } from './stored-catalog.js';

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

  private readonly offers: OfferFinder;

  private constructor(
    private readonly options: SnapshotOptions,
    private readonly index: CatalogIndex,
  ) {
    this.offers = new OfferFinder(index, options.neverAsked);
  }

  static async build(stored: StoredCatalog, options: SnapshotOptions): Promise<CatalogSnapshot> {
    return new CatalogSnapshot(options, await indexOf(stored, options.admitWaitMaxMs));
  }

  /** Before anything was read: knows no model. */
  static empty(options: SnapshotOptions): CatalogSnapshot {
    return new CatalogSnapshot(options, emptyIndex(options.admitWaitMaxMs));
  }

  /** Whether a catalogue was ever read. */
  get hasModels(): boolean {
    return this.index.listed.length > 0;
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
    return this.index.prices.rowsOf(upstream, provider);
  }

  pricesInForce(upstream: string, provider: string, key: PriceKey): RowsByUnit {
    return this.index.prices.inForce(upstream, provider, key);
  }

  behaviourAt(upstream: string, provider: string): ProviderBehaviour | null {
    return this.offers.behaviourAt(upstream, provider);
  }

  /** What a provider calls `ownId`, by the id that it has here. */
  idOf(provider: string, ownId: string): string {
    return this.index.modelIds.idOf(provider, ownId);
  }

  /** The listed models with their listed providers; each is made when it is asked for. */
  *served(at: Date): Generator<ServedModel> {
    for (const { id } of this.index.listed) {
      const served = this.servedModel(at, id);
      if (served !== null) yield served;
    }
  }

  servedModel(at: Date, id: string): ServedModel | null {
    // The router's own entry says most.
    const entries = (this.index.models.get(id) ?? []).filter(({ isListed }) => isListed);
    const model = entries.find(({ upstream }) => upstream === DEFAULT_UPSTREAM) ?? entries[0];
    if (model === undefined) return null;
    const key = { model: id, condition: null, at };
    const routes = (this.index.routes.get(id) ?? [])
      .filter((route) => this.offers.isServing(route))
      .map((route) => ({
        ...route,
        prices: this.pricesInForce(route.upstream, route.provider, key),
      }));
    return { model, routes };
  }

  /** The listed id that is this one but for its slashes (`org/name` asked for as `orgname`). */
  idWithoutSlash(text: string): string | null {
    return this.index.listed.find(({ id }) => id.replaceAll('/', '') === text)?.id ?? null;
  }

  closestTo(id: string): readonly string[] {
    return closestModels(id, this.index.listed);
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
      this.offers.find(asked, task, at, routing) ??
        unknownModel(asked, this.closestTo(asked.model)),
      routing,
      { unpricedModels, cheapestBy, routerBehaviour: ROUTER_BEHAVIOUR },
      health,
    );
  }

  private rememberedAt(at: Date): Remembered {
    const atMs = at.getTime();
    const { fromMs, untilMs } = this.remembered.span;
    if (atMs < fromMs || atMs >= untilMs) {
      this.remembered = remembering(this.index.prices.spanAround(atMs));
    }
    return this.remembered;
  }
}

function remembering(span: Span): Remembered {
  return { span, plans: new Map(), byAccount: new WeakMap() };
}

/** Settings that decide nothing are none. */
function decided(routing: AccountRouting | null): AccountRouting | null {
  if (routing === null || routing.default !== null || routing.preferred.length > 0) return routing;
  return routing.disabled.size > 0 || routing.ownKeys.size > 0 ? routing : null;
}
