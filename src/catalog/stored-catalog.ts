import type { PriceRow } from '../domain/pricing.js';
import type { BehaviourSettings } from './provider-behaviour.js';
import type { ProviderModelIds } from './provider-model-ids.js';
import type { UpstreamKind } from './provider-routes.js';

/** The router, or a provider that is called directly. */
export interface StoredUpstream {
  readonly name: string;
  readonly kind: UpstreamKind;
  readonly isEnabled: boolean;
  /** Of a direct one: its provider. */
  readonly provider: string | null;
  /** It can be called with what the operator gave: a key, or none where none is needed. */
  readonly hasKey: boolean;
}

/** A model as the store keeps it; `entry` is the upstream's own, without its providers. */
export interface StoredModel {
  readonly upstream: string;
  readonly id: string;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly isListed: boolean;
}

/** A provider that serves a model through an upstream, as the store keeps it. */
export interface StoredRoute {
  readonly upstream: string;
  readonly model: string;
  readonly provider: string;
  /** What the provider calls the model; null: as `model`. */
  readonly providerModelId: string | null;
  readonly status: 'live' | 'error';
  readonly contextLength: number | null;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly isListed: boolean;
  readonly isPriceStale: boolean;
}

export interface StoredProvider extends BehaviourSettings {
  readonly slug: string;
  readonly isEnabled: boolean;
  readonly modelIds: ProviderModelIds | null;
}

/** Everything the store says about upstreams, providers, models and prices at one moment. */
export interface StoredCatalog {
  readonly upstreams: readonly StoredUpstream[];
  readonly models: readonly StoredModel[];
  readonly routes: readonly StoredRoute[];
  readonly prices: readonly PriceRow[];
  readonly providers: readonly StoredProvider[];
}
