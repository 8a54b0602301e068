import type { PriceRow, RowsByUnit } from './pricing.js';
import type {
  AccountRouting,
  HealthView,
  ModelOffers,
  Offer,
  RouterChoice,
} from './routing-offers.js';
import type { AskedModel, Resolution, Route, RoutingContext } from './routing-ask.js';
import {
  directFirst,
  healthyFirst,
  healthyProviders,
  inOrder,
  type Policy,
} from './routing-order.js';
import { isTextTask, type Task } from './tasks.js';
import { TOKEN_UNITS, type Unit } from './units.js';

/** The policy that orders the providers: the caller's, the account's, or the fastest first. */
export function policyOf(
  asked: AskedModel,
  account: AccountRouting | null,
): { readonly kind: 'policy'; readonly policy: Policy } | { readonly kind: 'pinned' } {
  if (asked.suffix.kind === 'provider') return { kind: 'pinned' };
  if (asked.suffix.kind === 'policy') return asked.suffix;
  return { kind: 'policy', policy: account?.default ?? 'fastest' };
}

/**
 * Where a request for a known model may go.
 *
 * A provider that the caller pinned serves it or nobody does. Otherwise the choice is left to the
 * router where we would have no other wish and nobody whom it could choose is unpriced or switched
 * off: `model` is then sent as the caller wrote it. Behind that, or instead of it, stand the usable
 * providers, each pinned, in the order of the policy.
 */
export function routesFor(
  asked: AskedModel,
  entry: ModelOffers,
  context: RoutingContext,
): Resolution {
  const { account, health, policy } = context;
  const offers = offersUnder(entry.offers, account);
  const usable = offers.filter((offer) => isUsable(offer, context));
  const chosen = policyOf(asked, account);
  if (asked.suffix.kind === 'provider' || chosen.kind === 'pinned') {
    const provider = asked.suffix.kind === 'provider' ? asked.suffix.provider : '';
    const ways = usable.filter((offer) => offer.provider === provider);
    if (ways.length === 0) return refusePinned(entry, provider, offers, context);
    return routes(
      entry,
      healthyFirst(directFirst(ways), health).map((offer) => pinned(offer, account)),
    );
  }
  if (usable.length === 0) return refuseAll(entry, offers, context);
  const ordered = inOrder(
    usable,
    {
      policy: chosen.policy,
      preferred: account?.preferred ?? NO_ORDER,
      cheapestBy: policy.cheapestBy,
      estimate: context.estimate,
      first: context.first,
    },
    health,
  );
  const ways = ordered.map((offer) => pinned(offer, account));
  if (!isLeftToRouter(entry, chosen.policy, context)) {
    return routes(entry, withoutOursAfterTheirs(ways));
  }
  const left = leftToRouter(asked, entry.router, ways, context);
  return routes(
    entry,
    health.isHealthy(left.upstream, null)
      ? [left, ...ways]
      : healthyBefore(left, ways, ordered, health),
  );
}

/**
 * Among whom a sticky key chooses; empty where it has no say: a provider is pinned, or the policy
 * orders them in a way that does not change from one call of a session to the next.
 */
export function stickyProviders(
  asked: AskedModel,
  entry: ModelOffers,
  context: RoutingContext,
): readonly string[] {
  const chosen = policyOf(asked, context.account);
  if (chosen.kind === 'pinned' || chosen.policy !== 'fastest') return [];
  const offers = offersUnder(entry.offers, context.account);
  return healthyProviders(
    offers.filter((offer) => isUsable(offer, context)),
    context.health,
  );
}

const NO_ORDER: readonly string[] = [];

/**
 * Whether a provider's rows price a whole answer. Of text: input and output, or no tokens at all
 * (compute time); one of the two alone does not, the hold would count the other as free. Of anything
 * else (an embedding has no output, an image no tokens) any row does.
 */
export function isPriced(rows: RowsByUnit, task: Task): boolean {
  if (rows.size === 0) return false;
  if (!isTextTask(task)) return true;
  if (rows.has('input') && rows.has('output')) return true;
  for (const unit of rows.keys()) if (TOKEN_UNITS.has(unit)) return false;
  return true;
}

/**
 * The offers as an account has them. For a provider that it has a key for there is no other way than
 * directly and with that key: it never pays us for what it has a contract of its own for.
 */
function offersUnder(offers: readonly Offer[], account: AccountRouting | null): readonly Offer[] {
  return offers.filter((offer) =>
    isExternal(offer, account) ? offer.isDirect : !offer.needsOwnKey,
  );
}

function isExternal({ provider }: Offer, account: AccountRouting | null): boolean {
  return account?.ownKeys.has(provider) === true;
}

function isServing(offer: Offer): boolean {
  return offer.isLive && offer.isEnabled;
}

function isUsable(offer: Offer, { account, policy }: RoutingContext): boolean {
  const isPayable =
    offer.isPriced || policy.unpricedModels === 'allow' || isExternal(offer, account);
  return isServing(offer) && isPayable && account?.disabled.has(offer.provider) !== true;
}

function refusePinned(
  entry: ModelOffers,
  provider: string,
  offers: readonly Offer[],
  context: RoutingContext,
): Resolution {
  const usable = offers.filter((offer) => isUsable(offer, context));
  const isDisabled = context.account?.disabled.has(provider) === true;
  const isServed = offers.some((offer) => offer.provider === provider && isServing(offer));
  return refusal(
    entry,
    isDisabled ? 'provider_disabled' : isServed ? 'unpriced' : 'provider',
    provider,
    usable,
  );
}

function refuseAll(
  entry: ModelOffers,
  offers: readonly Offer[],
  { account }: RoutingContext,
): Resolution {
  const serving = offers.filter(isServing);
  if (serving.length === 0) return refusal(entry, 'provider', null, serving);
  const allowed = serving.filter(({ provider }) => account?.disabled.has(provider) !== true);
  return allowed.length === 0
    ? refusal(entry, 'provider_disabled', null, serving)
    : refusal(entry, 'unpriced', null, allowed);
}

function refusal(
  entry: ModelOffers,
  reason: 'unpriced' | 'provider' | 'provider_disabled',
  provider: string | null,
  servedBy: readonly Offer[],
): Resolution {
  return {
    kind: 'not_supported',
    reason,
    model: entry.model,
    pinned: provider,
    closest: [],
    servedBy: [...new Set(servedBy.map((offer) => offer.provider))].sort(),
  };
}

function routes(entry: ModelOffers, list: readonly Route[]): Resolution {
  return { kind: 'routes', model: entry.model, routes: list };
}

/**
 * The router may choose only if it can meet nobody who is unpriced or off, and if we have no wish
 * that it does not know: a provider called directly, an account's settings, a session's provider.
 */
function isLeftToRouter(
  entry: ModelOffers,
  policy: Policy,
  context: RoutingContext,
): entry is ModelOffers & { readonly router: RouterChoice } {
  const { account, first } = context;
  if (entry.router === null || first !== null) return false;
  // What this request would cost is not what the router compares.
  if (policy === 'cheapest' && context.policy.cheapestBy === 'total') return false;
  if (account !== null) {
    if (account.disabled.size > 0 || account.ownKeys.size > 0) return false;
    if (policy === 'preferred' && account.preferred.length > 0) return false;
  }
  return entry.offers.every((offer) =>
    offer.isDirect ? !isOurs(offer, context) : !offer.isLive || isUsable(offer, context),
  );
}

function isOurs(offer: Offer, context: RoutingContext): boolean {
  return !offer.needsOwnKey && isUsable(offer, context);
}

/** A failed call under an organization's own key is never repeated at its cost under ours. */
function withoutOursAfterTheirs(list: readonly Route[]): readonly Route[] {
  const at = list.findIndex(({ isExternal }) => isExternal);
  return at < 0 ? list : list.filter(({ isExternal }, index) => index < at || isExternal);
}

function healthyBefore(
  left: Route,
  ways: readonly Route[],
  ordered: readonly Offer[],
  health: HealthView,
): readonly Route[] {
  const healthy = ordered.filter((offer) => health.isHealthy(offer.upstream, offer.provider));
  // They come first in `ordered`, and so in `ways`.
  return [...ways.slice(0, healthy.length), left, ...ways.slice(healthy.length)];
}

function pinned(offer: Offer, account: AccountRouting | null): Route {
  const isTheirs = isExternal(offer, account);
  const { provider, contextLength } = offer;
  return {
    upstream: offer.upstream,
    provider,
    modelSent: offer.modelSent,
    candidates: [{ provider, contextLength, prices: isTheirs ? FREE : offer.prices }],
    behaviour: offer.behaviour,
    path: offer.path,
    isExternal: isTheirs,
  };
}

function leftToRouter(
  asked: AskedModel,
  { upstream, path }: RouterChoice,
  ways: readonly Route[],
  { policy, account }: RoutingContext,
): Route {
  const isNeverAsked = ways.every(({ behaviour }) => behaviour.streamUsage === 'never');
  const field = ways[0]?.behaviour.maxOutputField;
  const isOneField = ways.every(({ behaviour }) => behaviour.maxOutputField === field);
  const isDefault = asked.suffix.kind === 'none' && account !== null && account.default !== null;
  return {
    upstream,
    provider: null,
    modelSent: isDefault ? `${asked.model}:${account.default}` : asked.text,
    candidates: ways.flatMap(({ candidates }) => candidates),
    behaviour: {
      ...policy.routerBehaviour,
      ...(isNeverAsked ? { streamUsage: 'never' } : {}),
      ...(isOneField && field !== undefined ? { maxOutputField: field } : {}),
    },
    path,
    isExternal: false,
  };
}

/** What is held for a call under the organization's own key: nothing. It is no row of the book. */
const FREE: readonly RowsByUnit[] = [
  new Map<Unit, PriceRow>([
    [
      'request',
      {
        id: 0n,
        upstream: '',
        provider: '',
        model: '',
        unit: 'request',
        condition: null,
        picoUsd: 0n,
        perUnits: 1n,
        effectiveFrom: new Date(0),
        effectiveTo: null,
        source: 'manual',
      },
    ],
  ]),
];
