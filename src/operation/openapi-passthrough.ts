import type { OpenAPIObject } from '@nestjs/swagger';
import type { PassRoute, RouteRole } from '../proxy/passthrough/pass-route.js';
import { ROUTE_TABLES } from '../proxy/passthrough/route-tables.js';

type PathItem = OpenAPIObject['paths'][string];
type Operation = NonNullable<PathItem['post']>;

const METHODS = { GET: 'get', POST: 'post', PUT: 'put' } as const;

const WHAT: Readonly<Record<RouteRole, string>> = {
  call: 'answered with the result',
  submit: 'starts a job',
  poll: 'status of a job',
  result: 'result of a job',
  cancel: 'cancels a job',
};

/** The providers' own routes, as the tables have them: one entry for each provider and method. */
export const PASSTHROUGH_PATHS: Readonly<Record<string, PathItem>> = Object.fromEntries(
  [...ROUTE_TABLES].map(([provider, routes]) => [`/${provider}/{path}`, itemOf(provider, routes)]),
);

function itemOf(provider: string, routes: readonly PassRoute[]): PathItem {
  const item: PathItem = {};
  for (const [method, name] of Object.entries(METHODS)) {
    const own = routes.filter((route) => route.method === method);
    if (own.length > 0) item[name] = operationOf(provider, name, own);
  }
  return item;
}

function operationOf(provider: string, method: string, routes: readonly PassRoute[]): Operation {
  const lines = routes.map(({ pattern, role, query }) => {
    const required = new URLSearchParams(query.required).toString();
    const path = required === '' ? pattern : `${pattern}?${required}`;
    return `- \`${path}\`: ${WHAT[role]}`;
  });
  return {
    operationId: `passthrough.${provider}.${method}`,
    summary: `Routes of ${provider}, as it has them itself`,
    description: [
      'These and no others; anything else is 404 and never leaves us.',
      ...lines,
      'A job is seen by the account that submitted it alone, its status and result cost nothing, and a result webhook is refused.',
    ].join('\n'),
    tags: ['proxy'],
    security: [{ bearer: [] }],
    responses: {
      '200': {
        description: 'The answer of the provider.',
        content: { 'application/json': { schema: { type: 'object', additionalProperties: true } } },
      },
      '404': {
        description: '`unknown_route`: no such route, or no such job of yours',
        content: {
          'application/json': { schema: { $ref: '#/components/schemas/ErrorAnswer' } },
        },
      },
    },
  };
}
