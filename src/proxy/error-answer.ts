import type { ServerResponse } from 'node:http';
import { errorBody, errorStatus, type Refusal } from '../domain/errors.js';
import { ownHeaders, type AnswerMarks } from './response-headers.js';

/** Writes an error answer of ours; nothing when the client has already had a head. */
export function sendRefusal(response: ServerResponse, refusal: Refusal, marks: AnswerMarks): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = JSON.stringify(errorBody(refusal));
  const headers = ownHeaders(marks);
  headers['content-type'] = 'application/json; charset=utf-8';
  headers['content-length'] = Buffer.byteLength(body);
  if (refusal.retryAfterS !== null) headers['retry-after'] = String(refusal.retryAfterS);
  if (refusal.shouldRetry !== null) headers['x-should-retry'] = String(refusal.shouldRetry);
  response.writeHead(errorStatus(refusal.code), headers);
  response.end(body);
}

/** The error event that ends a stream which broke: no end marker follows it. */
export function errorEvent(refusal: Refusal): Buffer {
  return Buffer.from(`data: ${JSON.stringify(errorBody(refusal))}\n\n`);
}
