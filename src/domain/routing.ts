import type { PriceRow, RowsByUnit } from './pricing.js';
import type {
  AccountRouting,
  Candidate,
  HealthView,
  ModelOffers,
  Offer,
  ProviderBehaviour,
  RouterChoice,
} from './routing-offers.js';
import {
  directFirst,
  healthyFirst,
  healthyProviders,
  inOrder,
  type Policy,
  type TokenEstimate,
} from './routing-order.js';
import { isTextTask, type Task } from './tasks.js';
import { TOKEN_UNITS, type Unit } from './units.js';

export type { AccountRouting, Candidate, ProviderBehaviour } from './routing-offers.js';

/** One call that could be made: to an upstream, pinned to a provider or left to the router. */
export interface Route {
  readonly upstream: string;
  /** null: the router chooses among the candidates. */
  readonly provider: string | null;
  /** What goes into `model`. */
  readonly modelSent: string;
  /** Who may serve it: one when pinned. Routes to the same offer share the same object. */
  readonly candidates: readonly Candidate[];
  readonly behaviour: ProviderBehaviour;
  /** Behind the upstream's base URL. */
  readonly path: string;
  /** Served under the organization's own key: shown, not charged. */
  readonly isExternal: boolean;
}

/** What a request's route depends on. */
export interface RouteAsk {
  /** `model` as the caller wrote it. */
  readonly modelText: string;
  readonly task: Task;
  readonly at: Date;
  /** Who pays; null: nobody in particular, without settings. */
  readonly account: { readonly id: string; readonly routing: AccountRouting | null } | null;
  /** Session id or `prompt_cache_key`: what of one account has it goes to one provider. */
  readonly stickyKey: string | null;
  /** For `:cheapest`; null: the price of output decides. */
  readonly estimate: TokenEstimate | null;
}

export type Resolution =
  | {
      readonly kind: 'routes';
      /** The model's id without a suffix. */
      readonly model: string;
      /**
       * In the order in which they are to be tried; never empty. No route under a key of ours comes
       * after one under the organization's own.
       */
      readonly routes: readonly Route[];
    }
  | {
      readonly kind: 'not_supported';
      /**
       * `unknown`: no such model. `unpriced`: served, but by nobody (or not by the pinned one) whose
       * price is known. `provider_disabled`: the organization switched off the pinned one, or
       * everybody who serves it. `provider`: not served by the pinned one, or, where none is pinned,
       * by nobody just now.
       */
      readonly reason: 'unknown' | 'unpriced' | 'provider' | 'provider_disabled';
      readonly model: string;
      readonly pinned: string | null;
      /** The closest known model ids, best first. */
      readonly closest: readonly string[];
      /** Providers that do serve the model. */
      readonly servedBy: readonly string[];
    };

export type NotSupported = Extract<Resolution, { kind: 'not_supported' }>;

export interface RoutingPolicy {
  /** `UNPRICED_MODELS`. */
  readonly unpricedModels: 'reject' | 'allow';
  /** How the router itself behaves when it chooses the provider. */
  readonly routerBehaviour: ProviderBehaviour;
  /** What `:cheapest` compares: the estimated cost of the request, or as routers do the output's price. */
  readonly cheapestBy: 'total' | 'output';
}

/** Everything beside the offers that decides where a request goes. */
export interface RoutingContext {
  readonly policy: RoutingPolicy;
  readonly account: AccountRouting | null;
  readonly health: HealthView;
  readonly estimate: TokenEstimate | null;
  /** The provider that a sticky key chose among `stickyProviders`; null: no such key. */
  readonly first: string | null;
}

/** What a caller wrote into `model`. */
export interface AskedModel {
  /** As written: what the router is sent when the choice is left to it. */
  readonly text: string;
  readonly model: string;
  readonly suffix:
    | { readonly kind: 'none' }
    | { readonly kind: 'policy'; readonly policy: Policy }
    | { readonly kind: 'provider'; readonly provider: string };
}

/** `org/name`, `org/name:fastest|cheapest|preferred`, `org/name:provider`. */
export function parseAskedModel(text: string): AskedModel {
  const colonAt = text.indexOf(':');
  if (colonAt < 0) return { text, model: text, suffix: { kind: 'none' } };
  const model = text.slice(0, colonAt);
  const suffix = text.slice(colonAt + 1);
  if (suffix === 'fastest' || suffix === 'cheapest' || suffix === 'preferred') {
    return { text, model, suffix: { kind: 'policy', policy: suffix } };
  }
  return { text, model, suffix: { kind: 'provider', provider: suffix } };
}

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

/** A model that nobody has heard of. */
export function unknownModel(asked: AskedModel, closest: readonly string[]): NotSupported {
  return {
    kind: 'not_supported',
    reason: 'unknown',
    model: asked.model,
    pinned: asked.suffix.kind === 'provider' ? asked.suffix.provider : null,
    closest,
    servedBy: [],
  };
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
