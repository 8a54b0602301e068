/**
 * Months as the model counts them: on text and on the calendar's own days, slowly, and without the
 * project's periods, which it judges.
 */
const DAY_MS = 86_400_000;

export function monthOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 7);
}

export function startOfMonthMs(month: string): number {
  return Date.parse(`${month}-01T00:00:00.000Z`);
}

export function monthAfter(month: string): string {
  return monthOf(startOfMonthMs(month) + 40 * DAY_MS);
}

export function monthBefore(month: string): string {
  return monthOf(startOfMonthMs(month) - DAY_MS);
}

export function endOfMonthMs(month: string): number {
  return startOfMonthMs(monthAfter(month));
}

/** Counts the days one by one: the 1st, the 2nd ... as long as they bear the month's name. */
export function daysOf(month: string): number {
  let days = 0;
  while (monthOf(startOfMonthMs(month) + days * DAY_MS) === month) days += 1;
  return days;
}

/** Days of the month that have not ended at an instant: the day of the instant counts. */
export function daysLeftOf(month: string, fromMs: number): number {
  let left = 0;
  for (let day = 0; day < daysOf(month); day += 1) {
    const endOfDayMs = startOfMonthMs(month) + (day + 1) * DAY_MS;
    if (endOfDayMs > fromMs) left += 1;
  }
  return left;
}
