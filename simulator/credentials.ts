import type { IncomingMessage } from 'node:http';
import type { Context } from './context.js';
import { invalidCredentials } from './error-answers.js';
import { sendError } from './interruption.js';
import type { Routed } from './routes.js';

/** True for `Authorization: Bearer` with the simulator's key, and for anybody where it has none. */
export function isAuthorized(context: Context, req: IncomingMessage): boolean {
  return context.apiKey === null || req.headers.authorization === `Bearer ${context.apiKey}`;
}

/** Serves only callers with the key; others get the router's 401, once their body was read. */
export async function withKey(
  request: Routed,
  serve: (bytes: Buffer) => Promise<void>,
): Promise<void> {
  const { context, exchange } = request;
  const bytes = await request.bytes();
  if (isAuthorized(context, exchange.req)) {
    await serve(bytes);
    return;
  }
  sendError(exchange, invalidCredentials, { 'x-request-id': context.ids.unbilled() });
}
