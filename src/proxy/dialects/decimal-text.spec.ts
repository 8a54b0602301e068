import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareDecimals, isWholeNumberText, plainDecimal } from './decimal-text.js';

describe('decimals as text', () => {
  it('expands an exponent exactly', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 10n ** 30n }),
        fc.integer({ min: -40, max: 40 }),
        (digits, exponent) => {
          const text = plainDecimal(`${digits.toString()}e${exponent}`)!;
          const [whole = '', fraction = ''] = text.split('.');
          // Both sides times 10^40 are integers.
          const scaled = BigInt(whole + fraction) * 10n ** BigInt(40 - fraction.length);
          expect(scaled).toBe(digits * 10n ** BigInt(40 + exponent));
          expect(text).toMatch(/^(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?$/);
        },
      ),
    );
  });

  it.each(['', '-', '-1', '-1e3', '01', '1.', '.5', '1e', 'NaN', '0x1', '1e129', '9'.repeat(129)])(
    'has none for %j',
    (text) => {
      expect(plainDecimal(text)).toBeNull();
    },
  );

  it('tells whole numbers by their text', () => {
    for (const text of ['0', '-0', '12', '12.0', '1e3', '1.5e1', '120e-1']) {
      expect(isWholeNumberText(text)).toBe(true);
    }
    for (const text of ['0.5', '1e-1', '1.05e1', '12.00000000000000000001', '-1']) {
      expect(isWholeNumberText(text)).toBe(false);
    }
  });

  it('compares by value', () => {
    const hundredths = fc.nat({ max: 100_000 });
    const textOf = (value: number): string =>
      `${Math.floor(value / 100)}.${String(value % 100).padStart(2, '0')}`;
    fc.assert(
      fc.property(hundredths, hundredths, (a, b) => {
        expect(Math.sign(compareDecimals(textOf(a), textOf(b)))).toBe(Math.sign(a - b));
      }),
    );
    expect(compareDecimals('1', '1.00')).toBe(0);
  });
});
