import { Inject, Injectable } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { refusal, TollgateError } from '../domain/errors.js';
import { formatUsd } from '../domain/money.js';
import type { Plan } from '../domain/plans.js';
import type { Actor } from '../http/actor.js';
import type { Account } from './account.js';
import { AccountsRepository } from './accounts.repository.js';
import { decideLimits, type LimitsRefused, type LimitsRequest } from './limit-change.js';
import type { AccountLimits } from './organization.js';

/** What an organization's account and a user's own have in common. */
@Injectable()
export class AccountsService {
  constructor(
    private readonly accounts: AccountsRepository,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** Null when there is none. Whose it is, is for the caller to check. */
  async find(id: string): Promise<Account | null> {
    return this.accounts.find(id);
  }

  /** @throws TollgateError insufficient_scope for what only the operator may decide. */
  async setLimits(
    account: Account,
    request: LimitsRequest,
    isOperator: boolean,
    actor: Actor,
  ): Promise<Account> {
    const result = await this.accounts.changeLimits(
      account.id,
      (current) => decideLimits(current, request, isOperator),
      actor,
      new Date(),
    );
    if (result.kind !== 'operator_only') return result;
    throw operatorOnly(result, account);
  }

  /** Where pay-as-you-go is off an account spends its credit and no more. */
  limitsOfNew(plan: Plan): AccountLimits {
    return {
      monthlySpendLimitPicoUsd: this.config.defaultSpendLimitPicoUsd,
      isPayAsYouGo: plan.isPayAsYouGoDefault,
      maxSpendLimitPicoUsd: this.config.defaultSpendLimitPicoUsd,
      requestsPerMinute: null,
      requestsPerDay: null,
    };
  }
}

function operatorOnly({ reason }: LimitsRefused, { kind, limits }: Account): TollgateError {
  const max = limits.maxSpendLimitPicoUsd;
  const cap = max === null ? '' : ` ($${formatUsd(max)})`;
  const who = kind === 'user' ? 'a user' : 'an organization';
  const messages = {
    max_spend_limit: 'maxSpendLimitUsd is set by the operator only.',
    above_max: `Only the operator lets ${who} spend more than its maxSpendLimitUsd${cap}.`,
    no_limit: `Only the operator lets ${who} spend without a monthlySpendLimitUsd.`,
  } as const;
  return new TollgateError(refusal('insufficient_scope', messages[reason]));
}
