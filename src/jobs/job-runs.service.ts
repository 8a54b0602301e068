import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { LOGGER } from '../http/http.module.js';
import { JobMetrics } from './job-metrics.js';
import { JobRunsRepository, type JobRecord, type RunsToAdd } from './job-runs.repository.js';

/** A job that runs every second is not written down every second. */
const WRITE_EVERY_MS = 30_000;
const ERROR_MAX_CHARS = 1000;

/** One run that ended. */
export interface EndedRun {
  readonly startedAt: Date;
  readonly durationMs: number;
  /** Null: it succeeded. */
  readonly error: unknown;
  /** It did something that a person wants to see at once; otherwise it may be written later. */
  readonly isNoteworthy: boolean;
}

/**
 * How jobs ended: counted at once as metrics, and written to `job_runs` at once when noteworthy, at
 * a change between failure and success, and otherwise at most every 30 s. Never fails its caller.
 */
@Injectable()
export class JobRunsService implements BeforeApplicationShutdown {
  private readonly states = new Map<string, JobState>();

  constructor(
    private readonly runs: JobRunsRepository,
    private readonly metrics: JobMetrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async list(): Promise<readonly JobRecord[]> {
    return this.runs.list();
  }

  /** Runs `work` as a run of this job; resolves when it has ended, whatever its end. */
  async record(job: string, work: () => Promise<unknown>): Promise<void> {
    const startedAt = new Date();
    const began = performance.now();
    let failure: { readonly error: unknown } | null = null;
    try {
      await this.runs.started(job, startedAt);
    } catch (error) {
      this.logger.debug({ err: error, job }, 'the start of a job could not be written down');
    }
    try {
      await work();
    } catch (error) {
      failure = { error };
      this.logger.error({ err: error, job }, 'a job failed: its schedule tries it again');
    }
    const durationMs = performance.now() - began;
    this.ended(job, {
      startedAt,
      durationMs,
      error: failure === null ? null : (failure.error ?? 'no reason given'),
      isNoteworthy: true,
    });
    await this.stateOf(job).writing;
  }

  /** For what keeps a timer of its own: notes a run that ended. Cheap; returns at once. */
  ended(job: string, run: EndedRun): void {
    const { startedAt, durationMs, error, isNoteworthy } = run;
    const hasFailed = error !== null;
    const finishedAt = new Date(startedAt.getTime() + durationMs);
    this.metrics.runs.inc({ job, outcome: hasFailed ? 'failure' : 'success' });
    this.metrics.durationSeconds.observe({ job }, durationMs / 1000);
    if (!hasFailed) this.metrics.lastSuccess.set({ job }, finishedAt.getTime() / 1000);
    const state = this.stateOf(job);
    const hasTurned = state.isFailing !== hasFailed;
    state.isFailing = hasFailed;
    state.waiting = merged(state.waiting, {
      lastStartedAt: startedAt,
      lastFinishedAt: finishedAt,
      lastDurationMs: durationMs,
      lastSucceededAt: hasFailed ? null : finishedAt,
      lastFailedAt: hasFailed ? finishedAt : null,
      lastError: hasFailed ? errorText(error) : null,
      runs: 1,
      failures: hasFailed ? 1 : 0,
    });
    const isDue = performance.now() - state.writtenMs >= WRITE_EVERY_MS;
    if (isNoteworthy || hasTurned || isDue) this.write(job, state);
  }

  async beforeApplicationShutdown(): Promise<void> {
    for (const [job, state] of this.states) this.write(job, state);
    await Promise.all([...this.states.values()].map(({ writing }) => writing));
  }

  /** One write after the other; what cannot be written waits for the next one. */
  private write(job: string, state: JobState): void {
    state.writtenMs = performance.now();
    state.writing = state.writing.then(async () => {
      const { waiting } = state;
      if (waiting === null) return;
      state.waiting = null;
      try {
        await this.runs.add(job, waiting);
      } catch (error) {
        const since = this.stateOf(job).waiting;
        state.waiting = since === null ? waiting : merged(waiting, since);
        this.logger.debug({ err: error, job }, 'a run of a job could not be written down');
      }
    });
  }

  private stateOf(job: string): JobState {
    let state = this.states.get(job);
    if (state === undefined) {
      state = {
        waiting: null,
        writing: Promise.resolve(),
        writtenMs: Number.NEGATIVE_INFINITY,
        isFailing: false,
      };
      this.states.set(job, state);
    }
    return state;
  }
}

interface JobState {
  waiting: RunsToAdd | null;
  writing: Promise<void>;
  writtenMs: number;
  isFailing: boolean;
}

function merged(earlier: RunsToAdd | null, later: RunsToAdd): RunsToAdd {
  if (earlier === null) return later;
  return {
    ...later,
    lastSucceededAt: later.lastSucceededAt ?? earlier.lastSucceededAt,
    lastFailedAt: later.lastFailedAt ?? earlier.lastFailedAt,
    lastError: later.lastError ?? earlier.lastError,
    runs: earlier.runs + later.runs,
    failures: earlier.failures + later.failures,
  };
}

/** One line of bounded length; a password in an address does not get this far. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const line = text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^/\s@]*@/gi, '$1***@')
    .replace(/[\p{Cc}\p{Cs}\s]+/gu, ' ')
    .trim();
  return line.slice(0, ERROR_MAX_CHARS).toWellFormed();
}
