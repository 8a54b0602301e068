/**
 * Billing periods are calendar months in UTC, named `YYYY-MM` and half-open: every instant lies in
 * exactly one. Nothing here reads the server's time zone or a clock.
 */
const PERIOD = /^([1-9]\d{3})-(0[1-9]|1[0-2])$/;
const DAY_MS = 86_400_000;

export interface PeriodBounds {
  /** First instant of the period. */
  readonly start: Date;
  /** First instant after the period. */
  readonly end: Date;
}

/** True for `YYYY-MM` from 1000-01 to 9999-12. */
export function isPeriod(text: string): boolean {
  return PERIOD.test(text);
}

/** The period of an instant. Throws a RangeError for an invalid date or a year without four digits. */
export function periodOf(at: Date): string {
  return nameOf(at.getUTCFullYear(), at.getUTCMonth());
}

/** The half-open bounds of a period. Throws a RangeError when the text is no period. */
export function periodBounds(period: string): PeriodBounds {
  const { year, month } = partsOf(period);
  return { start: new Date(Date.UTC(year, month)), end: new Date(Date.UTC(year, month + 1)) };
}

/** The period that begins when this one ends. Throws a RangeError after 9999-12. */
export function nextPeriod(period: string): string {
  const { year, month } = partsOf(period);
  return month === 11 ? nameOf(year + 1, 0) : nameOf(year, month + 1);
}

/** The period that ends when this one begins. Throws a RangeError before 1000-01. */
export function previousPeriod(period: string): string {
  const { year, month } = partsOf(period);
  return month === 0 ? nameOf(year - 1, 11) : nameOf(year, month - 1);
}

/** 28 to 31. */
export function daysInPeriod(period: string): number {
  const { start, end } = periodBounds(period);
  return (end.getTime() - start.getTime()) / DAY_MS;
}

/**
 * Days of the period from an instant's UTC day to its end, the starting day counted: the numerator
 * of a seat added after the 1st. All days before the period begins, 0 after it has ended.
 */
export function daysLeftInPeriod(period: string, from: Date): number {
  const { start, end } = periodBounds(period);
  if (from.getTime() >= end.getTime()) return 0;
  const firstDayMs = Math.max(startOfUtcDay(from).getTime(), start.getTime());
  return (end.getTime() - firstDayMs) / DAY_MS;
}

/** First instant of the UTC day of an instant. */
export function startOfUtcDay(at: Date): Date {
  return new Date(Math.floor(at.getTime() / DAY_MS) * DAY_MS);
}

/** The UTC day of an instant, `YYYY-MM-DD`. Throws a RangeError as `periodOf` does. */
export function utcDayOf(at: Date): string {
  return `${periodOf(at)}-${at.getUTCDate().toString().padStart(2, '0')}`;
}

/** The same time of day a number of UTC days later (earlier when negative); a day is 86,400 s. */
export function addDays(at: Date, days: number): Date {
  return new Date(at.getTime() + days * DAY_MS);
}

function nameOf(year: number, month: number): string {
  if (!(year >= 1000 && year <= 9999)) throw new RangeError('period: year outside 1000-9999');
  return `${year.toString()}-${(month + 1).toString().padStart(2, '0')}`;
}

function partsOf(period: string): { year: number; month: number } {
  const match = PERIOD.exec(period);
  if (match === null) throw new RangeError('period: not YYYY-MM');
  return { year: Number(match[1]), month: Number(match[2]) - 1 };
}
