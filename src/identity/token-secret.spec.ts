import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashOf, mintSecret, plainSecret, presentedSecret } from './token-secret.js';

describe('the secret of a token', () => {
  it('is tg_ and 43 characters, never the same twice, and only its SHA-256 is kept', () => {
    const minted = Array.from({ length: 500 }, mintSecret);
    expect(new Set(minted.map(({ secret }) => secret)).size).toBe(500);
    for (const { secret, hash, prefix } of minted) {
      expect(secret).toMatch(/^tg_[0-9A-Za-z]{43}$/);
      expect(hash).toEqual(createHash('sha256').update(secret).digest());
      expect(prefix).toBe(secret.slice(0, 11));
    }
  });

  it('uses every character of its alphabet at every place that 256 bits reach', () => {
    const last = new Set(Array.from({ length: 3000 }, () => mintSecret().secret.at(-1)));
    expect(last.size).toBe(62);
  });

  it('is the same behind hf_', () => {
    const { secret } = mintSecret();
    expect(plainSecret(secret)).toBe(secret);
    expect(plainSecret(`hf_${secret}`)).toBe(secret);
    expect(hashOf(plainSecret(`hf_${secret}`) ?? '')).toEqual(hashOf(secret));
  });

  it.each([
    '',
    'tg_',
    'hf_',
    `tg_${'a'.repeat(42)}`,
    `tg_${'a'.repeat(44)}`,
    `tg_${'-'.repeat(43)}`,
    `TG_${'a'.repeat(43)}`,
    ` tg_${'a'.repeat(43)}`,
    `tg_${'a'.repeat(43)}\n`,
    `hf_hf_tg_${'a'.repeat(43)}`,
  ])('cannot be %j', (text) => {
    expect(plainSecret(text)).toBeNull();
  });
});

describe('what a request presents', () => {
  it.each([
    [{ authorization: 'Bearer abc' }, 'abc'],
    [{ authorization: 'bearer   abc ' }, 'abc'],
    [{ 'x-api-key': 'abc' }, 'abc'],
    [{ authorization: 'Bearer one', 'x-api-key': 'two' }, 'one'],
    [{ authorization: 'Basic abc', 'x-api-key': 'two' }, 'two'],
    [{ authorization: 'Bearer' }, null],
    [{ authorization: 'Bearer a b' }, null],
    [{ 'x-api-key': '' }, null],
    [{ 'x-api-key': ' ' }, null],
    [{}, null],
  ])('in %j is %j', (headers, secret) => {
    expect(presentedSecret(headers)).toBe(secret);
  });
});
