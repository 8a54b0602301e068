import type { IncomingMessage } from 'node:http';
import type { Context } from './context.js';
import { directCatalogueJson } from './direct-catalogues.js';
import { type DirectHost, directHost } from './direct-hosts.js';
import { jsonError } from './error-answers.js';
import { endpoints } from './endpoints.js';
import type { Exchange } from './exchange.js';
import { sendError } from './interruption.js';
import { isObject } from './json.js';
import { providerError } from './provider-errors.js';
import type { Routed } from './routes.js';
import { serveEndpoint } from './serve-endpoint.js';
import { serveJob } from './serve-job.js';
import { serveReadTranscription, transcriptionForm } from './transcriptions.js';
import type { Task } from './tasks.js';

/**
 * A provider without the router, `/_direct/{host}{path}`: its own routes, key, model ids, errors and
 * catalogue.
 */
export async function serveDirect(request: Routed, bytes: Buffer): Promise<void> {
  const { context, exchange, url, groups } = request;
  const [name = '', path = ''] = groups;
  const host = directHost(name);
  if (host !== null) await serveAt(context, exchange, bytes, host, path, url.searchParams);
  else sendError(exchange, jsonError(404, { error: `simulator: no host '${name}'` }), {});
}

async function serveAt(
  context: Context,
  exchange: Exchange,
  bytes: Buffer,
  host: DirectHost,
  path: string,
  query: URLSearchParams,
): Promise<void> {
  const { req } = exchange;
  const { provider, base } = host;
  const headers = { 'content-type': 'application/json', 'x-request-id': context.ids.unbilled() };
  const isCatalogue = req.method === 'GET' && base !== null && path === `${base}/models`;
  if (!(isCatalogue && host.isCataloguePublic) && !hasKey(context, host, req)) {
    sendError(exchange, providerError(provider, 'unauthorized'), headers);
    return;
  }
  if (isCatalogue) {
    exchange.answer(200, headers, directCatalogueJson(context.catalogue, host));
    return;
  }
  const ask = { req, method: req.method ?? '', path, query };
  const request = host.jobs?.read(ask) ?? null;
  if (host.jobs !== null && request !== null) {
    const call = { context, exchange, protocol: host.jobs, ask, viaRouter: false };
    await serveJob(call, request, bytes);
    return;
  }
  const isPost = req.method === 'POST' && base !== null;
  if (isPost && path === `${base}/${transcriptionForm.path}`) {
    await serveReadTranscription({ context, exchange }, bytes, provider);
    return;
  }
  const endpoint = endpoints.find((known) => isPost && path === `${base}/${known.path}`);
  if (endpoint === undefined) {
    sendError(exchange, providerError(provider, 'not_found', path), headers);
    return;
  }
  const foreign = foreignModel(context, provider, endpoint.task, bytes);
  if (foreign === null) await serveEndpoint(context, exchange, endpoint, bytes, provider);
  else sendError(exchange, providerError(provider, 'unknown_model', foreign), headers);
}

/** Whether the call carries this provider's key, or one at all in its own form where none is set. */
function hasKey(
  context: Context,
  { provider, schemes }: DirectHost,
  req: IncomingMessage,
): boolean {
  const { authorization } = req.headers;
  const key = context.providerKeys.get(provider);
  if (authorization === undefined) return key === undefined;
  return schemes.some((scheme) =>
    key === undefined
      ? authorization.startsWith(`${scheme} `)
      : authorization === `${scheme} ${key}`,
  );
}

/** A model that the provider does not know under that name; null when it does, or names none. */
function foreignModel(
  context: Context,
  provider: string,
  task: Task,
  bytes: Buffer,
): string | null {
  const model = modelIn(bytes);
  if (model === null) return null;
  const picked = context.catalogue.pickAt(provider, model, task);
  // The public id is the router's: the provider itself knows only its own.
  return picked.ok && picked.offer.providerModelId === model ? null : model;
}

function modelIn(bytes: Buffer): string | null {
  try {
    const body: unknown = JSON.parse(bytes.toString());
    return isObject(body) && typeof body['model'] === 'string' ? body['model'] : null;
  } catch {
    return null;
  }
}
