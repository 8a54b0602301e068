import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import { topUp } from '../domain/budget-rows.js';
import { periodOf } from '../domain/periods.js';
import { planAt, type Plan, type PlanChange } from '../domain/plans.js';
import { withEntitlements } from '../domain/subscriptions.js';
import type { Actor } from '../http/actor.js';
import { readBudget, writeCredit, writeGranted } from './book.repository.js';
import { readPlanChanges, writePlanChange } from './plans.repository.js';
import { inTransaction, lockAccount, type Transaction } from './transactions.repository.js';

/** Takes the decision as a function: when the change takes effect, given what is in force. */
export type DecideChange = (current: PlanChange) => Date;

@Injectable()
export class SubscriptionsRepository {
  constructor(private readonly database: DatabaseService) {}

  async changesOf(accountId: string): Promise<readonly PlanChange[]> {
    return readPlanChanges(this.database.prisma, accountId);
  }

  /**
   * Records a change of plan or seats, cancels what was scheduled, and makes the grant that the
   * change entitles to, all in one transaction. Answers with all changes of the account.
   */
  async change(
    accountId: string,
    next: { readonly plan: Plan; readonly seats: number },
    decide: DecideChange,
    actor: Actor,
    at: Date,
  ): Promise<readonly PlanChange[]> {
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, accountId);
      const before = await readPlanChanges(tx, accountId);
      const current = planAt(before, at);
      if (current === null) throw new Error(`billing: account ${accountId} has no plan`);
      const effectiveAt = decide(current);
      await writePlanChange(tx, {
        id: uuidv7(),
        accountId,
        plan: next.plan.slug,
        seats: next.seats,
        requestedAt: at,
        effectiveAt,
      });
      const after = await readPlanChanges(tx, accountId);
      await writeAudit(tx, actor, at, {
        action: 'plan.change',
        subject: `account:${accountId}`,
        before: { plan: current.plan.slug, seats: current.seats },
        after: {
          plan: next.plan.slug,
          seats: next.seats,
          effectiveAt: effectiveAt.toISOString(),
        },
      });
      await writePlanInForce(tx, accountId, after, at);
      await entitle(tx, accountId, after, at);
      return after;
    });
  }

  /** Accounts whose plan in force is not the one their row tells: a scheduled change has come. */
  async takeScheduled(at: Date): Promise<number> {
    return this.database.prisma.$executeRawUnsafe(
      `UPDATE accounts a SET plan = c.plan, seats = c.seats
       FROM (SELECT DISTINCT ON (account_id) account_id, plan, seats FROM plan_changes
             WHERE cancelled_at IS NULL AND effective_at <= $1::text::timestamptz
             ORDER BY account_id, effective_at DESC, requested_at DESC, id DESC) c
       WHERE c.account_id = a.id AND (a.plan, a.seats) IS DISTINCT FROM (c.plan, c.seats)`,
      at.toISOString(),
    );
  }
}

async function writePlanInForce(
  tx: Transaction,
  accountId: string,
  changes: readonly PlanChange[],
  at: Date,
): Promise<void> {
  const inForce = planAt(changes, at);
  if (inForce === null) return;
  await tx.account.update({
    where: { id: accountId },
    data: { plan: inForce.plan.slug, seats: inForce.seats },
  });
  await tx.$queryRawUnsafe(`SELECT pg_notify('tollgate_identity', $1)::text`, accountId);
}

/** Last in its transaction: it locks the budget. */
async function entitle(
  tx: Transaction,
  accountId: string,
  changes: readonly PlanChange[],
  at: Date,
): Promise<void> {
  const row = await readBudget(tx, accountId, 'settlements');
  const entitled = { ...row, credit: withEntitlements(row.credit, changes, at) };
  const granted = topUp(entitled, periodOf(at), at, uuidv7);
  if (granted.grants.length === 0) await writeCredit(tx, accountId, entitled.credit);
  else {
    await writeGranted(tx, granted, {
      reason: `the credit of the ${planAt(changes, at)?.plan.name ?? ''} plan`,
      actor: 'system',
      idempotencyKey: null,
    });
  }
}
