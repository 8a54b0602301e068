import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { DatabaseService } from '../database/database.service.js';
import { creditText } from '../domain/credits.js';
import { formatUsd } from '../domain/money.js';
import { periodOf } from '../domain/periods.js';
import type { PlanChange } from '../domain/plans.js';
import { creditOfNew } from '../domain/subscriptions.js';
import type { Actor } from '../http/actor.js';
import type { Account, UserAccount } from './account.js';
import { writeAudit, type AuditState } from './audit.repository.js';
import { insertBudget, lockBudget, writeLimit } from './budgets.repository.js';
import type { LimitsDecision, LimitsRefused } from './limit-change.js';
import type { AccountLimits, Organization, Plan, ScheduledPlan } from './organization.js';
import { inTransaction, notifyIdentity, type Transaction } from './transactions.repository.js';

interface AccountRecord {
  readonly id: string;
  readonly kind: Account['kind'];
  readonly slug: string;
  readonly email: string | null;
  readonly name: string;
  readonly plan: Plan;
  readonly seats: number;
  readonly created_at: Date;
  readonly spend_limit: string | null;
  readonly is_pay_as_you_go: boolean;
  readonly max_spend_limit: string | null;
  readonly requests_per_minute: number | null;
  readonly requests_per_day: number | null;
  readonly next_plan: Plan | null;
  readonly next_seats: number | null;
  readonly next_at: Date | null;
}

const SELECT_ACCOUNTS = `
  SELECT a.id::text, a.kind, a.slug, u.email, a.name, a.plan, a.seats, a.created_at,
    b.limit_pico_usd::text AS spend_limit, b.is_pay_as_you_go,
    a.max_spend_limit_pico_usd::text AS max_spend_limit, a.requests_per_minute, a.requests_per_day,
    s.plan AS next_plan, s.seats AS next_seats, s.effective_at AS next_at
  FROM accounts a JOIN budgets b ON b.subject_id = a.id LEFT JOIN users u ON u.id = a.user_id
  LEFT JOIN LATERAL (
    SELECT c.plan, c.seats, c.effective_at FROM plan_changes c WHERE c.account_id = a.id AND c.cancelled_at IS NULL
    ORDER BY c.effective_at DESC, c.requested_at DESC, c.id DESC LIMIT 1
  ) s ON (s.plan, s.seats) IS DISTINCT FROM (a.plan, a.seats)`;

/** What accounts have in common, whoever's they are. */
@Injectable()
export class AccountsRepository {
  constructor(private readonly database: DatabaseService) {}

  async find(id: string): Promise<Account | null> {
    const [found] = await selectAccounts(this.database.prisma, 'WHERE a.id = $1::text::uuid', id);
    return found ?? null;
  }

  async findOrganization(slug: string): Promise<Organization | null> {
    const [found] = await selectAccounts(this.database.prisma, 'WHERE a.slug = $1', slug);
    return found?.kind === 'organization' ? found : null;
  }

  async findUser(userId: string): Promise<UserAccount | null> {
    const condition = 'WHERE a.user_id = $1::text::uuid';
    const [found] = await selectAccounts(this.database.prisma, condition, userId);
    return found?.kind === 'user' ? found : null;
  }

  /** By slug. */
  async listOrganizations(
    limit: number,
    afterSlug: string | null,
  ): Promise<readonly Organization[]> {
    const condition = `WHERE a.kind = 'organization' AND ($1::text IS NULL OR a.slug > $1) ORDER BY a.slug LIMIT $2::int`;
    const found = await selectAccounts(this.database.prisma, condition, afterSlug, limit);
    return found.filter((account) => account.kind === 'organization');
  }

  /** Oldest first. */
  async listUsers(limit: number, afterId: string | null): Promise<readonly UserAccount[]> {
    const condition = `WHERE a.kind = 'user' AND ($1::text IS NULL OR a.user_id > $1::text::uuid) ORDER BY a.user_id LIMIT $2::int`;
    const found = await selectAccounts(this.database.prisma, condition, afterId, limit);
    return found.filter((account) => account.kind === 'user');
  }

  /**
   * @param decide called once under the lock, with the limits in force.
   * @returns the account as it is then, or what `decide` refused with: then nothing changed.
   */
  async changeLimits(
    id: string,
    decide: (current: AccountLimits) => LimitsDecision,
    actor: Actor,
    at: Date,
  ): Promise<Account | LimitsRefused> {
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
      await writeAudit(tx, actor, at, {
        action: `${before.kind}.limits`,
        subject: subjectOf(before),
        before: limitsState(before.limits),
        after: limitsState(limits),
      });
      return { ...before, limits };
    });
  }
}

/**
 * A new account with its plan, and its budget with the credit that the plan entitles to. Its user, if
 * it is one's own, is there already.
 */
export async function insertAccount(
  tx: Transaction,
  account: Account,
  start: PlanChange,
): Promise<void> {
  const { id, kind, limits } = account;
  await tx.account.create({
    data: {
      id,
      kind,
      slug: account.slug,
      userId: kind === 'user' ? id : null,
      name: account.name,
      plan: account.plan,
      seats: account.seats,
      maxSpendLimitPicoUsd: limits.maxSpendLimitPicoUsd?.toString() ?? null,
      requestsPerMinute: limits.requestsPerMinute,
      requestsPerDay: limits.requestsPerDay,
      createdAt: account.createdAt,
    },
  });
  await insertBudget(tx, {
    subjectId: id,
    scope: 'account',
    accountId: id,
    limitPicoUsd: limits.monthlySpendLimitPicoUsd,
    isPayAsYouGo: limits.isPayAsYouGo,
    period: periodOf(start.effectiveAt),
    credit: creditText(creditOfNew(start)),
  });
  await tx.planChange.create({
    data: {
      id: uuidv7(),
      accountId: id,
      plan: start.plan.slug,
      seats: start.seats,
      requestedAt: start.effectiveAt,
      effectiveAt: start.effectiveAt,
    },
  });
}

/** Two statements: what is read was committed before the lock was got, the joined row included. */
export async function lockAccount(tx: Transaction, id: string): Promise<Account> {
  await tx.$queryRawUnsafe(
    `SELECT 1 FROM accounts WHERE id = $1::text::uuid FOR NO KEY UPDATE`,
    id,
  );
  const [found] = await selectAccounts(tx, 'WHERE a.id = $1::text::uuid', id);
  if (found === undefined) throw new Error(`account ${id} is missing`);
  return found;
}

/** How the audit log names an account. */
export function subjectOf(account: Account): string {
  return account.kind === 'user' ? `user:${account.id}` : `organization:${account.slug}`;
}

/** What the audit log keeps of an account. */
export function stateOf(account: Account): AuditState {
  const { id, name, plan, limits } = account;
  const own =
    account.kind === 'user'
      ? { email: account.email }
      : { slug: account.slug, seats: account.seats };
  return { id, ...own, name, plan, limits: limitsState(limits) };
}

async function selectAccounts(
  client: Pick<Transaction, '$queryRawUnsafe'>,
  condition: string,
  ...values: readonly (string | number | null)[]
): Promise<readonly Account[]> {
  const sql = `${SELECT_ACCOUNTS} ${condition}`;
  return (await client.$queryRawUnsafe<AccountRecord[]>(sql, ...values)).map(accountOf);
}

function accountOf(record: AccountRecord): Account {
  const common = {
    id: record.id,
    slug: record.slug,
    name: record.name,
    plan: record.plan,
    createdAt: record.created_at,
    scheduled: scheduledOf(record),
    limits: {
      monthlySpendLimitPicoUsd: record.spend_limit === null ? null : BigInt(record.spend_limit),
      isPayAsYouGo: record.is_pay_as_you_go,
      maxSpendLimitPicoUsd: record.max_spend_limit === null ? null : BigInt(record.max_spend_limit),
      requestsPerMinute: record.requests_per_minute,
      requestsPerDay: record.requests_per_day,
    },
  };
  if (record.kind === 'organization') {
    return { ...common, kind: 'organization', seats: record.seats };
  }
  if (record.email === null) throw new Error(`account ${record.id} has no user`);
  return { ...common, kind: 'user', seats: 1, email: record.email };
}

function scheduledOf({
  next_plan: plan,
  next_seats: seats,
  next_at: effectiveAt,
}: AccountRecord): ScheduledPlan | null {
  return plan === null || seats === null || effectiveAt === null
    ? null
    : { plan, seats, effectiveAt };
}

function limitsState(limits: AccountLimits): AuditState {
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
