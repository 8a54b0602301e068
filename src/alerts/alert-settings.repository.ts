import { Injectable } from '@nestjs/common';
import { writeAudit } from '../database/audit.js';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import type { Actor } from '../http/actor.js';
import {
  DEFAULT_ALERT_SETTINGS,
  type AlertSettings,
  type SettingsDecision,
} from './alert-settings.js';

interface SettingsRecord {
  readonly thresholds: string;
  readonly webhook_url: string | null;
  readonly webhook_secret: Uint8Array | null;
  readonly webhook_secret_key_id: string | null;
  readonly emails: string;
}

const SELECT_SETTINGS = `
  SELECT to_json(thresholds)::text AS thresholds, webhook_url, webhook_secret, webhook_secret_key_id,
    to_json(emails)::text AS emails
  FROM alert_settings WHERE account_id = $1::text::uuid`;

@Injectable()
export class AlertSettingsRepository {
  constructor(private readonly database: DatabaseService) {}

  async find(accountId: string): Promise<AlertSettings> {
    const [record] = await this.database.prisma.$queryRawUnsafe<SettingsRecord[]>(
      SELECT_SETTINGS,
      accountId,
    );
    return record === undefined ? DEFAULT_ALERT_SETTINGS : settingsOf(record);
  }

  /** Stores what `decide` makes of the settings as they are, one change after the other. */
  async change(
    account: { readonly id: string; readonly slug: string },
    decide: (current: AlertSettings) => SettingsDecision,
    actor: Actor,
    at: Date,
  ): Promise<SettingsDecision> {
    return this.database.prisma.$transaction(async (tx) => {
      // A row to lock; who came first is waited for.
      await tx.$executeRawUnsafe(
        `INSERT INTO alert_settings (account_id, thresholds, emails, updated_at)
         VALUES ($1::text::uuid, $2::text::smallint[], '{}', $3::timestamptz) ON CONFLICT (account_id) DO NOTHING`,
        account.id,
        arrayText(DEFAULT_ALERT_SETTINGS.thresholds),
        at.toISOString(),
      );
      const [record] = await tx.$queryRawUnsafe<SettingsRecord[]>(
        `${SELECT_SETTINGS} FOR UPDATE`,
        account.id,
      );
      if (record === undefined) throw new Error(`the alert settings of ${account.id} are missing`);
      const before = settingsOf(record);
      const decision = decide(before);
      if (decision.kind !== 'settings') return decision;
      const { settings, isSecretNew } = decision;
      await tx.$executeRawUnsafe(
        `UPDATE alert_settings SET thresholds = $2::text::smallint[], webhook_url = $3, webhook_secret = $4::bytea,
           webhook_secret_key_id = $5, emails = $6::text::text[], updated_at = $7::timestamptz
         WHERE account_id = $1::text::uuid`,
        account.id,
        arrayText(settings.thresholds),
        settings.webhookUrl,
        settings.webhookSecret === null ? null : new Uint8Array(settings.webhookSecret.box),
        settings.webhookSecret?.keyId ?? null,
        arrayText(settings.emails),
        at.toISOString(),
      );
      await writeAudit(tx, actor, at, {
        action: 'alerts.update',
        // The slug of a user's own account says that it is one.
        subject: account.slug.includes(':') ? account.slug : `organization:${account.slug}`,
        before: auditStateOf(before),
        after: { ...auditStateOf(settings), isWebhookSecretNew: isSecretNew },
      });
      return decision;
    });
  }
}

/** The path of a webhook's address often is the key to it: only its origin is kept. */
function auditStateOf({ thresholds, webhookUrl, emails }: AlertSettings): Record<string, unknown> {
  return {
    thresholds,
    webhook: webhookUrl === null ? null : new URL(webhookUrl).origin,
    emails,
  };
}

function settingsOf(record: SettingsRecord): AlertSettings {
  const { webhook_secret: box, webhook_secret_key_id: keyId } = record;
  return {
    thresholds: JSON.parse(record.thresholds) as number[],
    webhookUrl: record.webhook_url,
    emails: JSON.parse(record.emails) as string[],
    webhookSecret: box === null || keyId === null ? null : { keyId, box: Buffer.from(box) },
  };
}
