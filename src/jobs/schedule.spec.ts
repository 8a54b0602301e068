import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cronOf,
  dailyAt,
  everyMinutes,
  hourlyAt,
  nextRunAfter,
  type Schedule,
} from './schedule.js';

const MINUTE_MS = 60_000;

const minute = fc.integer({ min: 0, max: 59 });
const schedule: fc.Arbitrary<Schedule> = fc.oneof(
  fc.constantFrom(1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60).map(everyMinutes),
  minute.map(hourlyAt),
  fc.tuple(fc.integer({ min: 0, max: 23 }), minute).map(([hour, min]) => dailyAt(hour, min)),
);
const instant = fc.date({
  min: new Date('1999-12-31T00:00:00Z'),
  max: new Date('2100-03-01T00:00:00Z'),
  noInvalidDate: true,
});

/** Whether cron, which reads the five fields, would tick in this minute. */
function ticksIn(cron: string, at: Date): boolean {
  const fields = cron.split(' ');
  const values = [at.getUTCMinutes(), at.getUTCHours()];
  const fits = (field: string | undefined, value: number | undefined): boolean => {
    if (field === '*') return true;
    const step = /^\*\/(\d+)$/.exec(field ?? '')?.[1];
    return step === undefined ? Number(field) === value : (value ?? 0) % Number(step) === 0;
  };
  expect(fields.slice(2)).toEqual(['*', '*', '*']);
  return fits(fields[0], values[0]) && fits(fields[1], values[1]);
}

describe('the next run', () => {
  it('is the first tick of the cron text after the instant', () => {
    fc.assert(
      fc.property(schedule, instant, (due, at) => {
        const cron = cronOf(due);
        let tick = Math.floor(at.getTime() / MINUTE_MS) * MINUTE_MS;
        do tick += MINUTE_MS;
        while (!ticksIn(cron, new Date(tick)));
        expect(nextRunAfter(due, at)).toEqual(new Date(tick));
      }),
      { numRuns: 300 },
    );
  });

  it('comes when it was foretold', () => {
    expect(cronOf(hourlyAt(1))).toBe('1 * * * *');
    expect(cronOf(dailyAt(3, 10))).toBe('10 3 * * *');
    expect(cronOf(everyMinutes(5))).toBe('*/5 * * * *');
    const eve = new Date('2026-11-30T23:59:59.999Z');
    expect(nextRunAfter(hourlyAt(1), eve)).toEqual(new Date('2026-12-01T00:01:00Z'));
    expect(nextRunAfter(everyMinutes(5), new Date('2026-12-01T00:00:00Z'))).toEqual(
      new Date('2026-12-01T00:05:00Z'),
    );
  });
});

it('minutes that do not divide the hour are no schedule', () => {
  for (const every of [0, 7, 45, 61, 1.5, -5])
    expect(() => everyMinutes(every)).toThrow(RangeError);
});
