import type { IncomingMessage } from 'node:http';
import type { BufferBudget } from './buffer-budget.js';

/** A body that stalls for this long is given up. */
export const BODY_STALL_MS = 30_000;

export type BodyReading =
  | { readonly kind: 'read'; readonly body: Buffer }
  | { readonly kind: 'too_large' | 'no_memory' | 'stalled' | 'client_gone' };

/**
 * Reads a whole body into memory, within a size and within the process's budget. What is returned
 * as `read` stays counted in the budget: the caller gives its length back.
 */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  budget: BufferBudget,
): Promise<BodyReading> {
  const declared = Number(request.headers['content-length'] ?? Number.NaN);
  if (declared > maxBytes) return Promise.resolve({ kind: 'too_large' });
  // It left while its token was looked up: no event will tell us any more.
  if (request.destroyed) return Promise.resolve({ kind: 'client_gone' });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const stall = setTimeout(() => {
      finish({ kind: 'stalled' });
    }, BODY_STALL_MS);
    const onData = (chunk: Buffer): void => {
      if (size + chunk.length > maxBytes) finish({ kind: 'too_large' });
      else if (!budget.take(chunk.length)) finish({ kind: 'no_memory' });
      else {
        size += chunk.length;
        chunks.push(chunk);
        stall.refresh();
      }
    };
    const onEnd = (): void => {
      finish({
        kind: 'read',
        body: chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks, size),
      });
    };
    const onGone = (): void => {
      finish({ kind: 'client_gone' });
    };
    const finish = (reading: BodyReading): void => {
      clearTimeout(stall);
      request.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone);
      if (reading.kind !== 'read') budget.give(size);
      resolve(reading);
    };
    request.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone);
  });
}
