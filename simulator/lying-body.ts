import type { OutgoingHttpHeaders } from 'node:http';
import type { Call } from './call.js';
import type { Exchange } from './exchange.js';
import { Wire } from './sse.js';
import { wireOptions } from './wire-options.js';

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
  bytes: Buffer,
): Promise<void> {
  const isLonger = call.has('content-length-longer');
  const lie = isLonger ? LIE_BYTES : call.has('content-length-shorter') ? -LIE_BYTES : 0;
  exchange.head(200, { ...headers, 'content-length': Math.max(0, bytes.length + lie) });
  const wire = new Wire(exchange, { ...wireOptions(call), gzip: false }, call.random);
  if (call.has('reset-mid-stream') || call.has('hang-mid-stream')) {
    await wire.send(bytes.subarray(0, bytes.length >> 1));
    await wire.flush();
    await exchange.settle();
    return;
  }
  await wire.send(bytes);
  await wire.flush();
  if (isLonger) exchange.hangUp();
  else await wire.end();
}
