import { Call } from './call.js';
import type { Pick } from './catalogue.js';
import type { Context } from './context.js';
import {
  DirectiveError,
  type Directives,
  directivesInHeaders,
  directivesInText,
  noDirectives,
} from './directives.js';
import type { Ask, Endpoint, Understood } from './endpoint.js';
import {
  type ErrorAnswer,
  inAnthropicForm,
  invalidRequest,
  jsonError,
  modelNotSupported,
  providerNotSupported,
} from './error-answers.js';
import type { Exchange } from './exchange.js';
import { interrupt, sendError } from './interruption.js';
import { isObject, type JsonObject } from './json.js';
import { refusedAsCold } from './serverless.js';
import type { Task } from './tasks.js';

/** Everything of an endpoint but how it reads its body. */
export type EndpointForm = Omit<Endpoint, 'read'>;

/**
 * Serves an endpoint of the router (`at` null: the model's suffix picks the provider) or of a provider
 * (`at` names it; a suffix means nothing). Writes one line in the books for every request that reached
 * a provider.
 */
export async function serveEndpoint(
  context: Context,
  exchange: Exchange,
  endpoint: Endpoint,
  bytes: Buffer,
  at: string | null,
): Promise<void> {
  const body = parse(bytes);
  const understood =
    body === null
      ? { refusal: invalidRequest('The body is not a JSON object', null, null) }
      : endpoint.read(body);
  await serveUnderstood(context, exchange, endpoint, understood, at);
}

/** The same for a body that was read already. */
export async function serveUnderstood(
  context: Context,
  exchange: Exchange,
  form: EndpointForm,
  understood: Understood,
  at: string | null,
): Promise<void> {
  const read =
    'refusal' in understood ? understood : callOf(context, exchange, form, understood.ask, at);
  if ('refusal' in read) {
    refuse(exchange, form, read.refusal, context.ids.unbilled(), {});
    return;
  }
  const { call, ask } = read;
  const refusal = outage(call) ?? ask.refusal(call);
  if (refusal !== null) {
    refuse(exchange, form, refusal, call.requestId, call.headers);
    call.record('faulted', refusal.status, 'nothing');
    return;
  }
  if (await isInterrupted(context, exchange, call)) return;
  await ask.answer(exchange, call);
}

/** Sends a refusal in the form of errors that this route's clients read. */
export function refuse(
  exchange: Exchange,
  { errors }: EndpointForm,
  answer: ErrorAnswer,
  requestId: string,
  headers: Call['headers'],
): void {
  if (errors === 'openai') {
    sendError(exchange, answer, { 'x-request-id': requestId, ...headers });
    return;
  }
  const ids = { 'x-request-id': requestId, 'request-id': requestId };
  sendError(exchange, inAnthropicForm(answer, requestId), { ...ids, ...headers });
}

async function isInterrupted(context: Context, exchange: Exchange, call: Call): Promise<boolean> {
  if (call.offer.provider === 'hf-inference') {
    if (await refusedAsCold(context, exchange, call.model, call.headers)) {
      call.record('faulted', exchange.isGone ? 0 : 503, 'nothing');
      return true;
    }
  }
  const interruption = await interrupt(exchange, call.asked, call.random, call.model, call.headers);
  switch (interruption.kind) {
    case 'client_gone':
      call.recordAbort(0, { tokens: 0, units: null });
      return true;
    case 'reset':
      call.record('faulted', 0, 'nothing');
      return true;
    case 'answered':
      call.record('faulted', interruption.status, 'nothing');
      return true;
    case 'none':
      return false;
  }
}

type Read = { readonly call: Call; readonly ask: Ask } | { readonly refusal: ErrorAnswer };

function callOf(
  context: Context,
  exchange: Exchange,
  form: EndpointForm,
  ask: Ask,
  at: string | null,
): Read {
  const { catalogue, seed } = context;
  const picked =
    at === null ? catalogue.pick(ask.model, form.task) : catalogue.pickAt(at, ask.model, form.task);
  if (!picked.ok) return { refusal: notServed(picked, ask.model) };
  const { model, offer } = picked;
  try {
    const asked = directivesOf(context, exchange, form, picked, ask);
    const plan = ask.plan(asked, offer, seed);
    const { body, isStream } = ask;
    const { task, idPrefix, usageFields } = form;
    const viaRouter = at === null;
    const terms = { task, model, offer, body, isStream, plan, asked, viaRouter };
    return { ask, call: new Call(context, { ...terms, idPrefix, usageFields }) };
  } catch (error) {
    if (!(error instanceof DirectiveError)) throw error;
    return { refusal: jsonError(400, { error: `simulator: ${error.message}` }) };
  }
}

/** A standing order first, then headers, then the text: the nearer to the request wins. */
function directivesOf(
  context: Context,
  { req }: Exchange,
  { task, errors }: EndpointForm,
  { model, offer }: Extract<Pick, { ok: true }>,
  ask: Ask,
): Directives {
  const standing = isFaultTask(task)
    ? context.faults.take({ route: task, provider: offer.provider, model, stream: ask.isStream })
    : null;
  return {
    ...noDirectives,
    ...(errors === 'anthropic' && { shape: 'anthropic' as const }),
    ...standing,
    ...directivesInHeaders(req.headers),
    ...directivesInText(ask.text),
  };
}

/** Standing orders call a route by its task, but for the ones that are no such route. */
function isFaultTask(task: Task): task is Exclude<Task, 'video' | 'inference'> {
  return task !== 'video' && task !== 'inference';
}

function notServed(picked: Extract<Pick, { ok: false }>, model: string): ErrorAnswer {
  switch (picked.reason) {
    case 'unknown_model':
      return modelNotSupported(model);
    case 'provider_does_not_serve':
      return providerNotSupported(picked.provider);
  }
}

function outage({ offer }: Call): ErrorAnswer | null {
  if (offer.status !== 'error') return null;
  const error = { message: 'The provider is not available', type: 'server_error' };
  return jsonError(503, { error });
}

function parse(bytes: Buffer): JsonObject | null {
  try {
    const body: unknown = JSON.parse(bytes.toString());
    return isObject(body) ? body : null;
  } catch {
    return null;
  }
}
