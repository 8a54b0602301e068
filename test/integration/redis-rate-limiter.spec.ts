import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MetricsService } from '../../src/http/metrics.service.js';
import { memoryRateLimiter } from '../../src/proxy/counting-rate-limiter.js';
import type { RateLimit } from '../../src/proxy/rate-limits.js';
import { RedisRateLimiter } from '../../src/proxy/redis-rate-limiter.js';
import { startRedisServer, type RedisServer } from '../support/redis-server.js';

const NOON = Date.parse('2026-03-14T12:00:18Z');
const WAIT_MAX_MS = 10_000;

let redis: RedisServer;
let open: Process[];

/** What one process has: its own connection, memory, metrics and log. */
interface Process {
  readonly limiter: RedisRateLimiter;
  readonly log: string[];
  passes(limits: readonly RateLimit[]): Promise<boolean>;
  /** Requests that were counted in memory. */
  unshared(): Promise<number>;
}

const perMinute = (max: number, id: string): RateLimit => ({
  scope: 'account',
  id,
  window: 'minute',
  max,
});

async function startProcess(processes = 1): Promise<Process> {
  const log: string[] = [];
  const metrics = new MetricsService();
  const logger = pino({}, { write: (line: string) => log.push(line) });
  const limiter = new RedisRateLimiter(
    redis.url,
    memoryRateLimiter(() => processes),
    metrics,
    logger,
  );
  const made: Process = {
    limiter,
    log,
    passes: async (limits) => (await limiter.take(limits, NOON)).refusedBy === null,
    unshared: async () => (await metrics.rateLimitsUnshared.get()).values[0]?.value ?? 0,
  };
  open.push(made);
  await limiter.onApplicationBootstrap();
  return made;
}

/** Until its requests are counted in Redis. */
async function connected(process: Process): Promise<void> {
  const deadline = performance.now() + WAIT_MAX_MS;
  for (;;) {
    const before = await process.unshared();
    await process.limiter.peek([perMinute(1, 'asked while it connects')], NOON);
    if ((await process.unshared()) === before) return;
    if (performance.now() > deadline) throw new Error('not connected in time');
    await new Promise((wake) => setTimeout(wake, 10));
  }
}

beforeEach(async () => {
  redis = await startRedisServer();
  open = [];
});

afterEach(async () => {
  for (const { limiter } of open) limiter.onApplicationShutdown();
  await redis.stop();
});

describe('limits counted in Redis', () => {
  it('hold for all processes together, in their whole', async () => {
    const [a, b] = [await startProcess(2), await startProcess(2)];
    const results = await Promise.all(
      Array.from({ length: 30 }, async (_, i) =>
        (i % 2 === 0 ? a : b).passes([perMinute(7, 'shared')]),
      ),
    );
    expect(results.filter(Boolean)).toHaveLength(7);
    expect([a.log, b.log]).toEqual([[], []]);
    expect(await a.limiter.peek([perMinute(9, 'shared')], NOON)).toMatchObject([{ remaining: 2 }]);
  });

  it('take all or nothing', async () => {
    const one = await startProcess();
    const limits = [perMinute(5, 'wide'), { ...perMinute(1, 'narrow'), window: 'day' as const }];
    expect(await one.passes(limits)).toBe(true);
    for (let i = 0; i < 4; i += 1) expect(await one.passes(limits)).toBe(false);
    expect(await one.limiter.peek(limits, NOON)).toMatchObject([
      { remaining: 4 },
      { remaining: 0 },
    ]);
  });
});

describe('while Redis is away', () => {
  it("requests pass by this process's share, counted, and said once", async () => {
    const one = await startProcess(2);
    await redis.stop();
    const results: boolean[] = [];
    for (let i = 0; i < 9; i += 1) results.push(await one.passes([perMinute(6, 'away')]));
    expect(results.filter(Boolean)).toHaveLength(3);
    expect(await one.unshared()).toBe(9);
    expect(one.log.filter((line) => line.includes('Redis is away'))).toHaveLength(1);
  });

  it('a process starts, and counts in Redis once it is there', async () => {
    await redis.stop();
    const one = await startProcess();
    expect(await one.passes([perMinute(1, 'early')])).toBe(true);
    expect(await one.passes([perMinute(1, 'early')])).toBe(false);
    expect(one.log.filter((line) => line.includes('Redis is away'))).toHaveLength(1);
    await redis.start();
    await connected(one);
    expect(await one.passes([perMinute(1, 'early')])).toBe(true);
    expect(one.log.some((line) => line.includes('Redis is back'))).toBe(true);
  });

  it('nobody waits for one that hangs but the first, and it is asked again later', async () => {
    const one = await startProcess();
    redis.hang(true);
    const asked = redis.commands.length;
    for (let i = 0; i < 20; i += 1) expect(await one.passes([perMinute(100, 'hung')])).toBe(true);
    expect(redis.commands.length - asked).toBeLessThan(3);
    redis.hang(false);
    await connected(one);
    const before = redis.commands.length;
    await one.passes([perMinute(100, 'hung')]);
    expect(redis.commands.length).toBeGreaterThan(before);
  });
});
