import { knownModel, type KnownModel } from '../domain/closest-models.js';
import { ANY_MODEL } from '../domain/pricing.js';
import { inChunks } from './chunks.js';
import { PriceIndex } from './price-index.js';
import { ModelIds } from './provider-model-ids.js';
import { KNOWN_PROVIDERS } from './provider-routes.js';
import type {
  StoredCatalog,
  StoredModel,
  StoredProvider,
  StoredRoute,
  StoredUpstream,
} from './stored-catalog.js';

/** What the store says at one moment, by what it is looked up by. */
export interface CatalogIndex {
  /** By id, the upstreams' own entries. */
  readonly models: ReadonlyMap<string, readonly StoredModel[]>;
  /** By model. */
  readonly routes: ReadonlyMap<string, readonly StoredRoute[]>;
  readonly listed: readonly KnownModel[];
  readonly prices: PriceIndex;
  readonly upstreams: ReadonlyMap<string, StoredUpstream>;
  readonly providers: ReadonlyMap<string, StoredProvider>;
  readonly modelIds: ModelIds;
}

/**
 * The indexes over what the store says; other work gets its turn in between.
 *
 * @param admitWaitMaxMs how long after an instant an admission may take its price.
 */
export async function indexOf(
  stored: StoredCatalog,
  admitWaitMaxMs: number,
): Promise<CatalogIndex> {
  const upstreams = new Map(stored.upstreams.map((upstream) => [upstream.name, upstream]));
  const models = new Map<string, StoredModel[]>();
  const routes = new Map<string, StoredRoute[]>();
  await inChunks(stored.models, (model) => {
    push(models, model.id, model);
  });
  await inChunks(stored.routes, (route) => {
    push(routes, route.model, route);
  });
  const prices = await PriceIndex.build(stored.prices, admitWaitMaxMs);
  addPricedModels(stored, upstreams, models, routes);
  // Those that the operator does not call directly are there for accounts with a key of their own.
  for (const [name, { kind }] of KNOWN_PROVIDERS) {
    if (upstreams.has(name)) continue;
    upstreams.set(name, { name, kind, isEnabled: true, provider: name, hasKey: false });
  }
  const listed = new Set(stored.models.flatMap(({ id, isListed }) => (isListed ? [id] : [])));
  return {
    models,
    routes,
    listed: [...listed].map(knownModel),
    prices,
    upstreams,
    providers: new Map(stored.providers.map((provider) => [provider.slug, provider])),
    modelIds: ModelIds.of(stored),
  };
}

/** Before anything was read: knows no model. */
export function emptyIndex(admitWaitMaxMs: number): CatalogIndex {
  const none = new Map<string, never>();
  const prices = PriceIndex.empty(admitWaitMaxMs);
  return {
    models: none,
    routes: none,
    listed: [],
    prices,
    upstreams: none,
    providers: none,
    modelIds: ModelIds.none,
  };
}

/** Of a model that its upstream does not list. */
export function unlistedRoute(upstream: string, provider: string, model: string): StoredRoute {
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

function push<Item>(map: Map<string, Item[]>, key: string, item: Item): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}
