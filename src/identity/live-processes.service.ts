import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { LOGGER } from '../http/http.module.js';
import { LiveProcessesRepository } from './live-processes.repository.js';

const REFRESH_EVERY_MS = 2000;
/** Processes write their heartbeat every second; one that is this late has died. */
const STALE_MS = 5000;

/** How many processes share what each of them can only enforce by itself. */
@Injectable()
export class LiveProcessesService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private live = 1;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly repository: LiveProcessesRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** At least this one. */
  get count(): number {
    return this.live;
  }

  async onApplicationBootstrap(): Promise<void> {
    this.timer = setInterval(() => void this.refresh(), REFRESH_EVERY_MS).unref();
    await this.refresh();
  }

  beforeApplicationShutdown(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  /** While the database is away, the number that was known stays. */
  private async refresh(): Promise<void> {
    try {
      this.live = Math.max(1, await this.repository.count(STALE_MS));
    } catch (error) {
      this.logger.warn({ err: error }, 'the live processes could not be counted');
    }
  }
}
