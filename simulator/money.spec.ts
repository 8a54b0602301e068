import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  costPicoUsd,
  picoUsdPerToken,
  unitCostPicoUsd,
  unitRate,
  usdNumber,
  usdPerMillion,
} from './money.js';

describe('prices', () => {
  it('reads USD per million tokens as pico-USD per token', () => {
    expect(picoUsdPerToken('0.90')).toBe(900_000n);
    expect(picoUsdPerToken('0.003625')).toBe(3_625n);
    expect(picoUsdPerToken('12')).toBe(12_000_000n);
    expect(picoUsdPerToken('0')).toBe(0n);
  });

  it.each(['', '-1', '1e3', '.5', '0.0000001', 'NaN'])('refuses %j', (text) => {
    expect(() => picoUsdPerToken(text)).toThrow(RangeError);
  });

  it('shows them as the number that was read', () => {
    expect(usdPerMillion(picoUsdPerToken('0.135'))).toBe(0.135);
    expect(usdNumber(2_906_000n)).toBe(0.000002906);
  });
});

describe('costPicoUsd', () => {
  const price = { input: 1_000_000n, output: 2_000_000n, cachedInput: 500_000n };

  it('prices cached input apart: 70 x 1.00 + 30 x 0.50 + 8 x 2.00 USD per million', () => {
    expect(costPicoUsd(price, { prompt: 100, cached: 30, completion: 8 })).toBe(101_000_000n);
  });

  it('prices cached input as input where it has no price: 100 x 1.00 + 8 x 2.00', () => {
    const cost = costPicoUsd(
      { ...price, cachedInput: null },
      { prompt: 100, cached: 30, completion: 8 },
    );
    expect(cost).toBe(116_000_000n);
  });

  it('stays exact beyond what a double holds', () => {
    const cost = costPicoUsd(price, { prompt: 9_007_199_255, cached: 0, completion: 1 });
    expect(cost).toBe(9_007_199_257_000_000n);
  });
});

describe('prices beyond text tokens', () => {
  it('are read per published unit and held per base unit', () => {
    expect(unitRate('megapixel', '0.025')).toMatchObject({
      unit: 'pixel',
      picoUsd: 25_000_000_000n,
      perUnits: 1_000_000n,
    });
    expect(unitRate('audio_hour', '0.111')).toMatchObject({
      unit: 'audio_ms',
      picoUsd: 111_000_000_000n,
      perUnits: 3_600_000n,
    });
    expect(unitRate('image_output', '40')).toMatchObject({ picoUsd: 40_000_000n, perUnits: 1n });
  });

  it.each(['', '-1', '1e3', '.5', '0.0000000000001'])('are refused as %j', (text) => {
    expect(() => unitRate('image', text)).toThrow(RangeError);
  });

  it('cost nothing where there is no price, and each part is rounded down by itself', () => {
    const rates = [unitRate('audio_hour', '0.111'), unitRate('image', '0.04')];
    // 1 ms is 30,833.3 pico-USD
    expect(unitCostPicoUsd(rates, { audio_ms: 1n, pixel: 99n })).toBe(30_833n);
    expect(unitCostPicoUsd(rates, { audio_ms: 1n, image: 2n })).toBe(80_000_030_833n);
    expect(unitCostPicoUsd([], { image: 5n })).toBe(0n);
  });

  it('are never more than the exact price, and less by under one pico-USD', () => {
    const rate = unitRate('audio_minute', '0.0061');
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 15n), (ms) => {
        const cost = unitCostPicoUsd([rate], { audio_ms: ms });
        const exact = ms * rate.picoUsd;
        expect(cost * rate.perUnits <= exact).toBe(true);
        expect((cost + 1n) * rate.perUnits > exact).toBe(true);
      }),
    );
  });
});

describe('input written into a cache', () => {
  it('has its own prices, and else that of input', () => {
    const price = { input: 3n, output: 15n, cachedInput: 1n, cacheWrite5m: 4n, cacheWrite1h: 6n };
    const tokens = { prompt: 100, cached: 30, cacheWrite: 30, cacheWrite1h: 20, completion: 8 };
    // 40 x 3 + 30 x 1 + 10 x 4 + 20 x 6 + 8 x 15
    expect(costPicoUsd(price, tokens)).toBe(430n);
    // 70 x 3 + 30 x 1 + 8 x 15
    expect(costPicoUsd({ input: 3n, output: 15n, cachedInput: 1n }, tokens)).toBe(360n);
  });
});
