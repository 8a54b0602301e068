import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { DatabaseService } from '../database/database.service.js';
import { SessionLock } from '../database/session-lock.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import { refusal, TollgateError } from '../domain/errors.js';
import type { Actor } from '../http/actor.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { PRICE_SYNC_JOB } from '../jobs/job-names.js';
import { JobRunsService } from '../jobs/job-runs.service.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import { CatalogService } from './catalog.service.js';
import { Clock } from '../config/clock.js';
import { PriceBookRepository } from './price-book.repository.js';
import { planSync, REPLACEMENT_LEAD_MS, type SyncPlan } from './price-plan.js';
import {
  readRouterCatalogue,
  type CatalogueFinding,
  type ListedModel,
} from './router-catalogue.js';
import { RouterCatalogueClient } from './router-catalogue.client.js';
import { PricesService } from './prices.service.js';
import { UnpricedEventsService } from './unpriced-events.service.js';

/** What one sync did. */
export interface SyncReport {
  readonly models: number;
  readonly routes: number;
  readonly pricesAdded: number;
  readonly pricesEnded: number;
  readonly pricesPending: number;
  readonly pricesStale: number;
  readonly findings: readonly CatalogueFinding[];
}

export type SyncResult =
  | { readonly kind: 'synced'; readonly report: SyncReport }
  /** Another process is at it. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'failed'; readonly problem: string };

/** Whoever holds this fetches and writes; the others wait for its notice. */
const SYNC_LOCK_ID = '7011ca7e-0000-7000-8a7a-106c5eed0001';
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
const BUSY_RETRY_MS = 5_000;
const BUSY_POLL_MS = 100;
const BUSY_WAIT_MAX_MS = 45_000;
const COMMIT_ATTEMPTS = 3;
/** Each attempt that took too long is followed by one with this much more time. */
const LEAD_FACTOR = 4;
const STOP_WAIT_MAX_MS = 5_000;
const FINDINGS_LOGGED_MAX = 20;

/** Takes the router's catalogue over into the price book: at start and once every interval. */
@Injectable()
export class PriceSyncService implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<unknown> = Promise.resolve();
  private failures = 0;
  private isStopping = false;

  constructor(
    private readonly database: DatabaseService,
    private readonly client: RouterCatalogueClient,
    private readonly book: PriceBookRepository,
    private readonly catalog: CatalogService,
    private readonly prices: PricesService,
    private readonly unpriced: UnpricedEventsService,
    private readonly clock: Clock,
    private readonly metrics: MetricsService,
    private readonly runs: JobRunsService,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Without any catalogue the first sync is waited for, but not its success. */
  async onApplicationBootstrap(): Promise<void> {
    await this.prices.makeStartingRow();
    if (this.catalog.isReady) this.schedule(0);
    else await this.runAndSchedule();
  }

  async onModuleDestroy(): Promise<void> {
    this.isStopping = true;
    if (this.timer !== null) clearTimeout(this.timer);
    // Without its store a sync may never end.
    const giveUp = new Promise((wake) => setTimeout(wake, STOP_WAIT_MAX_MS).unref());
    await Promise.race([this.running, giveUp]);
  }

  /** One sync now, after the one that may be running here or in another process. */
  async syncNow(): Promise<SyncResult> {
    const untilMs = Date.now() + BUSY_WAIT_MAX_MS;
    for (;;) {
      const result = await this.sync();
      if (result.kind !== 'busy' || Date.now() > untilMs || this.isStopping) return result;
      await new Promise((wake) => setTimeout(wake, BUSY_POLL_MS));
    }
  }

  /**
   * The same, asked for by a person.
   *
   * @throws TollgateError upstream_error when there is no usable catalogue, overloaded when others
   *   keep syncing.
   */
  async syncFor(actor: Actor): Promise<SyncReport> {
    const result = await this.syncNow();
    switch (result.kind) {
      case 'synced': {
        const { findings, ...counts } = result.report;
        await this.prices.noteSync(actor, { ...counts, findings: findings.length });
        return result.report;
      }
      case 'busy':
        throw new TollgateError(
          refusal('overloaded', 'Another process is syncing the prices.', { retryAfterS: 10 }),
        );
      case 'failed':
        throw new TollgateError(
          refusal('upstream_error', `No prices were synced: ${result.problem}.`),
        );
    }
  }

  private schedule(delayMs: number): void {
    if (this.isStopping) return;
    this.timer = setTimeout(() => void this.runAndSchedule(), delayMs);
    this.timer.unref();
  }

  private async runAndSchedule(): Promise<void> {
    const result = await this.sync();
    const { priceSyncIntervalMs } = this.config;
    if (result.kind === 'synced') {
      this.failures = 0;
      this.schedule(priceSyncIntervalMs);
      return;
    }
    if (result.kind === 'busy') {
      this.schedule(Math.min(BUSY_RETRY_MS, priceSyncIntervalMs));
      return;
    }
    this.failures += 1;
    const backoffMs = BACKOFF_FIRST_MS * 2 ** Math.min(this.failures - 1, 10);
    this.schedule(Math.min(backoffMs, BACKOFF_MAX_MS, priceSyncIntervalMs));
  }

  /** One at a time in this process; never rejects. */
  private async sync(): Promise<SyncResult> {
    const mine = this.running.then(() => this.syncAndRecord());
    this.running = mine;
    return mine;
  }

  /** What another process was at is its run. */
  private async syncAndRecord(): Promise<SyncResult> {
    const startedAt = new Date();
    const began = performance.now();
    const result = await this.syncUnderLock();
    if (result.kind !== 'busy' && !this.isStopping) {
      this.runs.ended(PRICE_SYNC_JOB, {
        startedAt,
        durationMs: performance.now() - began,
        error: result.kind === 'failed' ? result.problem : null,
        isNoteworthy: false,
      });
    }
    return result;
  }

  private async syncUnderLock(): Promise<SyncResult> {
    if (this.isStopping) return { kind: 'failed', problem: 'the service is stopping' };
    let result: SyncResult = { kind: 'busy' };
    const lock = new SessionLock(this.database.url, randomUUID());
    try {
      await lock.hold();
      await lock.whileHolding(SYNC_LOCK_ID, async () => {
        result = await this.fetchAndStore();
      });
      return this.told(result);
    } catch (error) {
      return this.told({ kind: 'failed', problem: 'the catalogue could not be stored' }, error);
    } finally {
      await lock.release();
    }
  }

  private told(result: SyncResult, error?: unknown): SyncResult {
    if (result.kind === 'failed' && !this.isStopping) {
      this.metrics.alarms.inc({ kind: 'price_sync' });
      this.logger.error(
        { err: error, problem: result.problem },
        'the catalogue was not taken over: the one in the store stays in force',
      );
    }
    return result;
  }

  private async fetchAndStore(): Promise<SyncResult> {
    const fetched = await this.client.fetch();
    if (fetched.kind === 'failed') return fetched;
    const reading = readRouterCatalogue(fetched.text);
    if (reading.kind === 'unreadable') {
      return { kind: 'failed', problem: `the catalogue is unreadable: ${reading.problem}` };
    }
    const { models, findings } = reading;
    if (models.length === 0) {
      return { kind: 'failed', problem: 'the catalogue lists no model that could be read' };
    }
    const plan = await this.store(models);
    await this.catalog.refresh();
    this.announce(plan, findings);
    await this.rateWaitingEvents();
    return { kind: 'synced', report: reportOf(models, plan, findings) };
  }

  /** Those that an earlier change of the book did not come to; the next sync tries again. */
  private async rateWaitingEvents(): Promise<void> {
    try {
      await this.unpriced.rateAll();
    } catch (error) {
      this.metrics.alarms.inc({ kind: 'unpriced_events' });
      this.logger.error({ err: error }, 'the events that wait for a price could not be rated');
    }
  }

  private async store(models: readonly ListedModel[]): Promise<SyncPlan> {
    let leadMs = REPLACEMENT_LEAD_MS;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.storeOnce(models, leadMs);
      } catch (error) {
        const isLate = error instanceof LateCommit;
        if (attempt === COMMIT_ATTEMPTS || !(isLate || isTransient(error))) throw error;
        if (isLate) leadMs *= LEAD_FACTOR;
      }
    }
  }

  private async storeOnce(models: readonly ListedModel[], leadMs: number): Promise<SyncPlan> {
    return this.book.write(async (book) => {
      const now = this.clock.now();
      const state = await book.state(DEFAULT_UPSTREAM, now);
      const plan = planSync(models, state, {
        upstream: DEFAULT_UPSTREAM,
        source: 'router_catalogue',
        now,
        leadMs,
      });
      const flags = { listed: plan.listedFlags, unlisted: plan.unlistedFlags };
      await book.storeListing(DEFAULT_UPSTREAM, models, flags, now);
      await book.close(plan.closings);
      await book.insert(plan.prices, now);
      await book.decide(plan.supersededIds, 'superseded', now);
      await book.addPending(plan.pendings, now);
      const tookMs = this.clock.now().getTime() - now.getTime();
      // The other half of the lead is for the replicas to read the rows in.
      if (plan.closings.length > 0 && tookMs > leadMs / 2) throw new LateCommit();
      return plan;
    });
  }

  private announce(plan: SyncPlan, findings: readonly CatalogueFinding[]): void {
    for (const { provider, model, unit, reason } of plan.pendings) {
      const kind = reason === 'differs_from_manual' ? 'price_differs_from_manual' : 'price_pending';
      this.metrics.alarms.inc({ kind });
      this.logger.warn(
        { provider, model, unit, reason },
        'a price of the catalogue waits for approval',
      );
    }
    for (const { kind } of findings) {
      this.metrics.alarms.inc({
        kind: kind === 'price_refused' ? 'price_refused' : 'catalogue_entry_refused',
      });
    }
    if (findings.length > 0) {
      this.logger.warn(
        { count: findings.length, findings: findings.slice(0, FINDINGS_LOGGED_MAX) },
        'parts of the catalogue were refused',
      );
    }
  }
}

/** The rows would start before every replica could know them: undone, and done again. */
class LateCommit extends Error {
  override readonly name = 'LateCommit';
}

function isTransient(error: unknown): boolean {
  return classifySqlFailure(error).kind === 'transient';
}

function reportOf(
  models: readonly ListedModel[],
  plan: SyncPlan,
  findings: readonly CatalogueFinding[],
): SyncReport {
  const flags = [...plan.listedFlags, ...plan.unlistedFlags];
  return {
    models: models.length,
    routes: plan.listedFlags.length,
    pricesAdded: plan.prices.length,
    pricesEnded: plan.closings.length,
    pricesPending: plan.pendings.length,
    pricesStale: flags.filter(({ isPriceStale }) => isPriceStale).length,
    findings,
  };
}
