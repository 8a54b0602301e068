import fc from 'fast-check';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { describe, expect, it } from 'vitest';
import {
  CountingRateLimiter,
  memoryRateLimiter,
  STORE_OPTIONS,
  type CounterStore,
} from './counting-rate-limiter.js';
import type { RateLimiter } from './rate-limiter.js';
import { windowAt, type RateLimit } from './rate-limits.js';

const NOON = Date.parse('2026-03-14T12:00:18Z');
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const limit = (
  scope: RateLimit['scope'],
  window: RateLimit['window'],
  max: number,
  id: string = scope,
): RateLimit => ({ scope, id, window, max });

const alone = (): RateLimiter => memoryRateLimiter(() => 1);

/** Calls arrive, and their answers come back, in any order. */
function behindAWire(store: CounterStore, scheduler: fc.Scheduler): CounterStore {
  const travel = (): Promise<void> => scheduler.schedule(Promise.resolve());
  return {
    penalty: async (...call) => {
      await travel();
      const counted = await store.penalty(...call);
      await travel();
      return counted;
    },
    reward: async (...call) => {
      await travel();
      return store.reward(...call);
    },
    get: async (...call) => {
      await travel();
      return store.get(...call);
    },
  };
}

async function passes(
  limiter: RateLimiter,
  limits: readonly RateLimit[],
  nowMs = NOON,
): Promise<boolean> {
  return (await limiter.take(limits, nowMs)).refusedBy === null;
}

describe('a limit', () => {
  it('lets exactly as many of concurrent requests pass', async () => {
    const limiter = alone();
    const limits = [limit('account', 'minute', 7)];
    const results = await Promise.all(
      Array.from({ length: 50 }, async () => passes(limiter, limits)),
    );
    expect(results.filter(Boolean)).toHaveLength(7);
  });

  it('counts down, and begins anew with the UTC minute', async () => {
    const limiter = alone();
    const limits = [limit('token', 'minute', 2)];
    const left = async (nowMs: number): Promise<number | undefined> =>
      (await limiter.take(limits, nowMs)).states[0]?.remaining;
    const endsAtMs = windowAt('minute', NOON).endsAtMs;
    expect(await left(NOON)).toBe(1);
    expect(await left(endsAtMs - 1)).toBe(0);
    expect(await passes(limiter, limits, endsAtMs - 1)).toBe(false);
    expect(await left(endsAtMs)).toBe(1);
  });

  it('of a day begins anew at UTC midnight and not before', async () => {
    const limiter = alone();
    const limits = [limit('account', 'day', 1)];
    expect(await passes(limiter, limits, NOON)).toBe(true);
    const midnight = Date.parse('2026-03-15T00:00:00Z');
    expect(await passes(limiter, limits, midnight - 1)).toBe(false);
    expect(await passes(limiter, limits, midnight)).toBe(true);
  });

  it('of 0 lets nothing pass', async () => {
    const { refusedBy, states } = await alone().take([limit('account', 'minute', 0)], NOON);
    expect(refusedBy?.limit.max).toBe(0);
    expect(states).toMatchObject([{ remaining: 0 }]);
  });

  it('that was lowered below its count refuses, and raised lets the rest pass', async () => {
    const limiter = alone();
    for (let i = 0; i < 5; i += 1) await limiter.take([limit('account', 'minute', 10)], NOON);
    const lowered = await limiter.take([limit('account', 'minute', 3)], NOON);
    expect(lowered.refusedBy).not.toBeNull();
    expect(lowered.states).toMatchObject([{ remaining: 0 }]);
    const raised = await limiter.take([limit('account', 'minute', 6)], NOON);
    expect(raised).toMatchObject({ refusedBy: null, states: [{ remaining: 0 }] });
  });

  it('is shared among processes that cannot count together, rounded up', async () => {
    let processes = 3;
    const limiter = memoryRateLimiter(() => processes);
    const limits = [limit('account', 'minute', 10)];
    for (let i = 0; i < 4; i += 1) expect(await passes(limiter, limits)).toBe(true);
    expect(await passes(limiter, limits)).toBe(false);
    processes = 2;
    expect(await passes(limiter, limits)).toBe(true);
    expect(await passes(limiter, limits)).toBe(false);
  });
});

describe('several limits', () => {
  it('take all or nothing', async () => {
    const limiter = alone();
    const limits = [
      limit('token', 'minute', 5),
      limit('account', 'minute', 4),
      limit('account', 'day', 2),
    ];
    for (let i = 0; i < 2; i += 1) expect(await passes(limiter, limits)).toBe(true);
    for (let i = 0; i < 9; i += 1) expect(await passes(limiter, limits)).toBe(false);
    expect((await limiter.peek(limits, NOON)).map(({ remaining }) => remaining)).toEqual([3, 2, 0]);
  });

  it('are refused by the one to wait for longest', async () => {
    const limiter = alone();
    const limits = [limit('token', 'minute', 1), limit('account', 'day', 1)];
    await limiter.take(limits, NOON);
    const { refusedBy, states } = await limiter.take(limits, NOON);
    expect(refusedBy?.limit.window).toBe('day');
    expect(states.map(({ remaining }) => remaining)).toEqual([0, 0]);
  });

  it('show all of them when looked at, and nothing is taken by looking', async () => {
    const limiter = alone();
    const limits = [limit('token', 'minute', 5), limit('account', 'day', 9)];
    await limiter.take(limits, NOON);
    for (let i = 0; i < 3; i += 1) {
      expect((await limiter.peek(limits, NOON)).map(({ remaining }) => remaining)).toEqual([4, 8]);
    }
  });

  const requests = fc.array(
    fc.record({
      token: fc.constantFrom('a', 'b', 'c'),
      laterMs: fc.constantFrom(0, 0, 0, 1000, MINUTE_MS, DAY_MS),
    }),
    { maxLength: 60 },
  );
  const maxima = fc.record({
    token: fc.option(fc.nat(6)),
    minute: fc.option(fc.nat(8)),
    day: fc.option(fc.nat(10)),
  });

  const limitsFor = (
    token: string,
    max: { token: number | null; minute: number | null; day: number | null },
  ): RateLimit[] => [
    ...(max.token === null ? [] : [limit('token', 'minute', max.token, token)]),
    ...(max.minute === null ? [] : [limit('account', 'minute', max.minute)]),
    ...(max.day === null ? [] : [limit('account', 'day', max.day)]),
  ];

  it('decide one after the other as a book of the passed requests would', async () => {
    await fc.assert(
      fc.asyncProperty(requests, maxima, async (sequence, max) => {
        const limiter = alone();
        const passed: { token: string; at: number }[] = [];
        let nowMs = NOON;
        for (const { token, laterMs } of sequence) {
          nowMs += laterMs;
          const limits = limitsFor(token, max);
          const used = (one: RateLimit): number =>
            passed.filter(
              (earlier) =>
                (one.scope === 'account' || earlier.token === token) &&
                windowAt(one.window, earlier.at).index === windowAt(one.window, nowMs).index,
            ).length;
          const hasRoom = limits.every((one) => used(one) < one.max);
          const verdict = await limiter.take(limits, nowMs);
          expect(verdict.refusedBy === null).toBe(hasRoom);
          if (hasRoom) passed.push({ token, at: nowMs });
          expect(verdict.states.map(({ remaining }) => remaining)).toEqual(
            limits.map((one) => Math.max(0, one.max - used(one))),
          );
        }
      }),
    );
  });

  it('decide on concurrent requests as on the same in some order: none too many, none too few', async () => {
    await fc.assert(
      fc.asyncProperty(requests, maxima, fc.scheduler(), async (burst, max, scheduler) => {
        const memory = new RateLimiterMemory(STORE_OPTIONS);
        const limiter = new CountingRateLimiter(behindAWire(memory, scheduler), () => 1);
        const deciding = burst.map(async ({ token }) => ({
          token,
          hasPassed: await passes(limiter, limitsFor(token, max)),
        }));
        const verdicts = await scheduler.waitFor(Promise.all(deciding));
        const count = (isOne: (one: { token: string; hasPassed: boolean }) => boolean): number =>
          verdicts.filter(isOne).length;
        const perToken = ['a', 'b', 'c'].map((token) =>
          Math.min(
            count((one) => one.token === token),
            max.token ?? Infinity,
          ),
        );
        const wanted = perToken.reduce((sum, one) => sum + one, 0);
        const passed = count(({ hasPassed }) => hasPassed);
        expect(passed).toBe(Math.min(wanted, max.minute ?? Infinity, max.day ?? Infinity));
        for (const [index, token] of ['a', 'b', 'c'].entries()) {
          const ofToken = count((one) => one.token === token && one.hasPassed);
          expect(ofToken).toBeLessThanOrEqual(perToken[index] ?? 0);
          const counts = await scheduler.waitFor(limiter.peek(limitsFor(token, max), NOON));
          for (const { limit: one, remaining } of counts) {
            const used = one.scope === 'token' ? ofToken : passed;
            expect(remaining).toBe(one.max - used);
          }
        }
      }),
    );
  });
});
