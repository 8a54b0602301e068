import { randomBytes } from 'node:crypto';
import type { Config } from '../config/config.js';

/** The simulator, running inside this process in the place of a router. */
export interface DemoUpstream {
  readonly url: string;
  /** The configuration with the simulator as its upstream. */
  configure(config: Config): Config;
  close(): Promise<void>;
}

/**
 * Starts the simulator on a free port of the loopback interface, with a key of its own. It is loaded
 * here and nowhere else: a service that is not a demo never holds code that invents answers.
 */
export async function startDemoUpstream(): Promise<DemoUpstream> {
  const { startSimulator } = await import('../../simulator/server.js');
  const apiKey = `sim-${randomBytes(16).toString('hex')}`;
  const simulator = await startSimulator({ apiKey });
  return {
    url: simulator.url,
    configure: (config) => ({
      ...config,
      upstream: { ...config.upstream, baseUrl: simulator.url, apiKey, billTo: null },
      hubUrl: simulator.url,
    }),
    close: () => simulator.close(),
  };
}
