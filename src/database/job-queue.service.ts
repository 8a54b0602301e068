import { Inject, Injectable, Optional } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type PgBoss from 'pg-boss';
import { DatabaseService } from './database.service.js';

/** A job that one process runs at every tick of its schedule, however many processes there are. */
export interface QueuedJob {
  readonly name: string;
  /** Five fields, in UTC. */
  readonly cron: string;
  /** Past this a run counts as dead, and the next tick may start another. */
  readonly expiresAfterS: number;
  /** Must not reject: whoever lists the job records how it ended. */
  readonly run: () => Promise<void>;
}

/** What the queue tells its owner; every call is cheap. */
export interface JobQueueObserver {
  /** Once per outage, not once per query. */
  trouble(message: string, error: unknown): void;
}

export interface JobQueueTiming {
  /** How often a process asks for work. */
  readonly pollEveryS: number;
  /** How often the schedules are looked at, by one process at a time. */
  readonly tickEveryS: number;
}

/** Injection token of other timing than the usual one; for tests. */
export const JOB_QUEUE_TIMING = Symbol('JOB_QUEUE_TIMING');

const USUAL_TIMING: JobQueueTiming = { pollEveryS: 10, tickEveryS: 30 };
const SCHEMA = 'pgboss';
/** Held while schema, queues and schedules are made: two at once deadlock in the library's DDL. */
const INSTALL_LOCK = 7_061_102;
const INSTALL_STATEMENT_TIMEOUT_MS = 60_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** To give jobs back and close connections, past the wait for jobs. */
const CLOSE_MAX_MS = 1_000;
const UNIQUE_VIOLATION = '23505';

type Boss = InstanceType<typeof PgBoss>;
type QueryResult = Awaited<ReturnType<PgBoss.Db['executeSql']>>;

/**
 * pg-boss on a connection of its own, in a schema of its own. It starts behind whatever else the
 * process does, tries again until it could, and never fails anybody: jobs run later, that is all.
 *
 * The library leaves some of its own queries unawaited; one that is rejected while the database is
 * away would end the process. So once it runs, a query that fails answers nothing, which is what the
 * library itself answers on a closed pool.
 */
@Injectable()
export class JobQueueService {
  private boss: Boss | null = null;
  private pool: pg.Pool | null = null;
  private starting: Promise<void> = Promise.resolve();
  private retry: NodeJS.Timeout | null = null;
  private installer: pg.Client | null = null;
  private isDown = false;
  private failedQueries = 0;
  private isStopping = false;
  private observer: JobQueueObserver = { trouble: () => undefined };
  private readonly queries = new Set<Promise<unknown>>();
  private readonly running = new Set<string>();
  private readonly workers = new Map<string, string>();

  constructor(
    private readonly database: DatabaseService,
    @Optional() @Inject(JOB_QUEUE_TIMING) private readonly timing: JobQueueTiming = USUAL_TIMING,
  ) {}

  /** Whether this process takes jobs. */
  get isStarted(): boolean {
    return this.boss !== null;
  }

  /** Returns at once; the queue is there some time later. */
  start(jobs: readonly QueuedJob[], observer: JobQueueObserver): void {
    this.observer = observer;
    this.attempt(jobs, 1);
  }

  /** Takes nothing new, and waits for the jobs under way, at most so long. */
  async stop(timeoutMs: number): Promise<void> {
    this.isStopping = true;
    if (this.retry !== null) clearTimeout(this.retry);
    // It may be waiting for its turn behind another process.
    await this.installer?.end().catch(() => undefined);
    const timer = new AbortController();
    const giveUp = delay(timeoutMs + CLOSE_MAX_MS, undefined, { signal: timer.signal });
    await Promise.race([this.close(timeoutMs), giveUp.catch(() => undefined)]);
    timer.abort();
  }

  private async close(timeoutMs: number): Promise<void> {
    await this.starting;
    await this.boss?.stop({ graceful: true, timeout: timeoutMs, wait: true });
    this.boss = null;
    // A job that was fetched in the last moment is given back by a query that comes after this one.
    while (this.queries.size > 0) {
      await Promise.allSettled([...this.queries]);
      await new Promise((wake) => setImmediate(wake));
    }
    await this.closePool();
  }

  /** Asks for a run now, in this process if it is free; one that waits already is enough. */
  async request(name: string): Promise<void> {
    await this.boss?.send(name, {});
    const worker = this.workers.get(name);
    if (worker !== undefined) this.boss?.notifyWorker(worker);
  }

  private attempt(jobs: readonly QueuedJob[], attempts: number): void {
    this.starting = this.install(jobs).catch(async (error: unknown) => {
      await this.closePool();
      if (this.isStopping) return;
      this.observer.trouble('the job queue could not start: it is tried again', error);
      const delayMs = Math.min(RETRY_FIRST_MS * 2 ** (attempts - 1), RETRY_MAX_MS);
      this.retry = setTimeout(() => {
        this.attempt(jobs, attempts + 1);
      }, delayMs);
      this.retry.unref();
    });
  }

  private async install(jobs: readonly QueuedJob[]): Promise<void> {
    // Loaded late: no start of the service waits for it.
    const { default: Library } = await import('pg-boss');
    const pool = this.openPool();
    this.pool = pool;
    const installing = new Library({
      db: { executeSql: (text, values) => pool.query(text, values) },
      schema: SCHEMA,
      schedule: false,
      supervise: false,
    });
    const boss = new Library({
      db: { executeSql: (text, values) => this.execute(pool, text, values) },
      schema: SCHEMA,
      cronMonitorIntervalSeconds: this.timing.tickEveryS,
      cronWorkerIntervalSeconds: Math.min(5, this.timing.tickEveryS),
    });
    for (const one of [installing, boss]) {
      // A failed query was told by `execute`; what follows from it is no news.
      one.on('error', (error) => {
        if (!this.isDown && !this.isStopping) this.observer.trouble('the job queue failed', error);
      });
    }
    await this.alone(async () => {
      await installing.start();
      for (const job of jobs) await publish(installing, job);
      const failedBefore = this.failedQueries;
      await boss.start();
      // The library takes no notice of some: it would run without ever looking at a schedule.
      if (this.failedQueries !== failedBefore) {
        await boss.stop({ graceful: false });
        throw new Error('a query failed while the job queue started');
      }
    });
    for (const job of jobs) await this.takeRunsOf(boss, job);
    this.boss = boss;
  }

  private async takeRunsOf(boss: Boss, job: QueuedJob): Promise<void> {
    const options = { pollingIntervalSeconds: this.timing.pollEveryS };
    const worker = await boss.work(job.name, options, async () => {
      // Rejected means given back: what is stopping, or still at the run before, starts no other.
      if (this.isStopping) throw new Error('the process is stopping');
      if (this.running.has(job.name)) throw new Error('the run before has not ended');
      this.running.add(job.name);
      try {
        await job.run();
      } finally {
        this.running.delete(job.name);
      }
    });
    this.workers.set(job.name, worker);
  }

  /** Runs `work` while no other process installs; the lock ends with its connection. */
  private async alone(work: () => Promise<void>): Promise<void> {
    const client = new pg.Client({
      connectionString: this.database.url,
      connectionTimeoutMillis: 3000,
      application_name: 'tollgate-jobs-install',
      options: `-c statement_timeout=${INSTALL_STATEMENT_TIMEOUT_MS}`,
    });
    // A connection that breaks while nothing runs on it has nobody else to tell.
    client.on('error', () => undefined);
    this.installer = client;
    try {
      await client.connect();
      await client.query('SELECT pg_advisory_lock($1)', [INSTALL_LOCK]);
      await work();
    } finally {
      this.installer = null;
      await client.end().catch(() => undefined);
    }
  }

  private async closePool(): Promise<void> {
    const { pool } = this;
    this.pool = null;
    await pool?.end().catch(() => undefined);
  }

  private openPool(): pg.Pool {
    const pool = new pg.Pool({
      connectionString: this.database.url,
      max: 1,
      connectionTimeoutMillis: 3000,
      keepAlive: true,
      application_name: 'tollgate-jobs',
      options: `-c TimeZone=UTC -c statement_timeout=${INSTALL_STATEMENT_TIMEOUT_MS}`,
    });
    // An idle connection that breaks is noticed by the next query.
    pool.on('error', () => undefined);
    return pool;
  }

  private async execute(pool: pg.Pool, text: string, values?: unknown[]): Promise<QueryResult> {
    const query = pool.query(text, values);
    this.queries.add(query);
    try {
      const result = await query;
      this.isDown = false;
      return result;
    } catch (error) {
      // Of a job that runs and waits at once the second is refused by an index: as it should be.
      const isRefused = (error as { code?: string }).code === UNIQUE_VIOLATION;
      if (!isRefused) this.failedQueries += 1;
      if (!isRefused && !this.isDown && !this.isStopping) {
        this.isDown = true;
        this.observer.trouble('the job queue has lost its database', error);
      }
      return undefined as unknown as QueryResult;
    } finally {
      this.queries.delete(query);
    }
  }
}

/** At most one run under way and one that waits, of all processes together. */
async function publish(boss: Boss, { name, cron, expiresAfterS }: QueuedJob): Promise<void> {
  const options = {
    name,
    policy: 'stately',
    retryLimit: 0,
    expireInSeconds: expiresAfterS,
  } as const;
  await boss.createQueue(name, options);
  await boss.updateQueue(name, options);
  await boss.schedule(name, cron, {}, { tz: 'UTC' });
}
