import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  addDays,
  daysInPeriod,
  daysLeftInPeriod,
  isPeriod,
  nextPeriod,
  periodBounds,
  periodOf,
  previousPeriod,
  startOfUtcDay,
  utcDayOf,
} from './periods.js';

const instant = fc.date({
  min: new Date('1970-01-01T00:00:00Z'),
  max: new Date('2199-12-31T23:59:59.999Z'),
  noInvalidDate: true,
});
const ZONES = ['UTC', 'Pacific/Kiritimati', 'America/St_Johns', 'Pacific/Niue', 'Europe/Berlin'];

afterEach(() => {
  vi.unstubAllEnvs();
});

describe.each(ZONES)('periods in a server zone of %s', (zone) => {
  it('contain every instant in exactly one', () => {
    vi.stubEnv('TZ', zone);
    fc.assert(
      fc.property(instant, (at) => {
        const period = periodOf(at);
        const { start, end } = periodBounds(period);
        expect(start <= at && at < end).toBe(true);
        expect(periodOf(start)).toBe(period);
        expect(periodOf(new Date(end.getTime() - 1))).toBe(period);
        expect(periodOf(end)).toBe(nextPeriod(period));
        expect(periodOf(new Date(start.getTime() - 1))).toBe(previousPeriod(period));
      }),
    );
  });

  it('tile time through leap years without gap or overlap', () => {
    vi.stubEnv('TZ', zone);
    let period = '1999-01';
    let days = 0;
    while (period !== '2101-01') {
      const next = nextPeriod(period);
      expect(periodBounds(next).start).toEqual(periodBounds(period).end);
      expect(previousPeriod(next)).toBe(period);
      days += daysInPeriod(period);
      period = next;
    }
    expect(days).toBe((Date.UTC(2101, 0) - Date.UTC(1999, 0)) / 86_400_000);
    expect(['2000-02', '2024-02', '2026-02', '2100-02'].map(daysInPeriod)).toEqual([
      29, 29, 28, 28,
    ]);
  });
});

describe('periods', () => {
  it.each(['2026-1', '2026-13', '2026-00', '0999-01', '2026-01 ', '2026-01\n', '26-01', ''])(
    'are not %j',
    (text) => {
      expect(isPeriod(text)).toBe(false);
      expect(() => periodBounds(text)).toThrow(RangeError);
    },
  );

  it('refuse instants that have none', () => {
    expect(() => periodOf(new Date(Number.NaN))).toThrow(RangeError);
    expect(() => nextPeriod('9999-12')).toThrow(RangeError);
  });
});

describe('days', () => {
  it('count the starting day', () => {
    expect(daysLeftInPeriod('2026-02', new Date('2026-02-01T00:00:00Z'))).toBe(28);
    expect(daysLeftInPeriod('2026-02', new Date('2026-02-15T23:59:59.999Z'))).toBe(14);
    expect(daysLeftInPeriod('2026-02', new Date('2026-02-28T23:59:59.999Z'))).toBe(1);
    expect(daysLeftInPeriod('2026-02', new Date('2026-03-01T00:00:00Z'))).toBe(0);
    expect(daysLeftInPeriod('2026-02', new Date('2026-01-31T12:00:00Z'))).toBe(28);
  });

  it('are UTC days of 86,400 seconds', () => {
    expect(utcDayOf(new Date('2028-02-29T23:59:59.999Z'))).toBe('2028-02-29');
    expect(startOfUtcDay(new Date('2026-03-29T02:30:00Z'))).toEqual(new Date('2026-03-29'));
    expect(addDays(new Date('2028-02-28T05:00:00Z'), 2)).toEqual(new Date('2028-03-01T05:00:00Z'));
  });
});
