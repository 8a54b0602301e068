import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { ENCRYPTION_KEY } from '../config/config.module.js';
import { SecretBox, type SealedSecret } from '../config/secret-box.js';
import { NotificationsService } from '../database/notifications.service.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { AccountProvidersRepository } from './account-providers.repository.js';
import {
  authSchemeOf,
  KNOWN_PROVIDERS,
  type AuthScheme,
  type DirectKind,
} from './provider-routes.js';
import { accountKeyOwner, baseUrlOf, providerKeyOwner } from './provider-settings.js';
import { ProvidersRepository } from './providers.repository.js';

/** Where a direct upstream is, and as whom it is called. */
export interface UpstreamAddress {
  readonly name: string;
  readonly kind: DirectKind;
  readonly authScheme: AuthScheme;
  /** Without a trailing slash. */
  readonly baseUrl: string;
  /** Where its queue is, if not there; see `ProviderRoutes.queueUrl`. */
  readonly queueUrl: string | null;
  /** null: it is called without one. */
  readonly apiKey: string | null;
}

export type AddressLookup =
  | { readonly kind: 'address'; readonly address: UpstreamAddress }
  /** `unknown`: no such upstream (any more). `no_key`: the account has none (any more). */
  | { readonly kind: 'none'; readonly reason: 'unknown' | 'no_key' | 'unreadable_key' };

interface KnownUpstream {
  readonly address: Omit<UpstreamAddress, 'apiKey'>;
  readonly isEnabled: boolean;
  readonly key: SealedSecret | null;
}

const RETRY_MS = 500;
const EVERYTHING = '';

/**
 * The providers that are called directly, with the operator's keys and the accounts' own, in memory
 * and there sealed until they are used. Every process hears of a change through the database
 * (`tollgate_upstreams`: an account's id, or nothing for the operator's settings).
 */
@Injectable()
export class UpstreamDirectoryService implements OnModuleInit, OnModuleDestroy {
  private upstreams: ReadonlyMap<string, KnownUpstream> = new Map();
  /** By account, then by provider. */
  private ownKeys = new Map<string, ReadonlyMap<string, SealedSecret>>();
  /** null: it cannot be opened. */
  private readonly opened = new WeakMap<SealedSecret, string | null>();
  private readonly secrets: SecretBox;
  private readonly changed = new Set<string>();
  private reading: Promise<void> | null = null;
  private isStopped = false;

  constructor(
    private readonly providers: ProvidersRepository,
    private readonly accounts: AccountProvidersRepository,
    private readonly notifications: NotificationsService,
    private readonly metrics: MetricsService,
    @Inject(ENCRYPTION_KEY) key: Buffer,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.secrets = new SecretBox(key);
  }

  /** @throws whatever the database throws: a process without its upstreams must not start. */
  async onModuleInit(): Promise<void> {
    await this.readEverything();
    this.notifications.listen('tollgate_upstreams', {
      onNotice: (accountId) => {
        this.readSoon(accountId);
      },
      onGap: () => {
        this.readSoon(EVERYTHING);
      },
    });
  }

  async onModuleDestroy(): Promise<void> {
    this.isStopped = true;
    await this.reading;
  }

  /**
   * Resolves when what was committed before the call is in memory, here. One reading follows the
   * other: an older one never ends last.
   */
  async refresh(accountId: string | null = null): Promise<void> {
    this.readSoon(accountId ?? EVERYTHING);
    await this.reading;
  }

  /** Names of the upstreams that are switched on. */
  names(): readonly string[] {
    return [...this.upstreams].filter(([, { isEnabled }]) => isEnabled).map(([name]) => name);
  }

  /** Of every upstream, whether switched on or not, and of those that accounts' own keys open. */
  baseUrls(): ReadonlySet<string> {
    const ownOnly = [...KNOWN_PROVIDERS.keys()].flatMap((slug) => {
      const known = this.upstreams.has(slug) ? null : knownUpstream(slug);
      return known === null ? [] : [known];
    });
    return new Set(
      [...this.upstreams.values(), ...ownOnly].flatMap(({ address: { baseUrl, queueUrl } }) =>
        queueUrl === null ? [baseUrl] : [baseUrl, queueUrl],
      ),
    );
  }

  /** @param accountId the account whose own key is to be used; null: the operator's, if there is one. */
  find(name: string, accountId: string | null): AddressLookup {
    const known = this.upstreams.get(name) ?? (accountId === null ? null : knownUpstream(name));
    if (known === null) return { kind: 'none', reason: 'unknown' };
    const key = accountId === null ? known.key : (this.ownKeys.get(accountId)?.get(name) ?? null);
    if (key === null && accountId !== null) return { kind: 'none', reason: 'no_key' };
    const owner = accountId === null ? providerKeyOwner(name) : accountKeyOwner(accountId, name);
    const apiKey = key === null ? null : this.open(key, owner);
    if (key !== null && apiKey === null) return { kind: 'none', reason: 'unreadable_key' };
    return { kind: 'address', address: { ...known.address, apiKey } };
  }

  /** null: it cannot be opened, which the operator is told of, once. */
  private open(key: SealedSecret, owner: string): string | null {
    const opened = this.opened.get(key);
    if (opened !== undefined) return opened;
    try {
      const secret = this.secrets.open(key, owner);
      this.opened.set(key, secret);
      return secret;
    } catch (error) {
      this.opened.set(key, null);
      this.metrics.alarms.inc({ kind: 'provider_key_unreadable' });
      this.logger.error(
        { err: error, owner },
        'a stored provider key cannot be opened: set the ENCRYPTION_KEY that sealed it, or enter the key again',
      );
      return null;
    }
  }

  private readSoon(what: string): void {
    this.changed.add(what);
    this.reading ??= this.readUntilUnchanged().finally(() => {
      this.reading = null;
    });
  }

  private async readUntilUnchanged(): Promise<void> {
    while (this.changed.size > 0 && !this.isStopped) {
      const batch = [...this.changed];
      this.changed.clear();
      try {
        if (batch.includes(EVERYTHING)) await this.readEverything();
        else for (const accountId of batch) await this.readKeysOf(accountId);
      } catch (error) {
        this.metrics.alarms.inc({ kind: 'upstreams_read' });
        this.logger.error(
          { err: error },
          'the upstreams could not be read: the ones in memory stay',
        );
        for (const one of batch) this.changed.add(one);
        await new Promise((wake) => setTimeout(wake, RETRY_MS));
      }
    }
  }

  private async readEverything(): Promise<void> {
    await this.readUpstreams();
    const ownKeys = new Map<string, Map<string, SealedSecret>>();
    for (const { accountId, provider, apiKey } of await this.accounts.keys(null)) {
      const keys = ownKeys.get(accountId) ?? new Map<string, SealedSecret>();
      ownKeys.set(accountId, keys.set(provider, apiKey));
    }
    this.ownKeys = ownKeys;
  }

  private async readKeysOf(accountId: string): Promise<void> {
    const keys = await this.accounts.keys(accountId);
    if (keys.length === 0) this.ownKeys.delete(accountId);
    else {
      this.ownKeys.set(accountId, new Map(keys.map(({ provider, apiKey }) => [provider, apiKey])));
    }
  }

  private async readUpstreams(): Promise<void> {
    const upstreams = new Map<string, KnownUpstream>();
    for (const { slug, kind, baseUrl, apiKey, isEnabled } of await this.providers.list()) {
      const url = baseUrlOf({ slug, baseUrl });
      if (kind === null || url === null) continue;
      // Said at the start, and not only when somebody calls there.
      if (apiKey !== null) this.open(apiKey, providerKeyOwner(slug));
      upstreams.set(slug, { isEnabled, key: apiKey, address: addressOf(slug, kind, url) });
    }
    this.upstreams = upstreams;
  }
}

/** One that the operator does not call directly, for an account that brings its own key; null: unknown. */
function knownUpstream(slug: string): KnownUpstream | null {
  const known = KNOWN_PROVIDERS.get(slug);
  if (known === undefined) return null;
  return { isEnabled: true, key: null, address: addressOf(slug, known.kind, known.baseUrl) };
}

function addressOf(name: string, kind: DirectKind, baseUrl: string): KnownUpstream['address'] {
  const known = KNOWN_PROVIDERS.get(name);
  return {
    name,
    kind,
    authScheme: authSchemeOf(kind),
    baseUrl,
    // At an address of the operator's own everything is under that one.
    queueUrl: baseUrl === known?.baseUrl ? known.queueUrl : null,
  };
}
