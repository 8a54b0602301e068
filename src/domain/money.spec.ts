import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decimalText,
  formatUsd,
  nanoUsdRoundedUp,
  parseUsd,
  PICO_USD_MAX,
  picoUsdFromNanoUsd,
  priceFromUsdPerMillion,
  priceFromUsdPerUnit,
} from './money.js';

const amount = fc.bigInt(-PICO_USD_MAX, PICO_USD_MAX);

describe('parseUsd and formatUsd', () => {
  it('reads back every amount that it writes', () => {
    fc.assert(fc.property(amount, (pico) => parseUsd(formatUsd(pico)) === pico));
  });

  it.each([
    ['0', 0n],
    ['-0', 0n],
    ['12', 12_000_000_000_000n],
    ['0.90', 900_000_000_000n],
    ['0.000000000001', 1n],
    ['-0.000000000001', -1n],
    ['0.0000000000010000', 1n],
    ['9223372.036854775807', PICO_USD_MAX],
  ])('reads %s exactly', (text, pico) => {
    expect(parseUsd(text)).toBe(pico);
  });

  it.each([
    '',
    ' 1',
    '1 ',
    '+1',
    '.5',
    '5.',
    '1e3',
    '1,000',
    '0x10',
    'NaN',
    'Infinity',
    '0.0000000000001',
    '9223372.036854775808',
    '-9223372.036854775808',
    '٣',
    '1\n',
    '0'.repeat(65),
  ])('refuses %j', (text) => {
    expect(parseUsd(text)).toBeNull();
  });

  it.each([
    [0n, '0'],
    [900_000_000_000n, '0.9'],
    [-12_000_000_000_000n, '-12'],
    [1n, '0.000000000001'],
    [10n ** 30n, '1000000000000000000'],
  ])('writes %s without trailing zeros', (pico, text) => {
    expect(formatUsd(pico)).toBe(text);
  });
});

describe('decimalText', () => {
  it.each([
    ['1e-7', '0.0000001'],
    ['1E+3', '1000'],
    ['-2.50e1', '-25'],
    ['0.0036250', '0.003625'],
    ['12.34e-3', '0.01234'],
    ['-0.0', '0'],
    ['0e5', '0'],
    ['123.456e2', '12345.6'],
  ])('writes %s as %s', (text, plain) => {
    expect(decimalText(text)).toBe(plain);
  });

  it.each(['', '01', '1.', '.1', '+1', '1e', '1e99', 'null', '0x1'])('refuses %j', (text) => {
    expect(decimalText(text)).toBeNull();
  });

  it('refuses what is not finite', () => {
    expect(decimalText(Number.NaN)).toBeNull();
    expect(decimalText(Number.POSITIVE_INFINITY)).toBeNull();
  });

  it('means exactly what digits and exponent say', () => {
    const parts = fc.tuple(
      fc.boolean(),
      fc.bigInt(0n, 10n ** 12n),
      fc.integer({ min: -12, max: 5 }),
    );
    fc.assert(
      fc.property(parts, ([isNegative, digits, exponent]) => {
        const text = `${isNegative ? '-' : ''}${digits.toString()}e${exponent.toString()}`;
        const pico = digits * 10n ** BigInt(exponent + 12);
        fc.pre(pico <= PICO_USD_MAX);
        return parseUsd(decimalText(text) ?? 'refused') === (isNegative ? -pico : pico);
      }),
    );
  });

  it('takes a JSON number of up to 15 significant digits by its published text', () => {
    const parts = fc.tuple(fc.integer({ min: 0, max: 999_999 }), fc.integer({ min: 0, max: 12 }));
    fc.assert(
      fc.property(parts, ([digits, decimals]) => {
        const text = `${digits.toString()}e-${decimals.toString()}`;
        return decimalText(Number(text)) === decimalText(text);
      }),
    );
  });
});

describe('price quotes', () => {
  it.each([
    ['0.90', { kind: 'price', picoUsd: 900_000n, perUnits: 1n }],
    ['0.003625', { kind: 'price', picoUsd: 3_625n, perUnits: 1n }],
    ['1e-7', { kind: 'price', picoUsd: 100_000n, perUnits: 1_000_000n }],
    ['0', { kind: 'price', picoUsd: 0n, perUnits: 1n }],
    ['10000', { kind: 'price', picoUsd: 10_000_000_000n, perUnits: 1n }],
    ['10000.01', { kind: 'refused', reason: 'too_large' }],
    ['99999999999999', { kind: 'refused', reason: 'too_large' }],
    ['-0.1', { kind: 'refused', reason: 'negative' }],
    ['0.0000000000001', { kind: 'refused', reason: 'not_whole' }],
    ['free', { kind: 'refused', reason: 'invalid' }],
  ])('quotes %s USD per 1M units', (text, quote) => {
    expect(priceFromUsdPerMillion(text)).toEqual(quote);
  });

  it.each([
    ['0.00012', 'compute_second', { unit: 'compute_ms', picoUsd: 120_000n, perUnits: 1n }],
    ['0.025', 'megapixel', { unit: 'pixel', picoUsd: 25_000n, perUnits: 1n }],
    ['0.111', 'audio_hour', { unit: 'audio_ms', picoUsd: 111_000_000_000n, perUnits: 3_600_000n }],
    ['0.006', 'audio_minute', { unit: 'audio_ms', picoUsd: 100_000n, perUnits: 1n }],
    ['0.05', 'video_second', { unit: 'video_ms', picoUsd: 50_000_000n, perUnits: 1n }],
    ['0.0004', 'gpu_second', { unit: 'gpu_ms', picoUsd: 400_000n, perUnits: 1n }],
    ['0.04', 'image', { unit: 'image', picoUsd: 40_000_000_000n, perUnits: 1n }],
  ])('quotes %s USD per %s in the base unit', (text, published, quote) => {
    expect(priceFromUsdPerUnit(text, published)).toEqual({ kind: 'price', ...quote });
  });

  it('refuses a unit that nobody counts', () => {
    expect(priceFromUsdPerUnit('1', 'toString')).toEqual({
      kind: 'refused',
      reason: 'unknown_unit',
    });
  });

  it('keeps the published price exactly, whatever the unit', () => {
    const text = fc.bigInt(0n, 10_000n * 10n ** 12n).map(formatUsd);
    const units = fc.constantFrom(
      ...(['megapixel', 'compute_second', 'audio_minute', 'audio_hour', 'image'] as const),
    );
    const baseUnits = { megapixel: 1_000_000n, compute_second: 1_000n, audio_minute: 60_000n };
    fc.assert(
      fc.property(text, units, (usd, unit) => {
        const quote = priceFromUsdPerUnit(usd, unit);
        const perPublished = { ...baseUnits, audio_hour: 3_600_000n, image: 1n }[unit];
        return (
          quote.kind === 'price' &&
          quote.picoUsd * perPublished === (parseUsd(usd) ?? -1n) * quote.perUnits
        );
      }),
    );
  });
});

describe('nano-USD', () => {
  it('is rounded up on the way out and exact on the way in', () => {
    expect(picoUsdFromNanoUsd(7n)).toBe(7_000n);
    expect([0n, 1n, 999n, 1_000n, 1_001n].map(nanoUsdRoundedUp)).toEqual([0n, 1n, 1n, 1n, 2n]);
    expect(nanoUsdRoundedUp(-1_500n)).toBe(-1n);
    fc.assert(
      fc.property(amount, (pico) => {
        const back = picoUsdFromNanoUsd(nanoUsdRoundedUp(pico));
        return back >= pico && back - pico < 1_000n;
      }),
    );
  });
});
