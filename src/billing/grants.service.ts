import { Injectable } from '@nestjs/common';
import type { PicoUsd } from '../domain/money.js';
import type { Actor } from '../http/actor.js';
import type { GrantRequest, RecordedGrant } from './credits.repository.js';
import { CreditsService } from './credits.service.js';

/** A grant with what is left of it. */
export interface ListedGrant {
  readonly grant: RecordedGrant;
  readonly remainingPicoUsd: PicoUsd;
}

/** The grants of an account as they are shown: as made, and as they stand. */
@Injectable()
export class GrantsService {
  constructor(private readonly credits: CreditsService) {}

  /**
   * Gives credit by hand, once per idempotency key.
   *
   * @throws TollgateError invalid_request when it expires in the past, idempotency_key_reused.
   */
  async give(
    accountId: string,
    request: GrantRequest,
    actor: Actor,
    at: Date,
  ): Promise<ListedGrant> {
    const grant = await this.credits.grant(accountId, request, actor, at);
    const remaining = await this.remainingOf(accountId, at);
    return { grant, remainingPicoUsd: remaining.get(grant.id) ?? 0n };
  }

  /** Newest first, those that are used up or expired too. */
  async list(
    accountId: string,
    at: Date,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly ListedGrant[]> {
    const remaining = await this.remainingOf(accountId, at);
    const grants = await this.credits.list(accountId, limit, beforeId);
    return grants.map((grant) => ({
      grant,
      remainingPicoUsd: remaining.get(grant.id) ?? 0n,
    }));
  }

  /** What is left by grant; one that is forgotten has nothing left. */
  private async remainingOf(accountId: string, at: Date): Promise<ReadonlyMap<string, PicoUsd>> {
    const { credit } = await this.credits.budgetAt(accountId, at);
    return new Map(credit.grants.map(({ id, remainingPicoUsd }) => [id, remainingPicoUsd]));
  }
}
