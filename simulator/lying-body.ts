import type { OutgoingHttpHeaders } from 'node:http';
import type { Call } from './call.js';
import type { Exchange } from './exchange.js';
import { Wire } from './sse.js';
import { wireOptions } from './wire-options.js';

/** A body in pieces of which only one need be in memory. */
export interface Body {
  readonly length: number;
  readonly pieces: Iterable<Buffer>;
}

/** By how many bytes a false content-length is off. */
const LIE_BYTES = 10;

/**
 * Sends headers with a true or false content-length and the body, or its first half when a reset or
 * a hang is to follow. A length that promises too much ends in a closed connection.
 */
export async function interruptedBody(
  exchange: Exchange,
  call: Call,
  headers: OutgoingHttpHeaders,
  body: Body,
): Promise<void> {
  const isLonger = call.has('content-length-longer');
  const lie = isLonger ? LIE_BYTES : call.has('content-length-shorter') ? -LIE_BYTES : 0;
  exchange.head(200, { ...headers, 'content-length': Math.max(0, body.length + lie) });
  const wire = new Wire(exchange, { ...wireOptions(call), gzip: false }, call.random);
  if (call.has('reset-mid-stream') || call.has('hang-mid-stream')) {
    await sendUpTo(exchange, wire, body, Math.floor(body.length / 2));
    await wire.flush();
    await exchange.settle();
    return;
  }
  await sendUpTo(exchange, wire, body, body.length);
  await wire.flush();
  if (isLonger) exchange.hangUp();
  else await wire.end();
}

async function sendUpTo(
  exchange: Exchange,
  wire: Wire,
  { pieces }: Body,
  mostBytes: number,
): Promise<void> {
  let left = mostBytes;
  for (const piece of pieces) {
    if (left <= 0 || exchange.isGone) return;
    await wire.send(piece.subarray(0, left));
    left -= piece.length;
  }
}
