import { Module } from '@nestjs/common';
import type { Logger } from 'pino';
import { CatalogModule } from '../catalog/catalog.module.js';
import type { Config } from '../config/config.js';
import { CONFIG, ConfigModule } from '../config/config.module.js';
import { HttpModule, LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { IdentityModule } from '../identity/identity.module.js';
import { LiveProcessesService } from '../identity/live-processes.service.js';
import { MeteringModule } from '../metering/metering.module.js';
import { memoryRateLimiter } from './counting-rate-limiter.js';
import { JobPollerService } from './passthrough/job-poller.service.js';
import { ProxyRoutes } from './proxy.routes.js';
import { ProxyService } from './proxy.service.js';
import { RateLimiter } from './rate-limiter.js';
import { RateLimitsService } from './rate-limits.service.js';
import { RedisRateLimiter } from './redis-rate-limiter.js';
import { ServerlessTier } from './serverless/serverless-tier.service.js';
import { WaitingRoom, waitingRoomFor } from './serverless/waiting-room.js';
import { Upstreams } from './upstreams.js';

@Module({
  imports: [ConfigModule, HttpModule, IdentityModule, CatalogModule, MeteringModule],
  providers: [
    ProxyService,
    ProxyRoutes,
    Upstreams,
    JobPollerService,
    RateLimitsService,
    ServerlessTier,
    {
      provide: WaitingRoom,
      inject: [CONFIG],
      useFactory: ({ upstream }: Config) => waitingRoomFor(upstream.headersTimeoutMs),
    },
    {
      provide: RateLimiter,
      inject: [CONFIG, LiveProcessesService, MetricsService, LOGGER],
      useFactory: createRateLimiter,
    },
  ],
  exports: [ProxyService, ProxyRoutes],
})
export class ProxyModule {}

function createRateLimiter(
  { redisUrl }: Config,
  processes: LiveProcessesService,
  metrics: MetricsService,
  logger: Logger,
): RateLimiter {
  const memory = memoryRateLimiter(() => processes.count);
  return redisUrl === null ? memory : new RedisRateLimiter(redisUrl, memory, metrics, logger);
}
