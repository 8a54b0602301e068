import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { PriceRow } from '../domain/pricing.js';
import type { PendingPrice } from './price-plan.js';
import {
  PENDING_COLUMNS,
  pendingOf,
  PRICE_COLUMNS,
  priceRowOf,
  type PendingRecord,
  type PriceRecord,
} from './price-record.js';

export interface PriceFilter {
  readonly upstream: string | null;
  readonly provider: string | null;
  readonly model: string | null;
  /** Rows in force at this instant; null: every row. */
  readonly at: Date | null;
}

export interface ListedPrice {
  readonly row: PriceRow;
  readonly importedAt: Date;
  /** It came from the catalogue, which no longer states it. */
  readonly isStale: boolean;
}

export interface ListedPending {
  readonly pending: PendingPrice;
  /** The row in force that it would replace. */
  readonly current: PriceRow | null;
}

/** The price book for reading. */
@Injectable()
export class PricesRepository {
  constructor(private readonly database: DatabaseService) {}

  /** In order of id. */
  async list(
    filter: PriceFilter,
    limit: number,
    afterId: number | null,
  ): Promise<readonly ListedPrice[]> {
    const records = await this.database.prisma.$queryRawUnsafe<
      (PriceRecord & { imported_at: Date; is_stale: boolean })[]
    >(
      `SELECT ${prefixed(PRICE_COLUMNS)}, p.imported_at,
         p.source = 'router_catalogue' AND p.effective_to IS NULL AND coalesce(r.is_price_stale, false) AS is_stale
       FROM prices p
       LEFT JOIN model_routes r ON r.upstream = p.upstream AND r.model = p.model AND r.provider = p.provider
       WHERE ($1::text IS NULL OR p.upstream = $1) AND ($2::text IS NULL OR p.provider = $2)
         AND ($3::text IS NULL OR p.model = $3)
         AND ($4::timestamptz IS NULL OR
           (p.effective_from <= $4::timestamptz AND (p.effective_to IS NULL OR p.effective_to > $4::timestamptz)))
         AND p.id > $5::bigint
       ORDER BY p.id LIMIT $6::int`,
      filter.upstream,
      filter.provider,
      filter.model,
      filter.at?.toISOString() ?? null,
      BigInt(afterId ?? 0),
      limit,
    );
    return records.map((record) => ({
      row: priceRowOf(record),
      importedAt: record.imported_at,
      isStale: record.is_stale,
    }));
  }

  /** Undecided ones, in order of id. */
  async pendings(
    limit: number,
    afterId: string | null,
    at: Date,
  ): Promise<readonly ListedPending[]> {
    const records = await this.database.prisma.$queryRawUnsafe<PendingRecord[]>(
      `SELECT ${PENDING_COLUMNS} FROM pending_prices
       WHERE decided_at IS NULL AND ($1::uuid IS NULL OR id > $1::uuid) ORDER BY pending_prices.id LIMIT $2::int`,
      afterId,
      limit,
    );
    const inForce = await this.database.prisma.$queryRawUnsafe<
      (PriceRecord & { pending: string })[]
    >(
      `SELECT w.id::text AS pending, ${prefixed(PRICE_COLUMNS)} FROM prices p
       JOIN pending_prices w USING (upstream, provider, model, unit, condition)
       WHERE w.id = ANY($1::text::uuid[]) AND p.effective_from <= $2::timestamptz
         AND (p.effective_to IS NULL OR p.effective_to > $2::timestamptz)`,
      `{${records.map(({ id }) => id).join(',')}}`,
      at.toISOString(),
    );
    const current = new Map(inForce.map((record) => [record.pending, priceRowOf(record)]));
    return records.map((record) => ({
      pending: pendingOf(record),
      current: current.get(record.id) ?? null,
    }));
  }
}

function prefixed(columns: string): string {
  return columns
    .split(', ')
    .map((column) => `p.${column}`)
    .join(', ');
}
