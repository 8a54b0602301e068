import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import type { Config } from './config/config.js';
import { configFrom, withConfig } from './config/config.module.js';
import type { Environment } from './config/environment.js';
import { closeDatabaseOf } from './database/database.service.js';
import { corsHook } from './http/cors.js';
import { answerFrameworkError } from './http/framework-errors.js';
import { createLogger, NestLogger } from './http/logger.js';
import { answerUnreadable, guardTarget, HEADERS_MAX } from './http/request-target.js';
import { setupOpenApi } from './operation/openapi.js';
import { ProxyRoutes } from './proxy/proxy.routes.js';

/** Sockets outlive a balancer's idle time, so that it never reuses one that we just closed. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HEADERS_MAX_BYTES = 16 * 1024;

/**
 * Builds the whole service from an environment, ready to listen.
 *
 * @throws StartupError with a message for the operator.
 */
export async function createApp(environment: Environment): Promise<NestFastifyApplication> {
  return createAppFrom(configFrom(environment));
}

/** The same from a configuration that was read before. */
export async function createAppFrom(config: Config): Promise<NestFastifyApplication> {
  return withConfig(config, () => build(config));
}

async function build(config: Config): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    logger: false,
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerUnreadable,
    bodyLimit: config.requestMaxBytes,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    requestTimeout: 0,
    http: { maxHeaderSize: HEADERS_MAX_BYTES },
    trustProxy: config.trustProxy.length > 0 ? [...config.trustProxy] : false,
    // The proxy ends requests itself; a closing server must not cut those in flight.
    forceCloseConnections: 'idle',
  });
  adapter.getInstance().server.maxHeadersCount = HEADERS_MAX;
  adapter.getInstance().addHook('onRequest', guardTarget);
  if (config.corsOrigins.length > 0)
    adapter.getInstance().addHook('onRequest', corsHook(config.corsOrigins));
  const app = await NestFactory.create<NestFastifyApplication>(AppModule, adapter, {
    logger: new NestLogger(createLogger(config.logLevel)),
    abortOnError: false,
  }).catch(async (error: unknown) => {
    await closeDatabaseOf(config);
    throw error;
  });
  try {
    await app.get(ProxyRoutes, { strict: false }).mount();
    setupOpenApi(app);
    await app.init();
    await app.getHttpAdapter().getInstance().ready();
  } catch (error) {
    await app.close();
    throw error;
  }
  return app;
}
