import type { OpenAPIObject } from '@nestjs/swagger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startService, type TestService } from '../support/service.js';

/** `get /api/things/{}`: parameters have other names in the document than in the router. */
type Route = string;

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
/** Files of the page, and what stands in no document: the redirect of `/`. */
const isAsset = (path: string): boolean => path === '/' || path.startsWith('/api/docs/');

let service: TestService;
let document: OpenAPIObject;

beforeAll(async () => {
  service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' });
  document = (await (await fetch(`${service.url}/api/openapi.json`)).json()) as OpenAPIObject;
});

afterAll(async () => {
  await service.close();
});

describe('the OpenAPI document', () => {
  it('has every route of the server', () => {
    const routes = registeredRoutes(printedRoutes());
    expect(routes.length).toBeGreaterThan(20);
    expect(routes).toContain('post /v1/chat/completions');
    expect(routes.filter((route) => !documentedRoutes(document).includes(route))).toEqual([]);
  });

  it('has no route that the server does not have', () => {
    const routes = registeredRoutes(printedRoutes());
    expect(documentedRoutes(document).filter((route) => !routes.includes(route))).toEqual([]);
  });

  it('is found wanting when a route is planted', () => {
    const planted = registeredRoutes(
      `${printedRoutes()}└── /api/planted (GET)\n    └── /:id/* (DELETE)\n`,
    );
    expect(planted.filter((route) => !documentedRoutes(document).includes(route))).toEqual([
      'get /api/planted',
      'delete /api/planted/{}/{}',
    ]);
  });

  it('refers to nothing that it does not contain, and names each operation once', () => {
    const text = JSON.stringify(document);
    const refs = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name ?? '',
    );
    expect(refs.length).toBeGreaterThan(10);
    const schemas = Object.keys(document.components?.schemas ?? {});
    expect([...new Set(refs)].filter((name) => !schemas.includes(name))).toEqual([]);
    const ids = operations(document).flatMap(({ operationId }) => operationId ?? []);
    expect(ids).toEqual([...new Set(ids)]);
  });

  it('says how usage is asked for', () => {
    const parameters = document.paths['/api/organizations/{slug}/usage']?.get?.parameters ?? [];
    const names = parameters.flatMap((parameter) => ('name' in parameter ? [parameter.name] : []));
    expect(names.sort()).toEqual([
      'bucket',
      'cursor',
      'end',
      'groupBy',
      'limit',
      'member',
      'model',
      'provider',
      'slug',
      'start',
      'tag:{key}',
      'task',
      'token',
    ]);
    expect(parameters).toContainEqual(
      expect.objectContaining({
        name: 'bucket',
        required: false,
        schema: expect.objectContaining({
          oneOf: [{ type: 'string', enum: ['hour', 'day', 'month'] }],
        }) as unknown,
      }),
    );
  });

  it('asks for a token on every route of the API but its own description', () => {
    const open = Object.entries(document.paths)
      .filter(([path]) => path.startsWith('/api/'))
      .filter(([, item]) => operationsOf(item).some(({ security }) => security === undefined))
      .map(([path]) => path);
    expect(open.sort()).toEqual(['/api/docs', '/api/openapi.json']);
  });
});

it('serves the page with everything it needs, from nowhere else', async () => {
  const page = await fetch(`${service.url}/api/docs`);
  expect(page.status).toBe(200);
  expect(page.headers.get('content-type')).toContain('text/html');
  const html = await page.text();
  const sources = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source ?? '');
  expect(sources.length).toBeGreaterThanOrEqual(4);
  expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  for (const source of sources) {
    const answer = await fetch(new URL(source, `${service.url}/api/docs`));
    expect([source, answer.status]).toEqual([source, 200]);
    expect((await answer.arrayBuffer()).byteLength).toBeGreaterThan(100);
  }
  const init = await (await fetch(`${service.url}/api/docs/swagger-ui-init.js`)).text();
  expect(init).toContain('"validatorUrl": null');
  expect(init).toContain('/v1/chat/completions');
});

function printedRoutes(): string {
  return service.app.getHttpAdapter().getInstance().printRoutes();
}

/** The router's tree, a line a node: four characters a level, the piece of the path, its methods. */
function registeredRoutes(printed: string): Route[] {
  const above: string[] = [];
  return printed.split('\n').flatMap((line) => {
    const match = /^((?:│ {3}| {4})*)[├└]── (\S+)(?: \(([A-Z, ]+)\))?$/.exec(line);
    if (match === null) {
      if (line.trim() !== '') throw new Error(`a line of the router that cannot be read: ${line}`);
      return [];
    }
    const [, indent = '', piece = '', methods = ''] = match;
    above.length = indent.length / 4;
    above.push(piece);
    const path = above.join('');
    if (isAsset(path)) return [];
    return methods
      .split(', ')
      .map((method) => method.toLowerCase())
      .filter((method) => METHODS.includes(method))
      .map((method) => `${method} ${path.replace(/:[^/]+/g, '{}').replace('*', '{}')}`);
  });
}

function documentedRoutes({ paths }: OpenAPIObject): Route[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map(
      (method) => `${method} ${path.replace(/\{[^}]+\}/g, '{}')}`,
    ),
  );
}

type PathItem = OpenAPIObject['paths'][string];
type Operation = NonNullable<PathItem['get']>;

function operations({ paths }: OpenAPIObject): Operation[] {
  return Object.values(paths).flatMap(operationsOf);
}

function operationsOf({ get, post, put, patch, delete: remove }: PathItem): Operation[] {
  return [get, post, put, patch, remove].flatMap((operation) => operation ?? []);
}
