import { withKey } from './credentials.js';
import type { Endpoint } from './endpoint.js';
import { endpoints } from './endpoints.js';
import { pictureRoute } from './images.js';
import { serveCountTokens } from './messages.js';
import type { Route } from './routes.js';
import { type EndpointForm, serveEndpoint } from './serve-endpoint.js';
import { serveTranscription, transcriptionForm } from './transcriptions.js';

/** The router's own OpenAI-style routes. */
export const routerRoutes: readonly Route[] = [
  ...endpoints.map((endpoint): Route => ({
    method: 'POST',
    pattern: new RegExp(`^/v1/${endpoint.path}$`),
    serve: (request) => serve(request, endpoint, null),
  })),
  {
    method: 'POST',
    pattern: new RegExp(`^/v1/${transcriptionForm.path}$`),
    serve: (request) => serveTranscription(request, null),
  },
  pictureRoute,
  {
    // The same wherever it is asked: no provider's terms decide it.
    method: 'POST',
    pattern: /^\/(?:[\w.%-]+\/)+messages\/count_tokens$/,
    serve: (request) => {
      const count = (bytes: Buffer): void => {
        serveCountTokens(request, bytes);
      };
      return withKey(request, count, 'anthropic');
    },
  },
];

/** The same at every provider's own path. */
export const atProviderRoutes: readonly Route[] = [
  ...endpoints.map((endpoint): Route => ({
    method: 'POST',
    pattern: atProvider(endpoint),
    serve: (request) => serve(request, endpoint, request.groups[0] ?? ''),
  })),
  {
    method: 'POST',
    pattern: atProvider(transcriptionForm),
    serve: (request) => serveTranscription(request, request.groups[0] ?? ''),
  },
];

function atProvider({ path }: EndpointForm): RegExp {
  return new RegExp(`^/([a-z0-9-]{2,40})/(?:[\\w.%-]+/)*${path}$`);
}

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
