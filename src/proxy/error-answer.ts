import { errorBody, errorStatus, type Refusal } from '../domain/errors.js';
import type { Call } from './call.js';
import { callHeaders } from './call-headers.js';
import type { ErrorForm } from './endpoints.js';

/** Writes an error answer of ours; nothing when the client has already had a head. */
export function sendRefusal(call: Call, refusal: Refusal, isDemo: boolean): void {
  const { response } = call;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = JSON.stringify(wrapped(refusal, call.endpoint.errorForm, call.id));
  const headers = callHeaders(call, isDemo);
  headers['content-type'] = 'application/json; charset=utf-8';
  headers['content-length'] = Buffer.byteLength(body);
  if (refusal.retryAfterS !== null) headers['retry-after'] = String(refusal.retryAfterS);
  if (refusal.shouldRetry !== null) headers['x-should-retry'] = String(refusal.shouldRetry);
  response.writeHead(errorStatus(refusal.code), headers);
  response.end(body);
}

/** The error event that ends a stream which broke: no end marker follows it. */
export function errorEvent(refusal: Refusal, form: ErrorForm, requestId: string): Buffer {
  const data = (value: object): string => `data: ${JSON.stringify(value)}\n\n`;
  switch (form) {
    case 'openai':
      return Buffer.from(data(errorBody(refusal)));
    case 'responses': {
      // Its clients read the error from the event itself, older ones from `error`.
      const { error } = errorBody(refusal);
      const { code, message, param } = error;
      return Buffer.from(`event: error\n${data({ type: 'error', code, message, param, error })}`);
    }
    case 'anthropic':
      return Buffer.from(`event: error\n${data(wrapped(refusal, form, requestId))}`);
  }
}

/** `/v1/messages` wraps the same `error` once more. */
function wrapped(refusal: Refusal, form: ErrorForm, requestId: string): object {
  const body = errorBody(refusal);
  return form === 'anthropic' ? { type: 'error', ...body, request_id: requestId } : body;
}
