import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  circuitOf,
  HEALTH_RULES,
  heldOpen,
  measuredOf,
  noted,
  notedAtProvider,
  NOT_MEASURED,
  UNSEEN,
  UNSEEN_PROVIDER,
  type CallResult,
  type Vitals,
} from './health.js';

const T = 1_700_000_000_000;
const { coolDownMs, coolDownMaxMs, failuresInRow, callsMin, retryAfterMaxMs } = HEALTH_RULES;

const failed: CallResult = { kind: 'failed', retryAfterMs: null };
const ok: CallResult = { kind: 'ok', firstByteMs: null, outputTokens: null, durationMs: null };

function failedAskingFor(retryAfterMs: number): CallResult {
  return { kind: 'failed', retryAfterMs };
}

function after(results: readonly CallResult[], start = UNSEEN, atMs = T): Vitals {
  return results.reduce((vitals, result) => noted(vitals, result, atMs), start);
}

function times<Item>(count: number, item: Item): readonly Item[] {
  return Array.from({ length: count }, () => item);
}

const broken = after(times(failuresInRow, failed));

describe('a circuit', () => {
  it('opens after so many failures in a row, and not before', () => {
    expect(circuitOf(after(times(failuresInRow - 1, failed)), T)).toBe('closed');
    expect(circuitOf(broken, T)).toBe('open');
    const interrupted = [
      ...times(failuresInRow - 1, failed),
      ok,
      ...times(failuresInRow - 1, failed),
    ];
    expect(circuitOf(after(interrupted), T)).toBe('closed');
  });

  it('opens at the error rate once there were enough calls', () => {
    const pairs = (count: number): readonly CallResult[] =>
      Array.from({ length: count }, (_, index) => (index % 2 === 0 ? ok : failed));
    expect(circuitOf(after(pairs(callsMin - 1)), T)).toBe('closed');
    expect(circuitOf(after(pairs(callsMin)), T)).toBe('open');
    const seldom = Array.from({ length: 200 }, (_, index) => (index % 3 === 0 ? failed : ok));
    expect(circuitOf(after(seldom), T)).toBe('closed');
  });

  it('forgets failures that are long past', () => {
    let vitals = UNSEEN;
    for (let call = 0; call < 100; call += 1) {
      const atMs = T + call * HEALTH_RULES.halfLifeMs;
      vitals = noted(noted(vitals, failed, atMs), ok, atMs);
    }
    expect(vitals.openUntilMs).toBeNull();
  });

  it('is half open after its cool-down, and the next call decides', () => {
    const atMs = T + coolDownMs;
    expect(circuitOf(broken, atMs - 1)).toBe('open');
    expect(circuitOf(broken, atMs)).toBe('half_open');
    expect(circuitOf(noted(broken, ok, atMs), atMs)).toBe('closed');
    const again = noted(broken, failed, atMs);
    expect(circuitOf(again, atMs + 2 * coolDownMs - 1)).toBe('open');
    expect(circuitOf(again, atMs + 2 * coolDownMs)).toBe('half_open');
  });

  it('starts anew once it was closed', () => {
    const closed = noted(broken, ok, T + coolDownMs);
    const atMs = T + coolDownMs;
    expect(circuitOf(after(times(failuresInRow - 1, failed), closed, atMs), atMs)).toBe('closed');
    const reopened = after(times(failuresInRow, failed), closed, atMs);
    expect(reopened.openUntilMs).toBe(atMs + coolDownMs);
  });

  it('is not closed by what had begun before it opened', () => {
    expect(noted(broken, ok, T + 1).openUntilMs).toBe(broken.openUntilMs);
    expect(noted(broken, failed, T + 1).openUntilMs).toBe(broken.openUntilMs);
    expect(noted(broken, failed, T + 1).openings).toBe(1);
  });

  it('waits as long as the provider asks, within bounds', () => {
    const asked = after([failedAskingFor(60_000), ...times(failuresInRow - 1, failed)]);
    expect(asked.openUntilMs).toBe(T + 60_000);
    const short = after([...times(failuresInRow - 1, failed), failedAskingFor(1)]);
    expect(short.openUntilMs).toBe(T + coolDownMs);
    const long = after([...times(failuresInRow - 1, failed), failedAskingFor(Infinity)]);
    expect(long.openUntilMs).toBe(T + retryAfterMaxMs);
    expect(noted(broken, failedAskingFor(60_000), T + 1).openUntilMs).toBe(T + 60_001);
    // What was asked for before a success is not asked for any more.
    const served = after([failedAskingFor(60_000), ok, ...times(failuresInRow, failed)]);
    expect(served.openUntilMs).toBe(T + coolDownMs);
  });

  it('is held open where nobody answers, and only if it is open', () => {
    expect(heldOpen(UNSEEN, T)).toBe(UNSEEN);
    const held = heldOpen(broken, T + coolDownMs - 1);
    expect(held.openUntilMs).toBe(T + coolDownMs - 1 + 2 * coolDownMs);
    expect(circuitOf(noted(held, ok, held.openUntilMs ?? 0), held.openUntilMs ?? 0)).toBe('closed');
  });

  const result = fc.oneof(
    fc.constant(ok),
    fc.constant(failed),
    fc.nat(100_000).map(failedAskingFor),
    fc.record({
      kind: fc.constant('ok' as const),
      firstByteMs: fc.option(fc.nat(5_000)),
      outputTokens: fc.option(fc.nat(5_000)),
      durationMs: fc.option(fc.nat(60_000)),
    }),
  );
  const calls = fc.array(fc.record({ result, passedMs: fc.integer({ min: -500, max: 20_000 }) }), {
    maxLength: 200,
  });

  it('whatever happens: opens only on a failure, closes only on a success when its time is over', () => {
    fc.assert(
      fc.property(calls, (list) => {
        let vitals = UNSEEN;
        let atMs = T;
        for (const call of list) {
          atMs += call.passedMs;
          const before = circuitOf(vitals, atMs);
          const next = noted(vitals, call.result, atMs);
          const now = circuitOf(next, atMs);
          if (call.result.kind === 'ok') {
            expect(now).toBe(before === 'open' ? 'open' : 'closed');
          } else if (before !== 'closed') {
            expect(now).toBe('open');
            const { retryAfterMs } = call.result;
            expect(next.openUntilMs).toBeGreaterThanOrEqual(atMs + (retryAfterMs ?? 0));
          }
          // A provider is never given up: its time is over at some point.
          expect((next.openUntilMs ?? atMs) - atMs).toBeLessThanOrEqual(
            coolDownMaxMs + retryAfterMaxMs,
          );
          expect(next.failures).toBeLessThanOrEqual(next.calls);
          vitals = next;
        }
      }),
    );
  });

  it('measures within what it saw', () => {
    fc.assert(
      fc.property(calls, (list) => {
        let vitals = UNSEEN;
        let atMs = T;
        const seen: number[] = [];
        for (const call of list) {
          atMs += call.passedMs;
          vitals = noted(vitals, call.result, atMs);
          if (call.result.kind === 'ok' && call.result.firstByteMs !== null)
            seen.push(call.result.firstByteMs);
        }
        const { firstByteMs, throughput } = measuredOf(vitals, atMs);
        if (firstByteMs !== null) {
          expect(firstByteMs).toBeGreaterThanOrEqual(Math.min(...seen) - 1e-6);
          expect(firstByteMs).toBeLessThanOrEqual(Math.max(...seen) + 1e-6);
        }
        if (throughput !== null) expect(throughput).toBeGreaterThan(0);
      }),
    );
  });
});

describe('a provider', () => {
  const other = (index: number): string => `org/model-${index}`;

  it('is not judged by one of its models', () => {
    let state = UNSEEN_PROVIDER;
    for (let call = 0; call < 100; call += 1) {
      state = notedAtProvider(state, 'org/bad', failed, T + call);
      state = notedAtProvider(state, 'org/good', ok, T + call);
    }
    expect(state.vitals.openUntilMs).toBeNull();
  });

  it('is judged by several, or where the model is not known', () => {
    let state = UNSEEN_PROVIDER;
    for (let call = 0; call < failuresInRow; call += 1) {
      state = notedAtProvider(state, other(call % 2), failed, T);
    }
    expect(circuitOf(state.vitals, T)).toBe('open');
    state = UNSEEN_PROVIDER;
    for (let call = 0; call < failuresInRow; call += 1) {
      state = notedAtProvider(state, null, failed, T);
    }
    expect(circuitOf(state.vitals, T)).toBe('open');
  });

  it('is open again after a failed trial, with whichever model', () => {
    let state = UNSEEN_PROVIDER;
    for (let call = 0; call < failuresInRow; call += 1) {
      state = notedAtProvider(state, other(call), failed, T);
    }
    const tried = notedAtProvider(state, state.failedModel, failed, T + coolDownMs);
    expect(circuitOf(tried.vitals, T + coolDownMs)).toBe('open');
  });
});

describe('a measurement', () => {
  const stream: CallResult = { kind: 'ok', firstByteMs: 500, outputTokens: 100, durationMs: 2_500 };
  const whole: CallResult = {
    kind: 'ok',
    firstByteMs: 2_000,
    outputTokens: 100,
    durationMs: 2_000,
  };

  it('takes more than one answer, and is none again when they are old', () => {
    expect(measuredOf(UNSEEN, T)).toEqual(NOT_MEASURED);
    expect(measuredOf(after([stream]), T)).toEqual(NOT_MEASURED);
    const vitals = after(times(8, stream));
    expect(measuredOf(vitals, T)).toEqual({ firstByteMs: 500, throughput: 50 });
    const { halfLifeMs } = HEALTH_RULES;
    expect(measuredOf(vitals, T + 2 * halfLifeMs).throughput).toBeCloseTo(50, 6);
    expect(measuredOf(vitals, T + 2 * halfLifeMs + 1_000)).toEqual(NOT_MEASURED);
  });

  it('counts the time after the first byte of a stream, and all of an answer that comes whole', () => {
    expect(measuredOf(after(times(2, whole)), T).throughput).toBe(50);
    expect(measuredOf(after(times(2, stream)), T).throughput).toBe(50);
  });

  it('follows what changed', () => {
    const slow: CallResult = {
      kind: 'ok',
      firstByteMs: 100,
      outputTokens: 100,
      durationMs: 10_100,
    };
    const vitals = after(times(8, slow), after(times(8, stream)), T + 5 * HEALTH_RULES.halfLifeMs);
    const { throughput } = measuredOf(vitals, T + 5 * HEALTH_RULES.halfLifeMs);
    expect(throughput).toBeGreaterThan(9.9);
    expect(throughput).toBeLessThan(10.5);
  });

  it('takes no speed from an answer of a few tokens, and none from no time', () => {
    const short: CallResult = { ...stream, outputTokens: HEALTH_RULES.tokensMin - 1 };
    const instant: CallResult = { ...stream, firstByteMs: 0, durationMs: 0 };
    expect(measuredOf(after(times(4, short)), T).throughput).toBeNull();
    expect(measuredOf(after(times(4, instant)), T).throughput).toBeNull();
  });
});
