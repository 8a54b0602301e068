import { Injectable } from '@nestjs/common';
import { usedIn } from '../domain/budget-rows.js';
import { isUsableIn, type CreditState, type GrantKind } from '../domain/credits.js';
import type { PicoUsd } from '../domain/money.js';
import { periodOf } from '../domain/periods.js';
import { BalanceRepository } from './balance.repository.js';
import { CreditsService } from './credits.service.js';

/** What one grant amounts to in a period. */
export interface PeriodGrant {
  readonly kind: GrantKind;
  readonly usedPicoUsd: PicoUsd;
  readonly remainingPicoUsd: PicoUsd;
  readonly expiresAt: Date | null;
}

/** What an account has spent in a period, what is reserved, and where it stops. */
export interface Balance {
  readonly period: string;
  readonly grants: readonly PeriodGrant[];
  readonly payAsYouGo: {
    readonly isOn: boolean;
    readonly usedPicoUsd: PicoUsd;
    readonly limitPicoUsd: PicoUsd | null;
  };
  /** Open holds of every period. */
  readonly heldPicoUsd: PicoUsd;
}

@Injectable()
export class BalanceService {
  constructor(
    private readonly balances: BalanceRepository,
    private readonly credits: CreditsService,
  ) {}

  /** @param at now: its UTC month is the period, whose plan grant is made if it is due. */
  async balanceOf(accountId: string, at: Date): Promise<Balance> {
    await this.credits.budgetAt(accountId, at);
    const found = await this.balances.findBudget(accountId);
    if (found === null) throw new Error(`balance: account ${accountId} has no budget`);
    const { budget, heldPicoUsd } = found;
    const period = periodOf(at);
    return {
      period,
      grants: grantsIn(budget.credit, period),
      payAsYouGo: {
        isOn: budget.isPayAsYouGo,
        // The row may still be of an earlier month.
        usedPicoUsd: usedIn(budget, period),
        limitPicoUsd: budget.limitPicoUsd,
      },
      heldPicoUsd,
    };
  }
}

/** The grants that the period used or can still use, in the order in which they burn. */
function grantsIn({ grants }: CreditState, period: string): readonly PeriodGrant[] {
  return grants
    .map((grant) => ({
      kind: grant.kind,
      usedPicoUsd: grant.burnedPicoUsd[period] ?? 0n,
      remainingPicoUsd: isUsableIn(grant, period) ? grant.remainingPicoUsd : 0n,
      expiresAt: grant.expiresAt,
    }))
    .filter(({ usedPicoUsd, remainingPicoUsd }) => usedPicoUsd + remainingPicoUsd > 0n);
}
