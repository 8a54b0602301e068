import type { ProviderBehaviour } from '../domain/routing-offers.js';
import { isRouter, type UpstreamKind } from './provider-routes.js';

/** An operator's settings over the table; null: the table counts. */
export interface BehaviourSettings {
  readonly onClientGone: 'drain' | 'abort' | null;
  readonly streamUsage: 'ask' | 'never' | null;
  readonly maxOutputField: string | null;
  readonly rejects: readonly string[] | null;
}

/** Where nothing is known: reading on loses no money, and most understand the question. */
const UNKNOWN_PROVIDER: ProviderBehaviour = {
  onClientGone: 'drain',
  streamUsage: 'ask',
  maxOutputField: 'max_tokens',
  rejects: [],
};

const STOPS_BILLING = { onClientGone: 'abort' } as const;

/**
 * What is known of providers called by themselves, gathered from their documentation (August 2026).
 * Only what differs from `UNKNOWN_PROVIDER`.
 */
const PROVIDERS: ReadonlyMap<string, Partial<ProviderBehaviour>> = new Map<
  string,
  Partial<ProviderBehaviour>
>([
  ['anthropic', STOPS_BILLING],
  // Its reasoning models refuse `max_tokens`.
  ['openai', { ...STOPS_BILLING, maxOutputField: 'max_completion_tokens' }],
  ['together', STOPS_BILLING],
  ['fireworks-ai', STOPS_BILLING],
  ['deepinfra', STOPS_BILLING],
  ['novita', STOPS_BILLING],
  ['cohere', STOPS_BILLING],
  ['cerebras', { rejects: ['store'] }],
  ['xai', STOPS_BILLING],
  ['deepseek', STOPS_BILLING],
  // Answers 422 to `stream_options`, and reports usage unasked.
  ['mistral', { streamUsage: 'never' }],
]);

/** How the router behaves when it chooses the provider itself. */
export const ROUTER_BEHAVIOUR: ProviderBehaviour = UNKNOWN_PROVIDER;

/**
 * How a provider behaves behind an upstream. Through a router a closed connection
 * always bills on, whatever the provider would do by itself: `drain`, unless the operator says
 * otherwise.
 */
export function behaviourOf(
  kind: UpstreamKind,
  provider: string,
  settings: BehaviourSettings | undefined,
): ProviderBehaviour {
  const known = { ...UNKNOWN_PROVIDER, ...PROVIDERS.get(provider) };
  return {
    onClientGone: settings?.onClientGone ?? (isRouter(kind) ? 'drain' : known.onClientGone),
    streamUsage: settings?.streamUsage ?? known.streamUsage,
    maxOutputField: settings?.maxOutputField ?? known.maxOutputField,
    rejects: settings?.rejects ?? known.rejects,
  };
}
