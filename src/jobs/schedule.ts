/** When a job is due, in UTC. */
export type Schedule =
  /** Every so many minutes from the full hour on; divides 60. */
  | { readonly kind: 'minutes'; readonly every: number }
  /** Every hour at a minute. */
  | { readonly kind: 'hourly'; readonly minute: number }
  /** Every day at a time. */
  | { readonly kind: 'daily'; readonly hour: number; readonly minute: number };

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** @throws RangeError when it does not divide the hour: cron would begin anew at every full one. */
export function everyMinutes(every: number): Schedule {
  if (!Number.isInteger(every) || every < 1 || 60 % every !== 0) {
    throw new RangeError(`${every} minutes do not divide an hour`);
  }
  return { kind: 'minutes', every };
}

export function hourlyAt(minute: number): Schedule {
  return { kind: 'hourly', minute };
}

export function dailyAt(hour: number, minute: number): Schedule {
  return { kind: 'daily', hour, minute };
}

/** The five fields that cron reads. */
export function cronOf(schedule: Schedule): string {
  switch (schedule.kind) {
    case 'minutes':
      if (schedule.every === 1) return '* * * * *';
      return schedule.every === 60 ? '0 * * * *' : `*/${schedule.every} * * * *`;
    case 'hourly':
      return `${schedule.minute} * * * *`;
    case 'daily':
      return `${schedule.minute} ${schedule.hour} * * *`;
  }
}

/** The first tick after an instant. Days of UTC all have 24 hours, so ticks are evenly spaced. */
export function nextRunAfter(schedule: Schedule, at: Date): Date {
  const { offsetMs, everyMs } = spacingOf(schedule);
  const passed = Math.floor((at.getTime() - offsetMs) / everyMs);
  return new Date((passed + 1) * everyMs + offsetMs);
}

function spacingOf(schedule: Schedule): { offsetMs: number; everyMs: number } {
  switch (schedule.kind) {
    case 'minutes':
      return { offsetMs: 0, everyMs: schedule.every * MINUTE_MS };
    case 'hourly':
      return { offsetMs: schedule.minute * MINUTE_MS, everyMs: HOUR_MS };
    case 'daily':
      return {
        offsetMs: schedule.hour * HOUR_MS + schedule.minute * MINUTE_MS,
        everyMs: DAY_MS,
      };
  }
}
