import type { DatabaseService } from '../database/database.service.js';
import type { Prisma } from '../database/prisma/client.js';
import { classifySqlFailure } from '../database/sql-errors.js';

export type Transaction = Prisma.TransactionClient;

const ATTEMPTS = 3;

/**
 * One transaction of an administrative write. It waits for locks of the journal, which are short,
 * and runs again when it lost a deadlock or waited too long: `work` must do nothing but SQL.
 */
export async function inTransaction<Result>(
  { prisma }: DatabaseService,
  work: (tx: Transaction) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await prisma.$transaction(
        async (tx) => {
          await tx.$executeRawUnsafe(`SET LOCAL lock_timeout = '3s'`);
          return work(tx);
        },
        { maxWait: 5_000, timeout: 15_000 },
      );
    } catch (error) {
      if (classifySqlFailure(error).kind !== 'transient' || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Tells every process at the commit to forget a token, or all tokens of an account. */
export async function notifyIdentity(tx: Transaction, tokenOrAccountId: string): Promise<void> {
  await tx.$queryRawUnsafe(`SELECT pg_notify('tollgate_identity', $1)::text`, tokenOrAccountId);
}
