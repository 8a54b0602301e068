import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { costOf, type PriceRow } from '../domain/pricing.js';
import type { Unit } from '../domain/units.js';
import { endingFor } from './unpriced-events.service.js';
import type { ImportedPrice, UnpricedEvent } from './unpriced-events.repository.js';

const ADMITTED = new Date('2026-11-01T10:00:00Z');

function waiting(units: Record<string, string>, more: Partial<UnpricedEvent> = {}): UnpricedEvent {
  return {
    id: '01a1fd35-4d62-7e1d-a339-2e6adeaeb9e3',
    accountId: 'a',
    memberId: null,
    tokenId: 't',
    upstream: 'default',
    provider: 'p',
    model: 'm',
    period: '2026-11-01',
    admittedAt: ADMITTED,
    settledAt: ADMITTED,
    holdPicoUsd: 1_000_000n,
    task: 'image',
    outcome: 'complete',
    servedAt: ADMITTED,
    providerModelId: null,
    providerRequestId: null,
    status: 200,
    units,
    reasoningTokens: null,
    usageSource: 'provider',
    providerReportedPicoUsd: null,
    firstByteMs: null,
    durationMs: null,
    attempts: [],
    rawUsage: null,
    isWithheld: false,
    ...more,
  };
}

function prices(picoUsd: Partial<Record<Unit, bigint>>): ImportedPrice[] {
  return (Object.entries(picoUsd) as [Unit, bigint][]).map(([unit, price], index) => {
    const row: PriceRow = {
      id: BigInt(index + 1),
      upstream: 'default',
      provider: 'p',
      model: 'm',
      unit,
      condition: null,
      picoUsd: price,
      perUnits: 1n,
      effectiveFrom: new Date(0),
      effectiveTo: null,
      source: 'manual',
    };
    return { row, importedAt: new Date(ADMITTED.getTime() + 60_000) };
  });
}

it('keeps text waiting while any unit that was used has no row', () => {
  const text = waiting({ input: '10', audio_ms: '5' }, { task: 'chat' });
  expect(endingFor(text, prices({ input: 2n }))).toBeNull();
  expect(endingFor(text, prices({ input: 2n, output: 3n }))).toBeNull();
  expect(endingFor(text, prices({ input: 2n, audio_ms: 7n }))).toMatchObject({
    state: 'settled',
    ratedCostPicoUsd: 55n,
  });
});

const PICTURE = { image: '2', pixel: '2000000', request: '1' };

describe('an event that waited for a price', () => {
  it('is charged the units that there are prices for, and no other', () => {
    const byPixel = endingFor(waiting(PICTURE), prices({ pixel: 25_000n }));
    expect(byPixel).toMatchObject({ state: 'settled', ratedCostPicoUsd: 50_000_000_000n });
    expect(byPixel?.quantities).toEqual({ pixel: 2_000_000n });
    const byPiece = endingFor(waiting(PICTURE), prices({ image: 7n }));
    expect(byPiece?.quantities).toEqual({ image: 2n });
    expect(byPiece?.ratedCostPicoUsd).toBe(14n);
  });

  it('waits on while there is a price for none of its units', () => {
    expect(endingFor(waiting(PICTURE), prices({ input: 1n, audio_ms: 5n }))).toBeNull();
    expect(endingFor(waiting({}), prices({ image: 5n }))).toBeNull();
    const chat = waiting({ input: '10', output: '5' });
    expect(endingFor(chat, prices({ input: 3n }))).toBeNull();
  });

  it('keeps a length that was measured and not stated, whatever was held', () => {
    const recording = waiting({ audio_ms: '3000' }, { usageSource: 'estimated', holdPicoUsd: 5n });
    const ending = endingFor(recording, prices({ audio_ms: 30n, input: 1n }));
    expect(ending?.quantities).toEqual({ audio_ms: 3_000n });
    expect(ending).toMatchObject({
      state: 'settled',
      usageSource: 'estimated',
      ratedCostPicoUsd: 90_000n,
    });
  });

  it('is lowered to its hold where its tokens were estimated', () => {
    const text = waiting({ input: '600', output: '600' }, { usageSource: 'estimated' });
    expect(endingFor(text, prices({ input: 1_000n, output: 1_000n }))).toMatchObject({
      quantities: { input: 600n, output: 400n },
      ratedCostPicoUsd: 1_000_000n,
    });
  });

  it('costs the sum of its priced units, whichever they are', () => {
    const units = ['image', 'pixel', 'audio_ms', 'video_ms', 'character', 'request'] as const;
    const amounts = fc.array(fc.nat({ max: 1_000_000 }), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(amounts, fc.uniqueArray(fc.constantFrom(...units)), (quantities, priced) => {
        const event = waiting(
          Object.fromEntries(units.map((unit, index) => [unit, String(quantities[index] ?? 0)])),
        );
        const book = prices(
          Object.fromEntries(priced.map((unit, index) => [unit, BigInt(index + 3)])),
        );
        const ending = endingFor(event, book);
        if (priced.length === 0) expect(ending).toBeNull();
        const sum = book.reduce(
          (total, { row }) => total + costOf(BigInt(event.units[row.unit] ?? '0'), row),
          0n,
        );
        if (ending !== null) expect(ending.ratedCostPicoUsd).toBe(sum);
      }),
    );
  });
});
