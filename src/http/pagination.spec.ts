import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pageOf, readCursor, writeCursor } from './pagination.js';

describe('a cursor', () => {
  it('comes back as it was given out', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.integer(), (id, count) => {
        const time = '2026-11-21T01:02:03.004Z';
        expect(readCursor(writeCursor([time, id, count]), ['time', 'uuid', 'integer'])).toEqual([
          time,
          id,
          count,
        ]);
      }),
    );
    expect(readCursor(undefined, ['uuid'])).toBeNull();
  });

  it('of any other text is a refusal and nothing else', () => {
    const check = (cursor: string): void => {
      try {
        expect(readCursor(cursor, ['uuid'])).toHaveLength(1);
      } catch (error) {
        expect(error).toMatchObject({ refusal: { code: 'invalid_request', param: 'cursor' } });
      }
    };
    fc.assert(fc.property(fc.string({ unit: 'binary' }), check));
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        check(Buffer.from(JSON.stringify(value)).toString('base64url'));
      }),
    );
  });

  it.each([
    [['x'], ['uuid']],
    [['2026-13-01T00:00:00Z'], ['time']],
    [['2026-11-21'], ['time']],
    [['0000-01-01T00:00:00.000Z'], ['time']],
    [['2026-02-30T00:00:00.000Z'], ['time']],
    [['2026-11-21T24:00:00.000Z'], ['time']],
    [['+010000-01-01T00:00:00.000Z'], ['time']],
    [['-000001-01-01T00:00:00.000Z'], ['time']],
    [['a\u0000'], ['text']],
    [['1'], ['integer']],
    [[1.5], ['integer']],
    [['a', 'b'], ['text']],
    [[], ['text']],
  ] as const)('%j is not one of a list by %j', (tuple, shape) => {
    expect(() => readCursor(writeCursor(tuple), shape)).toThrow('nextCursor');
  });
});

it('a page ends with a cursor exactly when there is more', () => {
  const page = (rows: readonly number[]): unknown =>
    pageOf(
      rows,
      2,
      (row) => [row],
      (row) => `row ${row}`,
    );
  expect(page([])).toEqual({ data: [], nextCursor: null });
  expect(page([1, 2])).toEqual({ data: ['row 1', 'row 2'], nextCursor: null });
  expect(page([1, 2, 3])).toEqual({ data: ['row 1', 'row 2'], nextCursor: writeCursor([2]) });
});
