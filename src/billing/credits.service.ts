import { Injectable } from '@nestjs/common';
import { type BudgetRow, isClosedIn } from '../domain/budget-rows.js';
import { planGrantDue } from '../domain/credits.js';
import { refusal, TollgateError } from '../domain/errors.js';
import { periodOf } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import { CreditsRepository, type GrantRequest, type RecordedGrant } from './credits.repository.js';

const PAGE = 500;

/** Credit of accounts: the plan's, promotional and prepaid. */
@Injectable()
export class CreditsService {
  constructor(private readonly credits: CreditsRepository) {}

  /**
   * The account's budget with the plan grant of the instant's period in it: a period's plan grant
   * exists from its first instant, whoever asks first.
   */
  async budgetAt(accountId: string, at: Date): Promise<BudgetRow> {
    const row = await this.credits.budgetOf(accountId);
    return isDue(row, periodOf(at)) ? this.credits.topUp(accountId, at) : row;
  }

  /** Makes the plan grants of this period that nobody has asked for yet. Answers how many. */
  async grantDue(at: Date): Promise<number> {
    const period = periodOf(at);
    let granted = 0;
    let after: string | null = null;
    for (;;) {
      const accounts: Awaited<ReturnType<CreditsRepository['accountsAfter']>> =
        await this.credits.accountsAfter(after, PAGE);
      for (const account of accounts) {
        if (!isDue(account, period)) continue;
        await this.credits.topUp(account.subjectId, at);
        granted += 1;
      }
      if (accounts.length < PAGE) return granted;
      after = accounts.at(-1)?.subjectId ?? null;
    }
  }

  /**
   * A promotional or prepaid grant.
   *
   * @throws TollgateError invalid_request when it expires in the past, idempotency_key_reused when
   *   the key stands for another grant.
   */
  async grant(
    accountId: string,
    request: GrantRequest,
    actor: Actor,
    at: Date,
  ): Promise<RecordedGrant> {
    const check = (): void => {
      if (request.expiresAt === null || request.expiresAt.getTime() > at.getTime()) return;
      throw new TollgateError(
        refusal('invalid_request', 'expiresAt must lie in the future.', { param: 'expiresAt' }),
      );
    };
    const result = await this.credits.grant(accountId, request, check, actor, at);
    if (result !== 'other_content') return result.grant;
    throw new TollgateError(
      refusal(
        'idempotency_key_reused',
        'This Idempotency-Key stands for another grant: use a new one.',
      ),
    );
  }

  async list(
    accountId: string,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly RecordedGrant[]> {
    return this.credits.list(accountId, limit, beforeId);
  }
}

function isDue(row: Pick<BudgetRow, 'credit' | 'closedThrough'>, period: string): boolean {
  return !isClosedIn(row, period) && planGrantDue(row.credit, period) !== null;
}
