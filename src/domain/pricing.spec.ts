import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PICO_USD_MAX } from './money.js';
import { conditionOf, type PriceRow, priceUsage, rowsInForce } from './pricing.js';
import { type Unit, UNITS } from './units.js';
import { QUANTITY_MAX } from './usage.js';

function row(parts: Partial<PriceRow> = {}): PriceRow {
  return {
    id: 1n,
    upstream: 'default',
    provider: 'novita',
    model: 'org/model',
    unit: 'input',
    condition: null,
    picoUsd: 900_000n,
    perUnits: 1n,
    effectiveFrom: new Date('2026-01-01T00:00:00Z'),
    effectiveTo: null,
    source: 'manual',
    ...parts,
  };
}

function byUnit(...rows: PriceRow[]): Map<Unit, PriceRow> {
  return new Map(rows.map((each) => [each.unit, each]));
}

const AT = new Date('2026-05-01T00:00:00Z');

describe('the row in force', () => {
  it('holds from its first instant up to, not including, its last', () => {
    const old = row({ id: 1n, effectiveTo: AT });
    const current = row({ id: 2n, effectiveFrom: AT });
    const idAt = (at: Date, ...rows: PriceRow[]): bigint | undefined =>
      rowsInForce(rows, { model: 'org/model', condition: null, at }).get('input')?.id;
    expect(idAt(AT, old, current)).toBe(2n);
    expect(idAt(new Date(AT.getTime() - 1), old, current)).toBe(1n);
    expect(idAt(AT, old)).toBeUndefined();
  });

  it('is the one of any model only where the model has none of its own', () => {
    const any = row({ id: 1n, model: '*', unit: 'output' });
    const own = row({ id: 2n });
    const key = { model: 'org/model', condition: null, at: AT };
    expect([...rowsInForce([any], key).keys()]).toEqual(['output']);
    expect([...rowsInForce([any, own], key).keys()]).toEqual(['input']);
    const ended = row({ id: 2n, effectiveTo: AT });
    expect([...rowsInForce([any, ended], key).keys()]).toEqual(['output']);
  });

  it('never prices one tier as another', () => {
    const rows = [row(), row({ id: 2n, condition: 'flex', picoUsd: 1n })];
    const key = { model: 'org/model', at: AT };
    expect(rowsInForce(rows, { ...key, condition: 'flex' }).get('input')?.id).toBe(2n);
    expect(rowsInForce(rows, { ...key, condition: 'priority' }).size).toBe(0);
    expect(conditionOf('flex', 'priority')).toBe('flex');
    expect(conditionOf(null, 'priority')).toBe('priority');
    expect(conditionOf('default', 'auto')).toBeNull();
  });
});

describe('priceUsage', () => {
  it('charges the sum of the floored lines and names the row of each', () => {
    const rows = byUnit(
      row({ id: 7n }),
      row({ id: 8n, unit: 'output', picoUsd: 3n, perUnits: 2n }),
    );
    expect(priceUsage({ input: 10n, output: 3n }, rows)).toEqual({
      kind: 'priced',
      costPicoUsd: 9_000_004n,
      lines: [
        { unit: 'input', quantity: 10n, rowId: 7n, costPicoUsd: 9_000_000n },
        { unit: 'output', quantity: 3n, rowId: 8n, costPicoUsd: 4n },
      ],
      rowIds: [7n, 8n],
      isPriceAssumed: false,
    });
  });

  it('prices cached input as input and says so', () => {
    const priced = priceUsage({ input: 1n, cached_input: 2n }, byUnit(row({ id: 7n })));
    expect(priced).toMatchObject({
      costPicoUsd: 2_700_000n,
      rowIds: [7n],
      isPriceAssumed: true,
    });
  });

  it('assumes nothing for a class that was reported as 0', () => {
    const priced = priceUsage({ input: 1n, cached_input: 0n, image: 0n }, byUnit(row()));
    expect(priced).toMatchObject({ kind: 'priced', costPicoUsd: 900_000n, isPriceAssumed: false });
  });

  it('never charges $0 for a unit without a price', () => {
    expect(priceUsage({ input: 1n, output: 2n, audio_ms: 1n }, byUnit(row()))).toEqual({
      kind: 'unpriced',
      missingUnits: ['output', 'audio_ms'],
    });
  });

  it('charges nothing for a price of 0, which is not a missing one', () => {
    expect(priceUsage({ input: 5n }, byUnit(row({ picoUsd: 0n })))).toMatchObject({
      kind: 'priced',
      costPicoUsd: 0n,
    });
  });

  it('never charges what cannot be stored', () => {
    const overflow = { kind: 'overflow' };
    expect(priceUsage({ input: QUANTITY_MAX }, byUnit(row()))).toEqual(overflow);
    expect(priceUsage({ input: QUANTITY_MAX + 1n }, byUnit(row({ picoUsd: 0n })))).toEqual(
      overflow,
    );
    expect(priceUsage({ input: -1n }, byUnit(row()))).toEqual(overflow);
    expect(priceUsage({ input: PICO_USD_MAX }, byUnit(row({ picoUsd: 1n })))).toMatchObject({
      costPicoUsd: PICO_USD_MAX,
    });
  });

  it('costs exactly what its lines say, each line the floor of its exact price', () => {
    const line = fc.record({
      unit: fc.constantFrom(...UNITS),
      quantity: fc.bigInt(0n, 10n ** 9n),
      picoUsd: fc.bigInt(0n, 10n ** 8n),
      perUnits: fc.constantFrom(1n, 1_000n, 3_600_000n),
    });
    const lines = fc.uniqueArray(line, { selector: ({ unit }) => unit });
    fc.assert(
      fc.property(lines, (parts) => {
        const rows = parts.map((part, index) => row({ ...part, id: BigInt(index + 1) }));
        const quantities = Object.fromEntries(parts.map((part) => [part.unit, part.quantity]));
        const priced = priceUsage(quantities, byUnit(...rows));
        if (priced.kind !== 'priced') throw new Error(priced.kind);
        expect(priced.lines).toHaveLength(parts.length);
        let sum = 0n;
        for (const { unit, quantity, rowId, costPicoUsd } of priced.lines) {
          const its = rows[Number(rowId) - 1]!;
          expect(its.unit).toBe(unit);
          expect(costPicoUsd * its.perUnits <= quantity * its.picoUsd).toBe(true);
          expect((costPicoUsd + 1n) * its.perUnits > quantity * its.picoUsd).toBe(true);
          sum += costPicoUsd;
        }
        expect(priced.costPicoUsd).toBe(sum);
      }),
    );
  });
});
