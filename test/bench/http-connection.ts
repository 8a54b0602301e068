import { connect, type Socket } from 'node:net';

/** An answer as the load generator needs it. Times are `performance.now()`. */
export interface Answered {
  readonly status: number;
  readonly firstByteAt: number;
  readonly endedAt: number;
  /** The last bytes of the body. */
  readonly tail: string;
}

const TAIL_BYTES = 512;
const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * One keep-alive HTTP/1.1 connection, one request at a time, as little work as possible: on a machine
 * of few cores the generator must not eat what it measures.
 */
export class HttpConnection {
  private readonly socket: Socket;
  private rest: Buffer = Buffer.alloc(0);
  private inHead = true;
  private status = 0;
  private firstByteAt = 0;
  /** Bytes of the body, or of the present chunk, still to come. */
  private left = 0;
  private isChunked = false;
  private last: Buffer[] = [];
  private done: ((answered: Answered | Error) => void) | null = null;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.on('data', (bytes: Buffer) => {
      this.read(bytes);
    });
    this.socket.on('error', (error) => {
      this.fail(error);
    });
    this.socket.on('close', () => {
      this.fail(new Error('the connection closed'));
    });
  }

  /** Calls back once, with the answer or with what went wrong. */
  send(request: Buffer, done: (answered: Answered | Error) => void): void {
    this.done = done;
    this.inHead = true;
    this.last = [];
    this.socket.write(request);
  }

  close(): void {
    this.done = null;
    this.socket.destroy();
  }

  private fail(error: Error): void {
    const { done } = this;
    this.done = null;
    done?.(error);
  }

  private read(bytes: Buffer): void {
    let data = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    this.rest = Buffer.alloc(0);
    while (data.length > 0) {
      const used = this.inHead ? this.readHead(data) : this.readBody(data);
      if (used === 0) {
        this.rest = data;
        return;
      }
      data = data.subarray(used);
    }
  }

  /** Returns the bytes used; 0 = more are needed. */
  private readHead(data: Buffer): number {
    const end = data.indexOf(HEAD_END);
    if (end < 0) return 0;
    const head = data.toString('latin1', 0, end).toLowerCase();
    this.status = Number(head.slice(9, 12));
    this.firstByteAt = performance.now();
    this.isChunked = head.includes('\r\ntransfer-encoding: chunked');
    const length = /\r\ncontent-length: *(\d+)/.exec(head);
    this.left = this.isChunked ? 0 : Number(length?.[1] ?? 0);
    this.inHead = false;
    if (!this.isChunked && this.left === 0) this.finish();
    return end + HEAD_END.length;
  }

  private readBody(data: Buffer): number {
    if (this.left === 0) return this.readChunkHead(data);
    const used = Math.min(this.left, data.length);
    this.keep(data.subarray(0, used));
    this.left -= used;
    if (this.left === 0 && !this.isChunked) this.finish();
    return used;
  }

  /** `<hex>\r\n`, preceded by the `\r\n` of the chunk before. */
  private readChunkHead(data: Buffer): number {
    const start = data[0] === 0x0d ? 2 : 0;
    const end = data.indexOf('\r\n', start);
    if (end < 0) return 0;
    const size = Number.parseInt(data.toString('latin1', start, end), 16);
    if (size > 0) {
      this.left = size;
      return end + 2;
    }
    if (data.length < end + 4) return 0;
    this.finish();
    return end + 4;
  }

  private keep(bytes: Buffer): void {
    this.last.push(bytes);
    if (this.last.length > 4) this.last.shift();
  }

  private finish(): void {
    const { done } = this;
    this.done = null;
    this.inHead = true;
    const tail = Buffer.concat(this.last).subarray(-TAIL_BYTES).toString('latin1');
    const endedAt = performance.now();
    done?.({ status: this.status, firstByteAt: this.firstByteAt, endedAt, tail });
  }
}
