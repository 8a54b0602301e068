import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { BudgetRow } from '../domain/budget-rows.js';
import { BUDGET_FIELDS, budgetRowOf, type BudgetRecord } from './budget-record.js';

/** An account's budget with its open holds summed where the budget itself keeps no sum. */
export interface BudgetWithHolds {
  readonly budget: BudgetRow;
  readonly heldPicoUsd: bigint;
}

/** An event that waits for its price keeps its hold; the list of states names the index of the few. */
const SQL = `
SELECT ${BUDGET_FIELDS},
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
    const [record] = await this.database.prisma.$queryRawUnsafe<
      (BudgetRecord & { open_holds: string })[]
    >(SQL, accountId);
    if (record === undefined) return null;
    return { budget: budgetRowOf(record), heldPicoUsd: BigInt(record.open_holds) };
  }
}
