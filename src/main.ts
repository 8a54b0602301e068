import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { AddressInfo } from 'node:net';
import { createAppFrom } from './app.js';
import { CatalogService } from './catalog/catalog.service.js';
import { httpUrl, type Config } from './config/config.js';
import { configFrom } from './config/config.module.js';
import { nearMisses, processEnvironment, type Environment } from './config/environment.js';
import { StartupError } from './config/startup-error.js';
import { ensureDemoAccount } from './demo/demo-account.js';
import { demoGreeting, demoInstructions } from './demo/demo-text.js';
import { startDemoUpstream, type DemoUpstream } from './demo/demo-upstream.js';
import { createLogger } from './http/logger.js';
import { JobsService } from './jobs/jobs.service.js';
import { ReadinessService } from './operation/readiness.service.js';
import { shutDown, stopRequested } from './shutdown.js';

/** Closing waits for nothing that may wait for ever; past this something hangs. */
const CLOSE_MAX_MS = 20_000;

let isStopRequested = false;
const stop = stopRequested().then(() => {
  isStopRequested = true;
});
process.exit(await run(processEnvironment()));

/** Starts, serves until a signal, stops. Returns the exit code. */
async function run(environment: Environment): Promise<number> {
  let started: Started;
  try {
    started = await start(environment);
  } catch (error) {
    // A Ctrl-C in the middle also reaches what we have started: that it failed then is no news.
    if (!isStopRequested) report(error);
    return isStopRequested ? 0 : 1;
  }
  await stop;
  await stopInTime(started);
  return 0;
}

interface Started {
  readonly app: NestFastifyApplication;
  readonly config: Config;
  readonly demo: DemoUpstream | null;
}

/** @throws StartupError with a message for the operator; then nothing is left running. */
async function start(environment: Environment): Promise<Started> {
  // Before anything else: a misspelt name is often why the right one is missed.
  for (const { name, meant } of nearMisses(environment)) {
    complain(`the variable ${name} means nothing here: did you mean ${meant}?`);
  }
  const settings = configFrom(environment);
  dieOfBugs(settings);
  if (!settings.isDemo) return serve(settings, null);
  const demo = await startDemoUpstream();
  say(demoGreeting(demo.url, settings));
  try {
    return await serve(demo.configure(settings), demo);
  } catch (error) {
    await demo.close();
    throw error;
  }
}

async function serve(config: Config, demo: DemoUpstream | null): Promise<Started> {
  const app = await createAppFrom(config);
  try {
    const account = demo === null ? null : await ensureDemoAccount(app, config.dataDir);
    await listen(app, config);
    const catalogue = app.get(CatalogService, { strict: false });
    const readiness = app.get(ReadinessService, { strict: false });
    readiness.registerCheck('catalogue', () => catalogue.isReady);
    readiness.markReady();
    app.get(JobsService, { strict: false }).start();
    const { port } = app.getHttpServer().address() as AddressInfo;
    const url = config.port === 0 ? httpUrl(config.host, port) : config.publicUrl;
    say(`tollgate: listening on ${url}`);
    if (account !== null) say(demoInstructions(url, account, new Date()));
  } catch (error) {
    await app.close();
    throw error;
  }
  return { app, config, demo };
}

async function listen(app: NestFastifyApplication, { host, port }: Config): Promise<void> {
  try {
    await app.listen(port, host);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new StartupError(
        `PORT cannot be used: another program listens on ${host}:${port}; stop it, or set PORT to a free one`,
      );
    }
    if (code === 'EACCES') {
      throw new StartupError(`PORT cannot be used: this user may not listen on ${port} (EACCES)`);
    }
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
      throw new StartupError(`HOST cannot be used: it is no address of this machine (${code})`);
    }
    throw error;
  }
}

async function stopInTime({ app, config, demo }: Started): Promise<void> {
  const watchdog = setTimeout(
    () => {
      complain('could not stop in time: ended at once, the next start settles what was in flight');
      process.exit(1);
    },
    config.shutdownDelayMs + config.shutdownGraceMs + config.settleWaitMaxMs + CLOSE_MAX_MS,
  );
  await shutDown(app, config);
  await demo?.close();
  clearTimeout(watchdog);
}

/** An error that nobody caught leaves the process in an unknown state: it ends, with its reason. */
function dieOfBugs(config: Config): void {
  const logger = createLogger(config.logLevel);
  const die = (error: unknown): void => {
    logger.fatal({ err: error }, 'an error that nobody handled');
    complain(
      `ended by an error that nobody handled: ${error instanceof Error ? error.message : String(error)}`,
    );
    process.exit(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  // Whoever read our output went away (`npm start | head`): that is no reason to stop serving.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
}

function report(error: unknown): void {
  if (error instanceof StartupError) {
    for (const line of error.message.split('\n')) complain(line);
  } else {
    complain(
      `could not start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function complain(line: string): void {
  process.stderr.write(`tollgate: ${line}\n`);
}
