import { Inject, Injectable } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import type { PrismaClient } from '../database/prisma/client.js';
import type { PriceRow } from '../domain/pricing.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import { DIRECT_KINDS, routerKind } from './provider-routes.js';
import { canBeCalled } from './provider-settings.js';
import type {
  StoredCatalog,
  StoredModel,
  StoredProvider,
  StoredRoute,
  StoredUpstream,
} from './stored-catalog.js';
import { PRICE_COLUMNS, priceRowOf, type PriceRecord } from './price-record.js';

type Transaction = Omit<
  PrismaClient,
  '$connect' | '$disconnect' | '$on' | '$transaction' | '$use' | '$extends'
>;

interface ModelRecord {
  readonly upstream: string;
  readonly id: string;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly is_listed: boolean;
}

interface RouteRecord {
  readonly upstream: string;
  readonly model: string;
  readonly provider: string;
  readonly provider_model_id: string | null;
  readonly status: string;
  readonly context_length: number | null;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly is_listed: boolean;
  readonly is_price_stale: boolean;
}

interface ProviderRecord {
  readonly slug: string;
  readonly is_enabled: boolean;
  readonly kind: string | null;
  readonly base_url: string | null;
  readonly has_key: boolean;
  readonly on_client_gone: string | null;
  readonly stream_usage: string | null;
  readonly max_output_field: string | null;
  readonly rejects: string | null;
  readonly model_ids: Readonly<Record<string, string>> | null;
}

/** Rows a query: reading them turns them into objects in one go, and requests wait meanwhile. */
const PAGE = 500;
const READ_TIMEOUT_MS = 30_000;

/** What the store knows of models, providers and prices. */
@Injectable()
export class CatalogRepository {
  constructor(
    private readonly database: DatabaseService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Everything of every upstream at one moment of the database, but for prices that ended before an
   * instant.
   */
  async readAll(endedAfter: Date): Promise<StoredCatalog> {
    return this.database.prisma.$transaction(
      async (tx) => {
        const records = await readProviderRecords(tx);
        const upstreams = this.upstreamsOf(records);
        const names = upstreams.map(({ name }) => name);
        return {
          upstreams,
          models: await readModels(tx, names),
          routes: await readRoutes(tx, names),
          prices: await readPrices(tx, endedAfter),
          providers: records.map(providerOf),
        };
      },
      { isolationLevel: 'RepeatableRead', maxWait: READ_TIMEOUT_MS, timeout: READ_TIMEOUT_MS },
    );
  }

  private upstreamsOf(records: readonly ProviderRecord[]): readonly StoredUpstream[] {
    const router: StoredUpstream = {
      name: DEFAULT_UPSTREAM,
      kind: routerKind(this.config.upstream.baseUrl),
      isEnabled: true,
      provider: null,
      hasKey: true,
    };
    return [router, ...records.flatMap(upstreamOf)];
  }

  /** The provider is not asked for a stream's usage again, by any process. */
  async storeNoStreamUsage(provider: string): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `WITH stored AS (
         INSERT INTO providers (slug, stream_usage) VALUES ($1, 'never')
         ON CONFLICT (slug) DO UPDATE SET stream_usage = 'never' WHERE providers.stream_usage IS DISTINCT FROM 'never'
         RETURNING 1
       ) SELECT pg_notify('tollgate_catalog', 'providers')::text FROM stored`,
      provider,
    );
  }
}

async function readPrices(tx: Transaction, endedAfter: Date): Promise<readonly PriceRow[]> {
  const prices: PriceRow[] = [];
  const [last] = await tx.$queryRawUnsafe<{ id: bigint | null }[]>(
    'SELECT max(id) AS id FROM prices',
  );
  const lastId = last?.id ?? 0n;
  // By ranges of ids and not by LIMIT: however many rows have ended, each page is one look at the index.
  for (let afterId = 0n; afterId < lastId; afterId += BigInt(PAGE)) {
    const records = await tx.$queryRawUnsafe<PriceRecord[]>(
      `SELECT ${PRICE_COLUMNS} FROM prices
       WHERE id > $1::bigint AND id <= $2::bigint AND (effective_to IS NULL OR effective_to > $3::timestamptz)
       ORDER BY id`,
      afterId,
      afterId + BigInt(PAGE),
      endedAfter.toISOString(),
    );
    for (const record of records) prices.push(priceRowOf(record));
  }
  return prices;
}

async function readProviderRecords(tx: Transaction): Promise<readonly ProviderRecord[]> {
  return tx.$queryRawUnsafe<ProviderRecord[]>(
    `SELECT slug, is_enabled, kind, base_url, api_key IS NOT NULL AS has_key, on_client_gone, stream_usage,
       max_output_field, to_json(rejects)::text AS rejects, model_ids FROM providers ORDER BY slug`,
  );
}

function upstreamOf(record: ProviderRecord): readonly StoredUpstream[] {
  const { slug, base_url: baseUrl, has_key: hasKey } = record;
  if (!isOneOf(record.kind, DIRECT_KINDS)) return [];
  return [
    {
      name: slug,
      kind: record.kind,
      isEnabled: record.is_enabled,
      provider: slug,
      hasKey: canBeCalled({ slug, baseUrl, hasKey }),
    },
  ];
}

function providerOf(record: ProviderRecord): StoredProvider {
  return {
    slug: record.slug,
    isEnabled: record.is_enabled,
    onClientGone: isOneOf(record.on_client_gone, ['drain', 'abort']) ? record.on_client_gone : null,
    streamUsage: isOneOf(record.stream_usage, ['ask', 'never']) ? record.stream_usage : null,
    maxOutputField: record.max_output_field,
    rejects: record.rejects === null ? null : (JSON.parse(record.rejects) as string[]),
    modelIds: record.model_ids,
  };
}

async function readModels(
  tx: Transaction,
  upstreams: readonly string[],
): Promise<readonly StoredModel[]> {
  const models: StoredModel[] = [];
  for (;;) {
    const last = models.at(-1);
    const records = await tx.$queryRawUnsafe<ModelRecord[]>(
      `SELECT upstream, id, entry, is_listed FROM models
       WHERE upstream = ANY($1::text::text[]) AND (upstream, id) > ($2, $3)
       ORDER BY upstream, id LIMIT ${PAGE}`,
      arrayText(upstreams),
      last?.upstream ?? '',
      last?.id ?? '',
    );
    for (const { upstream, id, entry, is_listed } of records) {
      models.push({ upstream, id, entry, isListed: is_listed });
    }
    if (records.length < PAGE) return models;
  }
}

async function readRoutes(
  tx: Transaction,
  upstreams: readonly string[],
): Promise<readonly StoredRoute[]> {
  const routes: StoredRoute[] = [];
  for (;;) {
    const last = routes.at(-1);
    const records = await tx.$queryRawUnsafe<RouteRecord[]>(
      `SELECT upstream, model, provider, provider_model_id, status, context_length, entry, is_listed, is_price_stale
       FROM model_routes WHERE upstream = ANY($1::text::text[]) AND (upstream, model, provider) > ($2, $3, $4)
       ORDER BY upstream, model, provider LIMIT ${PAGE}`,
      arrayText(upstreams),
      last?.upstream ?? '',
      last?.model ?? '',
      last?.provider ?? '',
    );
    for (const record of records) {
      routes.push({
        upstream: record.upstream,
        model: record.model,
        provider: record.provider,
        providerModelId: record.provider_model_id,
        status: record.status === 'live' ? 'live' : 'error',
        contextLength: record.context_length,
        entry: record.entry,
        isListed: record.is_listed,
        isPriceStale: record.is_price_stale,
      });
    }
    if (records.length < PAGE) return routes;
  }
}

function isOneOf<const Choice extends string>(
  text: string | null,
  choices: readonly Choice[],
): text is Choice {
  return choices.some((choice) => choice === text);
}
