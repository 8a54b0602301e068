import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { Logger } from 'pino';
import { Clock } from '../config/clock.js';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { JobQueueService } from '../database/job-queue.service.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import type { JobRecord } from './job-runs.repository.js';
import { JobRunsService } from './job-runs.service.js';
import { SCHEDULED_JOBS, TIMED_JOBS, type ScheduledJob } from './jobs.js';
import { cronOf, nextRunAfter } from './schedule.js';

/** How long a stopping process waits for a job; what it interrupts, the next tick does again. */
const STOP_WAIT_MAX_MS = 8_000;

/** A job of the list with what is known of its runs; null: it never ran. */
export interface ListedJob {
  readonly name: string;
  readonly schedule: string;
  readonly record: JobRecord | null;
  /** Null for what runs by a timer in every process. */
  readonly nextRunAt: Date | null;
}

/** Runs the list of jobs, and shows it. */
@Injectable()
export class JobsService implements OnModuleDestroy {
  constructor(
    private readonly queue: JobQueueService,
    private readonly runs: JobRunsService,
    private readonly modules: ModuleRef,
    private readonly metrics: MetricsService,
    private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Takes part in running scheduled jobs. Once the service listens: no start waits for it. */
  start(): void {
    this.queue.start(
      SCHEDULED_JOBS.map((job) => ({
        name: job.name,
        cron: cronOf(job.schedule),
        expiresAfterS: job.expiresAfterS,
        run: () => this.run(job),
      })),
      {
        trouble: (message, error) => {
          this.metrics.alarms.inc({ kind: 'job_queue' });
          this.logger.warn({ err: error }, message);
        },
      },
    );
  }

  async onModuleDestroy(): Promise<void> {
    await this.queue.stop(STOP_WAIT_MAX_MS);
  }

  async list(at: Date): Promise<readonly ListedJob[]> {
    const records = new Map((await this.runs.list()).map((record) => [record.job, record]));
    const recordOf = (name: string): JobRecord | null => records.get(name) ?? null;
    const timed = TIMED_JOBS.map(({ name, everyMs }) => ({
      name,
      schedule: `every ${everyMs(this.config) / 1000} s in each process`,
      record: recordOf(name),
      nextRunAt: null,
    }));
    const scheduled = SCHEDULED_JOBS.map(({ name, schedule }) => ({
      name,
      schedule: cronOf(schedule),
      record: recordOf(name),
      nextRunAt: nextRunAfter(schedule, at),
    }));
    return [...timed, ...scheduled];
  }

  private async run({ name, source }: ScheduledJob): Promise<void> {
    await this.runs.record(name, async () => {
      const service: unknown = this.modules.get(source.service, { strict: false });
      await source.run(service as never, this.clock.now());
    });
  }
}
