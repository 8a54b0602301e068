import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

const PASSED: readonly string[] = ['content-type', 'retry-after', 'openai-processing-ms'];
const PASSED_PREFIXES: readonly string[] = ['x-compute-', 'x-fal-', 'fireworks-'];

/** What every answer of ours says about the request it answers. */
export interface AnswerMarks {
  readonly requestId: string;
  readonly isDemo: boolean;
}

/** Our own headers of every answer, errors included. */
export function ownHeaders({ requestId, isDemo }: AnswerMarks): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {
    'x-request-id': requestId,
    'request-id': requestId,
    'inference-id': requestId,
    'x-content-type-options': 'nosniff',
    'content-security-policy': 'sandbox',
  };
  if (isDemo) headers['x-tollgate-demo'] = 'true';
  return headers;
}

/** The upstream's headers that pass; those of the body's form only while the body is unchanged. */
export function passedHeaders(
  upstream: IncomingHttpHeaders,
  isBodyUnchanged: boolean,
): OutgoingHttpHeaders {
  const passed: OutgoingHttpHeaders = {};
  for (const name of PASSED) {
    const value = upstream[name];
    if (value !== undefined) passed[name] = value;
  }
  for (const name in upstream) {
    if (PASSED_PREFIXES.some((prefix) => name.startsWith(prefix))) passed[name] = upstream[name];
  }
  const requestId = upstream['x-request-id'];
  if (requestId !== undefined) passed['x-upstream-request-id'] = requestId;
  if (upstream['content-encoding'] !== undefined)
    passed['content-encoding'] = upstream['content-encoding'];
  if (isBodyUnchanged && upstream['content-length'] !== undefined) {
    passed['content-length'] = upstream['content-length'];
  }
  return passed;
}

/** Streams are neither cached nor held back by anything between us and the client. */
export const STREAM_HEADERS: OutgoingHttpHeaders = {
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

export function isEventStream(headers: IncomingHttpHeaders): boolean {
  return /^text\/event-stream\b/i.test(headers['content-type'] ?? '');
}

/** Compressed although we asked for identity. */
export function encodingOf(headers: IncomingHttpHeaders): string | null {
  const encoding = headers['content-encoding']?.trim().toLowerCase();
  return encoding === undefined || encoding === '' || encoding === 'identity' ? null : encoding;
}

/** The provider's id of the request: its own header first, then what routers use. */
export function providerRequestIdOf(headers: IncomingHttpHeaders): string | null {
  const id = headers['inference-id'] ?? headers['x-request-id'];
  return typeof id === 'string' && id !== '' ? id.slice(0, 256) : null;
}
