import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { DatabaseService } from '../database/database.service.js';
import type { PrismaClient } from '../database/prisma/client.js';
import { ANY_MODEL, type PriceRow } from '../domain/pricing.js';
import type { Actor } from '../http/actor.js';
import type {
  BookState,
  NewPending,
  NewPrice,
  PendingPrice,
  PriceSubject,
  RouteFlags,
  RowClosing,
} from './price-plan.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import {
  PENDING_COLUMNS,
  pendingOf,
  PRICE_COLUMNS,
  priceRowOf,
  type PendingRecord,
  type PriceRecord,
} from './price-record.js';
import type { ListedModel } from './catalogue-entry.js';

type Transaction = Omit<
  PrismaClient,
  '$connect' | '$disconnect' | '$on' | '$transaction' | '$use' | '$extends'
>;

/** Advisory lock: whoever changes the price book does so alone. */
export const PRICE_BOOK_LOCK = 7_061_101;
export const LOCK_TIMEOUT_MS = 10_000;
export const TRANSACTION_TIMEOUT_MS = 30_000;

/** Who did what to the price book, for the audit log. */
export interface AuditNote {
  readonly actor: Actor;
  readonly action: string;
  readonly subject: string;
  readonly before: object | null;
  readonly after: object | null;
}

/** The price book's only way in: one writer at a time, one transaction, one notice at its commit. */
@Injectable()
export class PriceBookRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Opens the book for one writer; what `work` throws undoes all of it. */
  async write<Result>(work: (book: OpenPriceBook) => Promise<Result>): Promise<Result> {
    return this.database.prisma.$transaction(
      async (tx) => {
        await tx.$executeRawUnsafe(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
        await tx.$queryRawUnsafe('SELECT pg_advisory_xact_lock($1::bigint)::text', PRICE_BOOK_LOCK);
        const book = new OpenPriceBook(tx);
        const result = await work(book);
        // Arrives at the commit, if there is one.
        if (book.hasChanged) {
          await tx.$queryRawUnsafe(`SELECT pg_notify('tollgate_catalog', 'prices')::text`);
        }
        return result;
      },
      { maxWait: LOCK_TIMEOUT_MS, timeout: TRANSACTION_TIMEOUT_MS },
    );
  }
}

/** The price book under its lock. */
export class OpenPriceBook {
  /** Whether anything was written that other processes keep in memory. */
  hasChanged = false;

  constructor(private readonly tx: Transaction) {}

  /** Every row, past and future, of the subject's provider with its model or `*`. */
  async rowsAround({ upstream, provider, model }: PriceSubject): Promise<readonly PriceRow[]> {
    const records = await this.tx.$queryRawUnsafe<PriceRecord[]>(
      `SELECT ${PRICE_COLUMNS} FROM prices
       WHERE upstream = $1 AND provider = $2 AND model IN ($3, $4) ORDER BY effective_from, id`,
      upstream,
      provider,
      model,
      ANY_MODEL,
    );
    return records.map(priceRowOf);
  }

  /** What a catalogue of this upstream is compared with. */
  async state(upstream: string, now: Date): Promise<BookState> {
    const prices = await this.tx.$queryRawUnsafe<PriceRecord[]>(
      `SELECT ${PRICE_COLUMNS} FROM prices
       WHERE upstream = $1 AND (effective_to IS NULL OR effective_to > $2::timestamptz) ORDER BY id`,
      upstream,
      now.toISOString(),
    );
    const pendings = await this.tx.$queryRawUnsafe<PendingRecord[]>(
      `SELECT DISTINCT ON (provider, model, unit, condition) ${PENDING_COLUMNS} FROM pending_prices
       WHERE upstream = $1 ORDER BY provider, model, unit, condition, created_at DESC, id DESC`,
      upstream,
    );
    const routes = await this.tx.$queryRawUnsafe<{ model: string; provider: string }[]>(
      'SELECT model, provider FROM model_routes WHERE upstream = $1',
      upstream,
    );
    return { rows: prices.map(priceRowOf), pendings: pendings.map(pendingOf), routes };
  }

  /** Ids that the catalogue of an upstream lists. */
  async listedModels(upstream: string): Promise<readonly string[]> {
    const models = await this.tx.$queryRawUnsafe<{ id: string }[]>(
      'SELECT id FROM models WHERE upstream = $1 AND is_listed',
      upstream,
    );
    return models.map(({ id }) => id);
  }

  /** Ends open rows. @throws Error when one has an end already. */
  async close(closings: readonly RowClosing[]): Promise<void> {
    if (closings.length === 0) return;
    const closed = await this.tx.$executeRawUnsafe(
      `UPDATE prices p SET effective_to = c.effective_to
       FROM jsonb_to_recordset($1::jsonb) AS c(id bigint, effective_to timestamptz)
       WHERE p.id = c.id AND p.effective_to IS NULL`,
      JSON.stringify(
        closings.map(({ rowId, effectiveTo }) => ({
          id: rowId.toString(),
          effective_to: effectiveTo,
        })),
      ),
    );
    if (closed !== closings.length) throw new Error('a price row had ended before');
    this.hasChanged = true;
  }

  async insert(prices: readonly NewPrice[], importedAt: Date): Promise<readonly PriceRow[]> {
    if (prices.length === 0) return [];
    const records = await this.tx.$queryRawUnsafe<PriceRecord[]>(
      `INSERT INTO prices (upstream, provider, model, unit, condition, pico_usd, per_units,
         effective_from, effective_to, source, imported_at)
       SELECT r.upstream, r.provider, r.model, r.unit, r.condition, r.pico_usd, r.per_units,
         r.effective_from, r.effective_to, r.source, $2::timestamptz
       FROM jsonb_to_recordset($1::jsonb) AS r(upstream text, provider text, model text, unit text, condition text,
         pico_usd bigint, per_units bigint, effective_from timestamptz, effective_to timestamptz, source text)
       RETURNING ${PRICE_COLUMNS}`,
      JSON.stringify(
        prices.map((price) => ({
          ...subjectRecord(price),
          effective_from: price.effectiveFrom,
          effective_to: price.effectiveTo,
        })),
      ),
      importedAt.toISOString(),
    );
    this.hasChanged = true;
    return records.map(priceRowOf);
  }

  async addPending(pendings: readonly NewPending[], createdAt: Date): Promise<void> {
    if (pendings.length === 0) return;
    await this.tx.$executeRawUnsafe(
      `INSERT INTO pending_prices (id, upstream, provider, model, unit, condition, pico_usd, per_units,
         source, reason, created_at)
       SELECT r.id, r.upstream, r.provider, r.model, r.unit, r.condition, r.pico_usd, r.per_units,
         r.source, r.reason, $2::timestamptz
       FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, upstream text, provider text, model text, unit text,
         condition text, pico_usd bigint, per_units bigint, source text, reason text)`,
      JSON.stringify(
        pendings.map((pending) => ({
          id: uuidv7(),
          ...subjectRecord(pending),
          reason: pending.reason,
        })),
      ),
      createdAt.toISOString(),
    );
  }

  /** A row that waits or waited for a decision; null: there is none of this id. */
  async pending(id: string): Promise<PendingPrice | null> {
    const [record] = await this.tx.$queryRawUnsafe<PendingRecord[]>(
      `SELECT ${PENDING_COLUMNS} FROM pending_prices WHERE id = $1::uuid`,
      id,
    );
    return record === undefined ? null : pendingOf(record);
  }

  async decide(
    ids: readonly string[],
    decision: NonNullable<PendingPrice['decision']>,
    decidedAt: Date,
  ): Promise<void> {
    if (ids.length === 0) return;
    const decided = await this.tx.$executeRawUnsafe(
      `UPDATE pending_prices SET decision = $2, decided_at = $3::timestamptz
       WHERE id = ANY($1::text::uuid[]) AND decided_at IS NULL`,
      `{${ids.join(',')}}`,
      decision,
      decidedAt.toISOString(),
    );
    if (decided !== ids.length) throw new Error('a pending price was decided before');
  }

  /** Models and providers as the catalogue lists them; only what differs is written. */
  async storeListing(
    upstream: string,
    models: readonly ListedModel[],
    flags: { readonly listed: readonly RouteFlags[]; readonly unlisted: readonly RouteFlags[] },
    syncedAt: Date,
  ): Promise<void> {
    const at = syncedAt.toISOString();
    const listedModels = JSON.stringify(models.map(({ id, entry }) => ({ id, entry })));
    const listedRoutes = JSON.stringify(routeRecords(models, flags.listed));
    const written = [
      await this.tx.$executeRawUnsafe(STORE_MODELS, listedModels, upstream, at),
      await this.tx.$executeRawUnsafe(UNLIST_MODELS, listedModels, upstream, at),
      await this.tx.$executeRawUnsafe(STORE_ROUTES, listedRoutes, upstream, at),
      await this.tx.$executeRawUnsafe(
        UNLIST_ROUTES,
        JSON.stringify(
          flags.unlisted.map(({ model, provider, isPriceStale }) => ({
            model,
            provider,
            is_price_stale: isPriceStale,
          })),
        ),
        upstream,
        at,
      ),
    ];
    if (written.some((count) => count > 0)) this.hasChanged = true;
  }

  async audit(note: AuditNote, at: Date): Promise<void> {
    await this.tx.$executeRawUnsafe(
      `INSERT INTO audit_log (id, at, actor, action, subject, before, after, address)
       VALUES ($1::uuid, $2::timestamptz, $3, $4, $5, $6::text::jsonb, $7::text::jsonb, $8)`,
      uuidv7(),
      at.toISOString(),
      note.actor.name,
      note.action,
      note.subject,
      note.before === null ? null : JSON.stringify(note.before),
      note.after === null ? null : JSON.stringify(note.after),
      note.actor.address,
    );
  }
}

const STORE_MODELS = `
INSERT INTO models (upstream, id, entry, is_listed, synced_at)
SELECT $2, r.id, r.entry, true, $3::timestamptz FROM jsonb_to_recordset($1::jsonb) AS r(id text, entry jsonb)
ON CONFLICT (upstream, id) DO UPDATE SET entry = EXCLUDED.entry, is_listed = true, synced_at = EXCLUDED.synced_at
WHERE models.entry IS DISTINCT FROM EXCLUDED.entry OR NOT models.is_listed`;

const UNLIST_MODELS = `
UPDATE models SET is_listed = false, synced_at = $3::timestamptz
WHERE upstream = $2 AND is_listed
  AND NOT EXISTS (SELECT 1 FROM jsonb_to_recordset($1::jsonb) AS r(id text) WHERE r.id = models.id)`;

/** The router's list never says what providers call models: what was learned elsewhere stays. */
const LISTED_PROVIDER_MODEL_ID = `CASE WHEN model_routes.upstream = '${DEFAULT_UPSTREAM}'
  THEN COALESCE(EXCLUDED.provider_model_id, model_routes.provider_model_id) ELSE EXCLUDED.provider_model_id END`;

const STORE_ROUTES = `
INSERT INTO model_routes (upstream, model, provider, provider_model_id, status, context_length, entry, is_listed, is_price_stale, synced_at)
SELECT $2, r.model, r.provider, r.provider_model_id, r.status, r.context_length, r.entry, true, r.is_price_stale, $3::timestamptz
FROM jsonb_to_recordset($1::jsonb) AS r(model text, provider text, provider_model_id text, status text, context_length int, entry jsonb,
  is_price_stale boolean)
ON CONFLICT (upstream, model, provider) DO UPDATE SET status = EXCLUDED.status, context_length = EXCLUDED.context_length,
  provider_model_id = ${LISTED_PROVIDER_MODEL_ID}, entry = EXCLUDED.entry, is_listed = true, is_price_stale = EXCLUDED.is_price_stale, synced_at = EXCLUDED.synced_at
WHERE (model_routes.status, model_routes.context_length, model_routes.provider_model_id, model_routes.entry, model_routes.is_listed, model_routes.is_price_stale)
  IS DISTINCT FROM (EXCLUDED.status, EXCLUDED.context_length, ${LISTED_PROVIDER_MODEL_ID}, EXCLUDED.entry, true, EXCLUDED.is_price_stale)`;

const UNLIST_ROUTES = `
UPDATE model_routes m SET is_listed = false, is_price_stale = r.is_price_stale, synced_at = $3::timestamptz
FROM jsonb_to_recordset($1::jsonb) AS r(model text, provider text, is_price_stale boolean)
WHERE m.upstream = $2 AND m.model = r.model AND m.provider = r.provider
  AND (m.is_listed OR m.is_price_stale <> r.is_price_stale)`;

function subjectRecord(price: NewPrice | NewPending): Record<string, string> {
  return {
    upstream: price.upstream,
    provider: price.provider,
    model: price.model,
    unit: price.unit,
    condition: price.condition ?? '',
    pico_usd: price.picoUsd.toString(),
    per_units: price.perUnits.toString(),
    source: price.source,
  };
}

function routeRecords(
  models: readonly ListedModel[],
  flags: readonly RouteFlags[],
): readonly object[] {
  const stale = new Map(
    flags.map(({ model, provider, isPriceStale }) => [`${provider} ${model}`, isPriceStale]),
  );
  return models.flatMap(({ id, routes }) =>
    routes.map(({ provider, status, contextLength, providerModelId, entry }) => ({
      model: id,
      provider,
      status,
      context_length: contextLength,
      provider_model_id: providerModelId,
      entry,
      is_price_stale: stale.get(`${provider} ${id}`) ?? false,
    })),
  );
}
