/**
 * Months as the model counts them: on text and on the calendar's own days, slowly, and without the
 * project's periods, which it judges.
 */
const DAY_MS = 86_400_000;

export function monthOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 7);
}

export function startOfMonthMs(month: string): number {
  return remembered(starts, month, () => Date.parse(`${month}-01T00:00:00.000Z`));
}

/** The calendar does not change: what was counted once is counted. */
function remembered<Value>(known: Map<string, Value>, month: string, count: () => Value): Value {
  let value = known.get(month);
  if (value === undefined) known.set(month, (value = count()));
  return value;
}

const starts = new Map<string, number>();
const afters = new Map<string, string>();
const befores = new Map<string, string>();
const lengths = new Map<string, number>();

export function monthAfter(month: string): string {
  return remembered(afters, month, () => monthOf(startOfMonthMs(month) + 40 * DAY_MS));
}

export function monthBefore(month: string): string {
  return remembered(befores, month, () => monthOf(startOfMonthMs(month) - DAY_MS));
}

export function endOfMonthMs(month: string): number {
  return startOfMonthMs(monthAfter(month));
}

/** Counts the days one by one: the 1st, the 2nd ... as long as they bear the month's name. */
export function daysOf(month: string): number {
  return remembered(lengths, month, () => {
    let days = 0;
    while (monthOf(startOfMonthMs(month) + days * DAY_MS) === month) days += 1;
    return days;
  });
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
