import type { OutgoingHttpHeaders } from 'node:http';
import type { Logger } from 'pino';
import type { Catalog } from '../../catalog/catalog.js';
import { refusal, TollgateError, type Refusal } from '../../domain/errors.js';
import type { MetricsService } from '../../http/metrics.service.js';
import type { Identity } from '../../identity/identity.js';
import type { Attempt } from '../../metering/journal.js';
import type { MediaJob } from '../../metering/media-job.js';
import type { MediaJobsService } from '../../metering/media-jobs.service.js';
import type { Call } from '../call.js';
import { callHeaders } from '../call-headers.js';
import { isAboutOurKey } from '../failover.js';
import * as refusals from '../refusals.js';
import { upstreamHeaders } from '../request-headers.js';
import { passedHeaders } from '../response-headers.js';
import type { Upstreams } from '../upstreams.js';
import { within } from '../within.js';
import { askForJob, type JobAnswer, type JobAsked } from './job-client.js';
import { endingOfResult, endingWithoutResult } from './job-ending.js';
import type { JobShape } from './job-shapes.js';
import { verdictOfPoll, verdictOfResult, type JobVerdict } from './job-verdict.js';
import type { MatchedRoute } from './match.js';

const ASK_TIMEOUT_MS = 120_000;
const ANSWER_MAX_BYTES = 64 * 1024 * 1024;

/** Said of a route that is not there and of a job that is not the caller's: nobody learns which. */
export const UNKNOWN_ROUTE: Refusal = refusal(
  'unknown_route',
  'There is no such route, or no such job of yours.',
);

/** The job is done and its result there; only the record of it is late. */
const RESULT_NOT_RECORDED: Refusal = refusal(
  'store_unavailable',
  'The result could not be recorded in time. Fetch it again in a moment: that costs nothing.',
  { retryAfterS: 1 },
);

export interface JobRequestParts {
  readonly jobs: MediaJobsService;
  readonly catalog: Catalog;
  readonly upstreams: Upstreams;
  readonly metrics: MetricsService;
  readonly logger: Logger;
  readonly settleWaitMaxMs: number;
  readonly isDemo: boolean;
}

/**
 * What a caller asks about a job: its status, its result, its end. Only of a job of its own account,
 * where it runs and under the key that took it; free, and without an event.
 */
export class JobRequests {
  constructor(private readonly parts: JobRequestParts) {}

  /** Null when the caller was answered; else what to answer. */
  async follow(
    call: Call,
    pass: MatchedRoute,
    identity: Identity,
    secret: string,
  ): Promise<Refusal | null> {
    const shape = pass.route.job;
    if (shape === null || pass.jobId === null) return UNKNOWN_ROUTE;
    const job = await this.find(identity.accountId, pass.provider, pass.jobId);
    if (job === 'unavailable') return refusals.STORE_UNAVAILABLE;
    const path = job === null || job.shape !== shape.name ? null : pathFor(pass, job);
    if (job === null || path === null) return UNKNOWN_ROUTE;
    try {
      return await this.ask(call, pass, job, shape, path, secret);
    } catch (error) {
      // Its upstream or its key is no longer there.
      if (error instanceof TollgateError) return error.refusal;
      throw error;
    }
  }

  private async find(
    accountId: string,
    provider: string,
    jobId: string,
  ): Promise<MediaJob | null | 'unavailable'> {
    try {
      return await this.parts.jobs.find(accountId, provider, jobId);
    } catch (error) {
      this.parts.logger.warn({ err: error }, 'a job could not be looked up');
      return 'unavailable';
    }
  }

  private async ask(
    call: Call,
    pass: MatchedRoute,
    job: MediaJob,
    shape: JobShape,
    path: string,
    secret: string,
  ): Promise<Refusal | null> {
    const { upstreams } = this.parts;
    call.model = job.model;
    const upstream = upstreams.named(job.upstream, job.keyAccountId);
    const startedAtMs = performance.now();
    const asked = await askForJob(upstreams, job, {
      method: pass.route.method,
      path,
      headers: {
        ...upstreamHeaders(call.request.headers, secret, upstream),
        ...(pass.route.method === 'GET' ? {} : { 'content-length': '0' }),
      },
      timeoutMs: ASK_TIMEOUT_MS,
      maxBytes: ANSWER_MAX_BYTES,
      needsWhole: true,
    });
    call.attempts.push(attemptOf(job, asked, startedAtMs));
    if (asked.kind === 'failed') {
      return refusals.failureRefusal(asked.failure === 'too_large' ? 'malformed' : asked.failure);
    }
    const { answer } = asked;
    const isOurs = job.keyAccountId === null;
    if (isOurs && isAboutOurKey(answer.status, answer.body.toString('utf8', 0, 65_536))) {
      this.parts.metrics.alarms.inc({ kind: 'upstream_key' });
      this.parts.logger.error(
        { requestId: call.id, upstream: job.upstream, status: answer.status },
        'an upstream refused our key',
      );
      return refusals.ABOUT_OUR_KEY;
    }
    const verdict = verdictOf(pass, answer, shape);
    if (!(await this.settled(job, answer, verdict))) return RESULT_NOT_RECORDED;
    this.send(call, answer);
    return null;
  }

  /** False: the end of the job could not be recorded in time. */
  private async settled(job: MediaJob, answer: JobAnswer, verdict: JobVerdict): Promise<boolean> {
    const { jobs, catalog, settleWaitMaxMs } = this.parts;
    if (verdict !== 'result' && verdict !== 'failed') return true;
    if (job.state !== 'running') return true;
    const at = new Date();
    const key = { model: job.model, condition: null, at: job.admittedAt };
    const ending =
      verdict === 'result'
        ? endingOfResult(job, answer, catalog.pricesInForce(job.upstream, job.provider, key), at)
        : endingWithoutResult(job, 'the job failed or was cancelled', at);
    const isSettled = await within(this.settleOnce(jobs, job, ending), settleWaitMaxMs);
    return isSettled === true;
  }

  private async settleOnce(
    jobs: MediaJobsService,
    job: MediaJob,
    ending: Parameters<MediaJobsService['settle']>[1],
  ): Promise<boolean> {
    try {
      if (await jobs.hasEnded(job)) return true;
      await jobs.settle(job, ending);
      return true;
    } catch (error) {
      this.parts.logger.warn({ err: error, requestId: job.event.id }, 'a job could not be ended');
      return false;
    }
  }

  private send(call: Call, answer: JobAnswer): void {
    if (call.isClientGone) return;
    call.rates?.writeTo(call.response);
    const headers: OutgoingHttpHeaders = {
      ...passedHeaders(answer.headers, false),
      ...callHeaders(call, this.parts.isDemo),
      'content-length': answer.body.length,
    };
    call.response.writeHead(answer.status, headers);
    call.response.end(answer.body);
  }
}

/** For the headers of the answer: what is asked about a job has no event. */
function attemptOf(
  { upstream, provider }: MediaJob,
  asked: JobAsked,
  startedAtMs: number,
): Attempt {
  return {
    upstream,
    provider,
    providerRequestId: null,
    status: asked.kind === 'answered' ? asked.answer.status : null,
    error: asked.kind === 'failed' ? asked.failure : null,
    durationMs: Math.round(performance.now() - startedAtMs),
  };
}

/** The job's own path, whatever the caller wrote around its id. */
function pathFor({ route, query }: MatchedRoute, job: MediaJob): string | null {
  const path =
    route.role === 'poll'
      ? job.pollPath
      : route.role === 'result'
        ? job.resultPath
        : route.role === 'cancel'
          ? job.cancelPath
          : null;
  if (path === null) return null;
  const more = query.filter(
    ([name]) => name !== route.jobQuery && !Object.hasOwn(route.query.required, name),
  );
  if (more.length === 0) return path;
  const text = new URLSearchParams(more.map(([name, value]) => [name, value])).toString();
  return `${path}${path.includes('?') ? '&' : '?'}${text}`;
}

function verdictOf({ route }: MatchedRoute, answer: JobAnswer, shape: JobShape): JobVerdict {
  const verdict =
    route.role === 'result' ? verdictOfResult(answer, shape, false) : verdictOfPoll(answer, shape);
  // The answer to a cancellation is a report only where it is the job itself.
  const isReport = route.role !== 'cancel' || shape.poll === shape.result;
  return isReport ? verdict : 'running';
}
