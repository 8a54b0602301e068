import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SecretBox } from './secret-box.js';

const box = new SecretBox(Buffer.alloc(32, 1));

it('opens what it sealed, and never writes it the same way twice', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (secret, belongsTo) => {
      const sealed = box.seal(secret, belongsTo);
      expect(box.open(sealed, belongsTo)).toBe(secret);
      expect(box.seal(secret, belongsTo).box.equals(sealed.box)).toBe(false);
    }),
    { numRuns: 50 },
  );
});

it('opens nothing that was changed anywhere, or moved', () => {
  const sealed = box.seal('whsec_secret', 'row 1');
  expect(sealed.box.includes('whsec_secret')).toBe(false);
  expect(() => box.open(sealed, 'row 2')).toThrow();
  for (let index = 0; index < sealed.box.length; index += 1) {
    const changed = Buffer.from(sealed.box);
    changed[index] = (changed[index] ?? 0) ^ 1;
    expect(() => box.open({ ...sealed, box: changed }, 'row 1')).toThrow();
  }
  expect(() => box.open({ ...sealed, box: sealed.box.subarray(0, 20) }, 'row 1')).toThrow();
});

it('names the keys when they differ, and neither key nor secret', () => {
  const other = new SecretBox(Buffer.alloc(32, 2));
  const sealed = other.seal('whsec_secret', 'row 1');
  expect(() => box.open(sealed, 'row 1')).toThrow(
    `sealed with the encryption key ${other.keyId}, this process has ${box.keyId}`,
  );
});
