import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { PrismaClient } from '../database/prisma/client.js';
import type { PriceRow } from '../domain/pricing.js';
import type {
  StoredCatalog,
  StoredModel,
  StoredProvider,
  StoredRoute,
} from './catalog-snapshot.js';
import { PRICE_COLUMNS, priceRowOf, type PriceRecord } from './price-record.js';

type Transaction = Omit<
  PrismaClient,
  '$connect' | '$disconnect' | '$on' | '$transaction' | '$use' | '$extends'
>;

interface ModelRecord {
  readonly id: string;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly is_listed: boolean;
}

interface RouteRecord {
  readonly model: string;
  readonly provider: string;
  readonly status: string;
  readonly context_length: number | null;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly is_listed: boolean;
  readonly is_price_stale: boolean;
}

interface ProviderRecord {
  readonly slug: string;
  readonly is_enabled: boolean;
  readonly on_client_gone: string | null;
  readonly stream_usage: string | null;
}

/** Rows a query: reading them turns them into objects in one go, and requests wait meanwhile. */
const PAGE = 500;
const READ_TIMEOUT_MS = 30_000;

/** What the store knows of models, providers and prices. */
@Injectable()
export class CatalogRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Everything at one moment of the database, but for prices that ended before an instant. */
  async read(upstream: string, endedAfter: Date): Promise<StoredCatalog> {
    return this.database.prisma.$transaction(
      async (tx) => ({
        upstream,
        models: await readModels(tx, upstream),
        routes: await readRoutes(tx, upstream),
        prices: await readPrices(tx, endedAfter),
        providers: await readProviders(tx),
      }),
      { isolationLevel: 'RepeatableRead', maxWait: READ_TIMEOUT_MS, timeout: READ_TIMEOUT_MS },
    );
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

async function readModels(tx: Transaction, upstream: string): Promise<readonly StoredModel[]> {
  const models: StoredModel[] = [];
  for (;;) {
    const records = await tx.$queryRawUnsafe<ModelRecord[]>(
      `SELECT id, entry, is_listed FROM models
       WHERE upstream = $1 AND id > $2 ORDER BY id LIMIT ${PAGE}`,
      upstream,
      models.at(-1)?.id ?? '',
    );
    for (const { id, entry, is_listed } of records) models.push({ id, entry, isListed: is_listed });
    if (records.length < PAGE) return models;
  }
}

async function readRoutes(tx: Transaction, upstream: string): Promise<readonly StoredRoute[]> {
  const routes: StoredRoute[] = [];
  for (;;) {
    const last = routes.at(-1);
    const records = await tx.$queryRawUnsafe<RouteRecord[]>(
      `SELECT model, provider, status, context_length, entry, is_listed, is_price_stale FROM model_routes
       WHERE upstream = $1 AND (model, provider) > ($2, $3) ORDER BY model, provider LIMIT ${PAGE}`,
      upstream,
      last?.model ?? '',
      last?.provider ?? '',
    );
    for (const record of records) {
      routes.push({
        model: record.model,
        provider: record.provider,
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

async function readProviders(tx: Transaction): Promise<readonly StoredProvider[]> {
  const records = await tx.$queryRawUnsafe<ProviderRecord[]>(
    'SELECT slug, is_enabled, on_client_gone, stream_usage FROM providers',
  );
  return records.map((record) => ({
    slug: record.slug,
    isEnabled: record.is_enabled,
    onClientGone: isOneOf(record.on_client_gone, ['drain', 'abort']) ? record.on_client_gone : null,
    streamUsage: isOneOf(record.stream_usage, ['ask', 'never']) ? record.stream_usage : null,
  }));
}

function isOneOf<const Choice extends string>(
  text: string | null,
  choices: readonly Choice[],
): text is Choice {
  return choices.some((choice) => choice === text);
}
