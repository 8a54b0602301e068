import type { Call } from './call.js';

/** What of a refused body is read and thrown away, so that the client sees the answer. */
const DISCARD_MAX_BYTES = 64 * 1024 * 1024;
const DISCARD_MAX_MS = 10_000;

/** Lets the rest of a refused body run into nothing, so that the client gets to read the answer. */
export function discardBody({ request, response }: Call): void {
  let discarded = 0;
  response.shouldKeepAlive = false;
  const timer = setTimeout(() => request.destroy(), DISCARD_MAX_MS);
  timer.unref();
  request
    .on('data', (chunk: Buffer) => {
      discarded += chunk.length;
      if (discarded > DISCARD_MAX_BYTES) request.destroy();
    })
    .once('close', () => {
      clearTimeout(timer);
    });
  request.resume();
}
