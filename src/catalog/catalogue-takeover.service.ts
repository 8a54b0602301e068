import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../config/clock.js';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { DEFAULT_UPSTREAM, OPENAI_COMPATIBLE } from './catalog.js';
import type { CatalogueFinding, CatalogueReading, ListedModel } from './catalogue-entry.js';
import { CatalogueClient, type CatalogueSource } from './catalogue.client.js';
import { HubModelIdsService } from './hub-model-ids.service.js';
import { asCalledElsewhere } from './model-names.js';
import { readProviderCatalogue } from './plain-catalogue.js';
import { PriceBookRepository } from './price-book.repository.js';
import { planSync, REPLACEMENT_LEAD_MS, type SyncPlan } from './price-plan.js';
import { cataloguePathOf } from './provider-routes.js';
import { ProvidersRepository } from './providers.repository.js';
import { readRouterCatalogue } from './router-catalogue.js';
import { UpstreamDirectoryService } from './upstream-directory.service.js';

/** What taking over the catalogue of one upstream did. */
export type Takeover =
  | {
      readonly kind: 'taken';
      readonly models: readonly ListedModel[];
      readonly plan: SyncPlan;
      readonly findings: readonly CatalogueFinding[];
    }
  /** It has none: its models are those that somebody gave a price. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly problem: string };

/** A document that was fetched and read; what it says is not in the store yet. */
export type ReadCatalogue =
  | (CatalogueReading & { readonly kind: 'catalogue' })
  | (Takeover & { readonly kind: 'absent' | 'failed' });

const COMMIT_ATTEMPTS = 3;
/** Each attempt that took too long is followed by one with this much more time. */
const LEAD_FACTOR = 4;
const FINDINGS_LOGGED_MAX = 20;

/** Takes the catalogue of one upstream over into the price book. */
@Injectable()
export class CatalogueTakeoverService {
  constructor(
    private readonly client: CatalogueClient,
    private readonly directory: UpstreamDirectoryService,
    private readonly book: PriceBookRepository,
    private readonly providers: ProvidersRepository,
    private readonly hub: HubModelIdsService,
    private readonly clock: Clock,
    private readonly metrics: MetricsService,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Upstreams that may have a catalogue, the default one first. */
  upstreams(): readonly string[] {
    return [DEFAULT_UPSTREAM, ...this.directory.names()];
  }

  /** Never rejects: whatever a document does to its reader, it is that upstream's failure. */
  async read(upstream: string): Promise<ReadCatalogue> {
    try {
      return await this.fetchAndRead(upstream);
    } catch (error) {
      this.logger.error({ err: error, upstream }, 'a catalogue could not be read');
      return { kind: 'failed', problem: 'the catalogue could not be read' };
    }
  }

  /** @throws whatever the database throws. */
  async store(upstream: string, reading: ReadCatalogue): Promise<Takeover> {
    if (reading.kind !== 'catalogue') return reading;
    const { findings } = reading;
    let leadMs = REPLACEMENT_LEAD_MS;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { models, plan } = await this.storeOnce(upstream, reading.models, leadMs);
        this.announce(upstream, plan, findings);
        if (upstream === DEFAULT_UPSTREAM) this.hub.learnSoon(models.map(({ id }) => id));
        return { kind: 'taken', models, plan, findings };
      } catch (error) {
        const isLate = error instanceof LateCommit;
        if (attempt === COMMIT_ATTEMPTS || !(isLate || isTransient(error))) throw error;
        if (isLate) leadMs *= LEAD_FACTOR;
      }
    }
  }

  private async fetchAndRead(upstream: string): Promise<ReadCatalogue> {
    const source = this.sourceOf(upstream);
    if (source.kind !== 'source') return source;
    const fetched = await this.client.fetch(source);
    if (fetched.kind !== 'fetched') return fetched;
    const reading =
      upstream === DEFAULT_UPSTREAM
        ? readRouterCatalogue(fetched.text, OPENAI_COMPATIBLE)
        : readProviderCatalogue(fetched.text, upstream);
    if (reading.kind === 'unreadable') {
      return { kind: 'failed', problem: `the catalogue is unreadable: ${reading.problem}` };
    }
    if (reading.models.length === 0) {
      return { kind: 'failed', problem: 'the catalogue lists no model that could be read' };
    }
    return reading;
  }

  private sourceOf(
    upstream: string,
  ): (CatalogueSource & { readonly kind: 'source' }) | (Takeover & { kind: 'absent' | 'failed' }) {
    if (upstream === DEFAULT_UPSTREAM) {
      const { baseUrl, apiKey } = this.config.upstream;
      return {
        kind: 'source',
        url: `${baseUrl}/v1/models`,
        authorization: apiKey === null ? null : `Bearer ${apiKey}`,
        isGuarded: false,
      };
    }
    const found = this.directory.find(upstream, null);
    if (found.kind === 'none') {
      return found.reason === 'unreadable_key'
        ? { kind: 'failed', problem: 'its stored key cannot be opened' }
        : { kind: 'absent' };
    }
    const { kind, baseUrl, authScheme, apiKey } = found.address;
    const path = cataloguePathOf(kind, upstream);
    if (path === null) return { kind: 'absent' };
    return {
      kind: 'source',
      url: baseUrl + path,
      authorization: apiKey === null ? null : `${authScheme} ${apiKey}`,
      isGuarded: true,
    };
  }

  private async storeOnce(
    upstream: string,
    listed: readonly ListedModel[],
    leadMs: number,
  ): Promise<{ models: readonly ListedModel[]; plan: SyncPlan }> {
    const isRouter = upstream === DEFAULT_UPSTREAM;
    const settings = isRouter ? null : await this.providers.find(upstream);
    const decided = Object.entries(settings?.modelIds ?? {}).map(([id, own]) => [own, id] as const);
    return this.book.write(async (book) => {
      const models = isRouter
        ? listed
        : asCalledElsewhere(listed, await book.listedModels(DEFAULT_UPSTREAM), new Map(decided));
      const now = this.clock.now();
      const state = await book.state(upstream, now);
      const plan = planSync(models, state, {
        upstream,
        source: isRouter ? 'router_catalogue' : 'provider_catalogue',
        now,
        leadMs,
      });
      const flags = { listed: plan.listedFlags, unlisted: plan.unlistedFlags };
      await book.storeListing(upstream, models, flags, now);
      await book.close(plan.closings);
      await book.insert(plan.prices, now);
      await book.decide(plan.supersededIds, 'superseded', now);
      await book.addPending(plan.pendings, now);
      const tookMs = this.clock.now().getTime() - now.getTime();
      // The other half of the lead is for the replicas to read the rows in.
      if (plan.closings.length > 0 && tookMs > leadMs / 2) throw new LateCommit();
      return { models, plan };
    });
  }

  private announce(upstream: string, plan: SyncPlan, findings: readonly CatalogueFinding[]): void {
    for (const { provider, model, unit, reason } of plan.pendings) {
      const kind = reason === 'differs_from_manual' ? 'price_differs_from_manual' : 'price_pending';
      this.metrics.alarms.inc({ kind });
      this.logger.warn(
        { upstream, provider, model, unit, reason },
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
        { upstream, count: findings.length, findings: findings.slice(0, FINDINGS_LOGGED_MAX) },
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
