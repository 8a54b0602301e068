import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { BudgetRow } from '../domain/budget-rows.js';
import { parseCredit } from '../domain/credits.js';

/** An account's budget with its open holds summed where the budget itself keeps no sum. */
export interface BudgetWithHolds {
  readonly budget: BudgetRow;
  readonly heldPicoUsd: bigint;
}

interface BudgetRecord {
  readonly subject_id: string;
  readonly limit: string | null;
  readonly is_pay_as_you_go: boolean;
  readonly is_closed: boolean;
  readonly period: string;
  readonly used: string;
  readonly previous_used: string;
  readonly held: string | null;
  readonly open_holds: string;
  readonly credit: string | null;
  readonly closed_through: string | null;
}

/** An event that waits for its price keeps its hold; the list of states names the index of the few. */
const SQL = `
SELECT b.subject_id::text, b.limit_pico_usd::text AS limit, b.is_pay_as_you_go, b.is_closed, b.period::text,
  b.used_pico_usd::text AS used, b.previous_used_pico_usd::text AS previous_used, b.held_pico_usd::text AS held,
  b.credit::text AS credit, b.closed_through::text AS closed_through,
  CASE WHEN b.held_pico_usd IS NOT NULL THEN b.held_pico_usd ELSE
    (SELECT coalesce(sum(o.hold_pico_usd), 0) FROM open_events o WHERE o.account_id = b.account_id)
    + (SELECT coalesce(sum(e.hold_pico_usd), 0) FROM usage_events e
       WHERE e.state IN ('pending', 'unpriced', 'quarantined') AND e.state = 'unpriced'
         AND e.account_id = b.account_id)
  END::text AS open_holds
FROM budgets b WHERE b.subject_id = $1::uuid AND b.scope = 'account'`;

@Injectable()
export class BalanceRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Null when the account has no budget, which no account is without. */
  async findBudget(accountId: string): Promise<BudgetWithHolds | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<BudgetRecord[]>(SQL, accountId);
    if (record === undefined) return null;
    return {
      budget: {
        subjectId: record.subject_id,
        scope: 'account',
        limitPicoUsd: record.limit === null ? null : BigInt(record.limit),
        isPayAsYouGo: record.is_pay_as_you_go,
        isClosed: record.is_closed,
        period: record.period,
        usedPicoUsd: BigInt(record.used),
        previousUsedPicoUsd: BigInt(record.previous_used),
        heldPicoUsd: record.held === null ? null : BigInt(record.held),
        credit: parseCredit(record.credit),
        closedThrough: record.closed_through,
      },
      heldPicoUsd: BigInt(record.open_holds),
    };
  }
}
