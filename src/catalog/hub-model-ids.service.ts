import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../config/clock.js';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { LOGGER } from '../http/http.module.js';
import { Hub } from './hub.js';
import { HubLookups } from './hub-lookups.js';
import { HubModelIdsRepository } from './hub-model-ids.repository.js';
import { changedNames } from './hub-names.js';

const STOP_WAIT_MAX_MS = 5_000;

/**
 * Learns what providers call the models of the router, which its list does not say: clients look it
 * up at the Hub and ask a provider's own route for it.
 */
@Injectable()
export class HubModelIdsService implements OnModuleDestroy {
  private readonly lookups: HubLookups;
  private readonly stopping = new AbortController();
  private running: Promise<void> | null = null;

  constructor(
    private readonly repository: HubModelIdsRepository,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
    hub: Hub,
    clock: Clock,
  ) {
    this.lookups = new HubLookups(hub, clock);
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    // Without its store a round may never end.
    const giveUp = new Promise((wake) => setTimeout(wake, STOP_WAIT_MAX_MS).unref());
    await Promise.race([this.running, giveUp]);
  }

  /** In the background: prices wait for no Hub. One round at a time; a failure changes nothing. */
  learnSoon(models: readonly string[]): void {
    const isIdle = this.running === null && !this.stopping.signal.aborted;
    if (this.config.hubUrl === null || !isIdle) return;
    this.running = this.learn(models)
      .catch((error: unknown) => {
        if (this.stopping.signal.aborted) return;
        this.logger.warn({ err: error }, 'what providers call models could not be stored');
      })
      .finally(() => {
        this.running = null;
      });
  }

  private async learn(models: readonly string[]): Promise<void> {
    const { said, ...counts } = await this.lookups.round(models, this.stopping.signal);
    if (this.stopping.signal.aborted) return;
    if (counts.failed > 0) {
      this.logger.warn(counts, 'the Hub did not say what providers call some models');
    }
    if (said.size === 0) return;
    const renamed = await this.repository.rename((routes) => changedNames(routes, said));
    if (renamed > 0) this.logger.info({ ...counts, renamed }, 'what providers call models changed');
  }
}
