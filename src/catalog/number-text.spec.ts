import fc from 'fast-check';
import { expect, it } from 'vitest';
import { numbersAsText } from './number-text.js';

it('keeps the digits that a parsed number loses', () => {
  const json =
    '{"a":0.10,"b":[1e-7,-2.50E+3,12345678901234567890],"c":"1.0 \\" 2","e":true,"3":null}';
  expect(JSON.parse(numbersAsText(json))).toEqual({
    a: '0.10',
    b: ['1e-7', '-2.50E+3', '12345678901234567890'],
    c: '1.0 " 2',
    e: true,
    3: null,
  });
});

it('turns every number of a document, and nothing else, into its text', () => {
  const textual = (value: unknown): unknown => {
    if (typeof value === 'number') return JSON.stringify(value);
    if (Array.isArray(value)) return value.map(textual);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, textual(one)]));
  };
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) => {
      const json = JSON.stringify(value, null, indent);
      expect(JSON.parse(numbersAsText(json))).toEqual(textual(JSON.parse(json)));
    }),
  );
});
