import { Module } from '@nestjs/common';
import { ConfigModule, CONFIG } from '../config/config.module.js';
import type { Config } from '../config/config.js';
import { createLogger } from './logger.js';
import { MetricsService } from './metrics.service.js';

/** Injection token of the process's logger (pino). */
export const LOGGER = Symbol('LOGGER');

@Module({
  imports: [ConfigModule],
  providers: [
    MetricsService,
    {
      provide: LOGGER,
      inject: [CONFIG],
      useFactory: (config: Config) => createLogger(config.logLevel),
    },
  ],
  exports: [MetricsService, LOGGER],
})
export class HttpModule {}
