import { withKey } from './credentials.js';
import type { Endpoint } from './endpoint.js';
import { endpoints } from './endpoints.js';
import type { Route } from './routes.js';
import { serveEndpoint } from './serve-endpoint.js';

/** The router's own OpenAI-style routes. */
export const routerRoutes: readonly Route[] = endpoints.map((endpoint) => ({
  method: 'POST',
  pattern: new RegExp(`^/v1/${endpoint.path}$`),
  serve: (request) => serve(request, endpoint, null),
}));

/** The same at every provider's own path. */
export const atProviderRoutes: readonly Route[] = endpoints.map((endpoint) => ({
  method: 'POST',
  pattern: new RegExp(`^/([a-z0-9-]{2,40})/(?:[\\w.%-]+/)*${endpoint.path}$`),
  serve: (request) => serve(request, endpoint, request.groups[0] ?? ''),
}));

async function serve(
  request: Parameters<Route['serve']>[0],
  endpoint: Endpoint,
  at: string | null,
): Promise<void> {
  const { context, exchange } = request;
  const served = (bytes: Buffer): Promise<void> =>
    serveEndpoint(context, exchange, endpoint, bytes, at);
  await withKey(request, served, endpoint.errors);
}
