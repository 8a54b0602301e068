import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';

/** What is known of a job over all processes. */
export interface JobRecord {
  readonly job: string;
  readonly lastStartedAt: Date | null;
  readonly lastFinishedAt: Date | null;
  readonly lastDurationMs: number | null;
  readonly lastSucceededAt: Date | null;
  readonly lastFailedAt: Date | null;
  readonly lastError: string | null;
  readonly runs: number;
  readonly failures: number;
}

/** Runs of one process since its last write. */
export interface RunsToAdd {
  readonly lastStartedAt: Date;
  readonly lastFinishedAt: Date;
  readonly lastDurationMs: number;
  readonly lastSucceededAt: Date | null;
  readonly lastFailedAt: Date | null;
  readonly lastError: string | null;
  readonly runs: number;
  readonly failures: number;
}

@Injectable()
export class JobRunsRepository {
  constructor(private readonly database: DatabaseService) {}

  async list(): Promise<readonly JobRecord[]> {
    const rows = await this.database.prisma.jobRun.findMany();
    return rows.map((row) => ({
      ...row,
      lastDurationMs: row.lastDurationMs === null ? null : Number(row.lastDurationMs),
      runs: Number(row.runs),
      failures: Number(row.failures),
    }));
  }

  async started(job: string, at: Date): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `INSERT INTO job_runs AS j (job, last_started_at) VALUES ($1, $2::timestamptz)
       ON CONFLICT (job) DO UPDATE SET last_started_at = greatest(j.last_started_at, EXCLUDED.last_started_at)`,
      job,
      at.toISOString(),
    );
  }

  /** Processes write in any order: counts add up, and of two ends the later one is the last. */
  async add(job: string, added: RunsToAdd): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `INSERT INTO job_runs AS j (job, last_started_at, last_finished_at, last_duration_ms, last_succeeded_at,
         last_failed_at, last_error, runs, failures)
       VALUES ($1, $2::timestamptz, $3::timestamptz, $4::bigint, $5::timestamptz, $6::timestamptz, $7, $8::bigint, $9::bigint)
       ON CONFLICT (job) DO UPDATE SET
         last_started_at = greatest(j.last_started_at, EXCLUDED.last_started_at),
         last_duration_ms = CASE WHEN coalesce(j.last_finished_at <= EXCLUDED.last_finished_at, TRUE)
           THEN EXCLUDED.last_duration_ms ELSE j.last_duration_ms END,
         last_finished_at = greatest(j.last_finished_at, EXCLUDED.last_finished_at),
         last_succeeded_at = greatest(j.last_succeeded_at, EXCLUDED.last_succeeded_at),
         last_error = CASE WHEN coalesce(j.last_failed_at <= EXCLUDED.last_failed_at, j.last_failed_at IS NULL)
           THEN EXCLUDED.last_error ELSE j.last_error END,
         last_failed_at = greatest(j.last_failed_at, EXCLUDED.last_failed_at),
         runs = j.runs + EXCLUDED.runs,
         failures = j.failures + EXCLUDED.failures`,
      job,
      added.lastStartedAt.toISOString(),
      added.lastFinishedAt.toISOString(),
      BigInt(Math.round(added.lastDurationMs)),
      added.lastSucceededAt?.toISOString() ?? null,
      added.lastFailedAt?.toISOString() ?? null,
      added.lastError,
      BigInt(added.runs),
      BigInt(added.failures),
    );
  }
}
