import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DatabaseService } from '../../src/database/database.service.js';
import {
  JobQueueService,
  type JobQueueObserver,
  type QueuedJob,
} from '../../src/database/job-queue.service.js';
import { eventually } from '../support/api-client.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

const QUICK = { pollEveryS: 0.5, tickEveryS: 1 };
/** As good as: cron knows no date that never comes. */
const NEVER = '0 0 29 2 *';

let database: TestDatabase;
const queues: JobQueueService[] = [];

beforeAll(async () => {
  database = await freshDatabase();
});
afterEach(async () => {
  await Promise.all(queues.splice(0).map((queue) => queue.stop(1000)));
});
afterAll(async () => {
  await database.drop();
});

/** A process of its own as far as the queue can tell. */
function openQueue(
  jobs: readonly QueuedJob[],
  {
    url = database.url,
    trouble = () => undefined,
  }: { url?: string } & Partial<JobQueueObserver> = {},
): JobQueueService {
  const queue = new JobQueueService({ url } as DatabaseService, QUICK);
  queues.push(queue);
  queue.start(jobs, { trouble });
  return queue;
}

function job(name: string, run: () => Promise<void>, cron = NEVER, expiresAfterS = 60): QueuedJob {
  return { name, cron, expiresAfterS, run };
}

async function allStarted(): Promise<void> {
  await eventually(() => queues.every(({ isStarted }) => isStarted));
}

describe('the job queue', () => {
  it('installs itself once, however many processes begin at the same time', async () => {
    const names = ['install-a', 'install-b', 'install-c', 'install-d'];
    const jobs = names.map((name) => job(name, () => Promise.resolve()));
    for (let round = 1; round <= 4; round += 1) {
      const troubles: unknown[] = [];
      const trouble = (_message: string, error: unknown): void => {
        troubles.push(error);
      };
      for (let process = 0; process < 6; process += 1) openQueue(jobs, { trouble });
      await allStarted();
      expect(troubles).toEqual([]);
      const schedules = await database.query<{ name: string; timezone: string }>(
        `SELECT name, timezone FROM pgboss.schedule WHERE name LIKE 'install-%' ORDER BY name`,
      );
      expect(schedules).toEqual(names.map((name) => ({ name, timezone: 'UTC' })));
      await Promise.all(queues.splice(0).map((queue) => queue.stop(1000)));
      await database.query('DROP SCHEMA pgboss CASCADE');
    }
  });

  it('runs a tick once over all processes', async () => {
    const runs: string[] = [];
    for (const process of ['one', 'two', 'three']) {
      openQueue([job('ticking', () => Promise.resolve(void runs.push(process)), '* * * * *')]);
    }
    await eventually(() => runs.length > 0, 20_000);
    // Time for a second one: whoever else asks for work has asked by the end of this job.
    let isLater = false;
    const other = openQueue([job('later', () => Promise.resolve(void (isLater = true)))]);
    await allStarted();
    await other.request('later');
    await eventually(() => isLater);
    const [ticks] = await database.query<{ minutes: number }>(
      `SELECT count(DISTINCT date_trunc('minute', created_on))::int AS minutes FROM pgboss.job WHERE name = 'ticking'`,
    );
    expect(runs).toHaveLength(ticks?.minutes ?? 0);
  }, 40_000);

  it('never runs a job beside itself, and keeps one more for afterwards', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    const ends: (() => void)[] = [];
    const run = async (): Promise<void> => {
      running += 1;
      runs += 1;
      most = Math.max(most, running);
      await new Promise<void>((end) => ends.push(end));
      running -= 1;
    };
    const one = openQueue([job('alone', run)]);
    const two = openQueue([job('alone', run)]);
    await allStarted();
    await one.request('alone');
    await eventually(() => running === 1);
    for (let again = 0; again < 5; again += 1) await two.request('alone');
    ends.shift()?.();
    await eventually(() => runs === 2 && running === 1);
    ends.shift()?.();
    await eventually(() => running === 0);
    const waiting = await database.query(
      `SELECT 1 FROM pgboss.job WHERE name = 'alone' AND state IN ('created', 'retry')`,
    );
    expect({ most, runs, waiting }).toEqual({ most: 1, runs: 2, waiting: [] });
  });

  it('stops only when the job under way has ended, and takes no other', async () => {
    let hasEnded = false;
    let runs = 0;
    let end: () => void = () => undefined;
    const queue = openQueue([
      job('slow', async () => {
        runs += 1;
        await new Promise<void>((resolve) => (end = resolve));
        await database.query('SELECT pg_sleep(0.3)');
        hasEnded = true;
      }),
    ]);
    await allStarted();
    await queue.request('slow');
    await eventually(() => runs === 1);
    const stopped = queue.stop(5000).then(() => hasEnded);
    await queue.request('slow');
    end();
    expect(await stopped).toBe(true);
    expect(runs).toBe(1);
  });

  it('stops in bounded time, and gives back a job that does not end', async () => {
    let runs = 0;
    const forever = (): Promise<void> => {
      runs += 1;
      return new Promise(() => undefined);
    };
    const queue = openQueue([job('endless', forever, NEVER, 3600)]);
    await allStarted();
    await queue.request('endless');
    await eventually(() => runs === 1);
    const began = performance.now();
    await queue.stop(1000);
    expect(performance.now() - began).toBeLessThan(4000);
    const next = openQueue([job('endless', () => Promise.resolve(void (runs += 1)))]);
    await eventually(() => next.isStarted);
    await next.request('endless');
    await eventually(() => runs === 2);
  });

  it('starts no second run in a process whose first has outlived its time', async () => {
    let runs = 0;
    let end: () => void = () => undefined;
    const overrunning = async (): Promise<void> => {
      runs += 1;
      await new Promise<void>((resolve) => (end = resolve));
    };
    const queue = openQueue([job('overrunning', overrunning, NEVER, 1)]);
    await allStarted();
    const failed = async (): Promise<number> => {
      const rows = await database.query(
        `SELECT 1 FROM pgboss.job WHERE name = 'overrunning' AND state = 'failed'`,
      );
      return rows.length;
    };
    await queue.request('overrunning');
    await eventually(async () => (await failed()) === 1);
    await queue.request('overrunning');
    await eventually(async () => (await failed()) === 2);
    expect(runs).toBe(1);
    end();
    await queue.request('overrunning');
    await eventually(() => runs === 2);
    end();
  });

  it('runs again what died with its process, when its time is over', async () => {
    let runs = 0;
    const queue = openQueue([job('orphan', () => Promise.resolve(void (runs += 1)), NEVER, 1)]);
    await allStarted();
    await database.query(
      `INSERT INTO pgboss.job (name, state, policy, started_on, expire_in, retry_limit)
       VALUES ('orphan', 'active', 'stately', now() - interval '1 hour', interval '1 second', 0)`,
    );
    await queue.request('orphan');
    // The maintenance that does this every two minutes.
    const boss = (queue as unknown as { boss: { maintain(): Promise<void> } }).boss;
    await boss.maintain();
    await eventually(() => runs === 1);
  });

  it('waits for a database that is not there yet, and lives through one that goes away', async () => {
    const { port, pathname, username, password } = new URL(database.url);
    const proxy = await startTcpProxy(Number(port));
    const url = `postgres://${username}:${password}@127.0.0.1:${proxy.port}${pathname}`;
    const troubles: string[] = [];
    let runs = 0;
    proxy.cutAt('pg_advisory_lock', 'before');
    const queue = openQueue([job('survivor', () => Promise.resolve(void (runs += 1)))], {
      url,
      trouble: (message) => troubles.push(message),
    });
    await allStarted();
    expect(troubles).toEqual(['the job queue could not start: it is tried again']);
    // The end of a run is what the library does not wait for.
    proxy.cutAt('completed_on', 'before');
    await queue.request('survivor');
    await eventually(() => runs === 1 && proxy.cuts === 2);
    await eventually(() => troubles.length === 2);
    expect(troubles[1]).toBe('the job queue has lost its database');
    // It still asks for work.
    await database.query(`DELETE FROM pgboss.job WHERE name = 'survivor'`);
    await queue.request('survivor');
    await eventually(() => runs === 2);
    await queue.stop(1000);
    await proxy.close();
  });
});
