import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Pool, type Dispatcher } from 'undici';
import { DEFAULT_UPSTREAM } from '../catalog/catalog.js';
import { routerKind, type AuthScheme, type UpstreamKind } from '../catalog/provider-routes.js';
import { UpstreamDirectoryService } from '../catalog/upstream-directory.service.js';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { refusal, TollgateError } from '../domain/errors.js';
import { guardedConnector } from '../http/guarded-connector.js';

/** An upstream as calls are made to it. */
export interface Upstream {
  readonly name: string;
  readonly kind: UpstreamKind;
  /** What stands before the key in `authorization`. */
  readonly authScheme: AuthScheme;
  readonly apiKey: string | null;
  readonly billTo: string | null;
  readonly dispatcher: Dispatcher;
  /** Path prefix of its base URL, without a trailing slash. */
  readonly basePath: string;
  /** Where its queue is taken from when that is another host. */
  readonly queue: Connection | null;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

export interface Connection {
  readonly dispatcher: Dispatcher;
  readonly basePath: string;
}

interface OpenPool {
  readonly connection: Connection;
  usedAtMs: number;
}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
/** A pool that nobody asked for in this time is closed once what runs in it has ended. */
const UNUSED_MAX_MS = 10 * 60_000;
const LOOK_EVERY_MS = 60_000;

const POOL_OPTIONS = {
  pipelining: 1,
  keepAliveTimeout: KEEP_ALIVE_MS,
  maxHeaderSize: 32 * 1024,
} as const;

/**
 * The upstreams and their connections. No redirect is followed and no POST repeated blindly. The
 * router's address is the operator's word; every other was entered through the API, and is judged at
 * each connect.
 */
@Injectable()
export class Upstreams implements OnApplicationShutdown {
  private readonly router: Upstream;
  private readonly pools = new Map<string, OpenPool>();
  private readonly connect: ReturnType<typeof guardedConnector>;
  private readonly timer: NodeJS.Timeout;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly directory: UpstreamDirectoryService,
  ) {
    const url = new URL(config.upstream.baseUrl);
    this.router = {
      name: DEFAULT_UPSTREAM,
      kind: routerKind(config.upstream.baseUrl),
      authScheme: 'Bearer',
      apiKey: config.upstream.apiKey,
      billTo: config.upstream.billTo,
      dispatcher: new Pool(url.origin, {
        ...POOL_OPTIONS,
        connect: { timeout: CONNECT_TIMEOUT_MS },
      }),
      basePath: basePathOf(url),
      queue: null,
      headersTimeoutMs: config.upstream.headersTimeoutMs,
      idleTimeoutMs: config.upstream.idleTimeoutMs,
    };
    this.connect = guardedConnector({
      allowedHosts: config.allowPrivateUpstreams,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
    });
    this.timer = setInterval(() => {
      this.closeUnused(performance.now());
    }, LOOK_EVERY_MS).unref();
  }

  /**
   * An upstream as it is configured now. To be asked for at each call: its address and key may
   * change between two of them.
   *
   * @param accountId the account whose own key is to be used; null: the operator's.
   * @throws TollgateError upstream_error when it went away since the route was chosen, or its stored
   *   key cannot be opened.
   */
  named(name: string, accountId: string | null = null): Upstream {
    if (name === DEFAULT_UPSTREAM) return this.router;
    const found = this.directory.find(name, accountId);
    if (found.kind === 'none') throw notThere(name, found.reason);
    const { kind, authScheme, baseUrl, queueUrl, apiKey } = found.address;
    return {
      name,
      kind,
      authScheme,
      apiKey,
      billTo: null,
      ...this.connectionTo(baseUrl),
      queue: queueUrl === null ? null : this.connectionTo(queueUrl),
      headersTimeoutMs: this.config.upstream.headersTimeoutMs,
      idleTimeoutMs: this.config.upstream.idleTimeoutMs,
    };
  }

  /** Closes pools that nobody asked for lately, and those at an address that was given up. */
  closeUnused(atMs: number): void {
    const sinceMs = atMs - UNUSED_MAX_MS;
    const configured = this.directory.baseUrls();
    for (const [baseUrl, { connection, usedAtMs }] of this.pools) {
      if (usedAtMs > sinceMs && configured.has(baseUrl)) continue;
      this.pools.delete(baseUrl);
      connection.dispatcher.close().catch(() => undefined);
    }
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    const open = [...this.pools.values()].map(({ connection }) => connection.dispatcher);
    await Promise.all([this.router.dispatcher, ...open].map((one) => one.destroy()));
  }

  /** Keys travel with each request: a pool is an address's, whoever calls there. */
  private connectionTo(baseUrl: string): Connection {
    let open = this.pools.get(baseUrl);
    if (open === undefined) {
      const url = new URL(baseUrl);
      const dispatcher = new Pool(url.origin, { ...POOL_OPTIONS, connect: this.connect });
      open = { connection: { dispatcher, basePath: basePathOf(url) }, usedAtMs: 0 };
      this.pools.set(baseUrl, open);
    }
    open.usedAtMs = performance.now();
    return open.connection;
  }
}

function basePathOf(url: URL): string {
  return url.pathname.replace(/\/+$/, '');
}

function notThere(name: string, reason: 'unknown' | 'no_key' | 'unreadable_key'): TollgateError {
  const messages = {
    unknown: `The provider ${name} is no longer called directly: try again.`,
    no_key: `There is no key of your own for ${name} any more: try again.`,
    unreadable_key: `The stored key for ${name} cannot be opened: it must be entered again.`,
  } as const;
  return new TollgateError(
    refusal('upstream_error', messages[reason], { shouldRetry: reason !== 'unreadable_key' }),
  );
}
