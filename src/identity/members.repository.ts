import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import { formatUsd } from '../domain/money.js';
import type { Actor } from '../http/actor.js';
import { writeAudit, type AuditState } from './audit.repository.js';
import { closeBudgets, insertBudget, lockBudget, writeLimit } from './budgets.repository.js';
import type { Member, MemberChange } from './member.js';
import type { Role } from './organization.js';
import { inTransaction, notifyIdentity, type Transaction } from './transactions.repository.js';
import { findUserId, lockEmail } from './users.repository.js';

interface MemberRecord {
  readonly id: string;
  readonly account_id: string;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly created_at: Date;
  readonly monthly_limit: string | null;
}

const SELECT_MEMBERS = `
  SELECT m.id::text, m.account_id::text, m.email, m.name, m.role, m.created_at, b.limit_pico_usd::text AS monthly_limit
  FROM members m JOIN budgets b ON b.subject_id = m.id
  WHERE m.removed_at IS NULL AND m.account_id = $1::text::uuid`;

/** Members that were not removed; every query carries their account. */
@Injectable()
export class MembersRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Oldest first. */
  async list(accountId: string, limit: number, afterId: string | null): Promise<readonly Member[]> {
    const records = await this.database.prisma.$queryRawUnsafe<MemberRecord[]>(
      `${SELECT_MEMBERS} AND ($2::text IS NULL OR m.id > $2::text::uuid) ORDER BY m.id LIMIT $3::int`,
      accountId,
      afterId,
      limit,
    );
    return records.map(memberOf);
  }

  async create(member: Member, period: string, actor: Actor): Promise<'created' | 'email_taken'> {
    const { id, accountId, email, name, role, createdAt, monthlyLimitPicoUsd } = member;
    try {
      await inTransaction(this.database, async (tx) => {
        await lockEmail(tx, email);
        const userId = await findUserId(tx, email);
        await tx.member.create({ data: { id, accountId, userId, email, name, role, createdAt } });
        await insertBudget(tx, {
          subjectId: id,
          scope: 'member',
          accountId,
          limitPicoUsd: monthlyLimitPicoUsd,
          isPayAsYouGo: false,
          period,
        });
        await writeAudit(tx, actor, createdAt, {
          action: 'member.create',
          subject: `member:${id}`,
          before: null,
          after: stateOf(member),
        });
        // His own tokens may name this payer from now on.
        if (userId !== null) await notifyIdentity(tx, userId);
      });
      return 'created';
    } catch (error) {
      if (isEmailTaken(error)) return 'email_taken';
      throw error;
    }
  }

  /** Null when there is no such member. */
  async update(
    accountId: string,
    id: string,
    change: MemberChange,
    actor: Actor,
    at: Date,
  ): Promise<Member | null> {
    return inTransaction(this.database, async (tx) => {
      const before = await lockMember(tx, accountId, id);
      if (before === null) return null;
      const { monthlyLimitPicoUsd = before.monthlyLimitPicoUsd, ...columns } = change;
      const after: Member = { ...before, ...columns, monthlyLimitPicoUsd };
      await tx.member.update({ where: { id }, data: columns });
      if (monthlyLimitPicoUsd !== before.monthlyLimitPicoUsd) {
        await lockBudget(tx, id);
        await writeLimit(tx, id, { limitPicoUsd: monthlyLimitPicoUsd, isPayAsYouGo: false });
      }
      await writeAudit(tx, actor, at, {
        action: 'member.update',
        subject: `member:${id}`,
        before: stateOf(before),
        after: stateOf(after),
      });
      return after;
    });
  }

  /**
   * Removes a member and closes the tokens that were made for him. From this commit on nothing is
   * admitted that counts in his budget, tokens of his own account included; the notice makes every
   * process forget that they may name this payer.
   */
  async remove(
    accountId: string,
    id: string,
    actor: Actor,
    at: Date,
  ): Promise<'removed' | 'unknown'> {
    return inTransaction(this.database, async (tx) => {
      const before = await lockMember(tx, accountId, id);
      if (before === null) return 'unknown';
      await tx.member.update({ where: { id }, data: { removedAt: at } });
      const revoked = await tx.token.updateManyAndReturn({
        where: { memberId: id, revokedAt: null },
        data: { revokedAt: at },
        select: { id: true },
      });
      const revokedTokens = revoked.map((token) => token.id);
      await closeBudgets(tx, [id, ...revokedTokens]);
      await notifyIdentity(tx, accountId);
      await writeAudit(tx, actor, at, {
        action: 'member.remove',
        subject: `member:${id}`,
        before: stateOf(before),
        after: { revokedTokens },
      });
      return 'removed';
    });
  }
}

/**
 * Under lock: no token is made for him meanwhile. Two statements: what is read was committed before
 * the lock was got, the joined row included.
 */
async function lockMember(tx: Transaction, accountId: string, id: string): Promise<Member | null> {
  await tx.$queryRawUnsafe(
    `SELECT 1 FROM members WHERE account_id = $1::text::uuid AND id = $2::text::uuid FOR NO KEY UPDATE`,
    accountId,
    id,
  );
  const [record] = await tx.$queryRawUnsafe<MemberRecord[]>(
    `${SELECT_MEMBERS} AND m.id = $2::text::uuid`,
    accountId,
    id,
  );
  return record === undefined ? null : memberOf(record);
}

function memberOf(record: MemberRecord): Member {
  return {
    id: record.id,
    accountId: record.account_id,
    email: record.email,
    name: record.name,
    role: record.role,
    createdAt: record.created_at,
    monthlyLimitPicoUsd: record.monthly_limit === null ? null : BigInt(record.monthly_limit),
  };
}

function isEmailTaken(error: unknown): boolean {
  if ((error as { code?: unknown }).code === 'P2002') return true;
  const failure = classifySqlFailure(error);
  return failure.kind === 'unique' && failure.constraint === 'members_email';
}

function stateOf({ accountId, email, name, role, monthlyLimitPicoUsd }: Member): AuditState {
  const monthlyLimitUsd = monthlyLimitPicoUsd === null ? null : formatUsd(monthlyLimitPicoUsd);
  return { accountId, email, name, role, monthlyLimitUsd };
}
