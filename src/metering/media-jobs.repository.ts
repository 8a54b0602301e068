import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { Attempt } from './journal.js';
import type { HandOver, MediaJob, MediaJobState, NewMediaJob } from './media-job.js';

interface JobRecord {
  readonly event_id: string;
  readonly account_id: string;
  readonly member_id: string | null;
  readonly token_id: string;
  readonly period: string;
  readonly admitted_at: Date;
  readonly hold_pico_usd: bigint;
  readonly idempotency_key: string | null;
  readonly admitted_upstream: string;
  readonly upstream: string;
  readonly key_account_id: string | null;
  readonly provider: string;
  readonly provider_job_id: string;
  readonly shape: string;
  readonly poll_path: string;
  readonly result_path: string;
  readonly cancel_path: string | null;
  readonly task: string;
  readonly model: string;
  readonly facts: string;
  readonly attempts: string;
  readonly is_withheld: boolean;
  readonly state: string;
  readonly submitted_at: Date;
  readonly expires_at: Date;
  readonly polls: number;
}

const COLUMNS = `j.event_id::text, j.account_id::text, j.member_id::text, j.token_id::text, j.period::text, j.admitted_at,
  j.hold_pico_usd, j.idempotency_key, j.admitted_upstream, j.upstream, j.key_account_id::text, j.provider, j.provider_job_id,
  j.shape, j.poll_path, j.result_path, j.cancel_path, j.task, j.model, j.facts::text AS facts, j.attempts::text AS attempts,
  j.is_withheld, j.state, j.submitted_at, j.expires_at, j.polls`;

/**
 * The job and the change of the hold's owner, together or not at all. The event's row is locked
 * first: a sweeper that has taken it over meanwhile has it for good.
 */
const HAND_OVER_SQL = `
WITH ours AS (
  SELECT id, account_id, member_id, token_id, period, admitted_at, hold_pico_usd, idempotency_key, upstream
  FROM open_events WHERE id = $1::text::uuid AND owner_id = $2::text::uuid FOR UPDATE
),
job AS (
  INSERT INTO media_jobs (event_id, account_id, member_id, token_id, period, admitted_at, hold_pico_usd, idempotency_key,
    admitted_upstream, upstream, key_account_id, provider, provider_job_id, shape, poll_path, result_path, cancel_path,
    task, model, facts, attempts, is_withheld, submitted_at, expires_at, next_poll_at)
  SELECT o.id, o.account_id, o.member_id, o.token_id, o.period, o.admitted_at, o.hold_pico_usd, o.idempotency_key,
    o.upstream, $3, $4::text::uuid, $5, $6, $7, $8, $9, $10, $11, $12, $13::text::jsonb, $14::text::jsonb, FALSE,
    $15::text::timestamptz, $16::text::timestamptz, $17::text::timestamptz
  FROM ours o
  ON CONFLICT DO NOTHING RETURNING event_id
),
handed AS (
  UPDATE open_events o SET owner_id = NULL FROM job WHERE o.id = job.event_id RETURNING o.id
)
SELECT (SELECT count(*) FROM ours)::int AS ours, (SELECT count(*) FROM handed)::int AS handed,
  (SELECT count(*) FROM media_jobs m WHERE m.event_id = $1::text::uuid)::int AS before`;

/** The store of media jobs. Times are the caller's. */
@Injectable()
export class MediaJobsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Gives the hold of an open event of `ownerId` to its job. The same again changes nothing. */
  async handOver(job: NewMediaJob, ownerId: string): Promise<HandOver> {
    const [found] = await this.database.prisma.$queryRawUnsafe<
      { ours: number; handed: number; before: number }[]
    >(
      HAND_OVER_SQL,
      job.event.id,
      ownerId,
      job.upstream,
      job.keyAccountId,
      job.provider,
      job.providerJobId,
      job.shape,
      job.pollPath,
      job.resultPath,
      job.cancelPath,
      job.task,
      job.model,
      job.factsJson,
      JSON.stringify(job.attempts),
      job.submittedAt.toISOString(),
      job.expiresAt.toISOString(),
      job.firstPollAt.toISOString(),
    );
    if (found === undefined) throw new Error(`media jobs: no answer for ${job.event.id}`);
    // An earlier commit whose answer was lost.
    if (found.handed === 1 || found.before === 1) return 'handed_over';
    return found.ours === 0 ? 'lost' : 'duplicate';
  }

  /** The caller was not told of it: what it costs is not his to pay. False: it has ended. */
  async withhold(eventId: string): Promise<boolean> {
    const changed = await this.database.prisma.$executeRawUnsafe(
      `UPDATE media_jobs SET is_withheld = TRUE WHERE event_id = $1::text::uuid AND state = 'running'`,
      eventId,
    );
    return changed === 1;
  }

  /** A job of this account, by the provider's id of it. */
  async find(accountId: string, provider: string, providerJobId: string): Promise<MediaJob | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<JobRecord[]>(
      `SELECT ${COLUMNS} FROM media_jobs j
       WHERE j.provider_job_id = $3 AND j.provider = $2 AND j.account_id = $1::text::uuid AND NOT j.is_withheld
       ORDER BY j.submitted_at DESC LIMIT 1`,
      accountId,
      provider,
      providerJobId,
    );
    return record === undefined ? null : jobOf(record);
  }

  /**
   * Takes running jobs that are due, for one poll each. Others do not see them until the lease is
   * over: a process that dies in between delays them, and no more.
   */
  async claimDue(at: Date, leaseUntil: Date, limit: number): Promise<readonly MediaJob[]> {
    const records = await this.database.prisma.$queryRawUnsafe<JobRecord[]>(
      `WITH due AS MATERIALIZED (
         SELECT event_id FROM media_jobs WHERE state = 'running' AND next_poll_at <= $1::text::timestamptz
         ORDER BY next_poll_at LIMIT $3::int FOR UPDATE SKIP LOCKED
       )
       UPDATE media_jobs j SET polls = j.polls + 1, next_poll_at = $2::text::timestamptz
       FROM due WHERE j.event_id = due.event_id RETURNING ${COLUMNS}`,
      at.toISOString(),
      leaseUntil.toISOString(),
      limit,
    );
    return records.map(jobOf);
  }

  /** When the claim of `polls` may be followed by the next. */
  async pollAgain(eventId: string, polls: number, nextPollAt: Date): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `UPDATE media_jobs SET next_poll_at = $3::text::timestamptz
       WHERE event_id = $1::text::uuid AND polls = $2::int AND state = 'running'`,
      eventId,
      polls,
      nextPollAt.toISOString(),
    );
  }

  /** The state that the journal has recorded for an ended event; null while it is open. */
  async endedState(eventId: string): Promise<string | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<{ state: string }[]>(
      'SELECT state FROM usage_events WHERE id = $1::text::uuid',
      eventId,
    );
    return record?.state ?? null;
  }

  /** Ends a job whose event has ended, in the event's state; nothing while the event is open. */
  async end(eventId: string, at: Date): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `UPDATE media_jobs j SET state = u.state, ended_at = $2::text::timestamptz
       FROM usage_events u WHERE u.id = j.event_id AND j.event_id = $1::text::uuid AND j.state = 'running'`,
      eventId,
      at.toISOString(),
    );
  }

  /** Forgets jobs that ended before: their results are gone at the provider too. */
  async prune(endedBefore: Date): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `DELETE FROM media_jobs WHERE state <> 'running' AND ended_at < $1::text::timestamptz`,
      endedBefore.toISOString(),
    );
  }
}

function jobOf(record: JobRecord): MediaJob {
  return {
    event: {
      id: record.event_id,
      accountId: record.account_id,
      memberId: record.member_id,
      tokenId: record.token_id,
      upstream: record.admitted_upstream,
      period: record.period,
      holdPicoUsd: record.hold_pico_usd,
      idempotencyKey: record.idempotency_key,
    },
    admittedAt: record.admitted_at,
    upstream: record.upstream,
    keyAccountId: record.key_account_id,
    provider: record.provider,
    providerJobId: record.provider_job_id,
    shape: record.shape,
    pollPath: record.poll_path,
    resultPath: record.result_path,
    cancelPath: record.cancel_path,
    task: record.task,
    model: record.model,
    factsJson: record.facts,
    attempts: JSON.parse(record.attempts) as readonly Attempt[],
    isWithheld: record.is_withheld,
    state: record.state as MediaJobState,
    submittedAt: record.submitted_at,
    expiresAt: record.expires_at,
    polls: record.polls,
  };
}
