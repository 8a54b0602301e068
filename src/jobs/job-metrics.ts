import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram } from 'prom-client';
import { MetricsService } from '../http/metrics.service.js';

/** Runs in this process; what all of them did stands in `GET /api/jobs`. */
@Injectable()
export class JobMetrics {
  readonly runs: Counter<'job' | 'outcome'>;
  readonly durationSeconds: Histogram<'job'>;
  readonly lastSuccess: Gauge<'job'>;

  constructor({ registry }: MetricsService) {
    this.runs = new Counter({
      name: 'tollgate_job_runs_total',
      help: 'Runs of jobs in this process, by outcome.',
      labelNames: ['job', 'outcome'] as const,
      registers: [registry],
    });
    this.durationSeconds = new Histogram({
      name: 'tollgate_job_duration_seconds',
      help: 'Duration of the runs of jobs in this process.',
      labelNames: ['job'] as const,
      buckets: [0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3600],
      registers: [registry],
    });
    this.lastSuccess = new Gauge({
      name: 'tollgate_job_last_success_timestamp_seconds',
      help: 'When a job last succeeded in this process.',
      labelNames: ['job'] as const,
      registers: [registry],
    });
  }
}
