import type { AccountRouting, Candidate, HealthView, ProviderBehaviour } from './routing-offers.js';
import type { Policy, TokenEstimate } from './routing-order.js';
import type { Task } from './tasks.js';

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
