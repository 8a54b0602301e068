import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, invoiceHash } from './invoice-hash.js';

describe('canonical JSON', () => {
  it('sorts keys at every depth, writes whole amounts as text and leaves out what is undefined', () => {
    const content = {
      total: 12n,
      lines: [{ b: null, a: 'é"\n' }, []],
      issuedAt: new Date('2026-06-01T00:00:00Z'),
      A: true,
      requests: 3,
      missing: undefined,
    };
    expect(canonicalJson(content)).toBe(
      '{"A":true,"issuedAt":"2026-06-01T00:00:00.000Z","lines":[{"a":"é\\"\\n","b":null},[]],' +
        '"requests":3,"total":"12"}',
    );
  });

  it.each([
    [0.1],
    [Number.NaN],
    [2 ** 53],
    [[undefined]],
    [new Array<unknown>(1)],
    [new Map()],
    [() => 1],
    [undefined],
  ])('refuses what does not come back unchanged: %s', (value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError);
  });
});

describe('the hash of an invoice', () => {
  const content = fc.dictionary(
    fc.string(),
    fc.oneof(fc.string(), fc.bigInt(), fc.maxSafeInteger(), fc.array(fc.string()), fc.boolean()),
  );

  it('is the SHA-256 of the canonical text', () => {
    expect(invoiceHash({})).toBe(
      '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
    );
  });

  it('is the same after storing as JSON, in whatever order', () => {
    fc.assert(
      fc.property(content, (value) => {
        const text = JSON.stringify(value, (_key, member: unknown) =>
          typeof member === 'bigint' ? member.toString() : member,
        );
        const stored = JSON.parse(text) as Record<string, unknown>;
        const reversed = Object.fromEntries(Object.entries(stored).reverse());
        expect(invoiceHash(stored)).toBe(invoiceHash(value));
        expect(invoiceHash({ inner: reversed })).toBe(invoiceHash({ inner: value }));
      }),
    );
  });

  it('differs for different content', () => {
    const contents = [{ a: 1n }, { a: 2n }, { b: 1n }, { a: [1n] }, { a: null }, {}];
    expect(new Set(contents.map(invoiceHash)).size).toBe(contents.length);
    expect(invoiceHash({ a: '1', b: '2' })).not.toBe(invoiceHash({ a: '1,b:2' }));
  });
});
