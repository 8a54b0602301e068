import { Module } from '@nestjs/common';
import type { Logger } from 'pino';
import { uuidv7 } from 'uuidv7';
import { Clock } from '../config/clock.js';
import type { Config } from '../config/config.js';
import { CONFIG, ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule, LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { JobRunsModule } from '../jobs/job-runs.module.js';
import { BudgetWatch } from './budget-watch.js';
import { GroupCommitJournal } from './group-commit.js';
import { Journal } from './journal.js';
import { JournalRepository } from './journal.repository.js';
import { MediaJobsRepository } from './media-jobs.repository.js';
import { MediaJobsService } from './media-jobs.service.js';
import { OWNER_ID } from './owner.js';
import { OwnersRepository } from './owners.repository.js';
import { SweeperService } from './sweeper.service.js';

@Module({
  imports: [ConfigModule, DatabaseModule, HttpModule, JobRunsModule],
  providers: [
    BudgetWatch,
    JournalRepository,
    MediaJobsRepository,
    MediaJobsService,
    OwnersRepository,
    SweeperService,
    { provide: OWNER_ID, useFactory: () => uuidv7() },
    {
      provide: Journal,
      inject: [JournalRepository, OWNER_ID, CONFIG, Clock, MetricsService, BudgetWatch, LOGGER],
      useFactory: createJournal,
    },
  ],
  exports: [BudgetWatch, Journal, MediaJobsService],
})
export class MeteringModule {}

function createJournal(
  repository: JournalRepository,
  ownerId: string,
  config: Config,
  clock: Clock,
  metrics: MetricsService,
  watch: BudgetWatch,
  logger: Logger,
): Journal {
  const journal = new GroupCommitJournal(
    repository,
    { ownerId, admitWaitMaxMs: config.admitWaitMaxMs },
    clock,
    {
      batch: (size, durationMs) => {
        metrics.journalBatchSize.observe(size);
        metrics.journalCommitSeconds.observe(durationMs / 1000);
        metrics.journalQueue.set(journal.queued);
      },
      spent: (subjectIds) => {
        watch.changed(subjectIds);
      },
      retry: (reason) => {
        metrics.journalRetries.inc({ reason });
      },
      anomaly: (kind) => {
        metrics.journalAnomalies.inc({ kind });
      },
      failure: (message, error) => {
        metrics.alarms.inc({ kind: 'journal' });
        logger.error({ err: error }, message);
      },
    },
  );
  return journal;
}
