import type { IncomingHttpHeaders } from 'node:http';
import type { MediaJob } from '../../metering/media-job.js';
import type { Upstream, Upstreams } from '../upstreams.js';
import { UpstreamExchange, type UpstreamFailure } from '../upstream-exchange.js';
import { JOB_SHAPES } from './job-shapes.js';

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
}

/** A connection and the path on it of one request to a provider's own route. */
export interface PassAddress {
  readonly upstream: Upstream;
  readonly dispatcher: Upstream['dispatcher'];
  readonly path: string;
}

/** Query parameters that only a router understands: to the provider itself its host says the same. */
const ROUTER_PARAMETERS = ['_subdomain'];

/**
 * Where a provider's own path is at an upstream: under the provider's slug at a router, as it is at
 * the provider itself.
 */
export function addressOf(
  upstream: Upstream,
  provider: string,
  pathAndQuery: string,
  isQueue: boolean,
): PassAddress {
  if (upstream.kind === 'huggingface_router' || upstream.kind === 'openai_router') {
    const path = `${upstream.basePath}/${provider}${pathAndQuery}`;
    return { upstream, dispatcher: upstream.dispatcher, path };
  }
  const { dispatcher, basePath } = (isQueue ? upstream.queue : null) ?? upstream;
  return { upstream, dispatcher, path: basePath + withoutRouterParameters(pathAndQuery) };
}

function withoutRouterParameters(pathAndQuery: string): string {
  const at = pathAndQuery.indexOf('?');
  if (at < 0) return pathAndQuery;
  const query = new URLSearchParams(pathAndQuery.slice(at + 1));
  for (const name of ROUTER_PARAMETERS) query.delete(name);
  const path = pathAndQuery.slice(0, at);
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}

/** Whether a job's requests go to a queue of its own host. */
export function isQueued(job: { readonly shape: string }): boolean {
  return JOB_SHAPES.get(job.shape)?.query['_subdomain'] === 'queue';
}

/** Asks for a job where it runs, under the key that took it, and reads the whole answer. */
export async function askForJob(
  upstreams: Upstreams,
  job: MediaJob,
  question: JobQuestion,
): Promise<JobAsked> {
  const upstream = upstreams.named(job.upstream, job.keyAccountId);
  const { dispatcher, path } = addressOf(upstream, job.provider, question.path, isQueued(job));
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
    const body = await readBounded(exchange, question.maxBytes);
    if (!Buffer.isBuffer(body)) return { kind: 'failed', failure: body };
    const { status, headers } = start.head;
    return { kind: 'answered', answer: { status, headers, body } };
  } finally {
    clearTimeout(timer);
  }
}

function readBounded(
  exchange: UpstreamExchange,
  maxBytes: number,
): Promise<Buffer | UpstreamFailure | 'too_large'> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    exchange.pipe({
      data: (chunk) => {
        size += chunk.length;
        if (size > maxBytes) {
          resolve('too_large');
          exchange.abort();
        } else chunks.push(chunk);
        return true;
      },
      end: () => {
        resolve(Buffer.concat(chunks, size));
      },
      fail: resolve,
    });
  });
}
