import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';

/**
 * Counts a call unless the limit is reached, in one statement under the lock of the row: calls of any
 * number of processes pass one after the other and see the count of the one before. The first call of
 * a day, of which there is one, deletes the days before yesterday: yesterday may still be counted by
 * a process whose clock is behind.
 */
const TAKE = `
WITH taken AS (
  INSERT INTO serverless_days AS d (account_id, day, used)
  SELECT $1::text::uuid, $2::text::date, 1 WHERE $3::int > 0
  ON CONFLICT (account_id, day) DO UPDATE SET used = d.used + 1 WHERE d.used < $3::int
  RETURNING used
),
swept AS (
  DELETE FROM serverless_days old USING taken
  WHERE taken.used = 1 AND old.account_id = $1::text::uuid AND old.day < $2::text::date - 1
)
SELECT true AS taken, used FROM taken
UNION ALL
SELECT false, coalesce((SELECT used FROM serverless_days WHERE account_id = $1::text::uuid AND day = $2::text::date), 0)
WHERE NOT EXISTS (SELECT FROM taken)`;

export interface TakenCall {
  readonly isTaken: boolean;
  /** With this call, when it was taken; when not, as the statement found it: it may lag. */
  readonly used: number;
}

@Injectable()
export class ServerlessAllowanceRepository {
  constructor(private readonly database: DatabaseService) {}

  /** @param day `YYYY-MM-DD` in UTC. */
  async take(accountId: string, day: string, limit: number): Promise<TakenCall> {
    const [record] = await this.database.prisma.$queryRawUnsafe<{ taken: boolean; used: number }[]>(
      TAKE,
      accountId,
      day,
      limit,
    );
    if (record === undefined) throw new Error('serverless: a call was neither taken nor refused');
    return { isTaken: record.taken, used: record.used };
  }

  /** The count afterwards; 0 when that day is gone. */
  async giveBack(accountId: string, day: string): Promise<number> {
    const [record] = await this.database.prisma.$queryRawUnsafe<{ used: number }[]>(
      `UPDATE serverless_days SET used = used - 1
       WHERE account_id = $1::text::uuid AND day = $2::text::date AND used > 0 RETURNING used`,
      accountId,
      day,
    );
    return record?.used ?? 0;
  }

  async usedOn(accountId: string, day: string): Promise<number> {
    const [record] = await this.database.prisma.$queryRawUnsafe<{ used: number }[]>(
      `SELECT used FROM serverless_days WHERE account_id = $1::text::uuid AND day = $2::text::date`,
      accountId,
      day,
    );
    return record?.used ?? 0;
  }
}
