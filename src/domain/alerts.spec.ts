import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  alertChanges,
  DELIVERY_ATTEMPTS_MAX,
  deliveryRetryAfterMs,
  reachedThresholds,
  usageRatio,
  type StandingAlert,
  type UsageRatio,
} from './alerts.js';

const amount = fc.bigInt({ min: 0n, max: 10n ** 37n });
const positive = fc.bigInt({ min: 1n, max: 10n ** 37n });
const threshold = fc.integer({ min: 1, max: 100 });

function ratio(usedPicoUsd: bigint, limitPicoUsd: bigint): UsageRatio {
  return { basis: 'limit', usedPicoUsd, limitPicoUsd };
}

/** The least whole amount that is at least this share of the limit. */
function shareUp(limit: bigint, percent: number): bigint {
  return (limit * BigInt(percent) + 99n) / 100n;
}

describe('a threshold', () => {
  it('is reached by the first pico-dollar that makes the share whole, and by none before', () => {
    fc.assert(
      fc.property(positive, threshold, (limit, percent) => {
        const enough = shareUp(limit, percent);
        expect(reachedThresholds(ratio(enough, limit), [percent])).toEqual([percent]);
        expect(reachedThresholds(ratio(enough - 1n, limit), [percent])).toEqual([]);
      }),
    );
  });

  it('is not reached by nothing, whatever the limit', () => {
    fc.assert(
      fc.property(amount, fc.array(threshold), (limit, thresholds) => {
        expect(reachedThresholds(ratio(0n, limit), thresholds)).toEqual([]);
        expect(reachedThresholds(ratio(0n, 0n), thresholds)).toEqual([]);
      }),
    );
  });

  it('of a limit of 0 is reached by anything', () => {
    fc.assert(
      fc.property(positive, threshold, (used, percent) => {
        expect(reachedThresholds(ratio(used, 0n), [percent])).toEqual([percent]);
      }),
    );
  });

  it('that is reached stays so as the use grows, and comes after every lower one', () => {
    fc.assert(
      fc.property(
        positive,
        amount,
        amount,
        fc.uniqueArray(threshold),
        (limit, used, more, thresholds) => {
          const before = reachedThresholds(ratio(used, limit), thresholds);
          const after = reachedThresholds(ratio(used + more, limit), thresholds);
          expect(after.slice(0, before.length)).toEqual(before);
          const ascending = [...thresholds].sort((one, other) => one - other);
          expect(before).toEqual(ascending.slice(0, before.length));
        },
      ),
    );
  });

  it('does not depend on the order in which thresholds are listed', () => {
    fc.assert(
      fc.property(positive, amount, fc.uniqueArray(threshold), (limit, used, thresholds) => {
        expect(reachedThresholds(ratio(used, limit), [...thresholds].reverse())).toEqual(
          reachedThresholds(ratio(used, limit), thresholds),
        );
      }),
    );
  });
});

describe('a look at a budget', () => {
  const told = (threshold: number, limitPicoUsd: bigint): StandingAlert => ({
    id: `${threshold} of ${limitPicoUsd}`,
    basis: 'limit',
    threshold,
    limitPicoUsd,
  });

  it('tells what is reached and does not stand, and rearms what is not reached', () => {
    expect(alertChanges(ratio(8n, 10n), [50, 80, 100], [])).toEqual({ due: [50, 80], rearmed: [] });
    const standing = [told(50, 10n), told(80, 10n)];
    const again = alertChanges(ratio(8n, 10n), [50, 80, 100], standing);
    expect(again).toEqual({ due: [], rearmed: [] });
    const raised = alertChanges(ratio(8n, 12n), [50, 80, 100], standing);
    expect(raised).toEqual({ due: [], rearmed: ['80 of 10'] });
    // Chosen or not: what is no longer reached may be reached again.
    expect(alertChanges(ratio(8n, 12n), [], standing).rearmed).toEqual(['80 of 10']);
  });

  it('of a limit raised past what it was told of tells it anew, without a look in between', () => {
    const { due, rearmed } = alertChanges(ratio(16n, 20n), [80], [told(80, 10n)]);
    expect([due, rearmed]).toEqual([[80], ['80 of 10']]);
  });

  it('leaves what is of another basis alone', () => {
    const ofCredit = { ...told(50, 10n), basis: 'credit' } as const;
    expect(alertChanges(ratio(1n, 10n), [50], [ofCredit])).toEqual({ due: [], rearmed: [] });
  });

  it('changes nothing a second time, whatever changed before', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(amount, positive), { maxLength: 8 }),
        fc.uniqueArray(threshold, { maxLength: 5 }),
        (looks, thresholds) => {
          let standing: readonly StandingAlert[] = [];
          for (const [used, limit] of looks) {
            const now = ratio(used, limit);
            const { due, rearmed } = alertChanges(now, thresholds, standing);
            standing = [
              ...standing.filter(({ id }) => !rearmed.includes(id)),
              ...due.map((one) => told(one, limit)),
            ];
            const reached = reachedThresholds(now, thresholds);
            const stand = standing.map((one) => one.threshold).sort((a, b) => a - b);
            expect(stand).toEqual(reached);
            expect(alertChanges(now, thresholds, standing)).toEqual({ due: [], rearmed: [] });
          }
        },
      ),
    );
  });
});

describe('the end of a budget', () => {
  const credit = { usedPicoUsd: 7n, grantedPicoUsd: 10n };

  it('is the limit of pay-as-you-go while it is on, whatever credit there is', () => {
    fc.assert(
      fc.property(amount, amount, (limitPicoUsd, usedPicoUsd) => {
        expect(
          usageRatio({ scope: 'account', isPayAsYouGo: true, limitPicoUsd, usedPicoUsd, credit }),
        ).toEqual({ basis: 'pay_as_you_go', usedPicoUsd, limitPicoUsd });
      }),
    );
  });

  it('is the credit while pay-as-you-go is off, whatever its limit', () => {
    fc.assert(
      fc.property(fc.option(amount), amount, (limitPicoUsd, usedPicoUsd) => {
        expect(
          usageRatio({ scope: 'account', isPayAsYouGo: false, limitPicoUsd, usedPicoUsd, credit }),
        ).toEqual({ basis: 'credit', usedPicoUsd: 7n, limitPicoUsd: 10n });
      }),
    );
  });

  it('of a member or a token is its own limit', () => {
    for (const scope of ['member', 'token'] as const) {
      expect(usageRatio({ scope, limitPicoUsd: 4n, usedPicoUsd: 3n })).toEqual(ratio(3n, 4n));
    }
  });

  it('is nowhere without a limit', () => {
    expect(usageRatio({ scope: 'token', limitPicoUsd: null, usedPicoUsd: 3n })).toBeNull();
    expect(
      usageRatio({
        scope: 'account',
        isPayAsYouGo: true,
        limitPicoUsd: null,
        usedPicoUsd: 3n,
        credit,
      }),
    ).toBeNull();
  });
});

describe('a delivery that fails', () => {
  it('is tried again after longer and longer waits, for most of a day, then no more', () => {
    const waits = Array.from({ length: DELIVERY_ATTEMPTS_MAX }, (_, index) =>
      deliveryRetryAfterMs(index + 1),
    );
    expect(waits.at(0)).toBe(30_000);
    expect(waits.at(1)).toBe(60_000);
    expect(waits.at(-1)).toBeNull();
    const given = waits.slice(0, -1).map((wait) => wait ?? 0);
    expect(given).toEqual([...given].sort((one, other) => one - other));
    const totalHours = given.reduce((sum, wait) => sum + wait, 0) / 3_600_000;
    expect(totalHours).toBeGreaterThan(18);
    expect(totalHours).toBeLessThan(26);
  });
});
