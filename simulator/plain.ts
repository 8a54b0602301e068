import type { OutgoingHttpHeaders } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { Call } from './call.js';
import { completionTokens } from './dialects.js';
import { htmlPage, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import type { JsonObject } from './json.js';
import { type Body, interruptedBody } from './lying-body.js';

/** Filler of `oversize-event` unless `size=` says otherwise: past any sane limit on one event. */
export const OVERSIZE_BYTES = 17 * 1024 * 1024;

/** How a JSON answer ends where nothing breaks it. */
export type PlainOutcome = 'complete' | 'faulted';

/** Sends a JSON answer. It is generated whole before its first byte leaves, so it is billed whole. */
export async function sendPlain(
  exchange: Exchange,
  call: Call,
  body: JsonObject,
  outcome: PlainOutcome = 'complete',
): Promise<void> {
  if (refusedWith200(exchange, call)) return;
  if (call.has('oversize-event')) {
    body['padding'] = 'x'.repeat(call.asked.sizeBytes ?? OVERSIZE_BYTES);
  }
  const text = JSON.stringify(body);
  if (call.asked.faults.length === 0 && call.asked.split === null) {
    // The line is written first: whoever has seen the whole answer finds it in the books.
    call.record(outcome, 200, 'whole');
    exchange.answer(200, call.headers, text);
    return;
  }
  const bytes = Buffer.from(call.has('invalid-json') ? text.slice(0, text.length >> 1) : text);
  await sendWhole(exchange, call, call.headers, bytes, outcome);
}

/** True: a fault put an error or a page in the place of the answer, under the status of a success. */
export function refusedWith200(exchange: Exchange, call: Call): boolean {
  const isError = call.has('error-first-event') || call.has('error-mid-stream');
  if (!isError && !call.has('html-200')) return false;
  const error = jsonError(200, { error: { message: 'Upstream failed', type: 'server_error' } });
  const answer = isError ? error : htmlPage;
  call.record('faulted', 200, 'nothing');
  exchange.answer(200, { ...call.headers, ...answer.headers }, answer.body);
  return true;
}

/** Sends a body that exists as a whole, through whichever faults were asked of it. */
export async function sendWhole(
  exchange: Exchange,
  call: Call,
  headers: OutgoingHttpHeaders,
  bytes: Buffer,
  outcome: PlainOutcome = 'complete',
): Promise<void> {
  const packed = call.has('gzip') ? gzipSync(bytes) : bytes;
  const packing = call.has('gzip') ? { 'content-encoding': 'gzip' } : {};
  const body = { length: packed.length, pieces: [packed] };
  await sendBody(exchange, call, { ...headers, ...packing }, body, outcome);
}

/** The same for a body that need not fit into memory; it is never compressed. */
export async function sendBody(
  exchange: Exchange,
  call: Call,
  headers: OutgoingHttpHeaders,
  body: Body,
  outcome: PlainOutcome = 'complete',
): Promise<void> {
  const isCut = call.has('reset-mid-stream') || call.has('hang-mid-stream');
  if (!isCut) call.record(outcome, 200, 'whole');
  await interruptedBody(exchange, call, headers, body);
  if (call.has('reset-mid-stream')) {
    call.record('faulted', 200, 'whole');
    exchange.reset();
  }
  if (call.has('hang-mid-stream')) {
    await exchange.untilGone();
    call.recordAbort(200, { tokens: completionTokens(call.plan), units: null });
  }
}
