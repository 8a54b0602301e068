import type { RateLimit, RateState } from './rate-limits.js';

/** What became of one request, and where its limits stand now. */
export interface RateVerdict {
  /** The limit that has no room, of several the one to wait for longest; null: it may pass. */
  readonly refusedBy: RateState | null;
  readonly states: readonly RateState[];
}

/**
 * Counts requests in windows of UTC's minutes and days. A port: counters lie in the memory of this
 * process, or in Redis for all of them.
 */
export abstract class RateLimiter {
  /**
   * Takes one request from every limit, or from none of them when one has no room.
   *
   * @param limits the narrowest first.
   */
  abstract take(limits: readonly RateLimit[], nowMs: number): Promise<RateVerdict>;
  /** Where limits stand; takes nothing. */
  abstract peek(limits: readonly RateLimit[], nowMs: number): Promise<readonly RateState[]>;
}
