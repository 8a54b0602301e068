import type { Identity } from './identity.js';

const KNOWN_MAX = 50_000;
const UNKNOWN_MAX = 10_000;
/** A second wall behind the notices: a connection that died silently is not believed for longer. */
const KNOWN_FOR_MS = 60_000;
const UNKNOWN_FOR_MS = 5_000;

interface Known {
  readonly identity: Identity;
  readonly until: number;
}

/**
 * What was read of tokens, by the hash of their secret: the last used ones that stand for someone,
 * and for a moment those that do not. Bounded; times in ms of any one clock.
 */
export class IdentityMemory {
  private readonly known = new Map<string, Known>();
  private readonly keyByTokenId = new Map<string, string>();
  private readonly unknown = new Map<string, number>();

  /** Undefined: not remembered. Null: stands for nobody. */
  get(key: string, now: number): Identity | null | undefined {
    const found = this.known.get(key);
    if (found !== undefined) {
      if (found.until <= now) {
        this.drop(key, found.identity.tokenId);
        return undefined;
      }
      // Maps keep the order of insertion: the first is the one unused for longest.
      this.known.delete(key);
      this.known.set(key, found);
      return isExpired(found.identity, now) ? null : found.identity;
    }
    const until = this.unknown.get(key);
    if (until === undefined) return undefined;
    if (until > now) return null;
    this.unknown.delete(key);
    return undefined;
  }

  remember(key: string, identity: Identity | null, now: number): void {
    if (identity === null) {
      this.unknown.set(key, now + UNKNOWN_FOR_MS);
      trim(this.unknown, UNKNOWN_MAX);
      return;
    }
    this.known.set(key, { identity, until: now + KNOWN_FOR_MS });
    this.keyByTokenId.set(identity.tokenId, key);
    if (this.known.size <= KNOWN_MAX) return;
    for (const [oldest, { identity: one }] of this.known) {
      this.drop(oldest, one.tokenId);
      break;
    }
  }

  /**
   * Forgets a token, or all tokens that an account may pay for, and every secret that stood for
   * nobody.
   */
  forget(tokenOrAccountId: string): void {
    this.unknown.clear();
    const key = this.keyByTokenId.get(tokenOrAccountId);
    if (key !== undefined) {
      this.drop(key, tokenOrAccountId);
      return;
    }
    for (const [one, { identity }] of this.known) {
      if (mayBePaidBy(identity, tokenOrAccountId)) this.drop(one, identity.tokenId);
    }
  }

  forgetAll(): void {
    this.known.clear();
    this.keyByTokenId.clear();
    this.unknown.clear();
  }

  private drop(key: string, tokenId: string): void {
    this.known.delete(key);
    this.keyByTokenId.delete(tokenId);
  }
}

/** The account of the token, or of an organization that its user belongs to. */
export function mayBePaidBy({ accountId, memberships }: Identity, payerId: string): boolean {
  if (accountId === payerId) return true;
  for (const payer of memberships.values()) if (payer.accountId === payerId) return true;
  return false;
}

export function isExpired({ expiresAt }: Identity, now: number): boolean {
  return expiresAt !== null && expiresAt.getTime() <= now;
}

function trim(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}
