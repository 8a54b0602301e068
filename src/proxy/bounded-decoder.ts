import { createBrotliDecompress, createGunzip, createInflate, constants } from 'node:zlib';
import type { Transform } from 'node:stream';

const DECODED_MAX_BYTES = 64 * 1024 * 1024;
const RATIO_MAX = 200;
/** Small bodies may compress well; the ratio counts from here. */
const RATIO_FROM_BYTES = 1024 * 1024;

/**
 * Decodes a compressed answer beside the relay, to read usage out of it. Stops at 64 MiB or a ratio
 * of 200: the answer still passes, only unread.
 */
export class BoundedDecoder {
  /** Nothing, or not all, could be decoded. */
  isIncomplete = false;
  private encodedBytes = 0;
  private decodedBytes = 0;
  private readonly stream: Transform | null;

  constructor(encoding: string, onData: (chunk: Buffer) => void) {
    this.stream = decoderFor(encoding);
    this.isIncomplete = this.stream === null;
    this.stream?.on('data', (chunk: Buffer) => {
      if (this.isIncomplete) return;
      this.decodedBytes += chunk.length;
      const isBomb =
        this.decodedBytes > DECODED_MAX_BYTES ||
        (this.decodedBytes > RATIO_FROM_BYTES && this.decodedBytes > this.encodedBytes * RATIO_MAX);
      if (isBomb) this.giveUp();
      else onData(chunk);
    });
    this.stream?.on('error', () => {
      this.giveUp();
    });
  }

  /** Decodes a chunk; `decoded` is called once everything in it was handed on. */
  push(chunk: Buffer, decoded: () => void): void {
    this.encodedBytes += chunk.length;
    if (this.isIncomplete || this.stream === null) decoded();
    else this.stream.write(chunk, decoded);
  }

  /** Resolves when everything pushed was decoded and handed on. */
  finish(): Promise<void> {
    const { stream } = this;
    if (stream === null || stream.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      stream
        .once('close', resolve)
        .once('end', resolve)
        .once('error', () => {
          resolve();
        });
      stream.end();
    });
  }

  private giveUp(): void {
    this.isIncomplete = true;
    this.stream?.destroy();
  }
}

function decoderFor(encoding: string): Transform | null {
  // A cut stream still yields what was complete of it.
  switch (encoding) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
    case 'deflate':
      return createInflate({ finishFlush: constants.Z_SYNC_FLUSH });
    case 'br':
      return createBrotliDecompress({ finishFlush: constants.BROTLI_OPERATION_FLUSH });
    default:
      return null;
  }
}
