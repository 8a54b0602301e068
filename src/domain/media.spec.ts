import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codePointsOf, NO_MEDIA_FACTS, quantityOf, statedQuantities } from './media.js';
import { TASKS } from './tasks.js';
import { QUANTITY_MAX } from './usage.js';
import { worstCaseOf } from './worst-case.js';

const baseUnits = fc.constantFrom(1n, 1_000n, 1_000_000n);

describe('a quantity as decimal text', () => {
  it('is converted exactly and floored, however many decimals it has', () => {
    const digits = fc.stringMatching(/^[0-9]{1,12}$/);
    const fraction = fc.stringMatching(/^[0-9]{0,20}$/);
    fc.assert(
      fc.property(digits, fraction, baseUnits, (whole, decimals, units) => {
        const text = decimals === '' ? whole : `${whole}.${decimals}`;
        const exact = (BigInt(whole + decimals) * units) / 10n ** BigInt(decimals.length);
        expect(quantityOf(text, units)).toEqual({ ok: true, quantity: exact });
      }),
      { numRuns: 2_000 },
    );
  });

  it('means the same with an exponent', () => {
    const digits = fc.bigInt({ min: 0n, max: 10n ** 9n });
    fc.assert(
      fc.property(digits, fc.integer({ min: 0, max: 12 }), baseUnits, (value, places, units) => {
        const plain = value.toString().padStart(places + 1, '0');
        const at = plain.length - places;
        const text = places === 0 ? plain : `${plain.slice(0, at)}.${plain.slice(at)}`;
        expect(quantityOf(`${value}e-${places}`, units)).toEqual(quantityOf(text, units));
        expect(quantityOf(`${text}E+0`, units)).toEqual(quantityOf(text, units));
      }),
    );
  });

  it.each([
    ['0.2505', 1_000n, 250n],
    ['3', 1n, 3n],
    ['.5', 1_000n, 500n],
    ['5.', 1_000n, 5_000n],
    [' 1.5 ', 1_000n, 1_500n],
    ['1e3', 1n, 1_000n],
    ['1.048576', 1_000_000n, 1_048_576n],
    ['0.0009', 1_000n, 0n],
    ['-0.0', 1_000n, 0n],
    ['1e-9999', 1_000n, 0n],
  ])('%s at %d is %d', (text, units, quantity) => {
    expect(quantityOf(text, units)).toEqual({ ok: true, quantity });
  });

  it.each([
    ['-1', 'negative'],
    ['-0.0001', 'negative'],
    ['', 'unparseable'],
    ['.', 'unparseable'],
    ['NaN', 'unparseable'],
    ['Infinity', 'unparseable'],
    ['0x10', 'unparseable'],
    ['1,5', 'unparseable'],
    ['1 2', 'unparseable'],
    ['9'.repeat(65), 'unparseable'],
    ['9223372036854775808', 'too large'],
    ['1e64', 'too large'],
    ['1e9999', 'too large'],
  ])('%s is never a charge: %s', (text, problem) => {
    expect(quantityOf(text, 1n)).toEqual({ ok: false, problem });
  });

  it('never throws, and never leaves what can be stored', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.double().map(String)), baseUnits, (text, units) => {
        const reading = quantityOf(text, units);
        if (!reading.ok) return;
        expect(reading.quantity >= 0n && reading.quantity <= QUANTITY_MAX).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the characters of a text', () => {
  it('are its code points', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(codePointsOf(text)).toBe(Array.from(text).length);
      }),
    );
    const units = fc.array(fc.constantFrom(0x41, 0xd83d, 0xde00, 0xdbff, 0xdfff));
    fc.assert(
      fc.property(units, (codes) => {
        const text = String.fromCharCode(...codes);
        expect(codePointsOf(text)).toBe(Array.from(text).length);
      }),
    );
  });
});

describe('what a request states for its hold', () => {
  it('is n images, each of whole megapixels, or of 4,194,304 pixels where it names no size', () => {
    const asked = { ...NO_MEDIA_FACTS, n: 3, pixels: 1_048_576n };
    expect(statedQuantities('image', asked)).toEqual({ image: 3n, pixel: 6_000_000n });
    expect(statedQuantities('image', NO_MEDIA_FACTS)).toEqual({ image: 1n, pixel: 4_194_304n });
  });

  it('is never less than the images are large, rounded up to megapixels as providers do', () => {
    const sides = fc.bigInt({ min: 1n, max: 10n ** 5n });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), sides, sides, (n, width, height) => {
        const pixels = width * height;
        const { pixel } = statedQuantities('image', { ...NO_MEDIA_FACTS, n, pixels });
        expect(pixel).toBeGreaterThanOrEqual(BigInt(n) * pixels);
        expect(pixel).toBeLessThan(BigInt(n) * (pixels + 1_000_000n));
      }),
    );
  });

  it('is every character of the text to be spoken', () => {
    const stated = statedQuantities('speech', { ...NO_MEDIA_FACTS, characters: 12 });
    expect(stated).toEqual({ character: 12n, audio_ms: 2_400n });
  });

  it('is half a millisecond a byte of audio, or its duration where the file may be believed', () => {
    const audioBytes = 192_000;
    const of = (audioMs: bigint | null): unknown =>
      statedQuantities('transcription', { ...NO_MEDIA_FACTS, audioBytes, audioMs });
    expect(of(null)).toEqual({ audio_ms: 96_000n });
    expect(of(12_345n)).toEqual({ audio_ms: 12_345n });
    // Shorter than so many bytes of sound can be.
    expect(of(1n)).toEqual({ audio_ms: 1_000n });
  });

  it('is 20 s of video, or what was asked for, each time', () => {
    const n = { ...NO_MEDIA_FACTS, n: 2 };
    expect(statedQuantities('video', n)).toEqual({ video_ms: 40_000n });
    expect(statedQuantities('video', { ...n, videoMs: 5_000n })).toEqual({ video_ms: 10_000n });
  });

  it('leaves text generation to its tokens, and any request can be stored', () => {
    expect(statedQuantities('chat', { ...NO_MEDIA_FACTS, n: 5 })).toEqual({});
    const huge = { ...NO_MEDIA_FACTS, n: 10 ** 15, pixels: 10n ** 15n, videoMs: 10n ** 15n };
    for (const task of TASKS) {
      for (const quantity of Object.values(statedQuantities(task, huge))) {
        expect(quantity).toBeLessThanOrEqual(QUANTITY_MAX);
      }
    }
  });

  it('is what the worst case is made of', () => {
    const facts = {
      stringBytes: 40,
      messages: 0,
      hasTools: false,
      imageParts: 0,
      audioBytes: 0,
      tokenIds: 0,
      isInputElsewhere: false,
    };
    const prices = new Map([['pixel', { picoUsd: 25_000n, perUnits: 1n }]] as const);
    const worst = worstCaseOf({
      facts,
      outputs: 1,
      callerMaxOutputTokens: 0,
      routes: [{ contextLength: null, prices }],
      stated: statedQuantities('image', { ...NO_MEDIA_FACTS, n: 2, pixels: 1_048_576n }),
    });
    expect(worst.worstCasePicoUsd).toBe(4_000_000n * 25_000n);
  });
});
