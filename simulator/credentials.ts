import type { IncomingMessage } from 'node:http';
import type { Context } from './context.js';
import { inAnthropicForm, invalidCredentials } from './error-answers.js';
import { sendError } from './interruption.js';
import type { Routed } from './routes.js';

/** In which form errors go out, and so which kind of client calls. */
export type ErrorForm = 'openai' | 'anthropic';

/**
 * True for `Authorization: Bearer` with the simulator's key, of Anthropic-style clients `x-api-key` too,
 * and for anybody where there is no key.
 */
export function isAuthorized(
  context: Context,
  { headers }: IncomingMessage,
  form: ErrorForm = 'openai',
): boolean {
  const { apiKey } = context;
  if (apiKey === null || headers.authorization === `Bearer ${apiKey}`) return true;
  return form === 'anthropic' && headers['x-api-key'] === apiKey;
}

/** Serves only callers with the key; others get the router's 401, once their body was read. */
export async function withKey(
  request: Routed,
  serve: (bytes: Buffer) => Promise<void> | void,
  form: ErrorForm = 'openai',
): Promise<void> {
  const { context, exchange } = request;
  const bytes = await request.bytes();
  if (isAuthorized(context, exchange.req, form)) {
    await serve(bytes);
    return;
  }
  const id = context.ids.unbilled();
  const answer =
    form === 'anthropic' ? inAnthropicForm(invalidCredentials, id) : invalidCredentials;
  sendError(exchange, answer, { 'x-request-id': id });
}
