import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { Catalog } from '../../catalog/catalog.js';
import { Clock } from '../../config/clock.js';
import { TollgateError } from '../../domain/errors.js';
import { LOGGER } from '../../http/http.module.js';
import type { MediaJob } from '../../metering/media-job.js';
import { MediaJobsService } from '../../metering/media-jobs.service.js';
import { upstreamHeaders } from '../request-headers.js';
import { Upstreams } from '../upstreams.js';
import { askForJob, type JobAnswer } from './job-client.js';
import { endingOfResult, endingWithoutResult } from './job-ending.js';
import { JOB_SHAPES, type JobShape } from './job-shapes.js';
import { verdictOfPoll, verdictOfResult, type JobVerdict } from './job-verdict.js';

export const POLL_EVERY_MS = 1000;
const POLL_DELAY_MAX_MS = 60_000;
/** Longer than one poll may take: a process that died in it delays its jobs by this. */
const LEASE_MS = 90_000;
const POLL_TIMEOUT_MS = 20_000;
const RESULT_MAX_BYTES = 64 * 1024 * 1024;
const AT_ONCE = 32;
/** A job may be unknown for a moment after it was taken. */
const UNKNOWN_POLLS = 4;
const PRUNE_EVERY_TICKS = 3600;
/** These requests are our own: there is no caller's token that could stand in them. */
const NO_SECRET = '\0';

/** 1, 2, 4 ... 60 s, counted from the submit. */
export function pollDelayMs(polls: number): number {
  return Math.min(POLL_EVERY_MS * 2 ** Math.min(polls, 10), POLL_DELAY_MAX_MS);
}

/**
 * Follows the jobs whose callers do not: asks the provider how far they are, fetches the result, and
 * ends their events. In every process; the store says who asks for which.
 */
@Injectable()
export class JobPollerService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<unknown> = Promise.resolve();
  private isStopping = false;
  private ticks = 0;

  constructor(
    private readonly jobs: MediaJobsService,
    private readonly upstreams: Upstreams,
    private readonly catalog: Catalog,
    private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.schedule();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await Promise.race([
      this.running,
      new Promise((wake) => setTimeout(wake, POLL_TIMEOUT_MS).unref()),
    ]);
  }

  /** Polls every job that is due, each once; answers with how many. */
  async pollDue(at: Date): Promise<number> {
    let polled = 0;
    for (;;) {
      const leaseUntil = new Date(at.getTime() + LEASE_MS);
      const due = await this.jobs.claimDue(at, leaseUntil, AT_ONCE);
      await Promise.all(due.map((job) => this.follow(job, at)));
      polled += due.length;
      if (due.length < AT_ONCE || this.isStopping) return polled;
    }
  }

  private schedule(): void {
    if (this.isStopping) return;
    this.timer = setTimeout(() => {
      this.running = this.tick().finally(() => {
        this.schedule();
      });
    }, POLL_EVERY_MS);
    this.timer.unref();
  }

  private async tick(): Promise<void> {
    const at = this.clock.now();
    const startedAtMs = performance.now();
    let polled = 0;
    let failure: unknown = null;
    try {
      polled = await this.pollDue(at);
      this.ticks += 1;
      if (this.ticks % PRUNE_EVERY_TICKS === 0) await this.jobs.prune(at);
    } catch (error) {
      failure = error;
      this.logger.warn({ err: error }, 'media jobs could not be polled: the next tick tries again');
    }
    this.jobs.notePollRun({
      startedAt: at,
      durationMs: performance.now() - startedAtMs,
      error: failure,
      isNoteworthy: polled > 0,
    });
  }

  private async follow(job: MediaJob, at: Date): Promise<void> {
    try {
      if (await this.jobs.hasEnded(job)) return;
      if (await this.hasConcluded(job, at)) return;
      const isExpired = at.getTime() >= job.expiresAt.getTime();
      if (isExpired) await this.giveUp(job, 'the job did not end within its time', at);
      else await this.jobs.pollAgain(job, this.nextPollAt(job, at));
    } catch (error) {
      this.logger.warn({ err: error, requestId: job.event.id }, 'a media job could not be polled');
    }
  }

  private nextPollAt(job: MediaJob, at: Date): Date {
    const next = at.getTime() + pollDelayMs(job.polls);
    return new Date(Math.min(next, Math.max(job.expiresAt.getTime(), at.getTime() + 1)));
  }

  /** As `ask`; an upstream or a key that is gone is a poll without an answer. */
  private async hasConcluded(job: MediaJob, at: Date): Promise<boolean> {
    try {
      return await this.ask(job, at);
    } catch (error) {
      if (!(error instanceof TollgateError)) throw error;
      this.logger.warn({ err: error, requestId: job.event.id }, 'a media job cannot be asked for');
      return false;
    }
  }

  /** True: the job has ended. */
  private async ask(job: MediaJob, at: Date): Promise<boolean> {
    const shape = JOB_SHAPES.get(job.shape);
    if (shape === undefined) throw new Error(`media jobs: no shape ${job.shape}`);
    const polled = await this.fetch(job, job.pollPath);
    if (polled === null) return false;
    const verdict = verdictOfPoll(polled, shape);
    if (verdict !== 'succeeded') return this.conclude(job, shape, verdict, polled, at);
    const result = await this.fetch(job, job.resultPath);
    if (result === null) return false;
    return this.conclude(job, shape, verdictOfResult(result, shape, true), result, at);
  }

  private async conclude(
    job: MediaJob,
    shape: JobShape,
    verdict: JobVerdict,
    answer: JobAnswer,
    at: Date,
  ): Promise<boolean> {
    switch (verdict) {
      case 'result': {
        const rows = this.catalog.pricesInForce(job.upstream, job.provider, {
          model: job.model,
          condition: null,
          at: job.admittedAt,
        });
        await this.jobs.settle(job, endingOfResult(job, answer, rows, at));
        return true;
      }
      case 'failed':
        await this.giveUp(job, `${shape.name}: the job failed or was cancelled`, at);
        return true;
      case 'unknown':
        if (job.polls < UNKNOWN_POLLS) return false;
        await this.giveUp(job, `${shape.name}: the job is unknown`, at);
        return true;
      case 'running':
      case 'succeeded':
        return false;
    }
  }

  private async giveUp(job: MediaJob, problem: string, at: Date): Promise<void> {
    await this.jobs.settle(job, endingWithoutResult(job, problem, at));
  }

  /** Null: no answer, now. */
  private async fetch(job: MediaJob, path: string): Promise<JobAnswer | null> {
    const upstream = this.upstreams.named(job.upstream, job.keyAccountId);
    const asked = await askForJob(this.upstreams, job, {
      method: 'GET',
      path,
      headers: upstreamHeaders({ accept: 'application/json' }, NO_SECRET, upstream),
      timeoutMs: POLL_TIMEOUT_MS,
      maxBytes: RESULT_MAX_BYTES,
      needsWhole: false,
    });
    if (asked.kind === 'answered') return asked.answer;
    this.logger.debug({ requestId: job.event.id, failure: asked.failure }, 'a poll had no answer');
    return null;
  }
}
