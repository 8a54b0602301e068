import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { baseQuantity, publishedQuantity, unitCostPicoUsd, unitPrice } from './unit-money.js';

describe('a price per unit', () => {
  it.each([
    ['megapixel', '0.025', 'pixel', 25_000n],
    ['megapixel', '0.003', 'pixel', 3_000n],
    ['video_second', '0.05', 'video_ms', 50_000_000n],
    ['compute_second', '0.00012', 'compute_ms', 120_000n],
    ['image', '0.015', 'image', 15_000_000_000n],
  ] as const)('%s at USD %s', (published, usd, unit, pico) => {
    expect(unitPrice(published, usd)).toMatchObject({ unit, picoUsdPerBaseUnit: pico });
  });

  it('refuses what is no whole number of pico-USD per base unit', () => {
    expect(() => unitPrice('megapixel', '0.0000001')).toThrow(RangeError);
    expect(() => unitPrice('image', '0.0000000000001')).toThrow(RangeError);
    expect(() => unitPrice('image', '-1')).toThrow(RangeError);
  });

  it('ten seconds at USD 0.00012 are USD 0.0012', () => {
    const price = unitPrice('compute_second', '0.00012');
    expect(unitCostPicoUsd(price, 10_000)).toBe(1_200_000_000n);
  });
});

describe('a reported quantity', () => {
  it('is floored to the base unit', () => {
    const price = unitPrice('compute_second', '0.00012');
    expect(baseQuantity(price, '0.2505')).toBe(250);
    expect(baseQuantity(price, '1')).toBe(1_000);
    expect(baseQuantity(price, 'twelve')).toBeNull();
  });

  it('reads back as what was written', () => {
    const quantities = fc.integer({ min: 0, max: 999_999_999_999 });
    fc.assert(
      fc.property(fc.constantFrom('megapixel', 'gpu_second', 'image'), quantities, (unit, n) => {
        const price = unitPrice(unit, '1');
        expect(baseQuantity(price, publishedQuantity(price, n))).toBe(n);
      }),
    );
  });
});
