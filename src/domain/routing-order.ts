import { groupBy } from './group.js';
import type { UnitPrice } from './money.js';
import type { HealthView, Offer } from './routing-offers.js';

export type Policy = 'fastest' | 'cheapest' | 'preferred';

/** About how much a request will use: what its total cost is compared by. */
export interface TokenEstimate {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface OrderRules {
  readonly policy: Policy;
  /** For `preferred`: slugs, best first. */
  readonly preferred: readonly string[];
  readonly cheapestBy: 'total' | 'output';
  /** null: not known; then the price of output decides. */
  readonly estimate: TokenEstimate | null;
  /** The provider that goes first whatever the policy says; null: none. */
  readonly first: string | null;
}

/** The ways to one provider: directly, then through the router. */
interface ProviderGroup {
  readonly provider: string;
  readonly offers: readonly Offer[];
  readonly cost: Fraction | null;
  readonly throughput: number;
  readonly rank: number;
}

/** A non-negative number, exactly. */
interface Fraction {
  readonly over: bigint;
  readonly under: bigint;
}

/**
 * The offers in the order in which they are to be tried. The same whatever their order before: ties
 * go by the provider's name. All ways to a provider stand together, but what is unhealthy comes last,
 * and never away: when nothing healthy is left it is still tried.
 */
export function inOrder(
  offers: readonly Offer[],
  rules: OrderRules,
  health: HealthView,
): readonly Offer[] {
  const groups = groupsOf(offers, rules, health);
  groups.sort((one, other) => compareGroups(one, other, rules));
  return healthyFirst(
    groups.flatMap((group) => group.offers),
    health,
  );
}

/** The providers one of whose ways is healthy; all of them when none is. */
export function healthyProviders(offers: readonly Offer[], health: HealthView): readonly string[] {
  const healthy = offers.filter((offer) => health.isHealthy(offer.upstream, offer.provider));
  const eligible = healthy.length > 0 ? healthy : offers;
  return [...new Set(eligible.map(({ provider }) => provider))];
}

/** Directly before through the router, and by name: the order of one provider's ways. */
export function directFirst(offers: readonly Offer[]): readonly Offer[] {
  if (offers.length < 2) return offers;
  return offers.toSorted(
    (one, other) =>
      Number(other.isDirect) - Number(one.isDirect) || compareText(one.upstream, other.upstream),
  );
}

export function healthyFirst(offers: readonly Offer[], health: HealthView): readonly Offer[] {
  const isHealthy = (offer: Offer): boolean => health.isHealthy(offer.upstream, offer.provider);
  if (offers.every(isHealthy)) return offers;
  return [...offers.filter(isHealthy), ...offers.filter((offer) => !isHealthy(offer))];
}

/**
 * The provider with the highest hash of (key, provider): every process finds the same one without
 * asking, and when a provider comes or goes only the keys that it wins or had won move.
 *
 * @param key what is to stay together: account, session and model.
 */
export function rendezvous(key: string, providers: readonly string[]): string | null {
  const start = hashOn(FNV_OFFSET, key);
  let winner: string | null = null;
  let highest = -1;
  for (const provider of providers) {
    const hash = mixed(hashOn(start, provider));
    if (hash > highest || (hash === highest && winner !== null && provider < winner)) {
      winner = provider;
      highest = hash;
    }
  }
  return winner;
}

/** Cost of the estimated tokens, exactly; null where a price that it needs is not there. */
function costOf(offer: Offer, { cheapestBy, estimate }: OrderRules): Fraction | null {
  const { inputPrice, outputPrice } = offer;
  if (cheapestBy === 'output' || estimate === null) {
    return outputPrice === null ? null : { over: outputPrice.picoUsd, under: outputPrice.perUnits };
  }
  if (inputPrice === null && outputPrice === null) return null;
  // A unit without a price beside one that has one is not used in this task: an embedding's output.
  const input = partOf(estimate.inputTokens, inputPrice);
  const output = partOf(estimate.outputTokens, outputPrice);
  return {
    over: input.over * output.under + output.over * input.under,
    under: input.under * output.under,
  };
}

function partOf(tokens: number, price: UnitPrice | null): Fraction {
  if (price === null) return { over: 0n, under: 1n };
  return { over: BigInt(Math.max(0, Math.ceil(tokens))) * price.picoUsd, under: price.perUnits };
}

function groupsOf(
  offers: readonly Offer[],
  rules: OrderRules,
  health: HealthView,
): ProviderGroup[] {
  return [...groupBy(offers, ({ provider }) => provider)].map(([provider, unsorted]) => {
    const sorted = directFirst(unsorted);
    // What it is compared by is the way that would be taken.
    const taken = healthyFirst(sorted, health)[0];
    const rank = rules.preferred.indexOf(provider);
    return {
      provider,
      offers: sorted,
      cost: taken === undefined ? null : costOf(taken, rules),
      throughput: taken === undefined ? -1 : throughputOf(taken, health),
      rank: rank < 0 ? rules.preferred.length : rank,
    };
  });
}

/** Measured, else stated, else unknown, which is slower than any. */
function throughputOf(offer: Offer, health: HealthView): number {
  return health.throughput(offer.upstream, offer.provider) ?? offer.throughput ?? -1;
}

function compareGroups(one: ProviderGroup, other: ProviderGroup, rules: OrderRules): number {
  if (one.provider === rules.first) return -1;
  if (other.provider === rules.first) return 1;
  return byPolicy(one, other, rules.policy) || compareText(one.provider, other.provider);
}

function byPolicy(one: ProviderGroup, other: ProviderGroup, policy: Policy): number {
  switch (policy) {
    case 'fastest':
      return other.throughput - one.throughput;
    case 'preferred':
      return one.rank - other.rank || other.throughput - one.throughput;
    case 'cheapest':
      return compareCosts(one.cost, other.cost);
  }
}

/** Cheaper first; no price is dearer than any. */
function compareCosts(one: Fraction | null, other: Fraction | null): number {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  const left = one.over * other.under;
  const right = other.over * one.under;
  return left < right ? -1 : left > right ? 1 : 0;
}

function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** FNV-1a over the UTF-16 units of a text and an end that no text contains. */
function hashOn(start: number, text: string): number {
  let hash = start;
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), FNV_PRIME);
  }
  return Math.imul(hash ^ 0x10000, FNV_PRIME);
}

/** MurmurHash3's finalizer: each bit of the input moves each of the output. */
function mixed(hash: number): number {
  let bits = hash;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
