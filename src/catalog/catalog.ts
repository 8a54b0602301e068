import type { PriceRow, RowsByUnit } from '../domain/pricing.js';

/** The router in front of which we stand: the upstream of every route until others are configured. */
export const DEFAULT_UPSTREAM = 'default';

/** How a provider behaves on the wire: data, not code. */
export interface ProviderBehaviour {
  /** Whether it goes on billing when the connection is closed (then we read on). */
  readonly onClientGone: 'drain' | 'abort';
  /** Whether a stream must be asked for its usage, and may be. */
  readonly streamUsage: 'ask' | 'never';
  /** The field in which it takes the maximum of output tokens. */
  readonly maxOutputField: string;
}

/** A provider that may serve a request, with what it would charge at most. */
export interface Candidate {
  readonly provider: string;
  /** Tokens; null: the catalogue does not say. */
  readonly contextLength: number | null;
  /** Prices in force now, or within the time an admission may wait: the dearest per unit counts. */
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
      /** `unpriced`: served, but by nobody whose price is known. `provider`: not by the pinned one. */
      readonly reason: 'unknown' | 'unpriced' | 'provider';
      readonly model: string;
      readonly pinned: string | null;
      /** The closest known model ids, best first. */
      readonly closest: readonly string[];
      /** Providers that do serve the model. */
      readonly servedBy: readonly string[];
    };

/** What the hot path asks of the catalogue; answered from memory. */
export abstract class Catalog {
  /** Routes for the `model` a caller wrote (`org/name`, `org/name:suffix`). */
  abstract resolve(modelText: string, at: Date): Resolution;
  /** Every price row of a provider, past and future, for `rowsInForce`. */
  abstract priceRows(upstream: string, provider: string): readonly PriceRow[];
  /** The provider refused to be asked for a stream's usage: it is not asked again. */
  abstract rememberNoStreamUsage(upstream: string, provider: string | null): void;
}
