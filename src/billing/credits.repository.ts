import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import { addGrant, topUp, type BudgetRow, type NewGrant } from '../domain/budget-rows.js';
import { parseCredit, type GrantKind } from '../domain/credits.js';
import { formatUsd } from '../domain/money.js';
import { periodOf } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import { readBudget, writeGranted } from './book.repository.js';
import { inTransaction, lockAccount } from './transactions.repository.js';

/** A grant as it stands in the store. */
export interface RecordedGrant {
  readonly id: string;
  readonly kind: GrantKind;
  readonly amountPicoUsd: bigint;
  readonly period: string | null;
  readonly grantedAt: Date;
  readonly expiresAt: Date | null;
  readonly reason: string;
}

export interface GrantRequest {
  readonly kind: 'promotional' | 'prepaid';
  readonly amountPicoUsd: bigint;
  readonly expiresAt: Date | null;
  readonly reason: string;
  readonly idempotencyKey: string | null;
}

interface GrantRecord {
  readonly id: string;
  readonly kind: GrantKind;
  readonly amount: string;
  readonly period: string | null;
  readonly granted_at: Date;
  readonly expires_at: Date | null;
  readonly reason: string;
}

const GRANT_FIELDS = `g.id::text, g.kind, g.amount_pico_usd::text AS amount, g.period::text AS period, g.granted_at, g.expires_at, g.reason`;

@Injectable()
export class CreditsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** The account's budget as it is now; nothing is locked. */
  async budgetOf(accountId: string): Promise<BudgetRow> {
    return readBudget(this.database.prisma, accountId, 'none');
  }

  /** Makes the plan grant of a period if it is due, with what it covers. */
  async topUp(accountId: string, at: Date): Promise<BudgetRow> {
    return inTransaction(this.database, async (tx) => {
      const row = await readBudget(tx, accountId, 'settlements');
      const granted = topUp(row, periodOf(at), at, uuidv7);
      if (granted.grants.length > 0) await writeGranted(tx, granted, MONTHLY);
      return granted.row;
    });
  }

  /** Accounts after one id whose credit is kept, with it: where a plan grant may be due. */
  async accountsAfter(
    accountId: string | null,
    limit: number,
  ): Promise<readonly Pick<BudgetRow, 'subjectId' | 'credit' | 'closedThrough'>[]> {
    const records = await this.database.prisma.$queryRawUnsafe<
      { id: string; credit: string; closed_through: string | null }[]
    >(
      `SELECT subject_id::text AS id, credit::text AS credit, closed_through::text AS closed_through FROM budgets
       WHERE scope = 'account' AND credit IS NOT NULL AND ($1::text IS NULL OR subject_id > $1::text::uuid)
       ORDER BY subject_id LIMIT $2::int`,
      accountId,
      limit,
    );
    return records.map((record) => ({
      subjectId: record.id,
      credit: parseCredit(record.credit),
      closedThrough: record.closed_through,
    }));
  }

  /**
   * Makes a promotional or prepaid grant, once per idempotency key; it covers in the same
   * transaction what periods it is usable in already owe. `other_content`: the key was used for
   * another grant.
   *
   * @param check asked for a new grant only: a replay is answered as it was, whatever has passed since.
   */
  async grant(
    accountId: string,
    request: GrantRequest,
    check: () => void,
    actor: Actor,
    at: Date,
  ): Promise<{ readonly grant: RecordedGrant; readonly isNew: boolean } | 'other_content'> {
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, accountId);
      if (request.idempotencyKey !== null) {
        const [before] = await tx.$queryRawUnsafe<GrantRecord[]>(
          `SELECT ${GRANT_FIELDS} FROM credit_grants g WHERE g.account_id = $1::text::uuid AND g.idempotency_key = $2::text`,
          accountId,
          request.idempotencyKey,
        );
        if (before !== undefined) {
          const grant = grantOf(before);
          return isSame(grant, request) ? { grant, isNew: false } : 'other_content';
        }
      }
      check();
      const { kind, amountPicoUsd, expiresAt, reason } = request;
      const grant: NewGrant = {
        id: uuidv7(),
        accountId,
        kind,
        amountPicoUsd,
        period: null,
        entitlementPicoUsd: null,
        grantedAt: at,
        expiresAt,
      };
      await writeAudit(tx, actor, at, {
        action: 'credit.grant',
        subject: `account:${accountId}`,
        before: null,
        after: {
          id: grant.id,
          kind,
          amountUsd: formatUsd(amountPicoUsd),
          expiresAt: expiresAt?.toISOString() ?? null,
          reason,
        },
      });
      // The plan's own credit burns first: it must be there before another covers what is owed.
      const period = periodOf(at);
      const row = await readBudget(tx, accountId, 'settlements');
      const monthly = topUp(row, period, at, uuidv7);
      if (monthly.grants.length > 0) await writeGranted(tx, monthly, MONTHLY);
      await writeGranted(tx, addGrant(monthly.row, grant, period, uuidv7), {
        reason,
        actor: actor.name,
        idempotencyKey: request.idempotencyKey,
      });
      return {
        grant: {
          id: grant.id,
          kind,
          amountPicoUsd,
          period: null,
          grantedAt: at,
          expiresAt,
          reason,
        },
        isNew: true,
      };
    });
  }

  /** All grants of an account, newest first. */
  async list(
    accountId: string,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly RecordedGrant[]> {
    const records = await this.database.prisma.$queryRawUnsafe<GrantRecord[]>(
      `SELECT ${GRANT_FIELDS} FROM credit_grants g
       WHERE g.account_id = $1::text::uuid AND ($2::text IS NULL OR g.id < $2::text::uuid) ORDER BY g.id DESC LIMIT $3::int`,
      accountId,
      beforeId,
      limit,
    );
    return records.map(grantOf);
  }
}

const MONTHLY = { reason: `the plan's monthly credit`, actor: 'system', idempotencyKey: null };

function grantOf(record: GrantRecord): RecordedGrant {
  return {
    id: record.id,
    kind: record.kind,
    amountPicoUsd: BigInt(record.amount),
    period: record.period,
    grantedAt: record.granted_at,
    expiresAt: record.expires_at,
    reason: record.reason,
  };
}

function isSame(grant: RecordedGrant, request: GrantRequest): boolean {
  return (
    grant.kind === request.kind &&
    grant.amountPicoUsd === request.amountPicoUsd &&
    grant.reason === request.reason &&
    grant.expiresAt?.getTime() === request.expiresAt?.getTime()
  );
}
