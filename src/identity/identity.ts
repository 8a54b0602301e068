import type { Scope } from '../http/caller.js';

/** What a token stands for; what the hot path needs, in memory. */
export interface Identity {
  readonly tokenId: string;
  readonly accountId: string;
  /** Of the organization that pays. */
  readonly slug: string;
  readonly memberId: string | null;
  readonly scopes: ReadonlySet<Scope>;
  readonly plan: string;
  /** Per token; null: no limit. */
  readonly requestsPerMinute: number | null;
  readonly expiresAt: Date | null;
}
