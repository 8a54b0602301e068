import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import { formatUsd } from '../domain/money.js';
import type { Actor } from '../http/actor.js';
import { writeAudit, type AuditState } from './audit.repository.js';
import { insertBudget, lockBudget, writeLimit } from './budgets.repository.js';
import type { LimitsDecision, LimitsRefused } from './limit-change.js';
import type { Organization, OrganizationChange, OrganizationLimits, Plan } from './organization.js';
import { inTransaction, notifyIdentity, type Transaction } from './transactions.repository.js';

interface OrganizationRecord {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly plan: Plan;
  readonly seats: number;
  readonly created_at: Date;
  readonly spend_limit: string | null;
  readonly is_pay_as_you_go: boolean;
  readonly max_spend_limit: string | null;
  readonly requests_per_minute: number | null;
  readonly requests_per_day: number | null;
}

const SELECT_ORGANIZATIONS = `
  SELECT a.id::text, a.slug, a.name, a.plan, a.seats, a.created_at, b.limit_pico_usd::text AS spend_limit, b.is_pay_as_you_go,
    a.max_spend_limit_pico_usd::text AS max_spend_limit, a.requests_per_minute, a.requests_per_day
  FROM accounts a JOIN budgets b ON b.subject_id = a.id
  WHERE a.kind = 'organization'`;

@Injectable()
export class OrganizationsRepository {
  constructor(private readonly database: DatabaseService) {}

  async findBySlug(slug: string): Promise<Organization | null> {
    return firstOf(this.database.prisma, `${SELECT_ORGANIZATIONS} AND a.slug = $1`, slug);
  }

  /** By slug. */
  async list(limit: number, afterSlug: string | null): Promise<readonly Organization[]> {
    const records = await this.database.prisma.$queryRawUnsafe<OrganizationRecord[]>(
      `${SELECT_ORGANIZATIONS} AND ($1::text IS NULL OR a.slug > $1) ORDER BY a.slug LIMIT $2::int`,
      afterSlug,
      limit,
    );
    return records.map(organizationOf);
  }

  /** With its budget; `slug_taken` when another process or person was first. */
  async create(
    organization: Organization,
    period: string,
    actor: Actor,
  ): Promise<'created' | 'slug_taken'> {
    const { id, limits } = organization;
    try {
      await inTransaction(this.database, async (tx) => {
        await tx.account.create({
          data: {
            id,
            slug: organization.slug,
            name: organization.name,
            kind: 'organization',
            plan: organization.plan,
            seats: organization.seats,
            maxSpendLimitPicoUsd: limits.maxSpendLimitPicoUsd?.toString() ?? null,
            requestsPerMinute: limits.requestsPerMinute,
            requestsPerDay: limits.requestsPerDay,
            createdAt: organization.createdAt,
          },
        });
        await insertBudget(tx, {
          subjectId: id,
          scope: 'account',
          accountId: id,
          limitPicoUsd: limits.monthlySpendLimitPicoUsd,
          isPayAsYouGo: limits.isPayAsYouGo,
          period,
        });
        await writeAudit(tx, actor, organization.createdAt, {
          action: 'organization.create',
          subject: subjectOf(organization),
          before: null,
          after: stateOf(organization),
        });
      });
      return 'created';
    } catch (error) {
      if (isSlugTaken(error)) return 'slug_taken';
      throw error;
    }
  }

  async update(
    id: string,
    change: OrganizationChange,
    actor: Actor,
    at: Date,
  ): Promise<Organization> {
    return inTransaction(this.database, async (tx) => {
      const before = await lockAccount(tx, id);
      await tx.account.update({ where: { id }, data: change });
      const after = { ...before, ...change };
      await notifyIdentity(tx, id);
      await writeAudit(tx, actor, at, {
        action: 'organization.update',
        subject: subjectOf(before),
        before: stateOf(before),
        after: stateOf(after),
      });
      return after;
    });
  }

  /**
   * @param decide called once under the lock, with the limits in force.
   * @returns the organization as it is then, or what `decide` refused with: then nothing changed.
   */
  async changeLimits(
    id: string,
    decide: (current: OrganizationLimits) => LimitsDecision,
    actor: Actor,
    at: Date,
  ): Promise<Organization | LimitsRefused> {
    return inTransaction(this.database, async (tx) => {
      // Every change of limits locks the account first: what is read here stays true.
      const before = await lockAccount(tx, id);
      const decision = decide(before.limits);
      if (decision.kind !== 'changed') return decision;
      const { limits } = decision;
      await tx.account.update({
        where: { id },
        data: {
          maxSpendLimitPicoUsd: limits.maxSpendLimitPicoUsd?.toString() ?? null,
          requestsPerMinute: limits.requestsPerMinute,
          requestsPerDay: limits.requestsPerDay,
        },
      });
      await lockBudget(tx, id);
      await writeLimit(tx, id, {
        limitPicoUsd: limits.monthlySpendLimitPicoUsd,
        isPayAsYouGo: limits.isPayAsYouGo,
      });
      await notifyIdentity(tx, id);
      const after = { ...before, limits };
      await writeAudit(tx, actor, at, {
        action: 'organization.limits',
        subject: subjectOf(before),
        before: limitsState(before.limits),
        after: limitsState(limits),
      });
      return after;
    });
  }
}

/** Two statements: what is read was committed before the lock was got, the joined row included. */
async function lockAccount(tx: Transaction, id: string): Promise<Organization> {
  await tx.$queryRawUnsafe(
    `SELECT 1 FROM accounts WHERE id = $1::text::uuid FOR NO KEY UPDATE`,
    id,
  );
  const found = await firstOf(tx, `${SELECT_ORGANIZATIONS} AND a.id = $1::text::uuid`, id);
  if (found === null) throw new Error(`organization ${id} is missing`);
  return found;
}

async function firstOf(
  client: Pick<Transaction, '$queryRawUnsafe'>,
  sql: string,
  value: string,
): Promise<Organization | null> {
  const [record] = await client.$queryRawUnsafe<OrganizationRecord[]>(sql, value);
  return record === undefined ? null : organizationOf(record);
}

function organizationOf(record: OrganizationRecord): Organization {
  return {
    id: record.id,
    slug: record.slug,
    name: record.name,
    plan: record.plan,
    seats: record.seats,
    createdAt: record.created_at,
    limits: {
      monthlySpendLimitPicoUsd: record.spend_limit === null ? null : BigInt(record.spend_limit),
      isPayAsYouGo: record.is_pay_as_you_go,
      maxSpendLimitPicoUsd: record.max_spend_limit === null ? null : BigInt(record.max_spend_limit),
      requestsPerMinute: record.requests_per_minute,
      requestsPerDay: record.requests_per_day,
    },
  };
}

function isSlugTaken(error: unknown): boolean {
  if ((error as { code?: unknown }).code === 'P2002') return true;
  const failure = classifySqlFailure(error);
  return failure.kind === 'unique' && failure.constraint === 'accounts_slug_key';
}

function subjectOf({ slug }: Organization): string {
  return `organization:${slug}`;
}

function stateOf({ id, slug, name, plan, seats, limits }: Organization): AuditState {
  return { id, slug, name, plan, seats, limits: limitsState(limits) };
}

function limitsState(limits: OrganizationLimits): AuditState {
  return {
    monthlySpendLimitUsd: usdOrNull(limits.monthlySpendLimitPicoUsd),
    payAsYouGo: limits.isPayAsYouGo,
    maxSpendLimitUsd: usdOrNull(limits.maxSpendLimitPicoUsd),
    requestsPerMinute: limits.requestsPerMinute,
    requestsPerDay: limits.requestsPerDay,
  };
}

function usdOrNull(amount: bigint | null): string | null {
  return amount === null ? null : formatUsd(amount);
}
