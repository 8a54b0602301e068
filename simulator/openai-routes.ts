import { serveChat } from './chat.js';
import { withKey } from './credentials.js';
import type { Route } from './routes.js';

/** The router's own OpenAI-style routes. */
export const routerRoutes: readonly Route[] = [
  {
    method: 'POST',
    pattern: /^\/v1\/chat\/completions$/,
    serve: (request) =>
      withKey(request, (bytes) => serveChat(request.context, request.exchange, bytes, null)),
  },
];

/** The same at every provider's own path. */
export const atProviderRoutes: readonly Route[] = [
  {
    method: 'POST',
    pattern: /^\/([a-z0-9-]{2,40})\/(?:[\w.%-]+\/)*chat\/completions$/,
    serve: (request) =>
      withKey(request, (bytes) =>
        serveChat(request.context, request.exchange, bytes, request.groups[0] ?? ''),
      ),
  },
];
