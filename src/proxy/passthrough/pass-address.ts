import type { Upstream } from '../upstreams.js';
import type { MatchedRoute } from './match.js';

/** A connection and the path on it of one request to a provider's own route. */
export interface PassAddress {
  readonly upstream: Upstream;
  readonly dispatcher: Upstream['dispatcher'];
  readonly path: string;
}

/** Only a router understands it: of the provider itself it is another host. */
const ROUTER_PARAMETERS = ['_subdomain'];

/**
 * Where a provider's own path is at an upstream: under the provider's slug at a router, as it is at
 * the provider itself.
 */
export function addressOf(upstream: Upstream, provider: string, pathAndQuery: string): PassAddress {
  if (upstream.kind === 'huggingface_router' || upstream.kind === 'openai_router') {
    const path = `${upstream.basePath}/${provider}${pathAndQuery}`;
    return { upstream, dispatcher: upstream.dispatcher, path };
  }
  const isQueue = /[?&]_subdomain=queue(?:&|$)/.test(pathAndQuery);
  const { dispatcher, basePath } = (isQueue ? upstream.queue : null) ?? upstream;
  return { upstream, dispatcher, path: basePath + withoutRouterParameters(pathAndQuery) };
}

function withoutRouterParameters(pathAndQuery: string): string {
  const at = pathAndQuery.indexOf('?');
  if (at < 0) return pathAndQuery;
  const query = new URLSearchParams(pathAndQuery.slice(at + 1));
  for (const name of ROUTER_PARAMETERS) query.delete(name);
  const path = pathAndQuery.slice(0, at);
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}

/** Where a request to a provider's own route goes. */
export function passAddressOf(upstream: Upstream, pass: MatchedRoute): PassAddress {
  const query = new URLSearchParams(pass.query.map(([name, value]) => [name, value])).toString();
  return addressOf(upstream, pass.provider, query === '' ? pass.path : `${pass.path}?${query}`);
}
