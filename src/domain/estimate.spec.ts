import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { estimateUsage } from './estimate.js';
import { type PriceRow, priceUsage } from './pricing.js';

function row(unit: 'input' | 'output', picoUsd: bigint, perUnits: bigint): PriceRow {
  const effectiveFrom = new Date(0);
  return {
    id: unit === 'input' ? 1n : 2n,
    upstream: 'default',
    provider: 'p',
    model: 'm',
    unit,
    condition: null,
    picoUsd,
    perUnits,
    effectiveFrom,
    effectiveTo: null,
    source: 'manual',
  };
}

describe('estimated usage', () => {
  it('is a token for every four bytes, floored', () => {
    const rows = new Map([
      ['input' as const, row('input', 1n, 1n)],
      ['output' as const, row('output', 1n, 1n)],
    ]);
    const estimate = { inputTextBytes: 43, outputTextBytes: 7, holdPicoUsd: 1_000n, rows };
    expect(estimateUsage(estimate)).toEqual({ input: 10n, output: 1n });
  });

  it('is not lowered where a unit has no price: that is unpriced, not free', () => {
    const estimate = { inputTextBytes: 40, outputTextBytes: 40, holdPicoUsd: 0n, rows: new Map() };
    expect(estimateUsage(estimate)).toEqual({ input: 10n, output: 10n });
  });

  it('never costs more than the hold, and is whole where the hold covers it', () => {
    const bytes = fc.integer({ min: 0, max: 1_000_000 });
    const price = fc.bigInt(0n, 10n ** 7n);
    const perUnits = fc.constantFrom(1n, 7n, 1_000_000n);
    const hold = fc.bigInt(0n, 10n ** 13n);
    fc.assert(
      fc.property(bytes, bytes, price, price, perUnits, hold, (input, output, a, b, per, held) => {
        const rows = new Map([
          ['input' as const, row('input', a, per)],
          ['output' as const, row('output', b, 1n)],
        ]);
        const estimate = { inputTextBytes: input, outputTextBytes: output, rows };
        const usage = estimateUsage({ ...estimate, holdPicoUsd: held });
        const priced = priceUsage({ ...usage }, rows);
        if (priced.kind !== 'priced') throw new Error(priced.kind);
        expect(priced.costPicoUsd <= held).toBe(true);
        const whole = { input: BigInt(input >> 2), output: BigInt(output >> 2) };
        const unbounded = priceUsage(whole, rows);
        if (unbounded.kind !== 'priced') throw new Error(unbounded.kind);
        if (unbounded.costPicoUsd <= held) expect(usage).toEqual(whole);
        else if (usage.output < whole.output) {
          const next = priceUsage({ ...usage, output: usage.output + 1n }, rows);
          expect(next.kind === 'priced' && next.costPicoUsd > held).toBe(true);
        }
      }),
    );
  });
});
