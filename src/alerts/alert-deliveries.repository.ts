import { Injectable } from '@nestjs/common';
import type { SealedSecret } from '../config/secret-box.js';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import {
  ALERT_COLUMNS,
  ALERT_NAMES,
  alertOf,
  type AlertRecord,
  type Channel,
  type NamedAlert,
} from './alert.js';

/** An attempt that this process may make until the lease is over. */
export interface ClaimedDelivery {
  readonly alert: NamedAlert;
  readonly position: number;
  readonly channel: Channel;
  readonly target: string;
  /** This one included. */
  readonly attempts: number;
  /** The account still wants to be told there. */
  readonly isWanted: boolean;
  readonly secret: SealedSecret | null;
}

interface ClaimRecord extends AlertRecord {
  readonly position: number;
  readonly channel: Channel;
  readonly target: string;
  readonly attempts: number;
  readonly is_wanted: boolean;
  readonly webhook_secret: Uint8Array | null;
  readonly webhook_secret_key_id: string | null;
}

@Injectable()
export class AlertDeliveriesRepository {
  constructor(private readonly database: DatabaseService) {}

  /**
   * Takes the delivery that is due for longest, for one attempt; null when none is. Others do not
   * see it until the lease is over: a process that dies in between delays it, and no more.
   *
   * @param busyAccountIds accounts that have their share of this process already.
   */
  async claim(
    at: Date,
    leaseUntil: Date,
    busyAccountIds: readonly string[],
  ): Promise<ClaimedDelivery | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<ClaimRecord[]>(
      `WITH due AS MATERIALIZED (
         SELECT alert_id, position FROM alert_deliveries
         WHERE state = 'pending' AND next_attempt_at <= $1::timestamptz
           AND account_id <> ALL($3::text::uuid[])
         ORDER BY next_attempt_at, alert_id, position LIMIT 1 FOR UPDATE SKIP LOCKED
       ), taken AS (
         UPDATE alert_deliveries d SET attempts = d.attempts + 1, next_attempt_at = $2::timestamptz
         FROM due WHERE d.alert_id = due.alert_id AND d.position = due.position
         RETURNING d.alert_id, d.position, d.channel, d.target, d.attempts
       )
       SELECT ${ALERT_COLUMNS}, d.position::int, d.channel, d.target, d.attempts,
         CASE d.channel WHEN 'webhook' THEN coalesce(s.webhook_url = d.target, FALSE)
           ELSE coalesce(d.target = ANY(s.emails), FALSE) END AS is_wanted,
         s.webhook_secret, s.webhook_secret_key_id
       FROM taken d JOIN alerts a ON a.id = d.alert_id ${ALERT_NAMES}
       LEFT JOIN alert_settings s ON s.account_id = a.account_id`,
      at.toISOString(),
      leaseUntil.toISOString(),
      arrayText(busyAccountIds),
    );
    return record === undefined ? null : claimOf(record);
  }

  /** Ends the attempt; nothing when its lease ran out and another attempt was begun. */
  async delivered(claim: ClaimedDelivery, at: Date): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `UPDATE alert_deliveries SET state = 'delivered', delivered_at = $4::timestamptz, next_attempt_at = NULL,
         last_error = NULL
       WHERE ${THIS_ATTEMPT}`,
      ...attemptOf(claim),
      at.toISOString(),
    );
  }

  /** The same for an attempt that failed; without a next one the delivery is dead. */
  async failed(claim: ClaimedDelivery, problem: string, nextAttemptAt: Date | null): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `UPDATE alert_deliveries SET state = CASE WHEN $5::text IS NULL THEN 'dead' ELSE 'pending' END,
         next_attempt_at = $5::text::timestamptz, last_error = $4
       WHERE ${THIS_ATTEMPT}`,
      ...attemptOf(claim),
      problem,
      nextAttemptAt?.toISOString() ?? null,
    );
  }
}

const THIS_ATTEMPT = `alert_id = $1::text::uuid AND position = $2::smallint AND attempts = $3::int AND state = 'pending'`;

function attemptOf(claim: ClaimedDelivery): [string, number, number] {
  return [claim.alert.id, claim.position, claim.attempts];
}

function claimOf(record: ClaimRecord): ClaimedDelivery {
  const { webhook_secret: box, webhook_secret_key_id: keyId } = record;
  return {
    alert: alertOf(record),
    position: record.position,
    channel: record.channel,
    target: record.target,
    attempts: record.attempts,
    isWanted: record.is_wanted,
    secret: box === null || keyId === null ? null : { keyId, box: Buffer.from(box) },
  };
}
