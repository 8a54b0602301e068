import { describe, expect, it } from 'vitest';
import { costPicoUsd, picoUsdPerToken, usdNumber, usdPerMillion } from './money.js';

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
