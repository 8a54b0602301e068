import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import type { MetricsService } from '../http/metrics.service.js';
import { CountingRateLimiter, STORE_OPTIONS } from './counting-rate-limiter.js';
import { RateLimiter, type RateVerdict } from './rate-limiter.js';
import type { RateLimit, RateState } from './rate-limits.js';

/** Redis answers within a millisecond; one that hangs must not hold requests up. */
const COMMAND_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 2000;
/** A connection that is silent for so long leads nowhere: it is given up for a new one. */
const SILENCE_MAX_MS = 2000;
const RECONNECT_MAX_MS = 2000;
/** After a failure Redis is left alone for so long: else every request would wait for its timeout. */
const LEFT_ALONE_MS = 1000;

/**
 * Counters in Redis, common to all processes. While it is away requests pass by the counters in
 * memory: losing a limiter must not lose the service. The library's `insuranceLimiter` does not say
 * when it steps in; here it is logged and counted, and holds to this process's share.
 */
export class RedisRateLimiter
  extends RateLimiter
  implements OnApplicationBootstrap, OnApplicationShutdown
{
  private readonly client: Redis;
  private readonly shared: RateLimiter;
  private askedAgainAtMs = 0;
  private isAway = false;

  constructor(
    url: string,
    private readonly insurance: RateLimiter,
    private readonly metrics: MetricsService,
    private readonly logger: Logger,
  ) {
    super();
    this.client = new Redis(url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_TIMEOUT_MS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: SILENCE_MAX_MS,
      retryStrategy: (times) => Math.min(times * 100, RECONNECT_MAX_MS),
    });
    this.client.on('error', (error) => {
      this.onFailure(error);
    });
    this.client.on('ready', () => {
      this.askedAgainAtMs = 0;
    });
    const store = new RateLimiterRedis({
      ...STORE_OPTIONS,
      storeClient: this.client,
      rejectIfRedisNotReady: true,
    });
    this.shared = new CountingRateLimiter(store, () => 1);
  }

  /** A service starts without its Redis as well; the client goes on trying by itself. */
  async onApplicationBootstrap(): Promise<void> {
    try {
      await this.client.connect();
    } catch (error) {
      this.onFailure(error);
    }
  }

  onApplicationShutdown(): void {
    this.client.disconnect();
  }

  override take(limits: readonly RateLimit[], nowMs: number): Promise<RateVerdict> {
    return this.insured((limiter) => limiter.take(limits, nowMs));
  }

  override peek(limits: readonly RateLimit[], nowMs: number): Promise<readonly RateState[]> {
    return this.insured((limiter) => limiter.peek(limits, nowMs));
  }

  private async insured<Result>(ask: (limiter: RateLimiter) => Promise<Result>): Promise<Result> {
    if (performance.now() >= this.askedAgainAtMs) {
      try {
        const result = await ask(this.shared);
        this.onAnswer();
        return result;
      } catch (error) {
        this.askedAgainAtMs = performance.now() + LEFT_ALONE_MS;
        this.onFailure(error);
      }
    }
    this.metrics.rateLimitsUnshared.inc();
    return ask(this.insurance);
  }

  private onAnswer(): void {
    if (!this.isAway) return;
    this.isAway = false;
    this.logger.info('Redis is back: requests are counted there again');
  }

  /** Said once for each time it goes away. */
  private onFailure(error: unknown): void {
    if (this.isAway) return;
    this.isAway = true;
    this.logger.error({ err: error }, 'Redis is away: each process counts its share of requests');
  }
}
