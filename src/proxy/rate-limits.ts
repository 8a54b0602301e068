import { refusal, type Refusal } from '../domain/errors.js';
import type { Identity } from '../identity/identity.js';

const MS = 1000;
/** Unix time begins at midnight UTC: windows of these lengths begin with UTC's minutes and days. */
export const WINDOW_S = { minute: 60, day: 86_400 } as const;
export type RateWindow = keyof typeof WINDOW_S;
const WINDOWS: readonly RateWindow[] = ['minute', 'day'];

/** So many requests of one token, or of all tokens of an account, in a window; 0: none at all. */
export interface RateLimit {
  readonly scope: 'token' | 'account';
  /** Of the token or the account. */
  readonly id: string;
  readonly window: RateWindow;
  readonly max: number;
}

/** A limit in its current window. */
export interface RateState {
  readonly limit: RateLimit;
  /** What this process lets pass of it. */
  readonly share: number;
  /** Requests that may still come. */
  readonly remaining: number;
  readonly endsAtMs: number;
}

/** Asked for every request: most tokens have no limit, and nothing may be done for them. */
export function isRateLimited({ requestsPerMinute, accountRates }: Identity): boolean {
  return (
    requestsPerMinute !== null ||
    accountRates.requestsPerMinute !== null ||
    accountRates.requestsPerDay !== null
  );
}

/** The limits of a token and of the account that pays, the narrowest first. */
export function rateLimitsOf(identity: Identity): readonly RateLimit[] {
  const { tokenId, accountId, accountRates } = identity;
  const limits: RateLimit[] = [];
  const add = (scope: RateLimit['scope'], id: string, window: RateWindow, max: number | null) => {
    if (max !== null) limits.push({ scope, id, window, max });
  };
  add('token', tokenId, 'minute', identity.requestsPerMinute);
  add('account', accountId, 'minute', accountRates.requestsPerMinute);
  add('account', accountId, 'day', accountRates.requestsPerDay);
  return limits;
}

/** The number of the window that an instant lies in, and its end. */
export function windowAt(
  window: RateWindow,
  nowMs: number,
): { readonly index: number; readonly endsAtMs: number } {
  const lengthMs = WINDOW_S[window] * MS;
  const index = Math.floor(nowMs / lengthMs);
  return { index, endsAtMs: (index + 1) * lengthMs };
}

/** What each of `processes` lets pass by itself: rounded up, so that no limit becomes 0 by sharing. */
export function shareOf(max: number, processes: number): number {
  return Math.ceil(max / processes);
}

/**
 * `RateLimit` and `RateLimit-Policy` as of now: one entry a window, the limit with the least left.
 * An answer may take longer than its window: then the next one is shown, unused.
 *
 * @param serverless the allowance of the serverless tier, which is a limit of its own: of the day,
 *   and `serverless` beside a day's limit of requests.
 */
export function rateHeaders(
  states: readonly RateState[],
  nowMs: number,
  serverless: RateState | null = null,
): { readonly rateLimit: string; readonly policy: string } {
  const current = states.map((state) => asOf(state, nowMs));
  const entries: { readonly name: string; readonly state: RateState }[] = WINDOWS.flatMap(
    (name) => {
      const [first, ...others] = current.filter(({ limit }) => limit.window === name);
      return first === undefined ? [] : [{ name, state: others.reduce(tighter, first) }];
    },
  );
  if (serverless !== null) {
    const isNamed = entries.some(({ name }) => name === serverless.limit.window);
    entries.push({
      name: isNamed ? 'serverless' : serverless.limit.window,
      state: asOf(serverless, nowMs),
    });
  }
  return {
    rateLimit: entries
      .map(({ name, state }) => `"${name}";r=${state.remaining};t=${secondsLeft(state, nowMs)}`)
      .join(', '),
    policy: entries
      .map(({ name, state: { limit } }) => `"${name}";q=${limit.max};w=${WINDOW_S[limit.window]}`)
      .join(', '),
  };
}

const WHOSE = { account: 'the account', token: 'this token' } as const;

/** Past a limit. Where it is 0, waiting does not help. */
export function rateRefusal(state: RateState, nowMs: number): Refusal {
  const { scope, window, max } = state.limit;
  const waitS = secondsLeft(state, nowMs);
  const limit = `limit of ${max} ${max === 1 ? 'request' : 'requests'} a ${window}`;
  return refusal(
    'rate_limit_exceeded',
    max === 0
      ? `No request may be made: ${WHOSE[scope]} has a ${limit}.`
      : `The ${limit} of ${WHOSE[scope]} is used up. Try again in ${waitS} s.`,
    {
      retryAfterS: waitS,
      ...(max === 0 ? { shouldRetry: false } : {}),
      details: { scope, window, limit: max, resetsAt: new Date(state.endsAtMs).toISOString() },
    },
  );
}

function asOf(state: RateState, nowMs: number): RateState {
  if (nowMs < state.endsAtMs) return state;
  const { limit, share } = state;
  return { limit, share, remaining: share, endsAtMs: windowAt(limit.window, nowMs).endsAtMs };
}

function tighter(a: RateState, b: RateState): RateState {
  if (a.remaining !== b.remaining) return a.remaining < b.remaining ? a : b;
  return a.limit.max <= b.limit.max ? a : b;
}

/** Whole, rounded up: a client that waits so long finds the next window open. */
function secondsLeft({ endsAtMs }: RateState, nowMs: number): number {
  return Math.max(1, Math.ceil((endsAtMs - nowMs) / MS));
}
