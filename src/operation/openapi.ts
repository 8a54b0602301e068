import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { packageRoot } from '../database/package-root.js';
import { PASSTHROUGH_PATHS } from './openapi-passthrough.js';
import { PROXY_PATHS } from './openapi-proxy.js';

type PathItem = OpenAPIObject['paths'][string];
type Operation = NonNullable<PathItem['get']>;

const PAGE = 'api/docs';
const DOCUMENT = 'api/openapi.json';

const DESCRIPTION = `A metering and billing proxy for OpenAI-compatible model routers.

Money is a decimal string in US dollars, times are ISO 8601 in UTC, lists are pages of \`data\` with a
\`nextCursor\` to be sent as \`cursor\`. Send a token as \`authorization: Bearer tg_...\`; operator routes
take the admin token.`;

/**
 * Serves the document at `/api/openapi.json` and a page to read and try it at `/api/docs`, both from
 * files of ours. Call it once, after the application was created and before it listens.
 */
export function setupOpenApi(app: NestFastifyApplication): void {
  SwaggerModule.setup(PAGE, app, () => openApiDocument(app), {
    jsonDocumentUrl: DOCUMENT,
    raw: ['json'],
    customSiteTitle: 'Tollgate API',
    // The page asks nobody else: no badge of an online validator.
    swaggerOptions: { validatorUrl: null, displayRequestDuration: true },
  });
}

/** Every route of the service: those of the controllers, and by hand those outside of Nest. */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const head = new DocumentBuilder()
    .setTitle('Tollgate')
    .setDescription(DESCRIPTION)
    .setVersion(packageVersion())
    .addServer('/')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: '`tg_...`, or the admin token.' })
    .build();
  const document = SwaggerModule.createDocument(app, head, {
    operationIdFactory: (controller, method) =>
      `${controller.replace(/Controller$/, '')}.${method}`,
  });
  document.paths = { ...PROXY_PATHS, ...PASSTHROUGH_PATHS, ...document.paths, ...ownPaths() };
  for (const [path, item] of Object.entries(document.paths)) declarePathParameters(path, item);
  return document;
}

/** Controllers with several prefixes read the account of a path by a decorator of their own. */
function declarePathParameters(path: string, item: PathItem): void {
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name = '']) => name);
  for (const operation of [item.get, item.post, item.put, item.patch, item.delete]) {
    if (operation === undefined) continue;
    const parameters = operation.parameters ?? [];
    const declared = parameters.flatMap((one) =>
      'in' in one && one.in === 'path' ? one.name : [],
    );
    const missing = names.filter((name) => !declared.includes(name));
    operation.parameters = [
      ...missing.map((name) => ({
        name,
        in: 'path' as const,
        required: true,
        schema: { type: 'string' },
      })),
      ...parameters,
    ];
  }
}

function ownPaths(): Record<string, PathItem> {
  const answers = (description: string, type: string): Operation => ({
    summary: description,
    tags: ['operation'],
    responses: { '200': { description, content: { [type]: { schema: {} } } } },
  });
  return {
    [`/${DOCUMENT}`]: { get: answers('This document', 'application/json') },
    [`/${PAGE}`]: { get: answers('A page to read and try it', 'text/html') },
  };
}

function packageVersion(): string {
  const text = readFileSync(join(packageRoot(), 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
