import { RateLimiterMemory, type RateLimiterAbstract } from 'rate-limiter-flexible';
import { RateLimiter, type RateVerdict } from './rate-limiter.js';
import { shareOf, windowAt, WINDOW_S, type RateLimit, type RateState } from './rate-limits.js';

/**
 * What a store is made with: it only counts. Limits differ from key to key and are compared here;
 * every key names its window and outlives it.
 */
export const STORE_OPTIONS = {
  keyPrefix: 'tollgate:rate',
  points: Number.MAX_SAFE_INTEGER,
  duration: WINDOW_S.day,
} as const;

/** What it needs of a store: adding to a key, taking back, reading. Each is atomic. */
export type CounterStore = Pick<RateLimiterAbstract, 'penalty' | 'reward' | 'get'>;

/**
 * Limits over counters. A request is counted limit by limit, the narrowest first, and what was
 * counted is given back when a wider one has no room. In this order nobody else is refused for the
 * moment in between: whoever shares the narrower limit meets the same wider one, and it is full.
 */
export class CountingRateLimiter extends RateLimiter {
  constructor(
    private readonly store: CounterStore,
    /** Among how many processes with counters of their own each limit is shared. */
    private readonly processes: () => number,
  ) {
    super();
  }

  override async take(limits: readonly RateLimit[], nowMs: number): Promise<RateVerdict> {
    const states: RateState[] = [];
    for (const limit of limits) {
      const counted = await this.store.penalty(keyOf(limit, nowMs), 1, {
        customDuration: WINDOW_S[limit.window],
      });
      const state = this.stateOf(limit, counted.consumedPoints, nowMs);
      states.push(state);
      if (state.remaining < 0) return this.giveBack(limits, states, nowMs);
    }
    return { refusedBy: null, states };
  }

  override async peek(limits: readonly RateLimit[], nowMs: number): Promise<readonly RateState[]> {
    return Promise.all(
      limits.map(async (limit) => {
        const counted = await this.store.get(keyOf(limit, nowMs));
        return atLeastNone(this.stateOf(limit, counted?.consumedPoints ?? 0, nowMs));
      }),
    );
  }

  private async giveBack(
    limits: readonly RateLimit[],
    taken: readonly RateState[],
    nowMs: number,
  ): Promise<RateVerdict> {
    await Promise.all(
      taken.map(({ limit }) =>
        this.store.reward(keyOf(limit, nowMs), 1, { customDuration: WINDOW_S[limit.window] }),
      ),
    );
    const states = await this.peek(limits, nowMs);
    const full = states.filter(
      ({ remaining }, index) => remaining === 0 || index === taken.length - 1,
    );
    const refusedBy = full.reduce((a, b) => (b.endsAtMs > a.endsAtMs ? b : a));
    return { refusedBy, states };
  }

  private stateOf(limit: RateLimit, counted: number, nowMs: number): RateState {
    const share = shareOf(limit.max, this.processes());
    const { endsAtMs } = windowAt(limit.window, nowMs);
    return { limit, share, remaining: share - counted, endsAtMs };
  }
}

/** Counters in the memory of this process. */
export function memoryRateLimiter(processes: () => number): CountingRateLimiter {
  return new CountingRateLimiter(new RateLimiterMemory(STORE_OPTIONS), processes);
}

/** Below 0 for a moment: others that are being refused are counted until they are given back. */
function atLeastNone(state: RateState): RateState {
  return state.remaining >= 0 ? state : { ...state, remaining: 0 };
}

function keyOf({ scope, id, window }: RateLimit, nowMs: number): string {
  return `${scope}:${id}:${window}:${windowAt(window, nowMs).index}`;
}
