import type { OutgoingHttpHeaders } from 'node:http';
import type { Call } from './call.js';
import { ownHeaders } from './response-headers.js';

/**
 * Our own headers of the answer to a call, whoever made that answer: what it was routed for and whom
 * it was sent to last, as far as it came.
 */
export function callHeaders(call: Call, isDemo: boolean): OutgoingHttpHeaders {
  const headers = ownHeaders({ requestId: call.id, isDemo });
  if (call.model === null) return headers;
  const provider = call.attempts.at(-1)?.provider ?? null;
  if (provider !== null) headers['x-inference-provider'] = headerText(provider);
  headers['x-tollgate-model'] = headerText(call.model);
  headers['x-tollgate-attempts'] = String(call.attempts.length);
  const written = call.event?.maxOutputTokensWritten ?? null;
  if (written !== null) headers['x-tollgate-max-tokens'] = String(written);
  return headers;
}

/** A model may have a name of any letters; Node throws at a header that has them. */
function headerText(text: string): string {
  return text.toWellFormed().replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}
