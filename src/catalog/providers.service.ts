import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../config/clock.js';
import type { Config } from '../config/config.js';
import { CONFIG, ENCRYPTION_KEY } from '../config/config.module.js';
import { SecretBox } from '../config/secret-box.js';
import { refusal, TollgateError } from '../domain/errors.js';
import type { Actor } from '../http/actor.js';
import { isReservedSlug } from '../http/field-rules.js';
import { invalidField } from '../http/validation.pipe.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import { CatalogService } from './catalog.service.js';
import { PriceSyncService } from './price-sync.service.js';
import { KNOWN_PROVIDERS } from './provider-routes.js';
import {
  changedProvider,
  providerKeyOwner,
  untouchedProvider,
  type ProviderChange,
  type ProviderSettings,
} from './provider-settings.js';
import { ProvidersRepository } from './providers.repository.js';
import { PROVIDER_SLUG } from './catalogue-entry.js';
import { UpstreamDirectoryService } from './upstream-directory.service.js';

/** A change as it is asked for: the key in clear, and only here. */
export interface ProviderRequest extends Omit<ProviderChange, 'apiKey'> {
  readonly apiKey?: string | null | undefined;
}

/** Providers as the operator sees and sets them. */
@Injectable()
export class ProvidersService {
  private readonly secrets: SecretBox;

  constructor(
    private readonly providers: ProvidersRepository,
    private readonly directory: UpstreamDirectoryService,
    private readonly catalog: CatalogService,
    private readonly sync: PriceSyncService,
    private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ENCRYPTION_KEY) key: Buffer,
  ) {
    this.secrets = new SecretBox(key);
  }

  /** Every provider that was set, is listed or priced somewhere, or is known; by slug. */
  async list(limit: number, afterSlug: string | null): Promise<readonly ProviderSettings[]> {
    const set = new Map((await this.providers.list()).map((one) => [one.slug, one]));
    const slugs = new Set([
      ...set.keys(),
      ...KNOWN_PROVIDERS.keys(),
      ...(await this.providers.mentioned()),
    ]);
    return [...slugs]
      .filter((slug) => afterSlug === null || slug > afterSlug)
      .sort((one, other) => (one < other ? -1 : 1))
      .slice(0, limit)
      .map((slug) => set.get(slug) ?? untouchedProvider(slug));
  }

  /** @throws TollgateError not_found for one that nobody ever mentioned. */
  async find(slug: string): Promise<ProviderSettings> {
    const settings = PROVIDER_SLUG.test(slug) ? await this.providers.find(slug) : null;
    if (settings !== null) return settings;
    if (KNOWN_PROVIDERS.has(slug) || (await this.providers.mentioned()).includes(slug)) {
      return untouchedProvider(slug);
    }
    throw new TollgateError(refusal('not_found', 'There is no such provider.'));
  }

  /**
   * Changes what is given. A provider that is called directly from now on has its catalogue read
   * soon after.
   *
   * @throws TollgateError invalid_request, naming the field.
   */
  async change(slug: string, request: ProviderRequest, actor: Actor): Promise<ProviderSettings> {
    if (!PROVIDER_SLUG.test(slug)) {
      throw invalidField('slug', 'must be 2 to 40 of a-z, 0-9 and "-"');
    }
    if (isReservedSlug(slug) || slug === DEFAULT_UPSTREAM) {
      throw invalidField('slug', 'is reserved: choose another');
    }
    const { apiKey, ...rest } = request;
    const change: ProviderChange = {
      ...rest,
      apiKey:
        typeof apiKey === 'string' ? this.secrets.seal(apiKey, providerKeyOwner(slug)) : apiKey,
    };
    const decision = await this.providers.change(
      slug,
      (current) => changedProvider(current, change, this.config.allowPrivateUpstreams),
      actor,
      this.clock.now(),
    );
    if (decision.kind === 'refused') throw invalidField(decision.field, decision.problem);
    await this.directory.refresh();
    await this.catalog.refresh();
    if (decision.settings.kind !== null && decision.settings.isEnabled) this.sync.syncSoon();
    return decision.settings;
  }
}
