import { isObject, PROVIDER_SLUG } from './catalogue-entry.js';
import { isOwnId } from './provider-model-ids.js';

/** What providers call one model, by provider. */
export type HubNames = ReadonlyMap<string, string>;

/** A route of the router, with what its provider is known to call the model. */
export interface RouteName {
  readonly model: string;
  readonly provider: string;
  readonly providerModelId: string | null;
}

const PROVIDERS_MAX = 200;

/**
 * Reads the Hub's answer about one model: `inferenceProviderMapping` as an object by provider or as
 * a list. What is unusable in it is passed over; of a provider that comes twice the first counts, as
 * for the clients that ask for it. An adapter bears the id of the model that it is put on: no name
 * of its own.
 *
 * @returns null: no such answer.
 */
export function readHubNames(text: string): HubNames | null {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return null;
  }
  const mapping = isObject(document) ? document['inferenceProviderMapping'] : undefined;
  let entries: (readonly [unknown, unknown])[];
  if (Array.isArray(mapping)) {
    entries = mapping.map((entry: unknown) => [isObject(entry) ? entry['provider'] : null, entry]);
  } else if (isObject(mapping)) {
    entries = Object.entries(mapping);
  } else {
    return null;
  }
  const names = new Map<string, string>();
  for (const [provider, entry] of entries.slice(0, PROVIDERS_MAX)) {
    const ownId = isObject(entry) && !('adapter' in entry) ? entry['providerId'] : undefined;
    const isUsable = typeof provider === 'string' && PROVIDER_SLUG.test(provider);
    if (isUsable && isOwnId(ownId) && !names.has(provider)) names.set(provider, ownId);
  }
  return names;
}

/**
 * The routes whose stored name is not what is said now. What nothing was said of keeps its name. A
 * name that two listed models of one provider claim is neither's, since what is asked for by it
 * could be priced as the other; a model that is listed no more gives way.
 *
 * @param said by model; one that is not in it could not be looked up.
 */
export function changedNames(
  routes: readonly (RouteName & { readonly isListed: boolean })[],
  said: ReadonlyMap<string, HubNames>,
): readonly RouteName[] {
  const claims = routes.map((route) => {
    const names = route.isListed ? said.get(route.model) : undefined;
    const ownId = names === undefined ? route.providerModelId : names.get(route.provider);
    return { route, ownId: ownId ?? null };
  });
  const claimants = new Map<string, number>();
  for (const { route, ownId } of claims) {
    if (!route.isListed || ownId === null) continue;
    const key = `${route.provider} ${ownId}`;
    claimants.set(key, (claimants.get(key) ?? 0) + 1);
  }
  return claims.flatMap(({ route, ownId }) => {
    const { model, provider, isListed } = route;
    const count = ownId === null ? 0 : (claimants.get(`${provider} ${ownId}`) ?? 0);
    const providerModelId = count > (isListed ? 1 : 0) ? null : ownId;
    return providerModelId === route.providerModelId ? [] : [{ model, provider, providerModelId }];
  });
}
