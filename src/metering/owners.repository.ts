import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { OpenEventRef } from './journal.js';

interface OpenRecord {
  readonly id: string;
  readonly account_id: string;
  readonly member_id: string | null;
  readonly token_id: string;
  readonly upstream: string;
  readonly period: string;
  readonly hold_pico_usd: bigint;
  readonly idempotency_key: string | null;
}

/** Who owns holds, who of them lives, and what the dead left behind. Times are the database's. */
@Injectable()
export class OwnersRepository {
  constructor(private readonly database: DatabaseService) {}

  async heartbeat(ownerId: string, description: string): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `INSERT INTO journal_owners (id, started_at, heartbeat_at, description)
       VALUES ($1::uuid, clock_timestamp(), clock_timestamp(), $2)
       ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp()`,
      ownerId,
      description,
    );
  }

  /**
   * Owners whose heartbeat is older than `staleMs`, and owners of open events that never had one;
   * none within `staleMs` of a start of the database, when the live could not write theirs.
   */
  async staleOwners(staleMs: number): Promise<readonly string[]> {
    const records = await this.database.prisma.$queryRawUnsafe<{ id: string }[]>(
      `SELECT id::text FROM (
         SELECT id FROM journal_owners WHERE heartbeat_at < clock_timestamp() - $1::float8 * interval '1 ms'
         UNION
         SELECT DISTINCT owner_id FROM open_events o
         WHERE owner_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM journal_owners j WHERE j.id = o.owner_id)
           AND admitted_at < clock_timestamp() - $1::float8 * interval '1 ms'
       ) stale WHERE pg_postmaster_start_time() < clock_timestamp() - $1::float8 * interval '1 ms'`,
      staleMs,
    );
    return records.map(({ id }) => id);
  }

  /**
   * Takes over up to `limit` open events of an owner that died. Who has an event may end it: a
   * process that was only taken for dead can no longer hand it to a job, nor does this take what it
   * had handed over.
   */
  async takeOver(ownerId: string, heirId: string, limit: number): Promise<readonly OpenEventRef[]> {
    const records = await this.database.prisma.$queryRawUnsafe<OpenRecord[]>(
      `WITH left_behind AS MATERIALIZED (
         SELECT id FROM open_events WHERE owner_id = $1::uuid ORDER BY id LIMIT $3::int FOR UPDATE
       )
       UPDATE open_events o SET owner_id = $2::uuid FROM left_behind l WHERE o.id = l.id
       RETURNING o.id::text, o.account_id::text, o.member_id::text, o.token_id::text, o.upstream, o.period::text,
         o.hold_pico_usd, o.idempotency_key`,
      ownerId,
      heirId,
      limit,
    );
    return records.map((record) => ({
      id: record.id,
      accountId: record.account_id,
      memberId: record.member_id,
      tokenId: record.token_id,
      upstream: record.upstream,
      period: record.period,
      holdPicoUsd: record.hold_pico_usd,
      idempotencyKey: record.idempotency_key,
    }));
  }

  /** Forgets an owner that has nothing open any more. */
  async forget(ownerId: string): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `DELETE FROM journal_owners WHERE id = $1::uuid
       AND NOT EXISTS (SELECT 1 FROM open_events WHERE owner_id = $1::uuid)`,
      ownerId,
    );
  }

  /** Batch ids only have to outlive a lost answer to COMMIT, and keys 24 h after their request. */
  async prune(): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `DELETE FROM journal_batches WHERE created_at < clock_timestamp() - interval '15 minutes'`,
    );
    await this.database.prisma.$executeRawUnsafe(
      `DELETE FROM idempotency_keys WHERE ended_at < clock_timestamp() - interval '24 hours'`,
    );
  }
}
