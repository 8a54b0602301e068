import { Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import type { Logger } from 'pino';
import { ConfigModule, CONFIG } from '../config/config.module.js';
import type { Config } from '../config/config.js';
import { ApiErrorFilter } from './api-error.filter.js';
import { createLogger } from './logger.js';
import { MetricsService } from './metrics.service.js';
import { RequestIds } from './request-ids.js';
import { ApiValidationPipe } from './validation.pipe.js';

/** Injection token of the process's logger (pino). */
export const LOGGER = Symbol('LOGGER');

@Module({
  imports: [ConfigModule],
  providers: [
    MetricsService,
    RequestIds,
    {
      provide: APP_FILTER,
      inject: [LOGGER],
      useFactory: (logger: Logger) => new ApiErrorFilter(logger),
    },
    { provide: APP_PIPE, useClass: ApiValidationPipe },
    {
      provide: LOGGER,
      inject: [CONFIG],
      useFactory: (config: Config) => createLogger(config.logLevel),
    },
  ],
  exports: [MetricsService, LOGGER],
})
export class HttpModule {}
