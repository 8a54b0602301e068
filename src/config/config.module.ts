import { Module } from '@nestjs/common';
import { loadConfig, type Config } from './config.js';
import { StartupError } from './startup-error.js';

/** Injection token of the typed configuration. */
export const CONFIG = Symbol('CONFIG');

let environment: Readonly<Record<string, string | undefined>> = process.env;

/** Tests start several services in one process, each with an environment of its own. */
export function useEnvironment(env: Readonly<Record<string, string | undefined>>): void {
  environment = env;
}

/**
 * The configuration of this process.
 *
 * @throws StartupError with one line per variable that cannot be used.
 */
export function readConfig(): Config {
  const result = loadConfig(environment);
  if (result.ok) return result.config;
  throw new StartupError(
    result.problems.map(({ variable, problem }) => `${variable} ${problem}`).join('\n'),
  );
}

@Module({
  providers: [{ provide: CONFIG, useFactory: readConfig }],
  exports: [CONFIG],
})
export class ConfigModule {}
