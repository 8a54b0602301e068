import type { UnitPrice } from './money.js';
import type { RowsByUnit } from './pricing.js';
import { INPUT_TOKEN_UNITS, OUTPUT_TOKEN_UNITS, type Unit } from './units.js';

/** How a provider behaves on the wire: data, not code. */
export interface ProviderBehaviour {
  /** Whether it goes on billing when the connection is closed (then we read on). */
  readonly onClientGone: 'drain' | 'abort';
  /** Whether a stream must be asked for its usage, and may be. */
  readonly streamUsage: 'ask' | 'never';
  /** The field in which it takes the maximum of output tokens. */
  readonly maxOutputField: string;
  /** Top-level fields of a body that it refuses. */
  readonly rejects: readonly string[];
}

/** A provider that may serve a request, with what it would charge at most. */
export interface Candidate {
  readonly provider: string;
  /** Tokens; null: the catalogue does not say. */
  readonly contextLength: number | null;
  /**
   * Prices in force now, or within the time an admission may wait, one map per condition and
   * instant: the dearest per unit counts. Never empty: a provider without any price (taken only
   * where such are allowed) has one map without rows.
   */
  readonly prices: readonly RowsByUnit[];
}

/** One call that could be made: to an upstream, pinned to a provider or left to the router. */
export interface Route {
  readonly upstream: string;
  /** null: the router chooses among the candidates. */
  readonly provider: string | null;
  /** What goes into `model`. */
  readonly modelSent: string;
  /** Who may serve it: one when pinned. */
  readonly candidates: readonly Candidate[];
  readonly behaviour: ProviderBehaviour;
  /** Behind the upstream's base URL. */
  readonly path: string;
  /** Served under the organization's own key: shown, not charged. */
  readonly isExternal: boolean;
}

/** What an account decided about providers. */
export interface AccountRouting {
  /** For a model without a suffix; null: as everybody's. */
  readonly default: 'fastest' | 'cheapest' | 'preferred' | null;
  /** Provider slugs, best first. */
  readonly preferred: readonly string[];
  /** Providers that none of its requests may go to. */
  readonly disabled: ReadonlySet<string>;
  /** Providers that it has a key of its own for. */
  readonly ownKeys: ReadonlySet<string>;
}

export type Resolution =
  | {
      readonly kind: 'routes';
      /** The model's id without a suffix. */
      readonly model: string;
      /** In the order in which they are to be tried; never empty. */
      readonly routes: readonly Route[];
    }
  | {
      readonly kind: 'not_supported';
      /**
       * `unknown`: no such model. `unpriced`: served, but by nobody (or not by the pinned one) whose
       * price is known. `provider`: not served by the pinned one, or, where none is pinned, by
       * nobody just now.
       */
      readonly reason: 'unknown' | 'unpriced' | 'provider';
      readonly model: string;
      readonly pinned: string | null;
      /** The closest known model ids, best first. */
      readonly closest: readonly string[];
      /** Providers that do serve the model. */
      readonly servedBy: readonly string[];
    };

/** A provider's offer of one model, as the catalogue and the price book state it at one instant. */
export interface Offer {
  readonly provider: string;
  /** Listed with status `live`. A provider in state `error` is never used, pinned or not. */
  readonly isLive: boolean;
  /** Not switched off by the operator. */
  readonly isEnabled: boolean;
  /** Its ordinary price is known; see `isPriced`. */
  readonly isPriced: boolean;
  readonly contextLength: number | null;
  /** Tokens per second; null: not stated. */
  readonly throughput: number | null;
  /** Ordinary price of output; null: none. */
  readonly outputPrice: UnitPrice | null;
  readonly prices: readonly RowsByUnit[];
  readonly behaviour: ProviderBehaviour;
}

/** A model at one instant. */
export interface ModelOffers {
  readonly upstream: string;
  readonly model: string;
  /** False: known from the price book alone; the router is then always told who is to serve. */
  readonly isListed: boolean;
  readonly offers: readonly Offer[];
}

export interface RoutingPolicy {
  /** `UNPRICED_MODELS`. */
  readonly unpricedModels: 'reject' | 'allow';
  /** How the router itself behaves when it chooses the provider. */
  readonly routerBehaviour: ProviderBehaviour;
}

/** What a caller wrote into `model`. */
export interface AskedModel {
  /** As written: what the router is sent when the choice is left to it. */
  readonly text: string;
  readonly model: string;
  readonly suffix:
    | { readonly kind: 'policy'; readonly policy: 'fastest' | 'cheapest' | 'preferred' }
    | { readonly kind: 'provider'; readonly provider: string };
}

/** `org/name` (= `:fastest`), `org/name:fastest|cheapest|preferred`, `org/name:provider`. */
export function parseAskedModel(text: string): AskedModel {
  const colonAt = text.indexOf(':');
  if (colonAt < 0) return { text, model: text, suffix: { kind: 'policy', policy: 'fastest' } };
  const model = text.slice(0, colonAt);
  const suffix = text.slice(colonAt + 1);
  if (suffix === 'fastest' || suffix === 'cheapest' || suffix === 'preferred') {
    return { text, model, suffix: { kind: 'policy', policy: suffix } };
  }
  return { text, model, suffix: { kind: 'provider', provider: suffix } };
}

/**
 * Where a request for a known model may go.
 *
 * Where every live provider is priced (and enabled) the choice is the router's, and `model` is sent
 * as the caller wrote it. Where some is not, a call left to the router could end at it: then we pin
 * the usable ones ourselves, in the order of the policy, and fail over ourselves. `preferred` is the
 * order of the upstream account, which we cannot read: then it is tried as `fastest`.
 */
export function routesFor(
  asked: AskedModel,
  entry: ModelOffers,
  policy: RoutingPolicy,
): Resolution {
  const isUsable = (offer: Offer): boolean =>
    isServing(offer) && (offer.isPriced || policy.unpricedModels === 'allow');
  const usable = entry.offers.filter(isUsable);
  const refuse = (reason: 'unpriced' | 'provider', servedBy: readonly Offer[]): Resolution => ({
    kind: 'not_supported',
    reason,
    model: entry.model,
    pinned: asked.suffix.kind === 'provider' ? asked.suffix.provider : null,
    closest: [],
    servedBy: servedBy.map(({ provider }) => provider),
  });
  if (asked.suffix.kind === 'provider') {
    const { provider } = asked.suffix;
    const offer = entry.offers.find((one) => one.provider === provider);
    if (offer === undefined || !isServing(offer)) return refuse('provider', usable);
    if (!isUsable(offer)) return refuse('unpriced', usable);
    return routes(entry, [pinned(entry, offer)]);
  }
  if (usable.length === 0) {
    const serving = entry.offers.filter(isServing);
    return refuse(serving.length === 0 ? 'provider' : 'unpriced', serving);
  }
  const live = entry.offers.filter((offer) => offer.isLive);
  if (entry.isListed && live.every(isUsable)) {
    return routes(entry, [leftToRouter(asked, entry, usable, policy)]);
  }
  const ordered = inOrderOf(asked.suffix.policy, usable);
  return routes(
    entry,
    ordered.map((offer) => pinned(entry, offer)),
  );
}

/** A model that nobody has heard of. */
export function unknownModel(asked: AskedModel, closest: readonly string[]): Resolution {
  return {
    kind: 'not_supported',
    reason: 'unknown',
    model: asked.model,
    pinned: asked.suffix.kind === 'provider' ? asked.suffix.provider : null,
    closest,
    servedBy: [],
  };
}

const TOKEN_UNITS: ReadonlySet<Unit> = new Set<Unit>([...INPUT_TOKEN_UNITS, ...OUTPUT_TOKEN_UNITS]);

/**
 * Whether a provider's rows price a whole answer: input and output, or no tokens at all (compute
 * time, images). One of the two alone does not: the hold would count the other as free.
 *
 * @param isChat false for a model that the catalogue of chat models does not list: an embedding has
 *   no output, so that one token unit is enough.
 */
export function isPriced(rows: RowsByUnit, isChat: boolean): boolean {
  if (rows.size === 0) return false;
  if (!isChat) return true;
  if (rows.has('input') && rows.has('output')) return true;
  for (const unit of rows.keys()) if (TOKEN_UNITS.has(unit)) return false;
  return true;
}

function isServing(offer: Offer): boolean {
  return offer.isLive && offer.isEnabled;
}

function routes(entry: ModelOffers, list: readonly Route[]): Resolution {
  return { kind: 'routes', model: entry.model, routes: list };
}

function pinned(entry: ModelOffers, offer: Offer): Route {
  return {
    upstream: entry.upstream,
    provider: offer.provider,
    modelSent: `${entry.model}:${offer.provider}`,
    candidates: [candidateOf(offer)],
    behaviour: offer.behaviour,
    path: '/v1/chat/completions',
    isExternal: false,
  };
}

function leftToRouter(
  asked: AskedModel,
  entry: ModelOffers,
  usable: readonly Offer[],
  policy: RoutingPolicy,
): Route {
  const isNeverAsked = usable.every(({ behaviour }) => behaviour.streamUsage === 'never');
  const first = usable[0]?.behaviour.maxOutputField;
  const isOneField = usable.every(({ behaviour }) => behaviour.maxOutputField === first);
  return {
    upstream: entry.upstream,
    provider: null,
    modelSent: asked.text,
    candidates: usable.map(candidateOf),
    behaviour: {
      ...policy.routerBehaviour,
      ...(isNeverAsked ? { streamUsage: 'never' } : {}),
      ...(isOneField && first !== undefined ? { maxOutputField: first } : {}),
    },
    path: '/v1/chat/completions',
    isExternal: false,
  };
}

function candidateOf({ provider, contextLength, prices }: Offer): Candidate {
  return { provider, contextLength, prices };
}

/** Best first; what does not state its speed or price comes last, ties stay as they were. */
function inOrderOf(
  policy: 'fastest' | 'cheapest' | 'preferred',
  offers: readonly Offer[],
): readonly Offer[] {
  switch (policy) {
    case 'preferred':
    case 'fastest':
      return offers.toSorted((one, other) => (other.throughput ?? -1) - (one.throughput ?? -1));
    case 'cheapest':
      return offers.toSorted((one, other) => comparePrices(one.outputPrice, other.outputPrice));
  }
}

/** Cheaper first; no price is dearer than any. */
function comparePrices(one: UnitPrice | null, other: UnitPrice | null): number {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  const left = one.picoUsd * other.perUnits;
  const right = other.picoUsd * one.perUnits;
  return left < right ? -1 : left > right ? 1 : 0;
}

const CLOSEST_MAX = 5;
/** Longer texts are no typing errors, and comparing them costs. */
const COMPARED_MAX_CHARS = 128;
const DISTANCE_MAX = 5;

/**
 * The known models that a caller most likely meant, best first, at most five: the same name under
 * another organization or in other letter case, then those within a small edit distance.
 */
export function closestModels(asked: string, known: readonly KnownModel[]): readonly string[] {
  if (asked === '' || asked.length > COMPARED_MAX_CHARS) return [];
  const { text, base } = knownModel(asked);
  const found: { readonly id: string; readonly distance: number }[] = [];
  for (const model of known) {
    const whole = editDistance(text, model.text, limitFor(text));
    const inName = whole === 0 ? 0 : editDistance(base, model.base, limitFor(base));
    // Between two at the same distance the one of the right organization is the better guess.
    const distance = Math.min(whole, inName + 0.5);
    if (distance <= DISTANCE_MAX + 0.5) found.push({ id: model.id, distance });
  }
  found.sort((one, other) => one.distance - other.distance || (one.id < other.id ? -1 : 1));
  return found.slice(0, CLOSEST_MAX).map(({ id }) => id);
}

/** An id in the form in which it is compared. */
export interface KnownModel {
  readonly id: string;
  readonly text: string;
  readonly base: string;
}

export function knownModel(id: string): KnownModel {
  const text = id.toLowerCase();
  return { id, text, base: text.slice(text.indexOf('/') + 1) };
}

function limitFor(text: string): number {
  return Math.min(DISTANCE_MAX, Math.floor(text.length / 4));
}

/** Levenshtein distance; Infinity when it is above the limit. */
export function editDistance(one: string, other: string, limit: number): number {
  if (Math.abs(one.length - other.length) > limit) return Infinity;
  // What both begin and end with costs nothing, and most of a mistyped name is right.
  let start = 0;
  let oneEnd = one.length;
  let otherEnd = other.length;
  while (start < oneEnd && start < otherEnd && one[start] === other[start]) start += 1;
  while (oneEnd > start && otherEnd > start && one[oneEnd - 1] === other[otherEnd - 1]) {
    oneEnd -= 1;
    otherEnd -= 1;
  }
  const width = otherEnd - start;
  let row = Array.from({ length: width + 1 }, (_, column) => column);
  for (let at = start; at < oneEnd; at += 1) {
    const next = [at - start + 1];
    let least = Infinity;
    for (let column = 1; column <= width; column += 1) {
      const isSame = one.charCodeAt(at) === other.charCodeAt(start + column - 1);
      const replaced = (row[column - 1] ?? 0) + (isSame ? 0 : 1);
      const cost = Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1);
      next.push(cost);
      if (cost < least) least = cost;
    }
    if (Math.min(least, at - start + 1) > limit) return Infinity;
    row = next;
  }
  const distance = row[width] ?? 0;
  return distance <= limit ? distance : Infinity;
}
