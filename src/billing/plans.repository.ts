import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { Plan, PlanChange } from '../domain/plans.js';
import type { Transaction } from './transactions.repository.js';

interface PlanRecord {
  readonly slug: string;
  readonly name: string;
  readonly price: string;
  readonly credit: string;
  readonly is_per_seat: boolean;
  readonly is_pay_as_you_go_default: boolean;
}

const PLAN_COLUMNS = `p.slug, p.name, p.price_pico_usd::text AS price, p.credit_pico_usd::text AS credit, p.is_per_seat,
  p.is_pay_as_you_go_default`;

@Injectable()
export class PlansRepository {
  constructor(private readonly database: DatabaseService) {}

  async list(): Promise<readonly Plan[]> {
    const records = await this.database.prisma.$queryRawUnsafe<PlanRecord[]>(
      `SELECT ${PLAN_COLUMNS} FROM plans p ORDER BY p.position`,
    );
    return records.map(planOf);
  }
}

/** What took effect and what is scheduled of an account's plan, by time. */
export async function readPlanChanges(
  tx: Transaction,
  accountId: string,
): Promise<readonly PlanChange[]> {
  const records = await tx.$queryRawUnsafe<(PlanRecord & { seats: number; effective_at: Date })[]>(
    `SELECT ${PLAN_COLUMNS}, c.seats, c.effective_at
     FROM plan_changes c JOIN plans p ON p.slug = c.plan
     WHERE c.account_id = $1::text::uuid AND c.cancelled_at IS NULL ORDER BY c.effective_at, c.requested_at, c.id`,
    accountId,
  );
  return records.map((record) => ({
    plan: planOf(record),
    seats: record.seats,
    effectiveAt: record.effective_at,
  }));
}

export interface NewPlanChange {
  readonly id: string;
  readonly accountId: string;
  readonly plan: string;
  readonly seats: number;
  readonly requestedAt: Date;
  readonly effectiveAt: Date;
}

/** Cancels what is scheduled after the request, and records it. */
export async function writePlanChange(tx: Transaction, change: NewPlanChange): Promise<void> {
  await tx.$executeRawUnsafe(
    `UPDATE plan_changes SET cancelled_at = $2::text::timestamptz
     WHERE account_id = $1::text::uuid AND cancelled_at IS NULL AND effective_at > $2::text::timestamptz`,
    change.accountId,
    change.requestedAt.toISOString(),
  );
  await tx.$executeRawUnsafe(
    `INSERT INTO plan_changes (id, account_id, plan, seats, requested_at, effective_at)
     VALUES ($1::text::uuid, $2::text::uuid, $3::text, $4::int, $5::text::timestamptz, $6::text::timestamptz)`,
    change.id,
    change.accountId,
    change.plan,
    change.seats,
    change.requestedAt.toISOString(),
    change.effectiveAt.toISOString(),
  );
}

function planOf(record: PlanRecord): Plan {
  return {
    slug: record.slug,
    name: record.name,
    pricePicoUsd: BigInt(record.price),
    creditPicoUsd: BigInt(record.credit),
    isPerSeat: record.is_per_seat,
    isPayAsYouGoDefault: record.is_pay_as_you_go_default,
  };
}
