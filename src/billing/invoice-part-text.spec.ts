import { describe, expect, it } from 'vitest';
import { grouped, partText, usdText } from './invoice-part-text.js';

describe('a unit price', () => {
  it.each([
    ['input', '0.0000009', undefined, '0.90 per 1M tokens', '0.0000009 per token'],
    [
      'cached_input',
      '0.000000003625',
      undefined,
      '0.003625 per 1M tokens',
      '0.000000003625 per token',
    ],
    ['output', '0.0000005', '1000000', null, '0.0000005 per 1M tokens'],
    ['output', '0.000001', '3', null, '0.000001 per 3 tokens'],
    ['character', '0.000015', undefined, '15.00 per 1M characters', '0.000015 per character'],
    ['pixel', '0.000000025', undefined, '0.025 per megapixel', '0.000000025 per pixel'],
    ['compute_ms', '0.00000012', undefined, '0.00012 per second', '0.00000012 per ms'],
    ['audio_ms', '0.111', '3600000', null, '0.111 per hour'],
    ['audio_ms', '0.006', '7000', null, '0.006 per 7,000 ms'],
    ['audio_ms', '0.007', '7000', '0.06 per minute', '0.007 per 7,000 ms'],
    ['image', '0.04', undefined, null, '0.04 per image'],
    ['request', '2', undefined, null, '2.00 per request'],
    ['input', '0', undefined, '0.00 per 1M tokens', '0.00 per token'],
    ['parsec', '1', undefined, null, '1.00 per parsec'],
  ])('of %s at %s per %s reads %s, applied as %s', (unit, unitPriceUsd, perUnits, price, exact) => {
    const part = { unit, quantity: '1', unitPriceUsd, exactUsd: unitPriceUsd };
    const text = partText(perUnits === undefined ? part : { ...part, perUnits });
    expect({ price: text.price, exact: text.exactPrice }).toEqual({ price, exact });
  });

  it('of an adjustment is none, and says which way it goes', () => {
    const part = { unit: 'adjustment', quantity: '1', unitPriceUsd: '-0.1', exactUsd: '-0.1' };
    expect(partText(part)).toMatchObject({ quantity: '', price: null, exactPrice: '' });
    expect(partText(part).label).toMatch(/not charged to you/);
    expect(partText({ ...part, exactUsd: '0.1' }).label).not.toMatch(/not charged/);
  });
});

describe('figures', () => {
  it.each([
    ['0', '0', '0.00'],
    ['-1234567.5', '-1,234,567.5', '-1,234,567.50'],
    ['999', '999', '999.00'],
    ['-123', '-123', '-123.00'],
    ['1000.123456789012', '1,000.123456789012', '1,000.123456789012'],
  ])('%s are grouped by thousands and keep every decimal', (text, groupedText, usd) => {
    expect(grouped(text)).toBe(groupedText);
    expect(usdText(text)).toBe(usd);
  });
});
