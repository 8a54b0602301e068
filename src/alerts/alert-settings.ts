import { DEFAULT_ALERT_THRESHOLDS } from '../domain/alerts.js';
import type { SealedSecret } from '../config/secret-box.js';

/** When an account wants to be told of its use, and where. */
export interface AlertSettings {
  /** Percent, ascending. */
  readonly thresholds: readonly number[];
  readonly webhookUrl: string | null;
  readonly emails: readonly string[];
  /** What messages to the webhook are signed with; null without one. */
  readonly webhookSecret: SealedSecret | null;
}

/** What is left out stays as it is. */
export interface AlertSettingsChange {
  readonly thresholds?: readonly number[];
  readonly webhookUrl?: string | null;
  readonly emails?: readonly string[];
  readonly rotateWebhookSecret?: boolean;
}

export const DEFAULT_ALERT_SETTINGS: AlertSettings = {
  thresholds: DEFAULT_ALERT_THRESHOLDS,
  webhookUrl: null,
  emails: [],
  webhookSecret: null,
};

export type SettingsDecision =
  | { readonly kind: 'settings'; readonly settings: AlertSettings; readonly isSecretNew: boolean }
  /** A secret was to be rotated, and there is no webhook. */
  | { readonly kind: 'no_webhook' };

/** The settings after a change: a webhook gets a secret, keeps it, and takes it along when it goes. */
export function changedSettings(
  current: AlertSettings,
  change: AlertSettingsChange,
  newSecret: SealedSecret,
): SettingsDecision {
  const { thresholds = current.thresholds, emails = current.emails } = change;
  const webhookUrl = change.webhookUrl === undefined ? current.webhookUrl : change.webhookUrl;
  const isRotated = change.rotateWebhookSecret === true;
  if (webhookUrl === null && isRotated) return { kind: 'no_webhook' };
  const isSecretNew = webhookUrl !== null && (isRotated || current.webhookSecret === null);
  const kept = webhookUrl === null ? null : current.webhookSecret;
  const settings: AlertSettings = {
    thresholds: [...thresholds].sort((one, other) => one - other),
    webhookUrl,
    emails,
    webhookSecret: isSecretNew ? newSecret : kept,
  };
  return { kind: 'settings', settings, isSecretNew };
}

/** What a webhook's secret is sealed for. */
export function webhookSecretOwner(accountId: string): string {
  return `alert-webhook:${accountId}`;
}
