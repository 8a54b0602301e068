import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { NotificationsService } from '../database/notifications.service.js';
import type { PriceRow, RowsByUnit } from '../domain/pricing.js';
import type { ProviderBehaviour } from '../domain/routing-offers.js';
import type { Resolution, RouteAsk } from '../domain/routing-ask.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { CatalogSnapshot, type ServedModel, type SnapshotOptions } from './catalog-snapshot.js';
import { Catalog, type PriceKey } from './catalog.js';
import { CatalogRepository } from './catalog.repository.js';
import { Health } from './health.js';
import { Clock } from '../config/clock.js';

/** Many notices come at once; a replacing price starts 2 s after its commit, so there is time. */
const DEBOUNCE_MS = 50;
const RETRY_MS = 500;
/** Nothing stays open for as long as this: no admission can be older than a price kept in memory. */
const ENDED_KEPT_MS = 35 * 24 * 3600 * 1000;

/**
 * The catalogue and the price book in memory. Read at boot, after every notice of a change, after a
 * time without notices, and once every sync interval; each reading takes the place of the one before
 * in one assignment.
 */
@Injectable()
export class CatalogService extends Catalog implements OnModuleInit, OnModuleDestroy {
  private snapshot: CatalogSnapshot;
  private readonly options: SnapshotOptions;
  private readonly neverAsked = new Set<string>();
  private reading: Promise<void> | null = null;
  private isChangedSince = false;
  private debounce: NodeJS.Timeout | null = null;
  private interval: NodeJS.Timeout | null = null;
  private isStopped = false;

  constructor(
    private readonly repository: CatalogRepository,
    private readonly notifications: NotificationsService,
    private readonly clock: Clock,
    private readonly metrics: MetricsService,
    health: Health,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    super();
    this.options = {
      unpricedModels: config.unpricedModels,
      admitWaitMaxMs: config.admitWaitMaxMs,
      cheapestBy: config.cheapestBy,
      neverAsked: this.neverAsked,
      health,
    };
    this.snapshot = CatalogSnapshot.empty(this.options);
  }

  /** @throws whatever the database throws: a process without its prices must not start. */
  async onModuleInit(): Promise<void> {
    await this.refresh();
    const later = (): void => {
      this.refreshSoon(DEBOUNCE_MS);
    };
    this.notifications.listen('tollgate_catalog', { onNotice: later, onGap: later });
    this.interval = setInterval(later, this.config.priceSyncIntervalMs);
    this.interval.unref();
  }

  async onModuleDestroy(): Promise<void> {
    this.isStopped = true;
    if (this.debounce !== null) clearTimeout(this.debounce);
    if (this.interval !== null) clearInterval(this.interval);
    await this.reading?.catch(() => undefined);
  }

  /** False until a catalogue was ever read from the upstream, by whichever process. */
  get isReady(): boolean {
    return this.snapshot.hasModels;
  }

  override resolve(ask: RouteAsk): Resolution {
    return this.snapshot.resolve(ask);
  }

  override priceRows(upstream: string, provider: string): readonly PriceRow[] {
    return this.snapshot.priceRows(upstream, provider);
  }

  override pricesInForce(upstream: string, provider: string, key: PriceKey): RowsByUnit {
    return this.snapshot.pricesInForce(upstream, provider, key);
  }

  override idOf(provider: string, ownId: string): string {
    return this.snapshot.idOf(provider, ownId);
  }

  override behaviourAt(upstream: string, provider: string): ProviderBehaviour | null {
    return this.snapshot.behaviourAt(upstream, provider);
  }

  /**
   * Without a provider (the router did not say whom it had asked) nothing is remembered: to stop
   * asking all of them would cost the exact usage of every stream.
   */
  override rememberNoStreamUsage(upstream: string, provider: string | null): void {
    if (provider === null || this.neverAsked.has(provider)) return;
    this.neverAsked.add(provider);
    this.snapshot.forgetResolutions();
    this.logger.warn(
      { upstream, provider },
      'the provider refuses stream_options: not asked again',
    );
    this.repository.storeNoStreamUsage(provider).catch((error: unknown) => {
      // This process remembers; another will find out for itself.
      this.logger.warn({ err: error, provider }, 'what the provider refuses could not be stored');
    });
  }

  /** The listed models as they are served at an instant; each is made when it is asked for. */
  served(at: Date): Iterable<ServedModel> {
    return this.snapshot.served(at);
  }

  /** One of them; null: there is none of this id. */
  servedModel(at: Date, id: string): ServedModel | null {
    return this.snapshot.servedModel(at, id);
  }

  /** The same object for as long as `served` says the same. */
  stateAt(at: Date): object {
    return this.snapshot.stateAt(at);
  }

  idWithoutSlash(text: string): string | null {
    return this.snapshot.idWithoutSlash(text);
  }

  closestTo(id: string): readonly string[] {
    return this.snapshot.closestTo(id);
  }

  /** Reads the store again. Resolves when what was committed before the call is in memory. */
  async refresh(): Promise<void> {
    if (this.reading !== null) {
      this.isChangedSince = true;
      await this.reading;
      return;
    }
    this.reading = this.readUntilUnchanged();
    await this.reading;
  }

  private async readUntilUnchanged(): Promise<void> {
    try {
      do {
        this.isChangedSince = false;
        const endedAfter = new Date(this.clock.now().getTime() - ENDED_KEPT_MS);
        const stored = await this.repository.readAll(endedAfter);
        this.snapshot = await CatalogSnapshot.build(stored, this.options);
        // Set by a call that came while this was being read.
      } while (this.hasChangedSince());
    } finally {
      // In the same turn as the last look: no call can slip in between.
      this.reading = null;
    }
  }

  private hasChangedSince(): boolean {
    return this.isChangedSince && !this.isStopped;
  }

  private refreshSoon(delayMs: number): void {
    if (this.isStopped || this.debounce !== null) return;
    this.debounce = setTimeout(() => {
      this.debounce = null;
      this.refresh().catch((error: unknown) => {
        this.metrics.alarms.inc({ kind: 'catalog_read' });
        this.logger.error(
          { err: error },
          'the price book could not be read: the one in memory stays',
        );
        this.refreshSoon(RETRY_MS);
      });
    }, delayMs);
    this.debounce.unref();
  }
}
