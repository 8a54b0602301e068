import { Module } from '@nestjs/common';
import { Clock, SystemClock } from './clock.js';
import { loadConfig, type Config } from './config.js';
import type { Environment } from './environment.js';
import { loadEncryptionKey } from './secrets.js';
import { StartupError } from './startup-error.js';

/** Injection token of the typed configuration. */
export const CONFIG = Symbol('CONFIG');
/** Injection token of the 32 bytes that encrypt secrets at rest (a Buffer). */
export const ENCRYPTION_KEY = Symbol('ENCRYPTION_KEY');

let current: Config | null = null;
let lastBuild: Promise<unknown> = Promise.resolve();

/**
 * Runs `build`, in which `ConfigModule` provides this configuration. Tests start several services in
 * one process: their builds follow one another.
 */
export function withConfig<T>(config: Config, build: () => Promise<T>): Promise<T> {
  const mine = lastBuild.then(async () => {
    current = config;
    return build();
  });
  lastBuild = mine.catch(() => undefined);
  return mine;
}

/**
 * The configuration that an environment stands for.
 *
 * @throws StartupError with one line per variable that cannot be used.
 */
export function configFrom(environment: Environment): Config {
  const result = loadConfig(environment);
  if (result.ok) return result.config;
  throw new StartupError(
    result.problems.map(({ variable, problem }) => `${variable} ${problem}`).join('\n'),
  );
}

function configOfThisBuild(): Config {
  if (current === null) throw new Error('the application is built outside withConfig');
  return current;
}

@Module({
  providers: [
    { provide: CONFIG, useFactory: configOfThisBuild },
    { provide: Clock, useClass: SystemClock },
    { provide: ENCRYPTION_KEY, inject: [CONFIG], useFactory: loadEncryptionKey },
  ],
  exports: [CONFIG, ENCRYPTION_KEY, Clock],
})
export class ConfigModule {}
