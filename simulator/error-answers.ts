import type { OutgoingHttpHeaders } from 'node:http';
import type { Directives, ErrorShape } from './directives.js';
import type { StatusFault } from './faults.js';
import { isObject, type JsonObject } from './json.js';

/** A whole error answer. */
export interface ErrorAnswer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: string;
}

const JSON_TYPE = 'application/json';
const HTML = '<html><head><title>Error</title></head><body><h1>Upstream error</h1></body></html>\n';

/** A JSON error answer. */
export function jsonError(status: number, body: unknown): ErrorAnswer {
  return { status, headers: { 'content-type': JSON_TYPE }, body: JSON.stringify(body) };
}

/** The answer to a path that nobody serves. */
export const notFound = jsonError(404, { error: 'Not Found' });

/** The router's answer to a missing or wrong key. */
export const invalidCredentials = jsonError(401, {
  error: 'Invalid credentials in Authorization header',
});

/** The router's answer to a model nobody serves. */
export function modelNotSupported(model: string): ErrorAnswer {
  return jsonError(400, {
    error: {
      message: `The requested model '${model}' is not supported by any provider you have enabled.`,
      type: 'invalid_request_error',
      param: 'model',
      code: 'model_not_supported',
    },
  });
}

/** The router's answer when the pinned provider does not serve the model. */
export function providerNotSupported(provider: string): ErrorAnswer {
  return jsonError(400, { error: `Model not supported by provider ${provider}` });
}

/** The serverless tier's answer while a model is not loaded. */
export function modelLoading(model: string, estimatedS: number): ErrorAnswer {
  const body = { error: `Model ${model} is currently loading`, estimated_time: estimatedS };
  return jsonError(503, body);
}

/** An OpenAI-style 400. */
export function invalidRequest(
  message: string,
  param: string | null,
  code: string | null,
): ErrorAnswer {
  return jsonError(400, { error: { message, type: 'invalid_request_error', param, code } });
}

/** Mistral's answer to `stream_options`. */
export const streamOptionsForbidden = jsonError(422, {
  object: 'error',
  message: {
    detail: [
      {
        type: 'extra_forbidden',
        loc: ['body', 'stream_options'],
        msg: 'Extra inputs are not permitted',
      },
    ],
  },
  type: 'invalid_request_error',
  param: null,
  code: null,
});

/** The answer of a status fault. `shape` overrides how the message is wrapped. */
export function statusFaultAnswer(
  fault: StatusFault,
  model: string,
  asked: Directives,
): ErrorAnswer {
  switch (fault) {
    case '401':
      return wrap(401, 'Invalid credentials in Authorization header', asked.shape ?? 'string');
    case '402':
      return wrap(
        402,
        'You have exceeded your monthly included credits for Inference Providers. ' +
          'Subscribe to PRO to get 20x more monthly included credits.',
        asked.shape ?? 'string',
      );
    case '403':
      return wrap(
        403,
        'This authentication method does not have sufficient permissions to call ' +
          'Inference Providers on behalf of this user',
        asked.shape ?? 'string',
      );
    case '403-spending-limit':
      return text(403, 'You have reached your monthly spending limit for Inference Providers.');
    case '404':
      return wrap(404, 'Not found', asked.shape ?? 'detail');
    case '408':
      return wrap(408, 'Request timed out', asked.shape ?? 'object');
    case '422':
      return wrap(422, 'Input validation error', asked.shape ?? 'detail');
    case '424':
      return wrap(424, 'Failed dependency: the model backend went away', asked.shape ?? 'object');
    case '429':
      return wrap(429, 'Too many requests', asked.shape ?? 'object', asked.retryAfterS);
    case '429-retry-after':
      return wrap(429, 'Too many requests', asked.shape ?? 'object', asked.retryAfterS ?? 1);
    case '500':
      return wrap(500, 'Internal server error', asked.shape ?? 'object', asked.retryAfterS);
    case '502':
      return wrap(502, 'Bad gateway', asked.shape ?? 'message', asked.retryAfterS);
    case '503':
      return wrap(503, 'Service overloaded', asked.shape ?? 'object', asked.retryAfterS);
    case '503-loading':
      return modelLoading(model, 20);
    case '504-html':
      return html(504);
    case '529':
      return wrap(529, 'Overloaded', asked.shape ?? 'object', asked.retryAfterS);
    case 'html-error':
      return html(502);
  }
}

/** The page that `html-200` sends in place of an answer. */
export const htmlPage = html(200);

function html(status: number): ErrorAnswer {
  return { status, headers: { 'content-type': 'text/html; charset=utf-8' }, body: HTML };
}

function text(status: number, body: string): ErrorAnswer {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
}

function wrap(
  status: number,
  message: string,
  shape: ErrorShape,
  retryAfterS: number | null = null,
): ErrorAnswer {
  const answer = jsonError(status, wrapped(status, message, shape));
  if (shape === 'problem') answer.headers['content-type'] = 'application/problem+json';
  if (retryAfterS !== null) answer.headers['retry-after'] = String(retryAfterS);
  return answer;
}

function wrapped(status: number, message: string, shape: ErrorShape): unknown {
  switch (shape) {
    case 'string':
      return { error: message };
    case 'object':
      return { error: { message, type: status >= 500 ? 'server_error' : 'invalid_request_error' } };
    case 'detail':
      return { detail: message };
    case 'message':
      return { message };
    case 'anthropic':
      return { type: 'error', error: { type: anthropicType(status), message } };
    case 'problem':
      return { type: 'about:blank', title: message, status, detail: message };
  }
}

/** A JSON error in the shape that Anthropic-style clients read; anything else as it is. */
export function inAnthropicForm(answer: ErrorAnswer, requestId: string): ErrorAnswer {
  if (answer.headers['content-type'] !== JSON_TYPE) return answer;
  const error = { type: anthropicType(answer.status), message: messageOf(answer.body) };
  return { ...answer, body: JSON.stringify({ type: 'error', error, request_id: requestId }) };
}

function messageOf(json: string): string {
  const body = JSON.parse(json) as JsonObject;
  const { error, detail } = body;
  if (isObject(error) && typeof error['message'] === 'string') return error['message'];
  if (typeof error === 'string') return error;
  return typeof detail === 'string' ? detail : json;
}

function anthropicType(status: number): string {
  const known = anthropicTypes.get(status);
  return known ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
}

const anthropicTypes: ReadonlyMap<number, string> = new Map([
  [401, 'authentication_error'],
  [402, 'billing_error'],
  [403, 'permission_error'],
  [404, 'not_found_error'],
  [413, 'request_too_large'],
  [429, 'rate_limit_error'],
  [504, 'timeout_error'],
  [529, 'overloaded_error'],
]);
