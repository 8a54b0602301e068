import type { AlertBasis } from '../domain/alerts.js';
import type { PicoUsd } from '../domain/money.js';

/** A threshold of a limit that was reached in a period. */
export interface Alert {
  readonly id: string;
  readonly accountId: string;
  /** The account, member or token whose limit it is. */
  readonly subjectId: string;
  readonly scope: 'account' | 'member' | 'token';
  readonly basis: AlertBasis;
  readonly period: string;
  /** Percent. */
  readonly threshold: number;
  readonly usedPicoUsd: PicoUsd;
  readonly limitPicoUsd: PicoUsd;
  readonly raisedAt: Date;
}

/** An alert with the names that people know its account and subject by. */
export interface NamedAlert extends Alert {
  readonly accountSlug: string;
  readonly accountName: string;
  /** Of the member or token; the account's own name otherwise. */
  readonly subjectName: string;
}

export type Channel = 'webhook' | 'email';

/** The way of one alert to one address. */
export interface Delivery {
  readonly channel: Channel;
  readonly target: string;
  readonly state: 'pending' | 'delivered' | 'dead';
  readonly attempts: number;
  readonly nextAttemptAt: Date | null;
  readonly deliveredAt: Date | null;
  readonly lastError: string | null;
}

/** How one attempt ended; `problem` is for people and holds nothing of the answer's body. */
export type SendResult =
  { readonly kind: 'delivered' } | { readonly kind: 'failed'; readonly problem: string };

/** The columns of `alerts`, named as in `AlertRecord`. */
export const ALERT_COLUMNS = `a.id::text, a.account_id::text, a.subject_id::text, a.scope, a.basis, a.period::text,
  a.threshold::int, a.used_pico_usd::text AS used, a.limit_pico_usd::text AS max, a.raised_at,
  c.slug AS account_slug, c.name AS account_name, coalesce(m.name, t.name, c.name) AS subject_name`;

/** Joined to `alerts a`: whom it is about. */
export const ALERT_NAMES = `JOIN accounts c ON c.id = a.account_id
  LEFT JOIN members m ON a.scope = 'member' AND m.id = a.subject_id
  LEFT JOIN tokens t ON a.scope = 'token' AND t.id = a.subject_id`;

export interface AlertRecord {
  readonly id: string;
  readonly account_id: string;
  readonly subject_id: string;
  readonly scope: Alert['scope'];
  readonly basis: AlertBasis;
  readonly period: string;
  readonly threshold: number;
  readonly used: string;
  readonly max: string;
  readonly raised_at: Date;
  readonly account_slug: string;
  readonly account_name: string;
  readonly subject_name: string;
}

export function alertOf(record: AlertRecord): NamedAlert {
  return {
    id: record.id,
    accountId: record.account_id,
    subjectId: record.subject_id,
    scope: record.scope,
    basis: record.basis,
    period: record.period,
    threshold: record.threshold,
    usedPicoUsd: BigInt(record.used),
    limitPicoUsd: BigInt(record.max),
    raisedAt: record.raised_at,
    accountSlug: record.account_slug,
    accountName: record.account_name,
    subjectName: record.subject_name,
  };
}
