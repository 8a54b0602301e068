import { describe, expect, it } from 'vitest';
import { textOf } from './answer-text.js';

describe('textOf', () => {
  it('is four UTF-8 bytes a token wherever it starts', () => {
    for (let offset = 0; offset < 40; offset += 1) {
      for (let count = 0; count < 40; count += 1) {
        expect(Buffer.byteLength(textOf(offset, count))).toBe(4 * count);
      }
    }
  });

  it('can be cut anywhere between tokens', () => {
    expect(textOf(3, 5) + textOf(8, 30)).toBe(textOf(3, 35));
  });
});
