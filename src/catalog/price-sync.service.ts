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
import { refusal, TollgateError } from '../domain/errors.js';
import type { Actor } from '../http/actor.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { PRICE_SYNC_JOB } from '../jobs/job-names.js';
import { JobRunsService } from '../jobs/job-runs.service.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import { CatalogService } from './catalog.service.js';
import type { CatalogueFinding } from './catalogue-entry.js';
import {
  CatalogueTakeoverService,
  type ReadCatalogue,
  type Takeover,
} from './catalogue-takeover.service.js';
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
  readonly findings: readonly (CatalogueFinding & { readonly upstream: string })[];
  /** Upstreams whose catalogue was not taken over: what the store knows of them stays in force. */
  readonly failures: readonly SyncFailure[];
}

export interface SyncFailure {
  readonly upstream: string;
  readonly problem: string;
}

type TakenOver = Takeover & { readonly kind: 'taken'; readonly upstream: string };

export type SyncResult =
  | { readonly kind: 'synced'; readonly report: SyncReport }
  /** Another process is at it. */
  | { readonly kind: 'busy' }
  /** Nothing of the default upstream was taken over; of the others what did not fail. */
  | {
      readonly kind: 'failed';
      readonly problem: string;
      readonly failures: readonly SyncFailure[];
    };

/** Whoever holds this fetches and writes; the others wait for its notice. */
const SYNC_LOCK_ID = '7011ca7e-0000-7000-8a7a-106c5eed0001';
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
const BUSY_RETRY_MS = 5_000;
/** Where only some of the other upstreams failed. */
const PART_RETRY_MS = 300_000;
const BUSY_POLL_MS = 100;
const BUSY_WAIT_MAX_MS = 45_000;
const STOP_WAIT_MAX_MS = 5_000;
const NO_CATALOGUE = 'the upstream has no catalogue';

/** Takes the catalogues of the upstreams over into the price book: at start and once every interval. */
@Injectable()
export class PriceSyncService implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<unknown> = Promise.resolve();
  private failures = 0;
  private isStopping = false;

  constructor(
    private readonly database: DatabaseService,
    private readonly takeovers: CatalogueTakeoverService,
    private readonly catalog: CatalogService,
    private readonly prices: PricesService,
    private readonly unpriced: UnpricedEventsService,
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
        const { findings, failures, ...counts } = result.report;
        await this.prices.noteSync(actor, { ...counts, findings: findings.length, failures });
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

  /** In the background, now. */
  syncSoon(): void {
    this.schedule(0);
  }

  private schedule(delayMs: number): void {
    if (this.isStopping) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.runAndSchedule(), delayMs);
    this.timer.unref();
  }

  private async runAndSchedule(): Promise<void> {
    const result = await this.sync();
    const { priceSyncIntervalMs } = this.config;
    if (result.kind === 'synced') {
      this.failures = 0;
      const isWhole = result.report.failures.length === 0;
      this.schedule(isWhole ? priceSyncIntervalMs : Math.min(PART_RETRY_MS, priceSyncIntervalMs));
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
        error: problemOf(result),
        isNoteworthy: false,
      });
    }
    return result;
  }

  private async syncUnderLock(): Promise<SyncResult> {
    if (this.isStopping) return failed('the service is stopping');
    let result: SyncResult = { kind: 'busy' };
    const lock = new SessionLock(this.database.url, randomUUID());
    try {
      await lock.hold();
      await lock.whileHolding(SYNC_LOCK_ID, async () => {
        result = await this.takeOver();
      });
      return this.told(result);
    } catch (error) {
      return this.told(failed('the catalogue could not be stored'), error);
    } finally {
      await lock.release();
    }
  }

  private told(result: SyncResult, error?: unknown): SyncResult {
    if (result.kind === 'busy' || this.isStopping) return result;
    const { failures } = result.kind === 'synced' ? result.report : result;
    for (const { upstream, problem } of failures) {
      this.metrics.alarms.inc({ kind: 'price_sync' });
      this.logger.error(
        { err: error, upstream, problem },
        'the catalogue was not taken over: the one in the store stays in force',
      );
    }
    return result;
  }

  /** One upstream that fails stops no other; the default one decides whether there was a sync. */
  private async takeOver(): Promise<SyncResult> {
    const upstreams = this.takeovers.upstreams();
    // All at once, and stored in their order: a slow one does not keep the default one waiting.
    const readings = upstreams.map((name) => this.takeovers.read(name));
    const taken: TakenOver[] = [];
    const failures: SyncFailure[] = [];
    for (const [index, upstream] of upstreams.entries()) {
      const takeover = await this.store(upstream, await readings[index]);
      this.metrics.catalogueSyncs.inc({ upstream, result: takeover.kind });
      if (takeover.kind === 'taken') taken.push({ upstream, ...takeover });
      else if (takeover.kind === 'failed') failures.push({ upstream, problem: takeover.problem });
      else if (upstream === DEFAULT_UPSTREAM) failures.push({ upstream, problem: NO_CATALOGUE });
    }
    if (taken.length > 0) {
      await this.catalog.refresh();
      await this.rateWaitingEvents();
    }
    const own = failures.find(({ upstream }) => upstream === DEFAULT_UPSTREAM);
    return own === undefined
      ? { kind: 'synced', report: reportOf(taken, failures) }
      : { kind: 'failed', problem: own.problem, failures };
  }

  private async store(upstream: string, reading: ReadCatalogue | undefined): Promise<Takeover> {
    try {
      if (reading === undefined) throw new Error(`the catalogue of ${upstream} was not read`);
      return await this.takeovers.store(upstream, reading);
    } catch (error) {
      this.logger.error({ err: error, upstream }, 'a catalogue could not be stored');
      return { kind: 'failed', problem: 'the catalogue could not be stored' };
    }
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
}

function reportOf(taken: readonly TakenOver[], failures: readonly SyncFailure[]): SyncReport {
  const plans = taken.map(({ plan }) => plan);
  const flags = plans.flatMap(({ listedFlags, unlistedFlags }) => [
    ...listedFlags,
    ...unlistedFlags,
  ]);
  return {
    models: sum(taken.map(({ models }) => models.length)),
    routes: sum(plans.map(({ listedFlags }) => listedFlags.length)),
    pricesAdded: sum(plans.map(({ prices }) => prices.length)),
    pricesEnded: sum(plans.map(({ closings }) => closings.length)),
    pricesPending: sum(plans.map(({ pendings }) => pendings.length)),
    pricesStale: flags.filter(({ isPriceStale }) => isPriceStale).length,
    findings: taken.flatMap(({ upstream, findings }) =>
      findings.map((finding) => ({ upstream, ...finding })),
    ),
    failures,
  };
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

function failed(problem: string): SyncResult {
  return { kind: 'failed', problem, failures: [{ upstream: DEFAULT_UPSTREAM, problem }] };
}

/** What went wrong in a run, for the list of jobs; null: nothing. */
function problemOf(result: SyncResult): string | null {
  if (result.kind === 'busy') return null;
  const { failures } = result.kind === 'synced' ? result.report : result;
  if (failures.length === 0) return null;
  return failures.map(({ upstream, problem }) => `${upstream}: ${problem}`).join('; ');
}
