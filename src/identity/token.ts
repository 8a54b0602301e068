import type { Scope } from '../http/caller.js';

/** What is kept of a token: everything but the secret. */
export interface Token {
  readonly id: string;
  readonly accountId: string;
  /** Slug of the organization that it was made under; null: under a user's own account. */
  readonly organization: string | null;
  /** Null: a service's. */
  readonly memberId: string | null;
  readonly name: string;
  readonly prefix: string;
  readonly scopes: readonly Scope[];
  readonly monthlyLimitPicoUsd: bigint | null;
  readonly requestsPerMinute: number | null;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
}

/** What is left out stays as it is. */
export interface TokenChange {
  readonly name?: string;
  readonly scopes?: readonly Scope[];
  readonly monthlyLimitPicoUsd?: bigint | null;
  readonly requestsPerMinute?: number | null;
  readonly expiresAt?: Date | null;
}

/** What a token may do that was made without scopes. */
export const DEFAULT_SCOPES: readonly Scope[] = ['inference', 'usage.read'];
