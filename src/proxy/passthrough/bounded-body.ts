import type { UpstreamExchange, UpstreamFailure } from '../upstream-exchange.js';

export type BoundedBody =
  | { readonly kind: 'read'; readonly body: Buffer }
  | { readonly kind: 'failed'; readonly failure: UpstreamFailure | 'too_large' };

/** Reads a whole answer, or gives it up where it is longer than it may be. */
export function readBounded(exchange: UpstreamExchange, maxBytes: number): Promise<BoundedBody> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    exchange.pipe({
      data: (chunk) => {
        size += chunk.length;
        if (size > maxBytes) {
          resolve({ kind: 'failed', failure: 'too_large' });
          exchange.abort();
        } else chunks.push(chunk);
        return true;
      },
      end: () => {
        resolve({ kind: 'read', body: Buffer.concat(chunks, size) });
      },
      fail: (failure) => {
        resolve({ kind: 'failed', failure });
      },
    });
  });
}
