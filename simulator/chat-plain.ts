import type { OutgoingHttpHeaders } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { Call } from './call.js';
import { completionTokens, plainAnswer } from './dialects.js';
import { htmlPage, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { interruptedBody } from './lying-body.js';

/** Filler of `oversize-event` unless `size=` says otherwise: past any sane limit on one event. */
export const OVERSIZE_BYTES = 17 * 1024 * 1024;

/** A plain answer. It is generated whole before its first byte leaves, so it is billed whole. */
export async function servePlain(exchange: Exchange, call: Call): Promise<void> {
  if (call.has('error-first-event') || call.has('error-mid-stream')) {
    const error = jsonError(200, { error: { message: 'Upstream failed', type: 'server_error' } });
    call.record('faulted', 200, 'nothing');
    exchange.answer(200, { ...call.headers, ...error.headers }, error.body);
    return;
  }
  if (call.has('html-200')) {
    call.record('faulted', 200, 'nothing');
    exchange.answer(200, { ...call.headers, ...htmlPage.headers }, htmlPage.body);
    return;
  }
  const text = JSON.stringify(bodyOf(call));
  if (call.asked.faults.length === 0 && call.asked.split === null) {
    // The line is written first: whoever has seen the whole answer finds it in the books.
    call.record('complete', 200, 'whole');
    exchange.answer(200, call.headers, text);
    return;
  }
  const bytes = Buffer.from(call.has('invalid-json') ? text.slice(0, text.length >> 1) : text);
  await sendWhole(exchange, call, call.headers, bytes);
}

/** Sends a body that exists as a whole, through whichever faults were asked of it. */
export async function sendWhole(
  exchange: Exchange,
  call: Call,
  headers: OutgoingHttpHeaders,
  bytes: Buffer,
): Promise<void> {
  const isCut = call.has('reset-mid-stream') || call.has('hang-mid-stream');
  if (!isCut) call.record('complete', 200, 'whole');
  const packed = call.has('gzip') ? gzipSync(bytes) : bytes;
  const packing = call.has('gzip') ? { 'content-encoding': 'gzip' } : {};
  await interruptedBody(exchange, call, { ...headers, ...packing }, packed);
  if (call.has('reset-mid-stream')) {
    call.record('faulted', 200, 'whole');
    exchange.reset();
  }
  if (call.has('hang-mid-stream')) {
    await exchange.untilGone();
    call.recordAbort(200, completionTokens(call.plan));
  }
}

function bodyOf(call: Call): Record<string, unknown> {
  const body = plainAnswer(call.plan, call.offer.dialect, call.facts);
  if (call.has('oversize-event'))
    body['padding'] = 'x'.repeat(call.asked.sizeBytes ?? OVERSIZE_BYTES);
  return body;
}
