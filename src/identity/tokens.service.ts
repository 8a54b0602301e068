import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { refusal, TollgateError } from '../domain/errors.js';
import { periodOf } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import type { Scope } from '../http/caller.js';
import { isUuid } from '../http/pagination.js';
import { invalidField } from '../http/validation.pipe.js';
import type { Account } from './account.js';
import { DEFAULT_SCOPES, type Token, type TokenChange } from './token.js';
import { mintSecret } from './token-secret.js';
import { TokensRepository } from './tokens.repository.js';

export interface NewToken {
  readonly name: string;
  readonly memberId?: string | null;
  readonly scopes?: readonly Scope[];
  readonly monthlyLimitPicoUsd?: bigint | null;
  readonly requestsPerMinute?: number | null;
  readonly expiresAt?: Date | null;
}

@Injectable()
export class TokensService {
  constructor(private readonly tokens: TokensRepository) {}

  /** Null when there is none of this id. Whose it is, is for the caller to check. */
  async find(id: string): Promise<Token | null> {
    return isUuid(id) ? this.tokens.find(id) : null;
  }

  async list(accountId: string, limit: number, beforeId: string | null): Promise<readonly Token[]> {
    return this.tokens.list(accountId, limit, beforeId);
  }

  /**
   * Makes a token; its secret is in this answer and nowhere else.
   *
   * @throws TollgateError invalid_request for a member that is not the organization's, or an
   *   expiry that has passed.
   */
  async create(
    account: Pick<Account, 'id' | 'slug' | 'kind'>,
    request: NewToken,
    actor: Actor,
  ): Promise<{ token: Token; secret: string }> {
    const createdAt = new Date();
    requireFuture(request.expiresAt ?? null, createdAt);
    const { secret, hash, prefix } = mintSecret();
    const token: Token = {
      id: uuidv7(),
      accountId: account.id,
      organization: account.kind === 'organization' ? account.slug : null,
      memberId: request.memberId ?? null,
      name: request.name,
      prefix,
      scopes: request.scopes ?? DEFAULT_SCOPES,
      monthlyLimitPicoUsd: request.monthlyLimitPicoUsd ?? null,
      requestsPerMinute: request.requestsPerMinute ?? null,
      createdAt,
      lastUsedAt: null,
      expiresAt: request.expiresAt ?? null,
      revokedAt: null,
    };
    const result = await this.tokens.create(token, hash, periodOf(createdAt), actor);
    if (result === 'created') return { token, secret };
    throw invalidField(
      'memberId',
      account.kind === 'organization'
        ? 'is not the id of a member of this organization'
        : 'must be left out: only organizations have members',
    );
  }

  /** @throws TollgateError conflict when it is revoked; invalid_request for a past expiry. */
  async update(token: Token, change: TokenChange, actor: Actor): Promise<Token> {
    const now = new Date();
    requireFuture(change.expiresAt ?? null, now);
    const result = await this.tokens.update(token.id, change, actor, now);
    if (result !== 'revoked') return result;
    throw new TollgateError(refusal('conflict', 'The token is revoked: make a new one.'));
  }

  /** Revoking twice is revoking once. */
  async revoke(token: Token, actor: Actor): Promise<void> {
    await this.tokens.revoke(token.id, actor, new Date());
  }
}

function requireFuture(expiresAt: Date | null, now: Date): void {
  if (expiresAt !== null && expiresAt <= now)
    throw invalidField('expiresAt', 'must be in the future');
}
