import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../config/clock.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import { LOGGER } from '../http/http.module.js';
import { MEDIA_JOB_POLL } from '../jobs/job-names.js';
import { JobRunsService, type EndedRun } from '../jobs/job-runs.service.js';
import { Journal, type Ending, type Receipt } from './journal.js';
import type { HandOver, MediaJob, NewMediaJob } from './media-job.js';
import { MediaJobsRepository } from './media-jobs.repository.js';
import { OWNER_ID } from './owner.js';

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1000;
/** An ended job is still found by its caller for this long. */
const KEPT_MS = 7 * 24 * 3600 * 1000;

/** A hold on its way from this process to a job. */
export interface HandOverTicket {
  /** Resolves with its commit, however long the store is away; rejects when it cannot be written. */
  readonly done: Promise<HandOver>;
  /** The answer to the submit was withheld from the caller: what the job costs is ours. */
  withhold(): void;
}

/** Events that end with a job at a provider: theirs is the hold, and no process's. */
@Injectable()
export class MediaJobsService {
  constructor(
    private readonly jobs: MediaJobsRepository,
    private readonly journal: Journal,
    private readonly clock: Clock,
    private readonly runs: JobRunsService,
    @Inject(OWNER_ID) private readonly ownerId: string,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Hands an admitted event of this process to its job. Until that has committed the event is the
   * process's: when the process dies it is released as any other.
   */
  handOver(job: NewMediaJob): HandOverTicket {
    const done = this.write(job);
    return {
      done,
      withhold: () => {
        void done.then(
          (result) => (result === 'handed_over' ? this.withhold(job.event.id) : undefined),
          () => undefined,
        );
      },
    };
  }

  find(accountId: string, provider: string, providerJobId: string): Promise<MediaJob | null> {
    return this.jobs.find(accountId, provider, providerJobId);
  }

  /** Running jobs that are due; nobody else takes them until `leaseUntil`. */
  claimDue(at: Date, leaseUntil: Date, limit: number): Promise<readonly MediaJob[]> {
    return this.jobs.claimDue(at, leaseUntil, limit);
  }

  pollAgain(job: MediaJob, nextPollAt: Date): Promise<void> {
    return this.jobs.pollAgain(job.event.id, job.polls, nextPollAt);
  }

  /** Whether the job's event has ended; then the job is marked so, if a crash had prevented it. */
  async hasEnded(job: MediaJob): Promise<boolean> {
    if (job.state !== 'running') return true;
    if ((await this.jobs.endedState(job.event.id)) === null) return false;
    await this.jobs.end(job.event.id, this.clock.now());
    return true;
  }

  /** Ends the job's event, once: whoever comes second changes nothing. */
  async settle(job: MediaJob, ending: Ending): Promise<Receipt> {
    const ticket = this.journal.settle(job.event, ending);
    if (job.isWithheld) ticket.withhold();
    const receipt = await ticket.receipt;
    // What fails here is made up for by the next poll, which finds the event ended.
    await this.jobs.end(job.event.id, this.clock.now()).catch((error: unknown) => {
      this.logger.warn({ err: error, requestId: job.event.id }, 'a job could not be marked ended');
    });
    return receipt;
  }

  /** Notes a run of the timer that polls. */
  notePollRun(run: EndedRun): void {
    this.runs.ended(MEDIA_JOB_POLL, run);
  }

  prune(at: Date): Promise<void> {
    return this.jobs.prune(new Date(at.getTime() - KEPT_MS));
  }

  private write(job: NewMediaJob): Promise<HandOver> {
    return untilWritten(() => this.jobs.handOver(job, this.ownerId));
  }

  private async withhold(eventId: string): Promise<void> {
    try {
      await untilWritten(() => this.jobs.withhold(eventId));
    } catch (error) {
      this.logger.error({ err: error, requestId: eventId }, 'a job could not be marked withheld');
    }
  }
}

/** Repeats what only a store that is away can prevent. */
async function untilWritten<T>(write: () => Promise<T>): Promise<T> {
  for (let pauseMs = RETRY_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
    try {
      return await write();
    } catch (error) {
      const { kind } = classifySqlFailure(error);
      if (kind !== 'connection' && kind !== 'transient') throw error;
      await new Promise((wake) => setTimeout(wake, pauseMs));
    }
  }
}
