import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import type { PlanChange } from '../domain/plans.js';
import type { Actor } from '../http/actor.js';
import type { UserAccount } from './account.js';
import { insertAccount, stateOf, subjectOf } from './accounts.repository.js';
import { writeAudit } from './audit.repository.js';
import { inTransaction, type Transaction } from './transactions.repository.js';

@Injectable()
export class UsersRepository {
  constructor(private readonly database: DatabaseService) {}

  /** With his account and its budget; ties the members with his e-mail address to him. */
  async create(
    user: UserAccount,
    start: PlanChange,
    actor: Actor,
  ): Promise<'created' | 'email_taken'> {
    const { id, email, name, createdAt } = user;
    try {
      await inTransaction(this.database, async (tx) => {
        await lockEmail(tx, email);
        await tx.user.create({ data: { id, email, name, createdAt } });
        await insertAccount(tx, user, start);
        const organizations = await tx.$queryRawUnsafe<{ slug: string }[]>(
          `UPDATE members m SET user_id = $1::text::uuid FROM accounts a
           WHERE a.id = m.account_id AND lower(m.email) = lower($2) AND m.removed_at IS NULL
           RETURNING a.slug`,
          id,
          email,
        );
        await writeAudit(tx, actor, createdAt, {
          action: 'user.create',
          subject: subjectOf(user),
          before: null,
          after: { ...stateOf(user), memberOf: organizations.map(({ slug }) => slug).sort() },
        });
      });
      return 'created';
    } catch (error) {
      if (isEmailTaken(error)) return 'email_taken';
      throw error;
    }
  }
}

/**
 * Whoever makes a user or a member of an e-mail address takes turns: else neither would see the
 * other, and the member would be nobody's.
 */
export async function lockEmail(tx: Transaction, email: string): Promise<void> {
  await tx.$queryRawUnsafe(
    `SELECT pg_advisory_xact_lock(hashtextextended('user ' || lower($1), 0))::text`,
    email,
  );
}

/** Id of the user with this e-mail address, under `lockEmail`. */
export async function findUserId(tx: Transaction, email: string): Promise<string | null> {
  const [found] = await tx.$queryRawUnsafe<{ id: string }[]>(
    `SELECT id::text FROM users WHERE lower(email) = lower($1)`,
    email,
  );
  return found?.id ?? null;
}

function isEmailTaken(error: unknown): boolean {
  if ((error as { code?: unknown }).code === 'P2002') return true;
  const failure = classifySqlFailure(error);
  return failure.kind === 'unique' && failure.constraint === 'users_email';
}
