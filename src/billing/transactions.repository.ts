import type { DatabaseService } from '../database/database.service.js';
import type { Prisma } from '../database/prisma/client.js';
import { classifySqlFailure } from '../database/sql-errors.js';

export type Transaction = Prisma.TransactionClient;

const ATTEMPTS = 5;
const TIMEOUT_MS = 60_000;

/**
 * One transaction of the books. It runs again when it lost a deadlock, waited too long for a lock,
 * or found that a settlement had come between (`RetryBooking`): `work` must do nothing but SQL.
 */
export async function inTransaction<Result>(
  { prisma }: DatabaseService,
  work: (tx: Transaction) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await prisma.$transaction(
        async (tx) => {
          await tx.$executeRawUnsafe(`SET LOCAL lock_timeout = '10s'`);
          return work(tx);
        },
        { maxWait: 10_000, timeout: TIMEOUT_MS },
      );
    } catch (error) {
      const isWorthAnother =
        error instanceof RetryBooking || classifySqlFailure(error).kind === 'transient';
      if (!isWorthAnother || attempt === ATTEMPTS) throw error;
    }
  }
}

/** What was read without a lock is no longer true: roll back and run again. */
export class RetryBooking extends Error {
  override readonly name = 'RetryBooking';
}

/**
 * Serialises what billing does to one account (closes, grants, plan changes, corrections) without
 * holding its budget, which the journal needs for every request.
 */
export async function lockAccount(tx: Transaction, accountId: string): Promise<void> {
  await tx.$queryRawUnsafe(
    `SELECT 1 AS locked FROM accounts WHERE id = $1::text::uuid FOR NO KEY UPDATE`,
    accountId,
  );
}
