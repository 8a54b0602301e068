import { serveHubModel } from './hub-models.js';
import { serveModels } from './models.js';
import type { Route } from './routes.js';

/** The catalogue needs no key, as the router's does not. */
export const catalogueRoutes: readonly Route[] = [
  {
    method: 'GET',
    pattern: /^\/v1\/models$/,
    serve: ({ context, exchange }) => serveModels(context, exchange, null),
  },
  {
    method: 'GET',
    pattern: /^\/v1\/models\/(.*)$/,
    serve: ({ context, exchange, groups }) => serveModels(context, exchange, groups[0] ?? ''),
  },
  {
    method: 'GET',
    pattern: /^\/api\/models\/(.*)$/,
    serve: ({ context, exchange, groups }) => {
      serveHubModel(context, exchange, groups[0] ?? '');
    },
  },
];
