import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { NotificationsService } from '../database/notifications.service.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import { refusal, TollgateError } from '../domain/errors.js';
import { LOGGER } from '../http/http.module.js';
import { IdentityMemory, isExpired, mayBePaidBy } from './identity-memory.js';
import { IdentityRepository } from './identity.repository.js';
import type { Identity } from './identity.js';
import { hashOf, plainSecret } from './token-secret.js';
import { UnknownTokenGate } from './unknown-token-gate.js';

const LAST_USED_EVERY_MS = 60_000;
/** A token that changes while it is read is read again; past this it is used but not remembered. */
const READS_MAX = 3;

/** A look-up under way, and what changed meanwhile. */
interface Reading {
  readonly changedIds: Set<string>;
  hasGap: boolean;
}

/**
 * Whose a token is, from memory. Every process hears of a change through the database
 * (`tollgate_identity`: the id of a token or an account); while it cannot hear, it remembers
 * nothing. That is the first of two walls: the commit that admits a request checks the token's own
 * row.
 */
@Injectable()
export class IdentityService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly memory = new IdentityMemory();
  private readonly gate = new UnknownTokenGate(() => performance.now());
  private readonly readings = new Set<Reading>();
  private readonly underWay = new Map<string, Promise<Identity | null>>();
  private lastUsed = new Map<string, number>();
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly repository: IdentityRepository,
    private readonly notifications: NotificationsService,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    notifications.listen('tollgate_identity', {
      onNotice: (id) => {
        this.forget(id);
      },
      onGap: () => {
        this.forgetAll();
      },
    });
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.flushLastUsed(), LAST_USED_EVERY_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await this.flushLastUsed();
  }

  /** From memory: the identity, null for nobody's, undefined when the database must be asked. */
  recall(secret: string): Identity | null | undefined {
    const plain = plainSecret(secret);
    if (plain === null) return null;
    if (!this.notifications.isConnected) return undefined;
    const now = Date.now();
    const identity = this.memory.get(keyOf(plain), now);
    if (identity !== undefined && identity !== null) this.lastUsed.set(identity.tokenId, now);
    return identity;
  }

  /**
   * From memory, else from the database.
   *
   * @param address of the caller; one that keeps presenting unknown tokens is slowed down.
   * @throws TollgateError rate_limit_exceeded for such an address; store_unavailable.
   */
  async identify(secret: string, address: string): Promise<Identity | null> {
    const recalled = this.recall(secret);
    if (recalled !== undefined) return recalled;
    return this.gate.run(address, async () => {
      // While it waited for its turn, the same secret may have been looked up.
      const remembered = this.recall(secret);
      return remembered === undefined ? this.lookUp(secret) : remembered;
    });
  }

  private async lookUp(secret: string): Promise<Identity | null> {
    const plain = plainSecret(secret);
    if (plain === null) return null;
    const key = keyOf(plain);
    const sameUnderWay = this.underWay.get(key);
    if (sameUnderWay !== undefined) return sameUnderWay;
    const reading = this.read(key).finally(() => this.underWay.delete(key));
    this.underWay.set(key, reading);
    return reading;
  }

  private async read(key: string): Promise<Identity | null> {
    for (let reads = 1; ; reads += 1) {
      const reading: Reading = { changedIds: new Set(), hasGap: false };
      this.readings.add(reading);
      try {
        const found = await this.findByKey(key);
        const now = Date.now();
        const identity = found === null || isExpired(found, now) ? null : found;
        if (isStale(reading, found) && reads < READS_MAX) continue;
        if (!isStale(reading, found)) this.memory.remember(key, identity, now);
        if (identity !== null) this.lastUsed.set(identity.tokenId, now);
        return identity;
      } finally {
        this.readings.delete(reading);
      }
    }
  }

  private async findByKey(key: string): Promise<Identity | null> {
    try {
      return await this.repository.findByHash(Buffer.from(key, 'base64'));
    } catch (error) {
      const { kind } = classifySqlFailure(error);
      if (kind !== 'connection' && kind !== 'transient') throw error;
      throw new TollgateError(
        refusal(
          'store_unavailable',
          'The database cannot be reached right now. Try again in a moment.',
          {
            retryAfterS: 1,
          },
        ),
      );
    }
  }

  private forget(id: string): void {
    this.memory.forget(id);
    for (const reading of this.readings) reading.changedIds.add(id);
  }

  private forgetAll(): void {
    this.memory.forgetAll();
    for (const reading of this.readings) reading.hasGap = true;
  }

  /** Lazily, in one statement; what could not be written is tried again with the next. */
  private async flushLastUsed(): Promise<void> {
    if (this.lastUsed.size === 0) return;
    const used = this.lastUsed;
    this.lastUsed = new Map();
    try {
      await this.repository.writeLastUsed(new Map([...used].map(([id, at]) => [id, new Date(at)])));
    } catch (error) {
      this.logger.warn({ err: error }, 'the last use of tokens could not be written');
      for (const [id, at] of used) if (!this.lastUsed.has(id)) this.lastUsed.set(id, at);
    }
  }
}

/** What was read may be older than a change that was announced while it was being read. */
function isStale({ changedIds, hasGap }: Reading, found: Identity | null): boolean {
  if (hasGap) return true;
  if (found === null) return changedIds.size > 0;
  return changedIds.has(found.tokenId) || [...changedIds].some((id) => mayBePaidBy(found, id));
}

function keyOf(plainSecretText: string): string {
  return hashOf(plainSecretText).toString('base64');
}
