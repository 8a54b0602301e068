import type { LoggerService } from '@nestjs/common';
import { pino, type DestinationStream, type Logger } from 'pino';

/** A line a request is too many writes: lines leave together, at the latest after this time. */
const FLUSH_EVERY_MS = 200;
const FLUSH_AT_BYTES = 8192;

let output: DestinationStream | null = null;

/** Standard output, shared by every logger of the process. */
function sharedOutput(): DestinationStream {
  if (output !== null) return output;
  const stream = pino.destination({ dest: 1, sync: true, minLength: FLUSH_AT_BYTES });
  setInterval(() => {
    stream.flush();
  }, FLUSH_EVERY_MS).unref();
  process.once('exit', () => {
    stream.flushSync();
  });
  output = stream;
  return stream;
}

/** Structured logs to standard output; prompts, completions and secrets are never handed to it. */
export function createLogger(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, sharedOutput());
}

/** Where Nest logs what it also throws: whoever builds and starts the application reports that. */
const ALSO_THROWN: ReadonlySet<string> = new Set(['ExceptionHandler', 'NestApplication']);

/** Nest's own messages through the same logger. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, context?: string): void {
    this.logger.debug({ context }, String(message));
  }
  error(message: unknown, stack?: string, context?: string): void {
    if (context !== undefined && ALSO_THROWN.has(context)) return;
    this.logger.error({ context, stack }, String(message));
  }
  warn(message: unknown, context?: string): void {
    this.logger.warn({ context }, String(message));
  }
  debug(message: unknown, context?: string): void {
    this.logger.debug({ context }, String(message));
  }
  verbose(message: unknown, context?: string): void {
    this.logger.trace({ context }, String(message));
  }
}
