import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { formatUsd } from '../domain/money.js';
import type { Actor } from '../http/actor.js';
import type { Scope } from '../http/caller.js';
import { writeAudit, type AuditState } from './audit.repository.js';
import { closeBudgets, insertBudget, lockBudget, writeLimit } from './budgets.repository.js';
import type { Token, TokenChange } from './token.js';
import { inTransaction, notifyIdentity, type Transaction } from './transactions.repository.js';

interface TokenRecord {
  readonly id: string;
  readonly account_id: string;
  readonly organization: string | null;
  readonly member_id: string | null;
  readonly name: string;
  readonly prefix: string;
  readonly scopes: readonly Scope[];
  readonly monthly_limit: string | null;
  readonly requests_per_minute: number | null;
  readonly created_at: Date;
  readonly last_used_at: Date | null;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
}

const SELECT_TOKENS = `
  SELECT t.id::text, t.account_id::text, CASE WHEN a.kind = 'organization' THEN a.slug END AS organization, t.member_id::text, t.name, t.prefix, t.scopes,
    b.limit_pico_usd::text AS monthly_limit, t.requests_per_minute, t.created_at, t.last_used_at, t.expires_at, t.revoked_at
  FROM tokens t JOIN accounts a ON a.id = t.account_id JOIN budgets b ON b.subject_id = t.id`;

@Injectable()
export class TokensRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Whatever account it is of: who may see it is decided by the caller of this. */
  async find(id: string): Promise<Token | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<TokenRecord[]>(
      `${SELECT_TOKENS} WHERE t.id = $1::text::uuid`,
      id,
    );
    return record === undefined ? null : tokenOf(record);
  }

  /** Newest first, revoked ones too. */
  async list(accountId: string, limit: number, beforeId: string | null): Promise<readonly Token[]> {
    const records = await this.database.prisma.$queryRawUnsafe<TokenRecord[]>(
      `${SELECT_TOKENS} WHERE t.account_id = $1::text::uuid AND ($2::text IS NULL OR t.id < $2::text::uuid)
       ORDER BY t.id DESC LIMIT $3::int`,
      accountId,
      beforeId,
      limit,
    );
    return records.map(tokenOf);
  }

  /** `unknown_member` when the token is for a member that the account does not have. */
  async create(
    token: Token,
    hash: Buffer,
    period: string,
    actor: Actor,
  ): Promise<'created' | 'unknown_member'> {
    const { id, accountId, memberId } = token;
    return inTransaction(this.database, async (tx) => {
      if (memberId !== null && !(await lockMember(tx, accountId, memberId)))
        return 'unknown_member';
      await tx.token.create({
        data: {
          id,
          accountId,
          memberId,
          name: token.name,
          hash: new Uint8Array(hash),
          prefix: token.prefix,
          scopes: [...token.scopes],
          requestsPerMinute: token.requestsPerMinute,
          createdAt: token.createdAt,
          expiresAt: token.expiresAt,
        },
      });
      await insertBudget(tx, {
        subjectId: id,
        scope: 'token',
        accountId,
        limitPicoUsd: token.monthlyLimitPicoUsd,
        isPayAsYouGo: false,
        period,
      });
      await writeAudit(tx, actor, token.createdAt, {
        action: 'token.create',
        subject: `token:${id}`,
        before: null,
        after: stateOf(token),
      });
      return 'created';
    });
  }

  /** `revoked`: it is closed for good. */
  async update(
    id: string,
    change: TokenChange,
    actor: Actor,
    at: Date,
  ): Promise<Token | 'revoked'> {
    return inTransaction(this.database, async (tx) => {
      const before = await lockToken(tx, id);
      if (before.revokedAt !== null) return 'revoked';
      const { monthlyLimitPicoUsd = before.monthlyLimitPicoUsd, ...columns } = change;
      const after: Token = { ...before, ...columns, monthlyLimitPicoUsd };
      const { scopes, ...others } = columns;
      await tx.token.update({
        where: { id },
        data: { ...others, ...(scopes === undefined ? {} : { scopes: [...scopes] }) },
      });
      if (monthlyLimitPicoUsd !== before.monthlyLimitPicoUsd) {
        await lockBudget(tx, id);
        await writeLimit(tx, id, { limitPicoUsd: monthlyLimitPicoUsd, isPayAsYouGo: false });
      }
      await notifyIdentity(tx, id);
      await writeAudit(tx, actor, at, {
        action: 'token.update',
        subject: `token:${id}`,
        before: stateOf(before),
        after: stateOf(after),
      });
      return after;
    });
  }

  /**
   * From its commit on the token admits nothing, in any process: the commit that would admit reads
   * the closed budget row. The notice makes the others forget the token as well.
   */
  async revoke(id: string, actor: Actor, at: Date): Promise<void> {
    await inTransaction(this.database, async (tx) => {
      const before = await lockToken(tx, id);
      if (before.revokedAt !== null) return;
      await tx.token.update({ where: { id }, data: { revokedAt: at } });
      await closeBudgets(tx, [id]);
      await notifyIdentity(tx, id);
      await writeAudit(tx, actor, at, {
        action: 'token.revoke',
        subject: `token:${id}`,
        before: stateOf(before),
        after: { ...stateOf(before), revokedAt: at.toISOString() },
      });
    });
  }
}

/** Two statements: what is read was committed before the lock was got, the joined row included. */
async function lockToken(tx: Transaction, id: string): Promise<Token> {
  await tx.$queryRawUnsafe(`SELECT 1 FROM tokens WHERE id = $1::text::uuid FOR NO KEY UPDATE`, id);
  const [record] = await tx.$queryRawUnsafe<TokenRecord[]>(
    `${SELECT_TOKENS} WHERE t.id = $1::text::uuid`,
    id,
  );
  if (record === undefined) throw new Error(`token ${id} is missing`);
  return tokenOf(record);
}

/** Keeps the member from being removed before the token's commit. */
async function lockMember(tx: Transaction, accountId: string, memberId: string): Promise<boolean> {
  const rows = await tx.$queryRawUnsafe<unknown[]>(
    `SELECT 1 FROM members WHERE id = $1::text::uuid AND account_id = $2::text::uuid AND removed_at IS NULL FOR SHARE`,
    memberId,
    accountId,
  );
  return rows.length > 0;
}

function tokenOf(record: TokenRecord): Token {
  return {
    id: record.id,
    accountId: record.account_id,
    organization: record.organization,
    memberId: record.member_id,
    name: record.name,
    prefix: record.prefix,
    scopes: record.scopes,
    monthlyLimitPicoUsd: record.monthly_limit === null ? null : BigInt(record.monthly_limit),
    requestsPerMinute: record.requests_per_minute,
    createdAt: record.created_at,
    lastUsedAt: record.last_used_at,
    expiresAt: record.expires_at,
    revokedAt: record.revoked_at,
  };
}

function stateOf(token: Token): Exclude<AuditState, null> {
  const { organization, memberId, name, prefix, scopes, monthlyLimitPicoUsd, expiresAt } = token;
  return {
    organization,
    memberId,
    name,
    prefix,
    scopes,
    monthlyLimitUsd: monthlyLimitPicoUsd === null ? null : formatUsd(monthlyLimitPicoUsd),
    requestsPerMinute: token.requestsPerMinute,
    expiresAt: expiresAt?.toISOString() ?? null,
  };
}
