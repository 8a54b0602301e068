import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { uuidv7 } from 'uuidv7';
import { Clock } from '../config/clock.js';
import { DatabaseService } from '../database/database.service.js';
import { SessionLock } from '../database/session-lock.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { HOLD_SWEEP_JOB } from '../jobs/job-names.js';
import { JobRunsService } from '../jobs/job-runs.service.js';
import { BATCH_MAX, RELEASED_UNSENT } from './group-commit.js';
import { Journal } from './journal.js';
import { OWNER_ID } from './owner.js';
import { OwnersRepository } from './owners.repository.js';

const HEARTBEAT_MS = 1000;
/** A heartbeat older than this, with the owner's lock free, is a dead process. */
export const STALE_MS = 5000;
/** How long a stopping process waits for its last commits. */
const IDLE_MAX_MS = 10_000;
const PRUNE_EVERY_BEATS = 60;

/**
 * Keeps this process known as the owner of its holds, and releases the holds of owners that died:
 * their lock is free and their heartbeat is old.
 */
@Injectable()
export class SweeperService implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly lock: SessionLock;
  private timer: NodeJS.Timeout | null = null;
  private isStopping = false;
  private beats = 0;
  private running: Promise<void> = Promise.resolve();

  constructor(
    database: DatabaseService,
    private readonly owners: OwnersRepository,
    private readonly journal: Journal,
    private readonly metrics: MetricsService,
    private readonly runs: JobRunsService,
    private readonly clock: Clock,
    @Inject(OWNER_ID) private readonly ownerId: string,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.lock = new SessionLock(database.url, ownerId);
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.lock.hold();
    await this.beat();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await this.running;
    // What is not written by then is released by whoever finds this owner dead.
    await Promise.race([
      this.journal.idle(),
      new Promise((wake) => setTimeout(wake, IDLE_MAX_MS).unref()),
    ]);
    await this.owners.forget(this.ownerId).catch(() => undefined);
    await this.lock.release();
  }

  private async beat(): Promise<void> {
    const startedAt = this.clock.now();
    const startedAtMs = performance.now();
    let released = 0;
    let failure: unknown = null;
    try {
      await this.owners.heartbeat(this.ownerId, `pid ${process.pid}`);
      this.metrics.storeUp.set(1);
      for (const ownerId of await this.owners.staleOwners(STALE_MS)) {
        released += await this.sweep(ownerId);
      }
      this.beats += 1;
      if (this.beats % PRUNE_EVERY_BEATS === 0) await this.owners.prune();
    } catch (error) {
      failure = error;
      this.metrics.storeUp.set(0);
      this.logger.warn({ err: error }, 'the heartbeat of the journal could not be written');
    }
    this.runs.ended(HOLD_SWEEP_JOB, {
      startedAt,
      durationMs: performance.now() - startedAtMs,
      error: failure,
      isNoteworthy: released > 0,
    });
    if (this.isStopping) return;
    this.timer = setTimeout(() => {
      this.running = this.beat();
    }, HEARTBEAT_MS);
    this.timer.unref();
  }

  /** Releases everything a dead owner left open; answers with how many. */
  private async sweep(ownerId: string): Promise<number> {
    let released = 0;
    if (ownerId === this.ownerId) return released;
    // Under an id that no process has: what is taken over and not ended is swept once more.
    const heirId = uuidv7();
    await this.lock.whileHolding(ownerId, async () => {
      await this.lock.whileHolding(heirId, async () => {
        for (;;) {
          const events = await this.owners.takeOver(ownerId, heirId, BATCH_MAX);
          if (events.length === 0) break;
          await Promise.all(
            events.map((event) => this.journal.settle(event, RELEASED_UNSENT).receipt),
          );
          released += events.length;
        }
      });
      await this.owners.forget(ownerId);
      if (released > 0)
        this.logger.warn({ ownerId, released }, 'released the holds of a process that died');
    });
    return released;
  }
}
