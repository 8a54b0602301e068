import { Injectable } from '@nestjs/common';
import { writeAudit, type AuditState } from '../database/audit.js';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import type { Actor } from '../http/actor.js';
import { DIRECT_KINDS } from './provider-routes.js';
import {
  untouchedProvider,
  type ProviderDecision,
  type ProviderSettings,
} from './provider-settings.js';

interface ProviderRecord {
  readonly slug: string;
  readonly is_enabled: boolean;
  readonly kind: string | null;
  readonly base_url: string | null;
  readonly api_key: Uint8Array | null;
  readonly api_key_key_id: string | null;
  readonly cost: string;
  readonly cost_api_url: string | null;
  readonly on_client_gone: string | null;
  readonly stream_usage: string | null;
  readonly max_output_field: string | null;
  readonly rejects: string | null;
  readonly model_ids: Readonly<Record<string, string>> | null;
}

const SELECT_PROVIDERS = `
  SELECT slug, is_enabled, kind, base_url, api_key, api_key_key_id, cost, cost_api_url, on_client_gone,
    stream_usage, max_output_field, to_json(rejects)::text AS rejects, model_ids
  FROM providers`;

/** What the operator decided about providers. Keys leave it sealed. */
@Injectable()
export class ProvidersRepository {
  constructor(private readonly database: DatabaseService) {}

  /** By slug. */
  async list(): Promise<readonly ProviderSettings[]> {
    const records = await this.database.prisma.$queryRawUnsafe<ProviderRecord[]>(
      `${SELECT_PROVIDERS} ORDER BY slug`,
    );
    return records.map(settingsOf);
  }

  async find(slug: string): Promise<ProviderSettings | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<ProviderRecord[]>(
      `${SELECT_PROVIDERS} WHERE slug = $1`,
      slug,
    );
    return record === undefined ? null : settingsOf(record);
  }

  /** Slugs that catalogues list or that have a price, sorted. */
  async mentioned(): Promise<readonly string[]> {
    const records = await this.database.prisma.$queryRawUnsafe<{ slug: string }[]>(
      `SELECT provider AS slug FROM model_routes UNION SELECT provider FROM prices ORDER BY 1`,
    );
    return records.map(({ slug }) => slug);
  }

  /** Stores what `decide` makes of the settings as they are, one change after the other. */
  async change(
    slug: string,
    decide: (current: ProviderSettings) => ProviderDecision,
    actor: Actor,
    at: Date,
  ): Promise<ProviderDecision> {
    return this.database.prisma.$transaction(async (tx) => {
      await tx.$queryRawUnsafe(
        `SELECT pg_advisory_xact_lock(hashtextextended('provider settings', 0))::text`,
      );
      const [record] = await tx.$queryRawUnsafe<ProviderRecord[]>(
        `${SELECT_PROVIDERS} WHERE slug = $1 FOR UPDATE`,
        slug,
      );
      const before = record === undefined ? null : settingsOf(record);
      const decision = decide(before ?? untouchedProvider(slug));
      if (decision.kind !== 'settings') return decision;
      const { settings } = decision;
      await tx.$executeRawUnsafe(
        STORE,
        slug,
        settings.isEnabled,
        settings.kind,
        settings.baseUrl,
        settings.apiKey === null ? null : new Uint8Array(settings.apiKey.box),
        settings.apiKey?.keyId ?? null,
        settings.cost,
        settings.costApiUrl,
        settings.onClientGone,
        settings.streamUsage,
        settings.maxOutputField,
        settings.rejects === null ? null : arrayText(settings.rejects),
        settings.modelIds === null ? null : JSON.stringify(settings.modelIds),
        at.toISOString(),
      );
      await writeAudit(tx, actor, at, {
        action: 'provider.update',
        subject: `provider:${slug}`,
        before: before === null ? null : auditStateOf(before),
        after: {
          ...auditStateOf(settings),
          isApiKeyNew: settings.apiKey !== null && settings.apiKey !== before?.apiKey,
        },
      });
      await tx.$queryRawUnsafe(
        `SELECT pg_notify('tollgate_catalog', 'providers')::text, pg_notify('tollgate_upstreams', '')::text`,
      );
      return decision;
    });
  }
}

const STORE = `
  INSERT INTO providers (slug, is_enabled, kind, base_url, api_key, api_key_key_id, cost, cost_api_url,
    on_client_gone, stream_usage, max_output_field, rejects, model_ids, updated_at)
  VALUES ($1, $2::boolean, $3, $4, $5::bytea, $6, $7, $8, $9, $10, $11, $12::text::text[], $13::text::jsonb, $14::timestamptz)
  ON CONFLICT (slug) DO UPDATE SET is_enabled = EXCLUDED.is_enabled, kind = EXCLUDED.kind, base_url = EXCLUDED.base_url,
    api_key = EXCLUDED.api_key, api_key_key_id = EXCLUDED.api_key_key_id, cost = EXCLUDED.cost,
    cost_api_url = EXCLUDED.cost_api_url, on_client_gone = EXCLUDED.on_client_gone, stream_usage = EXCLUDED.stream_usage,
    max_output_field = EXCLUDED.max_output_field, rejects = EXCLUDED.rejects, model_ids = EXCLUDED.model_ids,
    updated_at = EXCLUDED.updated_at`;

/** Everything but the key. */
function auditStateOf({ slug: _slug, apiKey, ...settings }: ProviderSettings): AuditState {
  return { ...settings, hasKey: apiKey !== null };
}

function settingsOf(record: ProviderRecord): ProviderSettings {
  const { api_key: box, api_key_key_id: keyId } = record;
  return {
    slug: record.slug,
    isEnabled: record.is_enabled,
    kind: oneOf(record.kind, DIRECT_KINDS),
    baseUrl: record.base_url,
    apiKey: box === null || keyId === null ? null : { keyId, box: Buffer.from(box) },
    cost: oneOf(record.cost, ['price_book', 'cost_api']) ?? 'price_book',
    costApiUrl: record.cost_api_url,
    onClientGone: oneOf(record.on_client_gone, ['drain', 'abort']),
    streamUsage: oneOf(record.stream_usage, ['ask', 'never']),
    maxOutputField: record.max_output_field,
    rejects: record.rejects === null ? null : (JSON.parse(record.rejects) as string[]),
    modelIds: record.model_ids,
  };
}

function oneOf<const Choice extends string>(
  text: string | null,
  choices: readonly Choice[],
): Choice | null {
  return choices.find((choice) => choice === text) ?? null;
}
