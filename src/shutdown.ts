import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from './config/config.js';
import { ReadinessService } from './operation/readiness.service.js';
import { ProxyService } from './proxy/proxy.service.js';

/** A Ctrl-C reaches us from the terminal and, a moment later, once more from npm. */
const SAME_SIGNAL_MS = 300;
const IDLE_SWEEP_MS = 50;

/**
 * Resolves at the first SIGINT or SIGTERM. A later SIGINT ends the process at once: what was in
 * flight is settled by the next start.
 */
export function stopRequested(): Promise<NodeJS.Signals> {
  return new Promise((stop) => {
    let firstAt: number | null = null;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (firstAt === null) {
        firstAt = performance.now();
        stop(signal);
      } else if (signal === 'SIGINT' && performance.now() - firstAt > SAME_SIGNAL_MS) {
        process.exit(130);
      }
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}

/**
 * Ends the service in order: not ready any more, still accepting while balancers take notice; then
 * no new connections, and what is in flight may finish; then the journal, the database and, last,
 * the embedded PostgreSQL.
 */
export async function shutDown(app: NestFastifyApplication, config: Config): Promise<void> {
  app.get(ReadinessService, { strict: false }).markStopping();
  await delay(config.shutdownDelayMs);
  const deadline = performance.now() + config.shutdownGraceMs;
  const server = app.getHttpServer();
  const lastConnectionClosed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  // A connection that is kept alive would otherwise keep the server open, or bring a new request.
  const sweep = setInterval(() => {
    server.closeIdleConnections();
  }, IDLE_SWEEP_MS);
  await app.get(ProxyService, { strict: false }).drain(config.shutdownGraceMs);
  const rest = new AbortController();
  const leftMs = Math.max(0, deadline - performance.now());
  await Promise.race([
    lastConnectionClosed,
    delay(leftMs, undefined, { signal: rest.signal }).catch(() => undefined),
  ]);
  rest.abort();
  clearInterval(sweep);
  server.closeAllConnections();
  await app.close();
}
