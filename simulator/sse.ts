import { constants, createGzip, type Gzip } from 'node:zlib';
import type { StreamEvent } from './dialects.js';
import type { Exchange } from './exchange.js';
import type { SeededRandom } from './random.js';

/** How events are written out. */
export interface Framing {
  /** Lines end in CRLF. */
  readonly crlf: boolean;
  /** The JSON of an event is spread over several `data:` lines. */
  readonly multiLine: boolean;
}

/** One event as the text of an event stream, blank line included. */
export function renderEvent(event: StreamEvent, framing: Framing): string {
  const text = frame(event, framing.multiLine);
  return framing.crlf ? text.replaceAll('\n', '\r\n') : text;
}

function frame(event: StreamEvent, multiLine: boolean): string {
  switch (event.kind) {
    case 'comment':
      return `: ${event.text}\n\n`;
    case 'done':
      return 'data: [DONE]\n\n';
    case 'data': {
      const name = event.name === undefined ? '' : `event: ${event.name}\n`;
      if (!multiLine) return `${name}data: ${JSON.stringify(event.payload)}\n\n`;
      return `${name}${JSON.stringify(event.payload, null, 1).replace(/^/gm, 'data: ')}\n\n`;
    }
  }
}

/** How bytes leave: compressed, cut at odd places, slowly. */
export interface WireOptions {
  readonly gzip: boolean;
  /** Pieces of N bytes, of random length, or as they come (null). */
  readonly split: number | 'random' | null;
  /** Wait between two pieces, milliseconds; 0 = one turn of the event loop. */
  readonly pieceDelayMs: number;
}

const LONGEST_PIECE = 48;

/** The body of one answer on its way out. */
export class Wire {
  private readonly gzip: Gzip | null;
  private compressed: Buffer[] = [];
  private carry = Buffer.alloc(0);

  constructor(
    private readonly exchange: Exchange,
    private readonly options: WireOptions,
    private readonly random: SeededRandom,
  ) {
    this.gzip = options.gzip ? createGzip() : null;
    this.gzip?.on('data', (bytes: Buffer) => this.compressed.push(bytes));
  }

  /** Sends a part of the body, waiting for the client to take it. Random splitting may hold a tail. */
  async send(part: string | Buffer): Promise<void> {
    if (this.gzip === null && this.options.split === null) {
      await this.exchange.write(part);
      return;
    }
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    await this.cut(this.gzip === null ? bytes : await this.compress(this.gzip, bytes));
  }

  /** Sends what random splitting held back. */
  async flush(): Promise<void> {
    if (this.carry.length === 0) return;
    await this.exchange.write(this.carry);
    this.carry = Buffer.alloc(0);
  }

  /** Sends everything left and ends the answer. */
  async end(): Promise<void> {
    if (this.gzip !== null) {
      const gzip = this.gzip;
      await new Promise<void>((resolve) => {
        gzip.once('end', resolve);
        gzip.end();
      });
      await this.cut(this.takeCompressed());
    }
    await this.flush();
    this.exchange.end();
  }

  /** Frees the compressor of an answer that was not ended. */
  discard(): void {
    this.gzip?.destroy();
  }

  private async compress(gzip: Gzip, bytes: Buffer): Promise<Buffer> {
    gzip.write(bytes);
    await new Promise<void>((resolve) => {
      gzip.flush(constants.Z_SYNC_FLUSH, resolve);
    });
    return this.takeCompressed();
  }

  private takeCompressed(): Buffer {
    const bytes = Buffer.concat(this.compressed);
    this.compressed = [];
    return bytes;
  }

  private async cut(bytes: Buffer): Promise<void> {
    const { split } = this.options;
    if (split === null) {
      await this.exchange.write(bytes);
      return;
    }
    let rest = this.carry.length === 0 ? bytes : Buffer.concat([this.carry, bytes]);
    for (;;) {
      const length = split === 'random' ? this.random.between(1, LONGEST_PIECE) : split;
      // A random piece may join two events; a fixed one never holds an event back.
      if (split === 'random' ? rest.length < length : rest.length === 0) break;
      await this.exchange.write(rest.subarray(0, length));
      rest = rest.subarray(length);
      if (this.exchange.isGone) return;
      if (this.options.pieceDelayMs > 0) await this.exchange.sleep(this.options.pieceDelayMs);
      else await this.exchange.turn();
    }
    this.carry = Buffer.from(rest);
  }
}
