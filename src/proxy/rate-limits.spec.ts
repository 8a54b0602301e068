import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Identity } from '../identity/identity.js';
import {
  isRateLimited,
  rateHeaders,
  rateLimitsOf,
  rateRefusal,
  shareOf,
  windowAt,
  WINDOW_S,
  type RateLimit,
  type RateState,
} from './rate-limits.js';

const NOON = Date.parse('2026-03-14T12:00:18Z');

function identityWith(
  requestsPerMinute: number | null,
  accountPerMinute: number | null,
  accountPerDay: number | null,
): Identity {
  return {
    tokenId: 'token-id',
    accountId: 'account-id',
    requestsPerMinute,
    accountRates: { requestsPerMinute: accountPerMinute, requestsPerDay: accountPerDay },
    routing: null,
  } as Identity;
}

function stateOf(
  scope: RateLimit['scope'],
  window: RateLimit['window'],
  max: number,
  remaining: number,
): RateState {
  const limit = { scope, id: scope, window, max };
  return { limit, share: max, remaining, endsAtMs: windowAt(window, NOON).endsAtMs };
}

describe('the limits of a token', () => {
  it('are its own and those of the account that pays, the narrowest first', () => {
    expect(rateLimitsOf(identityWith(5, 60, 1000))).toEqual([
      { scope: 'token', id: 'token-id', window: 'minute', max: 5 },
      { scope: 'account', id: 'account-id', window: 'minute', max: 60 },
      { scope: 'account', id: 'account-id', window: 'day', max: 1000 },
    ]);
  });

  it('are none where null, and still one where 0', () => {
    expect(isRateLimited(identityWith(null, null, null))).toBe(false);
    expect(rateLimitsOf(identityWith(null, null, null))).toEqual([]);
    for (const [token, minute, day] of [
      [0, null, null],
      [null, 0, null],
      [null, null, 0],
    ] as const) {
      expect(isRateLimited(identityWith(token, minute, day))).toBe(true);
      expect(rateLimitsOf(identityWith(token, minute, day))).toMatchObject([{ max: 0 }]);
    }
  });
});

describe('windows', () => {
  it("begin with UTC's minutes and days", () => {
    expect(new Date(windowAt('minute', NOON).endsAtMs).toISOString()).toBe(
      '2026-03-14T12:01:00.000Z',
    );
    expect(new Date(windowAt('day', NOON).endsAtMs).toISOString()).toBe('2026-03-15T00:00:00.000Z');
  });

  it('cover every instant once', () => {
    const instant = fc.date({ min: new Date(0), noInvalidDate: true });
    fc.assert(
      fc.property(instant, fc.constantFrom('minute' as const, 'day' as const), (at, window) => {
        const { index, endsAtMs } = windowAt(window, at.getTime());
        expect(endsAtMs - at.getTime()).toBeGreaterThan(0);
        expect(endsAtMs - at.getTime()).toBeLessThanOrEqual(WINDOW_S[window] * 1000);
        expect(windowAt(window, endsAtMs - 1).index).toBe(index);
        expect(windowAt(window, endsAtMs).index).toBe(index + 1);
      }),
    );
  });
});

describe('the share of a process', () => {
  it('adds up to the limit and to less than one more for each process; of 0 it is 0', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), fc.integer({ min: 1, max: 64 }), (max, processes) => {
        const sum = shareOf(max, processes) * processes;
        expect(sum).toBeGreaterThanOrEqual(max);
        expect(sum - max).toBeLessThan(processes);
      }),
    );
    expect(shareOf(0, 3)).toBe(0);
  });
});

describe('the headers', () => {
  it('name the quota and what is left of each window', () => {
    const states = [stateOf('account', 'minute', 60, 59), stateOf('account', 'day', 1000, 7)];
    expect(rateHeaders(states, NOON)).toEqual({
      rateLimit: '"minute";r=59;t=42, "day";r=7;t=43182',
      policy: '"minute";q=60;w=60, "day";q=1000;w=86400',
    });
  });

  it('show of two limits of a minute the one with less left, with its own quota', () => {
    const token = stateOf('token', 'minute', 100, 3);
    const account = stateOf('account', 'minute', 60, 4);
    expect(rateHeaders([token, account], NOON)).toEqual({
      rateLimit: '"minute";r=3;t=42',
      policy: '"minute";q=100;w=60',
    });
    const even = stateOf('account', 'minute', 60, 3);
    expect(rateHeaders([token, even], NOON).policy).toBe('"minute";q=60;w=60');
  });

  it('of an answer that outlived its window show the next one, unused', () => {
    const states = [stateOf('token', 'minute', 5, 0), stateOf('account', 'day', 9, 2)];
    expect(rateHeaders(states, NOON + 60_000).rateLimit).toBe(
      '"minute";r=5;t=42, "day";r=2;t=43122',
    );
  });
});

describe('the allowance of the serverless tier in the headers', () => {
  const serverless = stateOf('account', 'day', 1000, 999);

  it('is the limit of the day where there is no other', () => {
    expect(rateHeaders([], NOON, serverless)).toEqual({
      rateLimit: '"day";r=999;t=43182',
      policy: '"day";q=1000;w=86400',
    });
    expect(rateHeaders([stateOf('token', 'minute', 60, 59)], NOON, serverless)).toEqual({
      rateLimit: '"minute";r=59;t=42, "day";r=999;t=43182',
      policy: '"minute";q=60;w=60, "day";q=1000;w=86400',
    });
  });

  it('stands by its own name beside a limit of requests a day, and hides none', () => {
    expect(rateHeaders([stateOf('account', 'day', 50, 7)], NOON, serverless)).toEqual({
      rateLimit: '"day";r=7;t=43182, "serverless";r=999;t=43182',
      policy: '"day";q=50;w=86400, "serverless";q=1000;w=86400',
    });
  });
});

describe('a refusal', () => {
  it('says which limit, whose, and for how many whole seconds to wait', () => {
    const refused = rateRefusal(stateOf('token', 'minute', 5, 0), NOON + 200);
    expect(refused).toMatchObject({
      code: 'rate_limit_exceeded',
      retryAfterS: 42,
      shouldRetry: null,
      details: { scope: 'token', window: 'minute', limit: 5, resetsAt: '2026-03-14T12:01:00.000Z' },
    });
    expect(refused.message).toBe(
      'The limit of 5 requests a minute of this token is used up. Try again in 42 s.',
    );
  });

  it('is not to be repeated when the wait is over a minute', () => {
    expect(rateRefusal(stateOf('account', 'day', 5, 0), NOON).shouldRetry).toBe(false);
    const justBefore = windowAt('day', NOON).endsAtMs - 60_000;
    expect(rateRefusal(stateOf('account', 'day', 5, 0), justBefore)).toMatchObject({
      retryAfterS: 60,
      shouldRetry: null,
    });
    expect(rateRefusal(stateOf('account', 'day', 5, 0), justBefore - 1).shouldRetry).toBe(false);
  });

  it('by a limit of 0 is not to be repeated at all', () => {
    const refused = rateRefusal(stateOf('account', 'minute', 0, 0), NOON);
    expect(refused).toMatchObject({ retryAfterS: 42, shouldRetry: false });
    expect(refused.message).toBe(
      'No request may be made: the account has a limit of 0 requests a minute.',
    );
  });
});
