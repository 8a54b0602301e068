import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Pool, type Dispatcher } from 'undici';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';

/** An upstream as calls are made to it. */
export interface Upstream {
  readonly name: string;
  readonly apiKey: string | null;
  readonly billTo: string | null;
  readonly dispatcher: Dispatcher;
  /** Path prefix of its base URL, without a trailing slash. */
  readonly basePath: string;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;

/** The upstreams and their connections. No redirect is followed and no POST repeated blindly. */
@Injectable()
export class Upstreams implements OnApplicationShutdown {
  private readonly router: Upstream;

  constructor(@Inject(CONFIG) config: Config) {
    const url = new URL(config.upstream.baseUrl);
    this.router = {
      name: 'default',
      apiKey: config.upstream.apiKey,
      billTo: config.upstream.billTo,
      dispatcher: new Pool(url.origin, {
        pipelining: 1,
        connect: { timeout: CONNECT_TIMEOUT_MS },
        keepAliveTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: 32 * 1024,
      }),
      basePath: url.pathname.replace(/\/+$/, ''),
      headersTimeoutMs: config.upstream.headersTimeoutMs,
      idleTimeoutMs: config.upstream.idleTimeoutMs,
    };
  }

  named(name: string): Upstream {
    if (name !== this.router.name) throw new Error(`proxy: there is no upstream ${name}`);
    return this.router;
  }

  async onApplicationShutdown(): Promise<void> {
    await this.router.dispatcher.destroy();
  }
}
