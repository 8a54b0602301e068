import { UpstreamExchange, type AnswerSink } from './upstream-exchange.js';

/** What of an error's body is read to see what it is about. */
const ERROR_TEXT_MAX_BYTES = 64 * 1024;
const ERROR_TEXT_MAX_MS = 5000;

/** Reads an error's body, bounded in size and time. */
export function readErrorText(exchange: UpstreamExchange): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const timer = setTimeout(() => {
      exchange.abort();
    }, ERROR_TEXT_MAX_MS);
    const finish = (): void => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks));
    };
    exchange.pipe({
      data: (chunk) => {
        size += chunk.length;
        chunks.push(chunk);
        if (size > ERROR_TEXT_MAX_BYTES) exchange.abort();
        return true;
      },
      end: finish,
      fail: finish,
    });
  });
}

/** An answer whose body was read already. */
export class ReplayedExchange extends UpstreamExchange {
  constructor(private readonly body: Buffer) {
    super();
  }

  override pipe(sink: AnswerSink): void {
    if (this.body.length > 0) sink.data(this.body);
    sink.end();
  }
}
