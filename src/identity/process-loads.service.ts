import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { uuidv7 } from 'uuidv7';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { loadOf, smoothed, type ProcessLoad } from '../domain/allowance.js';
import { LOGGER } from '../http/http.module.js';
import { ProcessLoadsRepository } from './process-loads.repository.js';

const BEAT_MS = 2000;
const STALE_MS = 3 * BEAT_MS;

/**
 * How full the processes on this database are together: what each has in flight of its
 * `IN_FLIGHT_MAX`, exchanged every two seconds. Asking costs nothing; the figure lags by seconds.
 */
@Injectable()
export class ProcessLoadsService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly processId = uuidv7();
  private inFlight: () => number = () => 0;
  private others: readonly ProcessLoad[] = [];
  private believed = 0;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly repository: ProcessLoadsRepository,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** In [0, 1]. */
  get load(): number {
    return this.believed;
  }

  /** Who counts the requests in flight here. */
  watch(inFlight: () => number): void {
    this.inFlight = inFlight;
  }

  async onApplicationBootstrap(): Promise<void> {
    this.timer = setInterval(() => void this.beat(), BEAT_MS).unref();
    await this.beat();
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    try {
      await this.repository.leave(this.processId);
    } catch (error) {
      this.logger.warn({ err: error }, 'the load of this process is left to go stale');
    }
  }

  /** Exchanges figures. While the database is away the others are taken to be as they were. */
  async beat(): Promise<void> {
    const own = { inFlight: this.inFlight(), capacity: Math.max(1, this.config.inFlightMax) };
    try {
      this.others = await this.repository.exchange(this.processId, own, STALE_MS);
    } catch (error) {
      this.logger.warn({ err: error }, 'the load of the other processes could not be read');
    }
    this.believed = smoothed(this.believed, loadOf([own, ...this.others]));
  }
}
