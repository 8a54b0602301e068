import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** One request and its answer: waits that end when the client goes away, writes that obey backpressure. */
export class Exchange {
  private isClosed = false;
  private wake: (() => void) | null = null;

  constructor(
    readonly req: IncomingMessage,
    readonly res: ServerResponse,
  ) {
    res.once('close', () => {
      this.isClosed = true;
      this.wake?.();
    });
  }

  /** Whether the connection ended: nothing more can be delivered. */
  get isGone(): boolean {
    return this.isClosed;
  }

  /** Waits `ms` milliseconds, or until the client is gone. */
  async sleep(ms: number): Promise<void> {
    if (ms <= 0 || this.isClosed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = null;
  }

  /** Waits until the client is gone. */
  async untilGone(): Promise<void> {
    if (this.isClosed) return;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    this.wake = null;
  }

  /** Lets the event loop turn once, so that what was written leaves in a segment of its own. */
  async turn(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Sets status and headers; they leave with the first bytes, or by flushHeaders. */
  head(status: number, headers: OutgoingHttpHeaders): void {
    if (!this.isClosed) this.res.writeHead(status, headers);
  }

  /** Sends the headers now. */
  flushHeaders(): void {
    if (!this.isClosed) this.res.flushHeaders();
  }

  /** Gives the operating system time to take what was written, before the connection is broken. */
  async settle(): Promise<void> {
    await this.turn();
    await this.turn();
  }

  /** Writes and waits for the client to take it. Does nothing once the client is gone. */
  async write(bytes: string | Uint8Array): Promise<void> {
    if (this.isClosed || bytes.length === 0 || this.res.write(bytes)) return;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      this.res.once('drain', resolve);
    });
    this.wake = null;
  }

  /** Sends a whole answer with its true length. */
  answer(status: number, headers: OutgoingHttpHeaders, body: string | Uint8Array): void {
    if (this.isClosed) return;
    this.res.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
    this.res.end(body);
  }

  /** Ends a streamed answer. */
  end(): void {
    if (!this.isClosed) this.res.end();
  }

  /** Closes the connection in good order although the answer is not complete. */
  hangUp(): void {
    this.res.socket?.end();
  }

  /** Breaks the connection: the client sees a TCP reset. */
  reset(): void {
    this.res.socket?.resetAndDestroy();
    this.isClosed = true;
  }
}
