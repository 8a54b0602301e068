import type { Call } from './call.js';
import { drawMs } from './interruption.js';
import type { WireOptions } from './sse.js';

const DRIP_BYTES = 16;
const DRIP_MS = 5;

/** How this call's bytes leave. `slow-drip` = pieces of `split` bytes every `chunk_delay`. */
export function wireOptions(call: Call): WireOptions {
  const { asked } = call;
  const gzip = call.has('gzip');
  if (!call.has('slow-drip')) return { gzip, split: asked.split, pieceDelayMs: 0 };
  const pieceDelayMs = asked.chunkDelay === null ? DRIP_MS : drawMs(asked.chunkDelay, call.random);
  return { gzip, split: asked.split ?? DRIP_BYTES, pieceDelayMs };
}
