import { Injectable } from '@nestjs/common';
import { viewOf } from '../domain/budget-rows.js';
import { formatUsd } from '../domain/money.js';
import { periodOf } from '../domain/periods.js';
import type { BalanceAnswer } from './balance.dto.js';
import { BalanceRepository } from './balance.repository.js';
import type { JsonOf } from './json-of.js';

/** What an account has spent this month, what is reserved, and where it stops. */
@Injectable()
export class BalanceService {
  constructor(private readonly balances: BalanceRepository) {}

  /** @param at now: its UTC month is the period. */
  async balanceOf(accountId: string, at: Date): Promise<JsonOf<BalanceAnswer>> {
    const found = await this.balances.findBudget(accountId);
    if (found === null) throw new Error(`balance: account ${accountId} has no budget`);
    const period = periodOf(at);
    // The row may still be of an earlier month: the journal's own reading of it rolls it on.
    const budget = viewOf(found.budget, period);
    if (budget.scope !== 'account') throw new Error(`balance: ${accountId} is no account`);
    const { payAsYouGo } = budget;
    return {
      period,
      currency: 'USD',
      credit: { granted: '0', used: '0', remaining: '0', expiresAt: null, grants: [] },
      payAsYouGo: {
        enabled: payAsYouGo.isOn,
        used: formatUsd(payAsYouGo.usedPicoUsd),
        limit: payAsYouGo.limitPicoUsd === null ? null : formatUsd(payAsYouGo.limitPicoUsd),
      },
      held: formatUsd(found.heldPicoUsd),
    };
  }
}
