import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, isEmail, ValidateBy } from 'class-validator';
import { ALERT_THRESHOLDS_MAX } from '../domain/alerts.js';
import { formatUsd } from '../domain/money.js';
import { MayBeAbsent, MayBeAbsentOrNull } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import type { Delivery, NamedAlert } from './alert.js';
import type { AlertSettings, AlertSettingsChange } from './alert-settings.js';

const EMAILS_MAX = 10;
const EMAIL_MAX_CHARS = 254;
const URL_MAX_CHARS = 1000;

export class SetAlerts {
  @ApiPropertyOptional({
    type: [Number],
    maxItems: ALERT_THRESHOLDS_MAX,
    example: [50, 80, 100],
    description: 'Percent of a limit; none: no alerts.',
  })
  @MayBeAbsent()
  @ListRule(
    'thresholds',
    `must be a list of at most ${ALERT_THRESHOLDS_MAX} different whole numbers from 1 to 100`,
    ALERT_THRESHOLDS_MAX,
    (item) => Number.isInteger(item) && Number(item) >= 1 && Number(item) <= 100,
  )
  thresholds?: number[];

  @ApiPropertyOptional({
    type: String,
    nullable: true,
    maxLength: URL_MAX_CHARS,
    description: 'Where signed messages (Standard Webhooks) are sent; null: nowhere.',
  })
  @MayBeAbsentOrNull()
  @ValidateBy({
    name: 'webhookUrl',
    validator: {
      validate: isWebhookUrl,
      defaultMessage: () =>
        `must be an http or https address of at most ${URL_MAX_CHARS} characters, without user, password and #, or null`,
    },
  })
  webhookUrl?: string | null;

  @ApiPropertyOptional({ type: [String], maxItems: EMAILS_MAX })
  @MayBeAbsent()
  @ListRule(
    'emails',
    `must be a list of at most ${EMAILS_MAX} different e-mail addresses`,
    EMAILS_MAX,
    (item) => typeof item === 'string' && item.length <= EMAIL_MAX_CHARS && isEmail(item),
  )
  emails?: string[];

  @ApiPropertyOptional({
    type: Boolean,
    description: 'True: a new secret, shown in this answer; the old one signs nothing any more.',
  })
  @MayBeAbsent()
  @IsBoolean({ message: 'must be true or false' })
  rotateWebhookSecret?: boolean;
}

class AlertSettingsView {
  @ApiProperty({ type: [Number] })
  thresholds!: number[];
  @ApiProperty({ type: String, nullable: true })
  webhookUrl!: string | null;
  @ApiProperty({ type: [String] })
  emails!: string[];
  @ApiProperty({
    type: String,
    nullable: true,
    description: '`whsec_...`, only in the answer that made it; null in every other.',
  })
  webhookSecret!: string | null;
}

const NULLABLE_TIME = { type: String, format: 'date-time', nullable: true } as const;

class AlertDeliveryView {
  @ApiProperty({ enum: ['webhook', 'email'] })
  channel!: 'webhook' | 'email';
  @ApiProperty({ type: String })
  target!: string;
  @ApiProperty({ enum: ['pending', 'delivered', 'dead'] })
  state!: 'pending' | 'delivered' | 'dead';
  @ApiProperty({ type: 'integer' })
  attempts!: number;
  @ApiProperty(NULLABLE_TIME)
  nextAttemptAt!: string | null;
  @ApiProperty(NULLABLE_TIME)
  deliveredAt!: string | null;
  @ApiProperty({ type: String, nullable: true })
  lastError!: string | null;
}

class AlertView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String, format: 'date-time' })
  raisedAt!: string;
  @ApiProperty({ enum: ['account', 'member', 'token'] })
  scope!: 'account' | 'member' | 'token';
  @ApiProperty({ type: String, format: 'uuid', description: 'The account, member or token.' })
  subjectId!: string;
  @ApiProperty({ type: String })
  subjectName!: string;
  @ApiProperty({
    enum: ['pay_as_you_go', 'credit', 'limit'],
    description: "What ran out: an account's pay-as-you-go or credit, or a limit of its own.",
  })
  basis!: 'pay_as_you_go' | 'credit' | 'limit';
  @ApiProperty({ type: String, example: '2026-11' })
  period!: string;
  @ApiProperty({ type: 'integer', minimum: 1, maximum: 100 })
  threshold!: number;
  @ApiProperty({ type: String, description: 'When it was raised.' })
  usedUsd!: string;
  @ApiProperty({ type: String })
  limitUsd!: string;
  @ApiProperty({ type: [AlertDeliveryView] })
  deliveries!: readonly AlertDeliveryView[];
}

export class AlertsPage {
  @ApiProperty({ type: AlertSettingsView })
  settings!: AlertSettingsView;
  @ApiProperty({ type: [AlertView] })
  data!: readonly AlertView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function viewOfSettings(
  { thresholds, webhookUrl, emails }: AlertSettings,
  newSecret: string | null,
): Plain<AlertSettingsView> {
  return { thresholds, webhookUrl, emails, webhookSecret: newSecret };
}

export function viewOfAlert({
  alert,
  deliveries,
}: {
  readonly alert: NamedAlert;
  readonly deliveries: readonly Delivery[];
}): Plain<AlertView> {
  return {
    id: alert.id,
    raisedAt: alert.raisedAt.toISOString(),
    scope: alert.scope,
    subjectId: alert.subjectId,
    subjectName: alert.subjectName,
    basis: alert.basis,
    period: alert.period,
    threshold: alert.threshold,
    usedUsd: formatUsd(alert.usedPicoUsd),
    limitUsd: formatUsd(alert.limitPicoUsd),
    deliveries: deliveries.map(({ nextAttemptAt, deliveredAt, ...others }) => ({
      ...others,
      nextAttemptAt: nextAttemptAt?.toISOString() ?? null,
      deliveredAt: deliveredAt?.toISOString() ?? null,
    })),
  };
}

/** A part that was left out stays out: it changes nothing. */
export function settingsChangeOf(body: SetAlerts): AlertSettingsChange {
  const { thresholds, webhookUrl, emails, rotateWebhookSecret } = body;
  return {
    ...(thresholds === undefined ? {} : { thresholds }),
    ...(webhookUrl === undefined ? {} : { webhookUrl }),
    ...(emails === undefined ? {} : { emails }),
    ...(rotateWebhookSecret === undefined ? {} : { rotateWebhookSecret }),
  };
}

/** A list of different values, each of which passes. */
function ListRule(
  name: string,
  problem: string,
  itemsMax: number,
  isItem: (item: unknown) => boolean,
): PropertyDecorator {
  return ValidateBy({
    name,
    validator: {
      validate: (value: unknown) =>
        Array.isArray(value) &&
        value.length <= itemsMax &&
        value.every(isItem) &&
        new Set(value.map((item) => String(item).toLowerCase())).size === value.length,
      defaultMessage: () => problem,
    },
  });
}

function isWebhookUrl(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > URL_MAX_CHARS) return false;
  if (/[\s\p{Cc}\p{Cs}]/u.test(value) || !URL.canParse(value)) return false;
  const { protocol, username, password, hash } = new URL(value);
  const isWeb = protocol === 'http:' || protocol === 'https:';
  return isWeb && username === '' && password === '' && hash === '';
}
