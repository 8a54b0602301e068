import type { Type } from '@nestjs/common';
import { AlertDeliveryService } from '../alerts/alert-delivery.service.js';
import { AlertsService } from '../alerts/alerts.service.js';
import { CreditsService } from '../billing/credits.service.js';
import { DailyControlService } from '../billing/daily-control.service.js';
import { PeriodCloseService } from '../billing/period-close.service.js';
import { SubscriptionsService } from '../billing/subscriptions.service.js';
import type { Config } from '../config/config.js';
import { HOLD_SWEEP_JOB, MEDIA_JOB_POLL, PRICE_SYNC_JOB } from './job-names.js';
import { dailyAt, everyMinutes, type Schedule } from './schedule.js';

/** What a job calls: a service of another module, with the time it runs at. */
export interface JobSource {
  readonly service: Type;
  readonly run: (service: never, at: Date) => Promise<unknown>;
}

/** One run per tick, whatever the number of processes. */
export interface ScheduledJob {
  readonly name: string;
  readonly schedule: Schedule;
  /** A run that takes longer counts as dead: another may start beside it. */
  readonly expiresAfterS: number;
  readonly source: JobSource;
}

/** Runs in every process by a timer of its own, more often than cron ticks. */
export interface TimedJob {
  readonly name: string;
  readonly everyMs: (config: Config) => number;
}

/** What runs by itself in every process. */
export const TIMED_JOBS: readonly TimedJob[] = [
  { name: PRICE_SYNC_JOB, everyMs: ({ priceSyncIntervalMs }) => priceSyncIntervalMs },
  { name: HOLD_SWEEP_JOB, everyMs: () => 1000 },
  { name: MEDIA_JOB_POLL, everyMs: () => 1000 },
];

/** What runs once per tick. A job is one line, and its module an import of `jobs.module.ts`. */
export const SCHEDULED_JOBS: readonly ScheduledJob[] = [
  job('plan-changes', everyMinutes(5), 300, SubscriptionsService, (subscriptions, at) =>
    subscriptions.takeScheduled(at),
  ),
  job('credit-grant', everyMinutes(15), 1800, CreditsService, (credits, at) =>
    credits.grantDue(at),
  ),
  job('period-close', everyMinutes(5), 600, PeriodCloseService, (periods, at) =>
    periods.closeDue(at),
  ),
  job('daily-control', dailyAt(3, 20), 7200, DailyControlService, (control, at) => control.run(at)),
  job('alert-evaluation', everyMinutes(5), 300, AlertsService, (alerts, at) =>
    alerts.evaluateAll(at),
  ),
  job('alert-delivery', everyMinutes(1), 300, AlertDeliveryService, (deliveries, at) =>
    deliveries.deliverDue(at),
  ),
];

function job<Service>(
  name: string,
  schedule: Schedule,
  expiresAfterS: number,
  service: Type<Service>,
  run: (service: Service, at: Date) => Promise<unknown>,
): ScheduledJob {
  return { name, schedule, expiresAfterS, source: { service, run } };
}
