import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Agent, request } from 'undici';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { guardedConnector } from '../http/guarded-connector.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import { UpstreamProbe } from './health.js';
import { cataloguePathOf, routerKind } from './provider-routes.js';
import { UpstreamDirectoryService } from './upstream-directory.service.js';

const TIMEOUT_MS = 3_000;

interface ProbedAddress {
  readonly url: string;
  readonly authorization: string | null;
  readonly isGuarded: boolean;
}

/** Asks an upstream for its list of models, and hangs up at the first byte. */
@Injectable()
export class UpstreamProbeClient extends UpstreamProbe implements OnModuleDestroy {
  private readonly open: Agent;
  private readonly guarded: Agent;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly directory: UpstreamDirectoryService,
  ) {
    super();
    const options = { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, keepAliveTimeout: 1 };
    this.open = new Agent({ ...options, connect: { timeout: TIMEOUT_MS } });
    this.guarded = new Agent({
      ...options,
      connect: guardedConnector({
        allowedHosts: config.allowPrivateUpstreams,
        connectTimeoutMs: TIMEOUT_MS,
      }),
    });
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all([this.open.destroy(), this.guarded.destroy()]);
  }

  /** Any answer but a server's own error will do: whether it lists models is not the question. */
  override async isAnswering(upstream: string): Promise<boolean> {
    const address = this.addressOf(upstream);
    // Nothing that could be asked without being billed: a request has to find out.
    if (address === null) return true;
    try {
      const { statusCode, body } = await request(address.url, {
        dispatcher: address.isGuarded ? this.guarded : this.open,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          accept: 'application/json',
          ...(address.authorization === null ? {} : { authorization: address.authorization }),
        },
      });
      body.on('error', () => undefined).destroy();
      return statusCode < 500;
    } catch {
      return false;
    }
  }

  private addressOf(upstream: string): ProbedAddress | null {
    if (upstream === DEFAULT_UPSTREAM) {
      const { baseUrl, apiKey } = this.config.upstream;
      const path = cataloguePathOf(routerKind(baseUrl), null) ?? '';
      return {
        url: `${baseUrl.replace(/\/+$/, '')}${path}`,
        authorization: apiKey === null ? null : `Bearer ${apiKey}`,
        isGuarded: false,
      };
    }
    const found = this.directory.find(upstream, null);
    if (found.kind === 'none') return null;
    const { kind, name, baseUrl, authScheme, apiKey } = found.address;
    const path = cataloguePathOf(kind, name);
    if (path === null) return null;
    return {
      url: `${baseUrl}${path}`,
      authorization: apiKey === null ? null : `${authScheme} ${apiKey}`,
      isGuarded: true,
    };
  }
}
