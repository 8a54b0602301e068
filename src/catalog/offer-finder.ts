import type {
  AccountRouting,
  ModelOffers,
  Offer,
  ProviderBehaviour,
  RouterChoice,
} from '../domain/routing-offers.js';
import { isPriced } from '../domain/routing.js';
import type { AskedModel } from '../domain/routing-ask.js';
import type { Task } from '../domain/tasks.js';
import { DEFAULT_UPSTREAM, OPENAI_COMPATIBLE } from './catalog.js';
import { unlistedRoute, type CatalogIndex } from './catalog-index.js';
import { behaviourOf } from './provider-behaviour.js';
import { isRouter, pathOf, type UpstreamKind } from './provider-routes.js';
import type { StoredRoute, StoredUpstream } from './stored-catalog.js';

/** Finds who could serve a model, and how each would be asked. */
export class OfferFinder {
  constructor(
    private readonly index: CatalogIndex,
    /** Providers that refused to be asked for usage since the process started. */
    private readonly neverAsked: ReadonlySet<string>,
  ) {}

  /** null: nobody serves such a model. */
  find(
    asked: AskedModel,
    task: Task,
    at: Date,
    routing: AccountRouting | null,
  ): ModelOffers | null {
    const offered = this.isKnown(asked) ? this.offersOf(asked.model, task, at) : null;
    const own = this.offerToOwnKey(asked, task, at, routing);
    if (own === null) return offered;
    if (offered === null) return { model: asked.model, router: null, offers: [own] };
    const isOffered = offered.offers.some((one) => one.isDirect && one.provider === own.provider);
    return isOffered ? offered : { ...offered, offers: [...offered.offers, own] };
  }

  /** How a provider behaves there; null: it is switched off, or there is no such upstream. */
  behaviourAt(upstream: string, provider: string): ProviderBehaviour | null {
    const known = this.index.upstreams.get(upstream);
    const isOn = known?.isEnabled === true && this.isEnabled(provider);
    return isOn ? this.behaviourOf(known.kind, provider) : null;
  }

  /** Whether a route can be taken by those who have no key of their own. */
  isServing(route: StoredRoute): boolean {
    return route.isListed && this.isEnabled(route.provider) && this.isCalled(route);
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
    const upstream = this.index.upstreams.get(provider);
    if (upstream === undefined) return null;
    const route = unlistedRoute(provider, provider, model);
    const offer = this.offerOf(route, upstream, task, at);
    return offer === null ? null : { ...offer, needsOwnKey: true };
  }

  /** Listed by somebody, or known from the price book alone. */
  private isKnown({ model }: AskedModel): boolean {
    const entries = this.index.models.get(model);
    return entries === undefined
      ? this.index.routes.has(model)
      : entries.some(({ isListed }) => isListed);
  }

  private offersOf(id: string, task: Task, at: Date): ModelOffers {
    const offers: Offer[] = [];
    for (const route of this.index.routes.get(id) ?? []) {
      const upstream = this.index.upstreams.get(route.upstream);
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
    const router = this.index.upstreams.get(DEFAULT_UPSTREAM);
    const path = router === undefined ? null : pathOf(router.kind, null, task);
    if (router === undefined || path === null) return null;
    const isListed = this.index.models
      .get(id)
      ?.some((model) => model.isListed && model.upstream === router.name);
    const isChoice = isListed === true && !this.isServedByItself(id);
    return isChoice ? { upstream: router.name, path } : null;
  }

  /** Whether what stands at the default upstream's address serves the model itself: no router. */
  private isServedByItself(id: string): boolean {
    const routes = (this.index.routes.get(id) ?? []).filter(
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
      : (this.index.modelIds.ownIdOf(provider, model) ?? route.providerModelId ?? model);
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
    return (this.index.routes.get(id) ?? []).flatMap((route) => {
      const upstream = this.index.upstreams.get(route.provider);
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
    const ordinary = this.index.prices.inForce(name, provider, { model, condition: null, at });
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
      prices: this.index.prices.within(name, provider, model, at),
      behaviour: this.behaviourOf(kind, provider),
      modelSent: this.modelSentTo(kind, route, path),
      path,
    };
  }

  private isEnabled(provider: string): boolean {
    return this.index.providers.get(provider)?.isEnabled ?? true;
  }

  /** Whether its upstream can be called at all. */
  private isCalled({ upstream }: StoredRoute): boolean {
    const known = this.index.upstreams.get(upstream);
    return known !== undefined && known.isEnabled && known.hasKey;
  }

  private behaviourOf(kind: UpstreamKind, provider: string): ProviderBehaviour {
    const behaviour = behaviourOf(kind, provider, this.index.providers.get(provider));
    return this.neverAsked.has(provider) ? { ...behaviour, streamUsage: 'never' } : behaviour;
  }
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
