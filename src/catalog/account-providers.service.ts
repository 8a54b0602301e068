import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../config/clock.js';
import { ENCRYPTION_KEY } from '../config/config.module.js';
import { SecretBox } from '../config/secret-box.js';
import type { Actor } from '../http/actor.js';
import { invalidField } from '../http/validation.pipe.js';
import type { Account } from '../identity/account.js';
import {
  AccountProvidersRepository,
  type AccountProvider,
  type RoutingChange,
  type RoutingChoice,
} from './account-providers.repository.js';
import { KNOWN_PROVIDERS } from './provider-routes.js';
import { accountKeyOwner, type ProviderSettings } from './provider-settings.js';
import { ProvidersService } from './providers.service.js';
import { UpstreamDirectoryService } from './upstream-directory.service.js';

/** A provider as an account sees it. */
export interface OfferedProvider extends AccountProvider {
  /** The operator has not switched it off. */
  readonly isAvailable: boolean;
  /** It is called directly, or known how, so that an account may bring a key of its own. */
  readonly takesKey: boolean;
}

/** A change as it is asked for: the key in clear, and only here. */
export interface AccountProviderRequest {
  readonly isEnabled?: boolean | undefined;
  readonly apiKey?: string | null | undefined;
}

/** What an account chooses among providers, and the keys that it brings for some. */
@Injectable()
export class AccountProvidersService {
  private readonly secrets: SecretBox;

  constructor(
    private readonly accounts: AccountProvidersRepository,
    private readonly providers: ProvidersService,
    private readonly directory: UpstreamDirectoryService,
    private readonly clock: Clock,
    @Inject(ENCRYPTION_KEY) key: Buffer,
  ) {
    this.secrets = new SecretBox(key);
  }

  async routing(accountId: string): Promise<RoutingChoice> {
    return this.accounts.routing(accountId);
  }

  async setRouting(account: Account, change: RoutingChange, actor: Actor): Promise<RoutingChoice> {
    return this.accounts.changeRouting(account, change, actor, this.clock.now());
  }

  /** Every provider, by slug, whether the account decided anything about it or not. */
  async list(
    accountId: string,
    limit: number,
    afterSlug: string | null,
  ): Promise<readonly OfferedProvider[]> {
    const decided = new Map(
      (await this.accounts.list(accountId)).map((one) => [one.provider, one]),
    );
    const page = await this.providers.list(limit, afterSlug);
    return page.map((settings) => offeredOf(settings, decided.get(settings.slug)));
  }

  /** @throws TollgateError not_found for a provider that there is none of. */
  async find(accountId: string, provider: string): Promise<OfferedProvider> {
    const settings = await this.providers.find(provider);
    const decided = await this.accounts.list(accountId);
    return offeredOf(
      settings,
      decided.find((one) => one.provider === provider),
    );
  }

  /**
   * @throws TollgateError not_found for a provider that there is none of; invalid_request for a key
   *   of one of which it is not known where it is.
   */
  async set(
    account: Account,
    provider: string,
    { isEnabled, apiKey }: AccountProviderRequest,
    actor: Actor,
  ): Promise<OfferedProvider> {
    const settings = await this.providers.find(provider);
    if (typeof apiKey === 'string' && !takesKey(settings)) {
      throw invalidField('apiKey', `is not taken: ${provider} is not called directly here`);
    }
    const sealed =
      typeof apiKey === 'string'
        ? this.secrets.seal(apiKey, accountKeyOwner(account.id, provider))
        : apiKey;
    const change = { isEnabled, apiKey: sealed };
    const at = this.clock.now();
    const after = await this.accounts.changeProvider(account, provider, change, actor, at);
    await this.directory.refresh(account.id);
    return offeredOf(settings, after);
  }
}

function offeredOf(
  settings: ProviderSettings,
  decided: AccountProvider | undefined,
): OfferedProvider {
  return {
    provider: settings.slug,
    isEnabled: decided?.isEnabled ?? true,
    apiKey: decided?.apiKey ?? null,
    isAvailable: settings.isEnabled,
    takesKey: takesKey(settings),
  };
}

/** The operator need not call it directly himself where we know where it is. */
function takesKey({ slug, kind }: ProviderSettings): boolean {
  return kind !== null || KNOWN_PROVIDERS.has(slug);
}
