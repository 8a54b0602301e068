import { Inject, Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { Clock } from '../config/clock.js';
import type { Config } from '../config/config.js';
import { CONFIG, ENCRYPTION_KEY } from '../config/config.module.js';
import { SecretBox } from '../config/secret-box.js';
import type { Actor } from '../http/actor.js';
import { hostOf, isPublicAddress } from '../http/public-address.js';
import { invalidField } from '../http/validation.pipe.js';
import { isIP } from 'node:net';
import {
  changedSettings,
  webhookSecretOwner,
  type AlertSettings,
  type AlertSettingsChange,
} from './alert-settings.js';
import { AlertSettingsRepository } from './alert-settings.repository.js';

const SECRET_BYTES = 32;

@Injectable()
export class AlertSettingsService {
  private readonly secrets: SecretBox;

  constructor(
    private readonly settings: AlertSettingsRepository,
    private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ENCRYPTION_KEY) key: Buffer,
  ) {
    this.secrets = new SecretBox(key);
  }

  async find(accountId: string): Promise<AlertSettings> {
    return this.settings.find(accountId);
  }

  /**
   * Changes what is given. A new webhook secret is in this answer and nowhere else.
   *
   * @throws TollgateError invalid_request for an address that is private, or a secret to rotate
   *   without a webhook.
   */
  async change(
    account: { readonly id: string; readonly slug: string },
    change: AlertSettingsChange,
    actor: Actor,
  ): Promise<{ settings: AlertSettings; newSecret: string | null }> {
    this.requirePublic(change.webhookUrl ?? null);
    const secret = `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`;
    const sealed = this.secrets.seal(secret, webhookSecretOwner(account.id));
    const decision = await this.settings.change(
      account,
      (current) => changedSettings(current, change, sealed),
      actor,
      this.clock.now(),
    );
    if (decision.kind === 'no_webhook') {
      throw invalidField('rotateWebhookSecret', 'needs a webhookUrl: there is none');
    }
    return { settings: decision.settings, newSecret: decision.isSecretNew ? secret : null };
  }

  /** For an early word about what needs no look-up; every connect is judged again. */
  private requirePublic(webhookUrl: string | null): void {
    if (webhookUrl === null) return;
    const host = hostOf(new URL(webhookUrl));
    const isPrivate =
      isIP(host) === 0
        ? host === 'localhost' || host.endsWith('.localhost')
        : !isPublicAddress(host);
    if (isPrivate && !this.config.allowPrivateUpstreams.includes(host)) {
      throw invalidField('webhookUrl', 'must not be a private address');
    }
  }
}
