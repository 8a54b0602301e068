import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NamedAlert } from './alert.js';
import { mailText, webhookBody } from './alert-text.js';

const alert: NamedAlert = {
  id: '01990000-0000-7000-8000-000000000001',
  accountId: '01990000-0000-7000-8000-000000000002',
  subjectId: '01990000-0000-7000-8000-000000000003',
  scope: 'token',
  basis: 'limit',
  period: '2026-11',
  threshold: 80,
  usedPicoUsd: 8_000_000_000_001n,
  limitPicoUsd: 10_000_000_000_000n,
  raisedAt: new Date('2026-11-21T01:02:03Z'),
  accountSlug: 'acme',
  accountName: 'Acme & Söhne',
  subjectName: 'ci',
};

describe('the mail of an alert', () => {
  it('says whose limit it is, how much of it is used, and when', () => {
    const { subject, text, html } = mailText(alert, 'https://tollgate.example');
    expect(subject).toBe('Acme & Söhne: 80 % of its monthly limit used');
    expect(text).toBe(
      'The token ci of Acme & Söhne has used $8.000000000001 of its monthly limit of $10 in 2026-11 (UTC). This message is sent once, at 80 %.\n\nhttps://tollgate.example\n',
    );
    expect(html).toContain('<a href="https://tollgate.example">');
    expect(html).toContain('Acme &amp; Söhne');
  });

  it('says at the end what happens past it', () => {
    const last = { ...alert, threshold: 100, scope: 'account', basis: 'credit' } as const;
    expect(mailText(last, 'https://t.example').text).toContain('Requests past it are refused.');
    expect(mailText(alert, 'https://t.example').text).not.toContain('refused');
  });

  it('is never marked up by a name', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (accountName, subjectName) => {
        const { html } = mailText({ ...alert, accountName, subjectName }, 'https://t.example');
        const own = mailText({ ...alert, accountName: '', subjectName: '' }, 'https://t.example');
        const tags = (text: string): readonly string[] => text.match(/<[^>]*>/g) ?? [];
        expect(tags(html)).toEqual(tags(own.html));
      }),
    );
    const html = mailText(
      { ...alert, accountName: `<img src=x onerror="a('b')">` },
      'https://t',
    ).html;
    expect(html).toContain('&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;');
  });
});

it('the message of an alert is JSON with exact amounts as text', () => {
  expect(JSON.parse(webhookBody(alert))).toEqual({
    type: 'budget.threshold_reached',
    timestamp: '2026-11-21T01:02:03.000Z',
    data: {
      id: alert.id,
      organization: 'acme',
      scope: 'token',
      subjectId: alert.subjectId,
      subjectName: 'ci',
      basis: 'limit',
      period: '2026-11',
      threshold: 80,
      usedUsd: '8.000000000001',
      limitUsd: '10',
    },
  });
});
