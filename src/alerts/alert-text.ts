import { formatUsd } from '../domain/money.js';
import type { NamedAlert } from './alert.js';

/** What a program is sent. Amounts are decimal text. */
export function webhookBody(alert: NamedAlert): string {
  return JSON.stringify({
    type: 'budget.threshold_reached',
    timestamp: alert.raisedAt.toISOString(),
    data: {
      id: alert.id,
      organization: alert.accountSlug,
      scope: alert.scope,
      subjectId: alert.subjectId,
      subjectName: alert.subjectName,
      basis: alert.basis,
      period: alert.period,
      threshold: alert.threshold,
      usedUsd: formatUsd(alert.usedPicoUsd),
      limitUsd: formatUsd(alert.limitPicoUsd),
    },
  });
}

/** What a person is sent. */
export interface MailText {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

/** @param publicUrl the only address that is linked. */
export function mailText(alert: NamedAlert, publicUrl: string): MailText {
  const what = subjectOf(alert);
  const limit = LIMIT_NAMES[alert.basis];
  const line = `${what} has used $${formatUsd(alert.usedPicoUsd)} of ${limit} of $${formatUsd(alert.limitPicoUsd)} in ${alert.period} (UTC). This message is sent once, at ${alert.threshold} %.`;
  const consequence = alert.threshold === 100 ? `Requests past it are refused.` : null;
  const lines = [line, ...(consequence === null ? [] : [consequence])];
  return {
    subject: `${alert.accountName}: ${alert.threshold} % of ${limit} used`,
    text: `${[...lines, publicUrl].join('\n\n')}\n`,
    html: [
      '<!doctype html><html><body style="font-family: sans-serif">',
      ...lines.map((one) => `<p>${escapeHtml(one)}</p>`),
      `<p><a href="${escapeHtml(publicUrl)}">${escapeHtml(publicUrl)}</a></p>`,
      '</body></html>',
    ].join('\n'),
  };
}

const LIMIT_NAMES = {
  pay_as_you_go: 'the monthly pay-as-you-go limit',
  credit: "the month's credit",
  limit: 'its monthly limit',
} as const;

function subjectOf({ scope, accountName, subjectName }: NamedAlert): string {
  switch (scope) {
    case 'account':
      return accountName;
    case 'member':
      return `The member ${subjectName} of ${accountName}`;
    case 'token':
      return `The token ${subjectName} of ${accountName}`;
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
