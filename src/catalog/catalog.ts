import type { PriceRow, RowsByUnit } from '../domain/pricing.js';
import type { ProviderBehaviour } from '../domain/routing-offers.js';
import type { Resolution, RouteAsk } from '../domain/routing-ask.js';

export type { Resolution, Route, RouteAsk } from '../domain/routing-ask.js';
export type { Candidate, ProviderBehaviour } from '../domain/routing-offers.js';

/** The router in front of which we stand: the upstream of every route until others are configured. */
export const DEFAULT_UPSTREAM = 'default';

/** Who serves the models of a default upstream that is no router but the server itself. */
export const OPENAI_COMPATIBLE = 'openai-compatible';

/** What a request is priced by: the model it asked for, its condition, the instant of admission. */
export interface PriceKey {
  readonly model: string;
  readonly condition: string | null;
  readonly at: Date;
}

/** What the hot path asks of the catalogue; answered from memory. */
export abstract class Catalog {
  /** Where a request for the `model` a caller wrote (`org/name`, `org/name:suffix`) may go. */
  abstract resolve(ask: RouteAsk): Resolution;
  /** Every price row of a provider, of the last 35 days and to come, for `rowsInForce`. */
  abstract priceRows(upstream: string, provider: string): readonly PriceRow[];
  /**
   * `rowsInForce` of a provider's rows, looked up by model instead of searched: what the settlement
   * of one attempt needs.
   */
  abstract pricesInForce(upstream: string, provider: string, key: PriceKey): RowsByUnit;
  /** What a provider calls `ownId`, by the id that it has here. */
  abstract idOf(provider: string, ownId: string): string;
  /** How a provider behaves behind an upstream; null: the operator has switched it off. */
  abstract behaviourAt(upstream: string, provider: string): ProviderBehaviour | null;
  /** The provider refused to be asked for a stream's usage: it is not asked again. */
  abstract rememberNoStreamUsage(upstream: string, provider: string | null): void;
}
