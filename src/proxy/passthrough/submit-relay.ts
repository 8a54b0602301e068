import type { IncomingHttpHeaders } from 'node:http';
import type { RowsByUnit } from '../../domain/pricing.js';
import type { Refusal } from '../../domain/errors.js';
import { refOf, type Ending, type Journal } from '../../metering/journal.js';
import type { HandOver, MediaJob, NewMediaJob } from '../../metering/media-job.js';
import type { MediaJobsService } from '../../metering/media-jobs.service.js';
import type { Call, RoutedRequest, Served } from '../call.js';
import { INTERNAL_ERROR } from '../refusals.js';
import { NOT_RECORDED } from '../settlement.js';
import type { UpstreamExchange, UpstreamFailure } from '../upstream-exchange.js';
import { within } from '../within.js';
import { readBounded } from './bounded-body.js';
import type { JobAnswer } from './job-client.js';
import { endingOfResult, endingWithoutResult } from './job-ending.js';
import { jobFactsJson } from './job-facts.js';
import { jobIdIn, jobPathsOf, jobProgressIn, jsonOf } from './job-reading.js';
import type { JobShape } from './job-shapes.js';
import type { MatchedRoute } from './match.js';

const FIRST_POLL_MS = 1000;
const ANSWER_MAX_BYTES = 64 * 1024 * 1024;

export interface SubmitOptions {
  readonly jobs: MediaJobsService;
  readonly journal: Journal;
  readonly jobMaxAgeMs: number;
  readonly settleWaitMaxMs: number;
  /** The rows in force when the request was admitted. */
  readonly rows: RowsByUnit;
  readonly send: (body: Buffer) => void;
}

export type SubmitResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'broken'; readonly failure: UpstreamFailure }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/**
 * Relays the answer to the submit of a job. The caller gets it when the job is stored and owns the
 * hold; one that is at its end already is settled like any plain answer.
 */
export class SubmitRelay {
  constructor(
    private readonly call: Call,
    private readonly routed: RoutedRequest,
    private readonly pass: MatchedRoute,
    private readonly shape: JobShape,
    private readonly served: Served,
    private readonly options: SubmitOptions,
  ) {}

  async run(exchange: UpstreamExchange, headers: IncomingHttpHeaders): Promise<SubmitResult> {
    const read = await readBounded(exchange, ANSWER_MAX_BYTES);
    const at = new Date();
    if (read.kind === 'failed') {
      // Whatever became of it, nobody knows its name.
      const problem = `the answer to the submit broke: ${read.failure}`;
      await this.settle(endingWithoutResult(this.jobOf('', null, at), problem, at));
      return { kind: 'broken', failure: read.failure === 'too_large' ? 'malformed' : read.failure };
    }
    this.call.firstByteAtMs ??= performance.now();
    const answer: JobAnswer = { status: this.served.status, headers, body: read.body };
    const json = jsonOf(read.body);
    const id = jobIdIn(json, this.shape);
    const progress = jobProgressIn(json, this.shape);
    const isSingle = this.shape.poll === this.shape.result;
    if (progress === 'failed') {
      const ending = endingWithoutResult(this.jobOf(id ?? '', json, at), 'the job failed', at);
      return this.endNow(ending, read.body);
    }
    // Without a name it is no job: what came is the result.
    if (id === null || (progress === 'done' && isSingle)) {
      const job = this.jobOf(id ?? this.served.providerRequestId ?? '', json, at);
      return this.endNow(endingOfResult(job, answer, this.options.rows, at), read.body);
    }
    return this.handOver(this.jobOf(id, json, at), read.body, at);
  }

  private async handOver(job: MediaJob, body: Buffer, at: Date): Promise<SubmitResult> {
    const firstPollAt = new Date(at.getTime() + FIRST_POLL_MS);
    const ticket = this.options.jobs.handOver({ ...newJobOf(job), firstPollAt });
    const result = await within(
      ticket.done.catch((): HandOver | 'unwritable' => 'unwritable'),
      this.options.settleWaitMaxMs,
    );
    switch (result) {
      case 'handed_over':
        this.options.send(body);
        return { kind: 'done' };
      case 'timed_out':
        ticket.withhold();
        return { kind: 'refused', refusal: NOT_RECORDED };
      case 'lost':
        return { kind: 'refused', refusal: NOT_RECORDED };
      case 'duplicate':
        return this.endNow(
          quarantined(job, 'the provider named a job that another request has', at),
          body,
        );
      case 'unwritable':
        await this.settle(quarantined(job, 'the job could not be stored', at));
        return { kind: 'refused', refusal: INTERNAL_ERROR };
    }
  }

  private async endNow(ending: Ending, body: Buffer): Promise<SubmitResult> {
    const settled = await this.settle(ending);
    if (settled === 'timed_out') return { kind: 'refused', refusal: NOT_RECORDED };
    this.options.send(body);
    return { kind: 'done' };
  }

  private async settle(ending: Ending): Promise<'committed' | 'timed_out'> {
    const { event } = this.call;
    if (event === null) throw new Error(`proxy: ${this.call.id} has no event`);
    const ticket = this.options.journal.settle(refOf(event), {
      ...ending,
      durationMs: this.call.elapsedMs(),
    });
    const settled = await within(
      ticket.receipt.then(() => 'committed' as const),
      this.options.settleWaitMaxMs,
    );
    if (settled === 'timed_out') ticket.withhold();
    return settled;
  }

  private jobOf(id: string, json: unknown, at: Date): MediaJob {
    const { call, routed, pass, served, shape } = this;
    const { event } = call;
    if (event === null) throw new Error(`proxy: ${call.id} has no event`);
    const paths = jobPathsOf(shape, { provider: pass.provider, id, model: routed.model }, json);
    return {
      event: refOf(event),
      admittedAt: event.admittedAt,
      upstream: served.route.upstream,
      keyAccountId: served.route.isExternal ? routed.identity.accountId : null,
      provider: pass.provider,
      providerJobId: id,
      shape: shape.name,
      pollPath: paths.poll,
      resultPath: paths.result,
      cancelPath: paths.cancel,
      task: pass.task,
      model: routed.model,
      factsJson: jobFactsJson({ request: routed.media, inputTextBytes: routed.textBytes }),
      attempts: call.attempts,
      submittedAt: at,
      expiresAt: new Date(at.getTime() + this.options.jobMaxAgeMs),
      state: 'running',
      isWithheld: false,
      polls: 0,
    };
  }
}

function newJobOf(job: MediaJob): Omit<NewMediaJob, 'firstPollAt'> {
  const { state: _state, isWithheld: _isWithheld, polls: _polls, ...rest } = job;
  return rest;
}

/** For a person to decide. */
function quarantined(job: MediaJob, problem: string, at: Date): Ending {
  return {
    ...endingWithoutResult(job, problem, at),
    state: 'quarantined',
    rawUsage: JSON.stringify({ problem, job: job.providerJobId }),
    givesKeyBack: false,
  };
}
