import { Module } from '@nestjs/common';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { JobMetrics } from './job-metrics.js';
import { JobRunsRepository } from './job-runs.repository.js';
import { JobRunsService } from './job-runs.service.js';

/** Where runs are recorded. Apart from the list of jobs, so that what has a timer of its own can. */
@Module({
  imports: [DatabaseModule, HttpModule],
  providers: [JobMetrics, JobRunsRepository, JobRunsService],
  exports: [JobRunsService],
})
export class JobRunsModule {}
