import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideLimits } from './limit-change.js';
import type { AccountLimits } from './organization.js';

const amount = fc.option(fc.bigInt({ min: 0n, max: 300n }));
const limits = fc.record<AccountLimits>({
  monthlySpendLimitPicoUsd: amount,
  isPayAsYouGo: fc.boolean(),
  maxSpendLimitPicoUsd: amount,
  requestsPerMinute: fc.constant(null),
  requestsPerDay: fc.constant(7),
});

/** What pay-as-you-go may reach; null: without end. */
function ceiling(of: AccountLimits): bigint | null {
  return of.isPayAsYouGo ? of.monthlySpendLimitPicoUsd : 0n;
}

function isAbove(a: bigint | null, b: bigint | null): boolean {
  return b !== null && (a === null || a > b);
}

describe('a change of limits', () => {
  it('by the operator is what he asked for; what he left out stays', () => {
    fc.assert(
      fc.property(limits, amount, fc.boolean(), (current, limit, isPayAsYouGo) => {
        const request = { monthlySpendLimitPicoUsd: limit, isPayAsYouGo };
        expect(decideLimits(current, request, true)).toEqual({
          kind: 'changed',
          limits: { ...current, monthlySpendLimitPicoUsd: limit, isPayAsYouGo },
        });
      }),
    );
  });

  it('by anyone else never lets more be spent than the maximum or what was allowed before', () => {
    fc.assert(
      fc.property(limits, limits, (current, asked) => {
        const { maxSpendLimitPicoUsd: _max, ...request } = asked;
        const decision = decideLimits(current, request, false);
        if (decision.kind !== 'changed') return;
        const after = ceiling(decision.limits);
        const isPastMax = after === null || isAbove(after, current.maxSpendLimitPicoUsd);
        if (isPastMax) expect(isAbove(after, ceiling(current))).toBe(false);
        expect(decision.limits.maxSpendLimitPicoUsd).toBe(current.maxSpendLimitPicoUsd);
      }),
    );
  });

  it('by anyone else up to the maximum is never refused', () => {
    fc.assert(
      fc.property(
        limits,
        fc.bigInt({ min: 0n, max: 300n }),
        fc.boolean(),
        (current, limit, isOn) => {
          fc.pre(!isAbove(limit, current.maxSpendLimitPicoUsd));
          const request = { monthlySpendLimitPicoUsd: limit, isPayAsYouGo: isOn };
          expect(decideLimits(current, request, false).kind).toBe('changed');
        },
      ),
    );
  });

  it('that names the maximum is the operator’s, unless it names it as it is', () => {
    const current: AccountLimits = {
      monthlySpendLimitPicoUsd: 5n,
      isPayAsYouGo: true,
      maxSpendLimitPicoUsd: 10n,
      requestsPerMinute: null,
      requestsPerDay: null,
    };
    const ask = (maxSpendLimitPicoUsd: bigint | null): string =>
      decideLimits(
        current,
        { monthlySpendLimitPicoUsd: 5n, isPayAsYouGo: true, maxSpendLimitPicoUsd },
        false,
      ).kind;
    expect([ask(10n), ask(9n), ask(11n), ask(null)]).toEqual([
      'changed',
      'operator_only',
      'operator_only',
      'operator_only',
    ]);
  });
});
