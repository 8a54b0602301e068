import type { UnitPrice } from './money.js';
import type { RowsByUnit } from './pricing.js';

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

/**
 * One way to a provider's service of one model, as the catalogue and the price book state it at one
 * instant: through the router, or directly. A provider may have both.
 */
export interface Offer {
  readonly upstream: string;
  readonly provider: string;
  /** Called at the provider itself: a key of the account's own can be used. */
  readonly isDirect: boolean;
  /** The operator has no key for it (or its catalogue does not list it): of use to own keys only. */
  readonly needsOwnKey: boolean;
  /** Listed with status `live`. A provider in state `error` is never used, pinned or not. */
  readonly isLive: boolean;
  /** Not switched off by the operator. */
  readonly isEnabled: boolean;
  /** Its ordinary price is known; see `isPriced`. */
  readonly isPriced: boolean;
  readonly contextLength: number | null;
  /** Tokens per second, as the catalogue states it; null: it does not. */
  readonly throughput: number | null;
  /** Ordinary prices; null: none. */
  readonly inputPrice: UnitPrice | null;
  readonly outputPrice: UnitPrice | null;
  readonly prices: readonly RowsByUnit[];
  readonly behaviour: ProviderBehaviour;
  /** What goes into `model` to have it served by this provider and no other. */
  readonly modelSent: string;
  /** Behind the upstream's base URL. */
  readonly path: string;
}

/** The router as one that may choose the provider of a model by itself. */
export interface RouterChoice {
  readonly upstream: string;
  readonly path: string;
}

/** A model and a task at one instant. */
export interface ModelOffers {
  readonly model: string;
  /** null: it does not list the model, or takes no choice: it is then told who is to serve. */
  readonly router: RouterChoice | null;
  readonly offers: readonly Offer[];
}

/** What is known of the ways to a model's providers from the calls that were made. */
export interface HealthView {
  /** @param provider null: the router's own choice. */
  isHealthy(upstream: string, provider: string | null): boolean;
  /** Tokens per second; null: not measured. */
  throughput(upstream: string, provider: string): number | null;
}

/** Nothing was measured and nothing failed. */
export const ALL_HEALTHY: HealthView = {
  isHealthy: () => true,
  throughput: () => null,
};
