import { describe, expect, it } from 'vitest';
import {
  changedSettings,
  DEFAULT_ALERT_SETTINGS,
  type AlertSettings,
  type AlertSettingsChange,
} from './alert-settings.js';

const fresh = { keyId: 'key', box: Buffer.from('fresh') };
const old = { keyId: 'key', box: Buffer.from('old') };
const told: AlertSettings = {
  thresholds: [10, 20],
  webhookUrl: 'https://example.com/a',
  emails: ['a@example.com'],
  webhookSecret: old,
};

function change(from: AlertSettings, by: AlertSettingsChange): ReturnType<typeof changedSettings> {
  return changedSettings(from, by, fresh);
}

describe('a change of alert settings', () => {
  it('leaves what it does not name', () => {
    expect(change(told, {})).toEqual({ kind: 'settings', settings: told, isSecretNew: false });
    expect(change(told, { emails: [] })).toMatchObject({ settings: { ...told, emails: [] } });
  });

  it('gives the first webhook a secret and a later one the same', () => {
    expect(change(DEFAULT_ALERT_SETTINGS, { webhookUrl: 'https://example.com/b' })).toMatchObject({
      settings: { webhookSecret: fresh },
      isSecretNew: true,
    });
    expect(change(told, { webhookUrl: 'https://example.com/b' })).toMatchObject({
      settings: { webhookSecret: old },
      isSecretNew: false,
    });
  });

  it('forgets the secret with the webhook', () => {
    expect(change(told, { webhookUrl: null })).toMatchObject({
      settings: { webhookUrl: null, webhookSecret: null },
      isSecretNew: false,
    });
  });

  it('makes a new secret on demand, where there is a webhook', () => {
    expect(change(told, { rotateWebhookSecret: true })).toMatchObject({
      settings: { webhookSecret: fresh },
      isSecretNew: true,
    });
    for (const by of [{ webhookUrl: null }, {}]) {
      expect(
        change(
          { ...told, webhookUrl: null, webhookSecret: null },
          {
            ...by,
            rotateWebhookSecret: true,
          },
        ),
      ).toEqual({ kind: 'no_webhook' });
    }
  });

  it('keeps thresholds ascending', () => {
    expect(change(told, { thresholds: [100, 5, 50] })).toMatchObject({
      settings: { thresholds: [5, 50, 100] },
    });
  });
});
