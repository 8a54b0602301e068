import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_MEDIA_FACTS } from './media.js';
import {
  NO_TOKEN_DETAILS,
  quantitiesInRows,
  rateMedia,
  type MediaFacts,
  type MediaReport,
} from './media-rating.js';
import type { PriceRow, RowsByUnit } from './pricing.js';
import type { Rating } from './rating.js';
import { UNITS, type Unit } from './units.js';
import type { Quantities, ReportedUsage } from './usage.js';

function rowsOf(prices: Partial<Record<Unit, bigint>>, perUnits = 1n): RowsByUnit {
  const rows = new Map<Unit, PriceRow>();
  for (const [unit, picoUsd] of Object.entries(prices) as [Unit, bigint][]) {
    rows.set(unit, {
      id: BigInt(UNITS.indexOf(unit) + 1),
      upstream: 'default',
      provider: 'p',
      model: 'm',
      unit,
      condition: null,
      picoUsd,
      perUnits,
      effectiveFrom: new Date(0),
      effectiveTo: null,
      source: 'manual',
    });
  }
  return rows;
}

function tokens(quantities: Quantities): ReportedUsage {
  return {
    kind: 'reported',
    quantities,
    reasoningTokens: null,
    hasDecreased: false,
    statedCostUsd: null,
    serviceTier: null,
  };
}

const NOTHING: MediaReport = {
  usage: { kind: 'none' },
  details: NO_TOKEN_DETAILS,
  quantities: {},
  billableUnits: null,
  problem: null,
  texts: [],
};

type Changes = Partial<Omit<MediaFacts, 'report'>> & { readonly report?: Partial<MediaReport> };

function rate({ report, ...changes }: Changes): Rating {
  return rateMedia({
    task: 'image',
    request: NO_MEDIA_FACTS,
    assumedPixels: null,
    hasContent: true,
    inputTextBytes: 400,
    holdPicoUsd: 10n ** 15n,
    rows: new Map(),
    ...changes,
    report: { ...NOTHING, ...report },
  });
}

const asked = (changes: object): MediaFacts['request'] => ({ ...NO_MEDIA_FACTS, ...changes });

describe('the unit of the row decides', () => {
  it.each<[string, Unit, string, bigint]>([
    ['images', 'image', '2', 2n],
    ['megapixels', 'pixel', '1.048576', 1_048_576n],
    ['seconds of video', 'video_ms', '5', 5_000n],
    ['seconds of audio', 'audio_ms', '2.5', 2_500n],
    ['GPU seconds', 'gpu_ms', '0.2505', 250n],
    ['compute seconds', 'compute_ms', '0.0009', 0n],
    ['requests', 'request', '3', 3n],
  ])('billable units are %s', (_name, unit, billableUnits, quantity) => {
    expect(rate({ rows: rowsOf({ [unit]: 7n }), report: { billableUnits } })).toEqual({
      state: 'settled',
      usageSource: 'provider',
      quantities: { [unit]: quantity },
      reasoningTokens: null,
      costPicoUsd: quantity * 7n,
      priceRowIds: [BigInt(UNITS.indexOf(unit) + 1)],
      isPriceAssumed: false,
    });
  });

  it('billable units are not spread over two prices, nor over characters', () => {
    const report = { billableUnits: '2' };
    const rows = rowsOf({ gpu_ms: 1n, image: 1n });
    expect(rate({ rows, report })).toMatchObject({ state: 'quarantined' });
    const counted = { ...report, quantities: { gpu_ms: 5n, image: 1n } };
    expect(rate({ rows, report: counted })).toMatchObject({
      quantities: { gpu_ms: 5n, image: 1n },
    });
    const speech = { task: 'speech', rows: rowsOf({ character: 3n }), report } as const;
    expect(rate({ ...speech, request: asked({ characters: 5 }) })).toMatchObject({
      quantities: { character: 5n },
    });
    expect(rate(speech)).toMatchObject({ state: 'quarantined' });
  });

  it.each(['-1', 'NaN', '', '1e99'])('billable units of %j are never a charge', (billableUnits) => {
    const facts = { rows: rowsOf({ image: 1n }), report: { billableUnits } };
    expect(rate(facts)).toMatchObject({
      state: 'quarantined',
      problem: expect.stringMatching(/^x-fal-billable-units/) as string,
    });
  });

  it('counts what the answer counted before what was asked for', () => {
    const request = asked({ n: 4, pixels: 1_000n });
    const report = { quantities: { image: 3n } };
    expect(rate({ rows: rowsOf({ image: 5n }), request, report })).toMatchObject({
      quantities: { image: 3n },
      costPicoUsd: 15n,
    });
    expect(rate({ rows: rowsOf({ pixel: 2n }), request, report })).toMatchObject({
      quantities: { pixel: 3_000n },
      usageSource: 'provider',
    });
    const measured = { quantities: { image: 3n, pixel: 17n } };
    expect(rate({ rows: rowsOf({ pixel: 2n }), request, report: measured })).toMatchObject({
      quantities: { pixel: 17n },
    });
  });

  it('takes the provider’s own default size as an estimate, and none as unknown', () => {
    const facts = { rows: rowsOf({ pixel: 2n }), request: asked({ n: 2 }) };
    expect(rate({ ...facts, assumedPixels: 100n })).toMatchObject({
      quantities: { pixel: 200n },
      usageSource: 'estimated',
    });
    expect(rate(facts)).toMatchObject({
      state: 'quarantined',
      problem: expect.stringMatching(/pixel/) as string,
    });
  });

  it('takes seconds of a transcription from the answer, else from the file, else from nobody', () => {
    const facts = { task: 'transcription', rows: rowsOf({ audio_ms: 1n }) } as const;
    const request = asked({ audioMs: 2_000n, audioBytes: 9 });
    const report = { quantities: { audio_ms: 2_500n } };
    expect(rate({ ...facts, request, report })).toMatchObject({
      quantities: { audio_ms: 2_500n },
      usageSource: 'provider',
    });
    expect(rate({ ...facts, request })).toMatchObject({
      quantities: { audio_ms: 2_000n },
      usageSource: 'estimated',
    });
    expect(rate(facts)).toMatchObject({
      state: 'quarantined',
      problem: expect.stringMatching(/audio_ms/) as string,
      raw: null,
    });
  });

  it('needs no quantity for a price of nothing', () => {
    const rows = rowsOf({ audio_ms: 0n, input: 0n, output: 0n });
    expect(rate({ task: 'transcription', rows })).toMatchObject({
      state: 'settled',
      costPicoUsd: 0n,
    });
  });

  it('takes a request as one, and a price by the hour exactly', () => {
    expect(rate({ rows: rowsOf({ request: 9n }) })).toMatchObject({ quantities: { request: 1n } });
    const hour = rowsOf({ audio_ms: 111_000_000_000n }, 3_600_000n);
    const report = { quantities: { audio_ms: 61_001n } };
    expect(rate({ task: 'transcription', rows: hour, report })).toMatchObject({
      costPicoUsd: (61_001n * 111_000_000_000n) / 3_600_000n,
    });
  });
});

describe('tokens of media', () => {
  it('need no output where the answer is a vector or a ranking', () => {
    const rows = rowsOf({ input: 3n, output: 4n });
    const report = { usage: tokens({ input: 7n }) };
    for (const task of ['embedding', 'inference'] as const) {
      expect(rate({ task, rows, report })).toMatchObject({ state: 'settled', costPicoUsd: 21n });
    }
    expect(rate({ task: 'image', rows, report })).toMatchObject({ state: 'quarantined' });
  });

  it('of an embedding without usage are estimated from its text, at most the hold', () => {
    const facts = { task: 'embedding', rows: rowsOf({ input: 3n }) } as const;
    expect(rate(facts)).toMatchObject({
      state: 'settled',
      usageSource: 'estimated',
      quantities: { input: 100n },
    });
    expect(rate({ ...facts, holdPicoUsd: 100n })).toMatchObject({ costPicoUsd: 99n });
    expect(rate({ ...facts, hasContent: false })).toEqual({ state: 'released' });
  });

  it('are not what an image by the piece costs', () => {
    const report = { usage: tokens({ input: 50n, output: 4_000n }), quantities: { image: 1n } };
    expect(rate({ rows: rowsOf({ image: 5n }), report })).toMatchObject({
      quantities: { image: 1n },
      costPicoUsd: 5n,
    });
  });

  it('are split where images have a price of their own', () => {
    const usage = tokens({ input: 50n, output: 4_000n });
    const rows = rowsOf({ input: 1n, image_input: 10n, image_output: 40n });
    const details = { ...NO_TOKEN_DETAILS, imageInput: 30n };
    expect(rate({ rows, report: { usage, details } })).toMatchObject({
      quantities: { input: 20n, image_input: 30n, output: 0n, image_output: 4_000n },
      costPicoUsd: 20n + 300n + 160_000n,
    });
    const mixed = { ...details, imageOutput: 3_900n };
    expect(rate({ rows, report: { usage, details: mixed } })).toMatchObject({ state: 'unpriced' });
    const both = rowsOf({ input: 1n, image_input: 10n, output: 2n, image_output: 40n });
    expect(rate({ rows: both, report: { usage, details: mixed } })).toMatchObject({
      costPicoUsd: 20n + 300n + 200n + 156_000n,
    });
    const plain = rowsOf({ input: 1n, output: 2n });
    expect(rate({ rows: plain, report: { usage, details: mixed } })).toMatchObject({
      quantities: { input: 50n, output: 4_000n },
    });
    const wrong = { ...details, imageInput: 51n };
    expect(rate({ rows, report: { usage, details: wrong } })).toMatchObject({
      state: 'quarantined',
      problem: 'image_input tokens exceed the input tokens',
    });
  });

  it('of a picture without a price for pictures are unpriced, never cheap', () => {
    const usage = tokens({ input: 50n, output: 10n });
    const details = { ...NO_TOKEN_DETAILS, imageInput: 30n, imageOutput: 10n };
    const rows = rowsOf({ input: 1n, output: 1n, image_output: 40n });
    expect(rate({ rows, report: { usage, details } })).toMatchObject({ state: 'unpriced' });
  });

  it('of sound are sound', () => {
    const facts = { task: 'transcription', rows: rowsOf({ audio_input: 6n, output: 1n }) } as const;
    const usage = tokens({ input: 14n, output: 5n });
    expect(rate({ ...facts, report: { usage } })).toMatchObject({ costPicoUsd: 14n * 6n + 5n });
    const rows = rowsOf({ input: 2n, audio_input: 6n, output: 1n });
    const details = { ...NO_TOKEN_DETAILS, audioInput: 10n };
    expect(rate({ ...facts, rows, report: { usage, details } })).toMatchObject({
      costPicoUsd: 4n * 2n + 10n * 6n + 5n,
    });
  });

  it('never grow or shrink by being split', () => {
    const count = fc.bigInt({ min: 0n, max: 10_000n });
    const part = fc.option(count);
    const unit = fc.subarray(['input', 'output', 'image_input', 'image_output', 'audio_input']);
    fc.assert(
      fc.property(count, count, part, part, unit, (input, output, imageInput, imageOutput, in_) => {
        const rows = rowsOf(Object.fromEntries([...in_, 'audio_output'].map((one) => [one, 1n])));
        const details = { ...NO_TOKEN_DETAILS, imageInput, imageOutput };
        const rating = rate({ rows, report: { usage: tokens({ input, output }), details } });
        if (rating.state === 'settled') expect(rating.costPicoUsd).toBe(input + output);
        else if (rating.state === 'unpriced') {
          const sum = Object.values(rating.quantities).reduce((all, one) => all + one, 0n);
          expect(sum).toBe(input + output);
        } else expect(rating.state).toBe('quarantined');
      }),
    );
  });
});

describe('an answer', () => {
  it('without content and without a report costs nothing, whatever its headers say', () => {
    const report = { billableUnits: '3', quantities: { compute_ms: 4n } };
    const rows = rowsOf({ compute_ms: 1n });
    expect(rate({ rows, report, hasContent: false })).toEqual({ state: 'released' });
  });

  it('without content whose usage is stated is charged as stated, and nothing else', () => {
    const rows = rowsOf({ input: 1n, output: 1n, request: 100n });
    const report = { usage: tokens({ input: 5n, output: 0n }) };
    expect(rate({ rows, report, hasContent: false })).toMatchObject({ costPicoUsd: 5n });
    const byPiece = rowsOf({ image: 5n });
    expect(rate({ rows: byPiece, report, hasContent: false })).toEqual({ state: 'released' });
    const empty = { usage: tokens({}) };
    expect(rate({ report: empty, hasContent: false })).toEqual({ state: 'released' });
  });

  it('with a figure that cannot be one is for a person', () => {
    const problem = { problem: 'x-compute-time is negative', raw: '-1' };
    const rows = rowsOf({ compute_ms: 1n });
    expect(rate({ rows, report: { problem } })).toEqual({ state: 'quarantined', ...problem });
    const texts = ['x-compute-time: -1', 'duration: 2.5'];
    expect(rate({ rows, report: { problem, texts } })).toMatchObject({
      raw: '-1; x-compute-time: -1; duration: 2.5',
    });
    // What was written counts just as much where it is another figure that is missing.
    const noLength = { task: 'transcription', rows: rowsOf({ audio_ms: 1n }) } as const;
    expect(rate({ ...noLength, report: { texts } })).toMatchObject({
      state: 'quarantined',
      raw: 'x-compute-time: -1; duration: 2.5',
    });
    const usage = { kind: 'malformed', problem: 'p', raw: 'r' } as const;
    expect(rate({ rows, report: { usage } })).toEqual({
      state: 'quarantined',
      problem: 'p',
      raw: 'r',
    });
    const report = { quantities: { compute_ms: 2n ** 63n } };
    expect(rate({ rows, report })).toMatchObject({ state: 'quarantined' });
  });

  it('without any price keeps everything that is known, and is priced by what a row is in', () => {
    const request = asked({ n: 2, pixels: 10n });
    const rating = rate({ request, report: { usage: tokens({ input: 5n, output: 6n }) } });
    expect(rating).toMatchObject({
      state: 'unpriced',
      quantities: { input: 5n, output: 6n, image: 2n, pixel: 20n, request: 1n },
    });
    if (rating.state !== 'unpriced') return;
    const { quantities } = rating;
    expect(quantitiesInRows(quantities, rowsOf({ pixel: 1n }))).toEqual({ pixel: 20n });
    expect(quantitiesInRows(quantities, rowsOf({ input: 1n }))).toEqual({ input: 5n, output: 6n });
    expect(quantitiesInRows(quantities, rowsOf({ gpu_ms: 1n }))).toBeNull();
  });

  it('costs the floored product of each quantity and its row, whatever the rows are', () => {
    const others = UNITS.filter((unit) => !/put|cache/.test(unit));
    const price = fc.bigInt({ min: 1n, max: 10n ** 6n });
    const quantity = fc.bigInt({ min: 0n, max: 10n ** 6n });
    const perUnits = fc.bigInt({ min: 1n, max: 10_000n });
    const priced = fc.uniqueArray(fc.tuple(fc.constantFrom(...others), price, quantity), {
      minLength: 1,
      selector: ([unit]) => unit,
    });
    fc.assert(
      fc.property(priced, quantity, perUnits, (units, stray, per) => {
        const rows = rowsOf(Object.fromEntries(units.map(([unit, pico]) => [unit, pico])), per);
        const own = Object.fromEntries(units.map(([unit, , count]) => [unit, count]));
        const all = Object.fromEntries(others.map((unit) => [unit, stray]));
        const rating = rate({ rows, report: { quantities: { ...all, ...own } } });
        const cost = units.reduce((sum, [, pico, count]) => sum + (count * pico) / per, 0n);
        expect(rating).toMatchObject({ state: 'settled', quantities: own, costPicoUsd: cost });
        if (rating.state === 'settled') expect(rating.quantities).toEqual(own);
      }),
    );
  });
});
