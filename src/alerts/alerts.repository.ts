import { Injectable } from '@nestjs/common';
import {
  arrayText,
  namesOf,
  parametersOf,
  selectionOf,
  unnestOf,
  type Column,
} from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import { DEFAULT_ALERT_THRESHOLDS, type StandingAlert } from '../domain/alerts.js';
import {
  ALERT_COLUMNS,
  ALERT_NAMES,
  alertOf,
  type Alert,
  type AlertRecord,
  type Delivery,
  type NamedAlert,
} from './alert.js';

/** A budget that ends somewhere, with what its account wants to be told and what it was told. */
export interface WatchedBudget {
  readonly subjectId: string;
  readonly accountId: string;
  readonly scope: Alert['scope'];
  readonly isPayAsYouGo: boolean;
  readonly limitPicoUsd: bigint | null;
  readonly usedPicoUsd: bigint;
  /** As the journal stores it; null: none. */
  readonly creditText: string | null;
  readonly thresholds: readonly number[];
  /** Alerts of the period that were not rearmed. */
  readonly told: readonly StandingAlert[];
}

interface BudgetRecord {
  readonly subject_id: string;
  readonly account_id: string;
  readonly scope: Alert['scope'];
  readonly is_pay_as_you_go: boolean;
  readonly max: string | null;
  readonly used: string;
  readonly credit: string | null;
  readonly thresholds: string;
  readonly told: string;
}

interface ToldRecord {
  readonly id: string;
  readonly basis: Alert['basis'];
  readonly threshold: number;
  readonly max: string;
}

interface DeliveryRecord {
  readonly alert_id: string;
  readonly channel: Delivery['channel'];
  readonly target: string;
  readonly state: Delivery['state'];
  readonly attempts: number;
  readonly next_attempt_at: Date | null;
  readonly delivered_at: Date | null;
  readonly last_error: string | null;
}

const NEW_ALERT: readonly Column<Alert>[] = [
  { name: 'id', type: 'uuid', of: ({ id }) => id },
  { name: 'account_id', type: 'uuid', of: ({ accountId }) => accountId },
  { name: 'subject_id', type: 'uuid', of: ({ subjectId }) => subjectId },
  { name: 'scope', type: 'text', of: ({ scope }) => scope },
  { name: 'basis', type: 'text', of: ({ basis }) => basis },
  { name: 'period', type: 'text', of: ({ period }) => period },
  { name: 'threshold', type: 'smallint', of: ({ threshold }) => threshold },
  { name: 'used_pico_usd', type: 'numeric', of: ({ usedPicoUsd }) => usedPicoUsd },
  { name: 'limit_pico_usd', type: 'numeric', of: ({ limitPicoUsd }) => limitPicoUsd },
  { name: 'raised_at', type: 'timestamptz', of: ({ raisedAt }) => raisedAt.toISOString() },
];

/** Budgets of the period that end somewhere and were used. */
const SELECT_BUDGETS = `
  SELECT b.subject_id::text, b.account_id::text, b.scope, b.is_pay_as_you_go, b.limit_pico_usd::text AS max,
    b.used_pico_usd::text AS used, b.credit::text AS credit,
    coalesce(to_json(s.thresholds)::text, $2) AS thresholds,
    (SELECT coalesce(json_agg(json_build_object('id', a.id, 'basis', a.basis, 'threshold', a.threshold, 'max', a.limit_pico_usd::text)), '[]')::text
      FROM alerts a WHERE a.subject_id = b.subject_id AND a.period = b.period AND a.rearmed_at IS NULL) AS told
  FROM budgets b LEFT JOIN alert_settings s ON s.account_id = b.account_id
  WHERE b.period = $1 AND NOT b.is_closed
    AND (b.limit_pico_usd IS NOT NULL OR (b.scope = 'account' AND NOT b.is_pay_as_you_go))
    AND (b.used_pico_usd > 0 OR b.credit IS NOT NULL)`;

@Injectable()
export class AlertsRepository {
  constructor(private readonly database: DatabaseService) {}

  async budgetsOf(
    subjectIds: readonly string[],
    period: string,
  ): Promise<readonly WatchedBudget[]> {
    return this.budgets('b.subject_id = ANY($3::text::uuid[])', period, arrayText(subjectIds));
  }

  /** In order of their id, after `afterId`. */
  async budgetsAfter(
    afterId: string,
    limit: number,
    period: string,
  ): Promise<readonly WatchedBudget[]> {
    return this.budgets(
      'b.subject_id > $3::text::uuid ORDER BY b.subject_id LIMIT $4::int',
      period,
      afterId,
      limit,
    );
  }

  /** Lets alerts be raised again; nothing of those that another process has rearmed. */
  async rearm(ids: readonly string[], at: Date): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `UPDATE alerts SET rearmed_at = greatest($2::text::timestamptz, raised_at)
       WHERE id = ANY($1::text::uuid[]) AND rearmed_at IS NULL`,
      arrayText(ids),
      at.toISOString(),
    );
  }

  /**
   * Stores the alerts that no other process has stored before, each with its deliveries.
   *
   * @param alerts in an order that every process uses: two that insert the same ones wait for each
   *   other only one way.
   * @returns the ids of those that are new.
   */
  async raise(alerts: readonly Alert[]): Promise<readonly string[]> {
    const rows = await this.database.prisma.$queryRawUnsafe<{ id: string }[]>(
      `WITH raised AS (
         INSERT INTO alerts (${namesOf(NEW_ALERT)})
         SELECT ${selectionOf(NEW_ALERT, 'n')} FROM ${unnestOf(NEW_ALERT, 'n', 1)}
         ON CONFLICT (subject_id, period, basis, threshold) WHERE rearmed_at IS NULL DO NOTHING
         RETURNING id, account_id, raised_at
       ), told AS (
         INSERT INTO alert_deliveries (alert_id, position, account_id, channel, target, state, next_attempt_at)
         SELECT r.id, t.position, r.account_id, t.channel, t.target, 'pending', r.raised_at
         FROM raised r JOIN alert_settings s ON s.account_id = r.account_id
         CROSS JOIN LATERAL (
           SELECT 0 AS position, 'webhook' AS channel, s.webhook_url AS target WHERE s.webhook_url IS NOT NULL
           UNION ALL
           SELECT e.position, 'email', e.email FROM unnest(s.emails) WITH ORDINALITY AS e(email, position)
         ) t
       )
       SELECT id::text FROM raised`,
      ...parametersOf(NEW_ALERT, alerts),
    );
    return rows.map(({ id }) => id);
  }

  /** Newest first. */
  async list(
    accountId: string,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly { readonly alert: NamedAlert; readonly deliveries: readonly Delivery[] }[]> {
    const { prisma } = this.database;
    const records = await prisma.$queryRawUnsafe<AlertRecord[]>(
      `SELECT ${ALERT_COLUMNS} FROM alerts a ${ALERT_NAMES}
       WHERE a.account_id = $1::text::uuid AND ($2::text IS NULL OR a.id < $2::text::uuid)
       ORDER BY a.id DESC LIMIT $3::int`,
      accountId,
      beforeId,
      limit,
    );
    const deliveries = await prisma.$queryRawUnsafe<DeliveryRecord[]>(
      `SELECT alert_id::text, channel, target, state, attempts, next_attempt_at, delivered_at, last_error
       FROM alert_deliveries WHERE alert_id = ANY($1::text::uuid[]) ORDER BY alert_id, position`,
      arrayText(records.map(({ id }) => id)),
    );
    return records.map((record) => ({
      alert: alertOf(record),
      deliveries: deliveries.filter(({ alert_id }) => alert_id === record.id).map(deliveryOf),
    }));
  }

  private async budgets(
    condition: string,
    period: string,
    ...values: readonly (string | number)[]
  ): Promise<readonly WatchedBudget[]> {
    const records = await this.database.prisma.$queryRawUnsafe<BudgetRecord[]>(
      `${SELECT_BUDGETS} AND ${condition}`,
      period,
      JSON.stringify(DEFAULT_ALERT_THRESHOLDS),
      ...values,
    );
    return records.map((record) => ({
      subjectId: record.subject_id,
      accountId: record.account_id,
      scope: record.scope,
      isPayAsYouGo: record.is_pay_as_you_go,
      limitPicoUsd: record.max === null ? null : BigInt(record.max),
      usedPicoUsd: BigInt(record.used),
      creditText: record.credit,
      thresholds: JSON.parse(record.thresholds) as number[],
      told: (JSON.parse(record.told) as ToldRecord[]).map(({ max, ...alert }) => ({
        ...alert,
        limitPicoUsd: BigInt(max),
      })),
    }));
  }
}

function deliveryOf(record: DeliveryRecord): Delivery {
  return {
    channel: record.channel,
    target: record.target,
    state: record.state,
    attempts: record.attempts,
    nextAttemptAt: record.next_attempt_at,
    deliveredAt: record.delivered_at,
    lastError: record.last_error,
  };
}
