import type { IncomingHttpHeaders } from 'node:http';
import type { MediaJob } from '../../metering/media-job.js';
import type { Upstreams } from '../upstreams.js';
import { UpstreamExchange, type UpstreamFailure } from '../upstream-exchange.js';
import { readBounded } from './bounded-body.js';
import { addressOf } from './pass-address.js';

export interface JobAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export type JobAsked =
  | { readonly kind: 'answered'; readonly answer: JobAnswer }
  | { readonly kind: 'failed'; readonly failure: UpstreamFailure | 'too_large' };

export interface JobQuestion {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Behind the provider's own base, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** False: of a longer answer the head alone is of use, and comes with an empty body. */
  readonly needsWhole: boolean;
}

/** Asks for a job where it runs, under the key that took it, and reads the whole answer. */
export async function askForJob(
  upstreams: Upstreams,
  job: MediaJob,
  question: JobQuestion,
): Promise<JobAsked> {
  const upstream = upstreams.named(job.upstream, job.keyAccountId);
  const { dispatcher, path } = addressOf(upstream, job.provider, question.path);
  const exchange = new UpstreamExchange();
  const timer = setTimeout(() => {
    exchange.abort();
  }, question.timeoutMs);
  try {
    const start = await exchange.start(dispatcher, {
      method: question.method,
      path,
      headers: question.headers,
      headersTimeout: question.timeoutMs,
      bodyTimeout: question.timeoutMs,
    });
    if (start.kind === 'failed') return { kind: 'failed', failure: start.failure };
    const read = await readBounded(exchange, question.maxBytes);
    const { status, headers } = start.head;
    if (read.kind === 'failed') {
      if (read.failure !== 'too_large' || question.needsWhole) return read;
      return { kind: 'answered', answer: { status, headers, body: Buffer.alloc(0) } };
    }
    return { kind: 'answered', answer: { status, headers, body: read.body } };
  } finally {
    clearTimeout(timer);
  }
}
