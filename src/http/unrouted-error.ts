import { errorBody, type Refusal } from '../domain/errors.js';

/** Its clients read errors in another form than all others. */
const MESSAGES_ROUTE = /^\/v1\/messages(?:[/?]|$)/;

function isOwnApi(url: string): boolean {
  return /^\/api(?:[/?]|$)/.test(url);
}

/** What names a request in every answer to it: outside of our own API by the names providers use too. */
export function idHeaders(url: string, id: string): Record<string, string> {
  const own = { 'x-request-id': id };
  return isOwnApi(url) ? own : { ...own, 'request-id': id, 'inference-id': id };
}

/** The body of an error before any route has seen the request, in the form that its path has. */
export function unroutedErrorBody(url: string, refused: Refusal, id: string): object {
  const body = errorBody(refused);
  return MESSAGES_ROUTE.test(url) ? { type: 'error', ...body, request_id: id } : body;
}
