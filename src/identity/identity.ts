import type { AccountRouting } from '../domain/routing-offers.js';
import type { Scope } from '../http/caller.js';

/** Requests that an account may make; null: no limit, 0: none at all. */
export interface AccountRates {
  readonly requestsPerMinute: number | null;
  readonly requestsPerDay: number | null;
}

/** Whose budgets and limits a request counts in, beside its token's own. */
export interface Payer {
  readonly accountId: string;
  /** Of an organization; of a user's own account `user:<id>`. */
  readonly slug: string;
  /** The member of the payer that the request counts for; null: a service, or a user himself. */
  readonly memberId: string | null;
  readonly plan: string;
  /** Of the account that pays. */
  readonly accountRates: AccountRates;
  /** What it decided about providers; null: nothing. */
  readonly routing: AccountRouting | null;
}

/** What a token stands for; what the hot path needs, in memory. */
export interface Identity extends Payer {
  readonly tokenId: string;
  /** The user whose own account it was made under; null: an organization's token. */
  readonly userId: string | null;
  readonly scopes: ReadonlySet<Scope>;
  /** Of the token itself; null: no limit, 0: none at all. */
  readonly requestsPerMinute: number | null;
  readonly expiresAt: Date | null;
  /** By slug the organizations that the user of an own token belongs to, as payers. */
  readonly memberships: ReadonlyMap<string, Payer>;
}

/**
 * The identity with the payer that `X-HF-Bill-To` names: an organization's token may only repeat its
 * own slug, a user's own token may name an organization that he belongs to. Everything that asks who
 * pays, or whose limits apply, must ask what this returns.
 *
 * @param slug null: the header was not sent.
 * @returns null when the token cannot spend for it, whether it exists or not.
 */
export function billedTo(identity: Identity, slug: string | null): Identity | null {
  if (slug === null || slug === identity.slug) return identity;
  const payer = identity.memberships.get(slug);
  return payer === undefined ? null : { ...identity, ...payer };
}
