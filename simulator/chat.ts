import { Call } from './call.js';
import type { Pick } from './catalogue.js';
import { servePlain } from './chat-plain.js';
import { serveStream } from './chat-stream.js';
import type { Context } from './context.js';
import {
  DirectiveError,
  type Directives,
  directivesInHeaders,
  directivesInMessages,
  noDirectives,
} from './directives.js';
import {
  type ErrorAnswer,
  invalidRequest,
  jsonError,
  modelNotSupported,
  providerNotSupported,
  streamOptionsForbidden,
} from './error-answers.js';
import type { Exchange } from './exchange.js';
import { interrupt, sendError } from './interruption.js';
import { isObject, type JsonObject } from './json.js';
import { refusedAsCold } from './serverless.js';

/**
 * `POST /v1/chat/completions` of the router (`at` null: the model's suffix picks the provider) and
 * `POST /{provider}/...chat/completions` of the providers (`at` names it; a suffix means nothing).
 * Writes one line in the books for every request that reached a provider.
 */
export async function serveChat(
  context: Context,
  exchange: Exchange,
  bytes: Buffer,
  at: string | null,
): Promise<void> {
  const read = readRequest(context, exchange, bytes, at);
  if ('refusal' in read) {
    const id = context.ids.unbilled();
    sendError(exchange, read.refusal, { 'x-request-id': id });
    return;
  }
  const { call } = read;
  const refusal = refusalOf(call);
  if (refusal !== null) {
    sendError(exchange, refusal, call.headers);
    call.record('faulted', refusal.status, 'nothing');
    return;
  }
  if (call.offer.provider === 'hf-inference') {
    if (await refusedAsCold(context, exchange, call.model, call.headers)) {
      call.record('faulted', exchange.isGone ? 0 : 503, 'nothing');
      return;
    }
  }
  const interruption = await interrupt(exchange, call.asked, call.random, call.model, call.headers);
  switch (interruption.kind) {
    case 'client_gone':
      call.recordAbort(0, 0);
      return;
    case 'reset':
      call.record('faulted', 0, 'nothing');
      return;
    case 'answered':
      call.record('faulted', interruption.status, 'nothing');
      return;
    case 'none':
  }
  if (call.isStream && !call.has('json-for-stream')) await serveStream(exchange, call);
  else await servePlain(exchange, call);
}

type Read = { readonly call: Call } | { readonly refusal: ErrorAnswer };

function readRequest(context: Context, exchange: Exchange, bytes: Buffer, at: string | null): Read {
  const body = parse(bytes);
  if (body === null)
    return { refusal: invalidRequest('The body is not a JSON object', null, null) };
  const model = body['model'];
  const messages = body['messages'];
  if (typeof model !== 'string') {
    return { refusal: invalidRequest('you must provide a model parameter', 'model', null) };
  }
  if (!Array.isArray(messages) || messages.length === 0) {
    return { refusal: jsonError(422, { detail: 'messages: a list with at least one entry' }) };
  }
  const picked = at === null ? context.catalogue.pick(model) : context.catalogue.pickAt(at, model);
  if (!picked.ok) return { refusal: notServed(picked, model) };
  try {
    const asked = directivesOf(context, exchange.req.headers, messages, picked, body);
    return { call: new Call(context, picked.model, picked.offer, body, asked, at === null) };
  } catch (error) {
    if (!(error instanceof DirectiveError)) throw error;
    return { refusal: jsonError(400, { error: `simulator: ${error.message}` }) };
  }
}

/** A standing order first, then headers, then the message: the nearer to the request wins. */
function directivesOf(
  context: Context,
  headers: NodeJS.Dict<string | string[]>,
  messages: readonly unknown[],
  picked: Extract<Pick, { ok: true }>,
  body: JsonObject,
): Directives {
  const standing = context.faults.take({
    route: 'chat',
    provider: picked.offer.provider,
    model: picked.model,
    stream: body['stream'] === true,
  });
  return {
    ...noDirectives,
    ...standing,
    ...directivesInHeaders(headers),
    ...directivesInMessages(messages),
  };
}

function notServed(picked: Extract<Pick, { ok: false }>, model: string): ErrorAnswer {
  switch (picked.reason) {
    case 'unknown_model':
      return modelNotSupported(model);
    case 'provider_does_not_serve':
      return providerNotSupported(picked.provider);
  }
}

/** What this provider would not take: fields it rejects, a prompt past its context, an outage. */
function refusalOf(call: Call): ErrorAnswer | null {
  const { body, offer, plan } = call;
  if (offer.status === 'error') {
    return jsonError(503, {
      error: { message: 'The provider is not available', type: 'server_error' },
    });
  }
  for (const field of offer.dialect.rejects) {
    if (body[field] !== undefined) {
      return invalidRequest(`Unsupported parameter: ${field}`, field, 'unsupported_parameter');
    }
  }
  if (body['stream_options'] !== undefined && body['stream_options'] !== null) {
    if (offer.dialect.streamOptions === 'rejects') return streamOptionsForbidden;
    if (offer.dialect.streamOptions === 'rejects-unless-streaming' && !call.isStream) {
      const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
      return invalidRequest(message, 'stream_options', null);
    }
  }
  if (plan.promptTokens > offer.contextLength) {
    const message = `This model's maximum context length is ${offer.contextLength} tokens.`;
    return invalidRequest(message, 'messages', 'context_length_exceeded');
  }
  return null;
}

function parse(bytes: Buffer): JsonObject | null {
  try {
    const body: unknown = JSON.parse(bytes.toString());
    return isObject(body) ? body : null;
  } catch {
    return null;
  }
}
