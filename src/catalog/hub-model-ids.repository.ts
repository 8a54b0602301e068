import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import type { RouteName } from './hub-names.js';
import {
  LOCK_TIMEOUT_MS,
  PRICE_BOOK_LOCK,
  TRANSACTION_TIMEOUT_MS,
} from './price-book.repository.js';

interface RouteRecord {
  readonly model: string;
  readonly provider: string;
  readonly provider_model_id: string | null;
  readonly is_listed: boolean;
}

/** What providers call the models of the router. */
@Injectable()
export class HubModelIdsRepository {
  constructor(private readonly database: DatabaseService) {}

  /**
   * Under the lock of the price book, since a listing writes the same rows.
   *
   * @param decide which names to store, from what is stored.
   * @returns how many were stored.
   */
  async rename(
    decide: (
      routes: readonly (RouteName & { readonly isListed: boolean })[],
    ) => readonly RouteName[],
  ): Promise<number> {
    return this.database.prisma.$transaction(
      async (tx) => {
        await tx.$executeRawUnsafe(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
        await tx.$queryRawUnsafe('SELECT pg_advisory_xact_lock($1::bigint)::text', PRICE_BOOK_LOCK);
        const records = await tx.$queryRawUnsafe<RouteRecord[]>(
          'SELECT model, provider, provider_model_id, is_listed FROM model_routes WHERE upstream = $1',
          DEFAULT_UPSTREAM,
        );
        const names = decide(
          records.map(({ model, provider, provider_model_id, is_listed }) => ({
            model,
            provider,
            providerModelId: provider_model_id,
            isListed: is_listed,
          })),
        );
        if (names.length === 0) return 0;
        await tx.$executeRawUnsafe(
          `UPDATE model_routes m SET provider_model_id = r.provider_model_id
           FROM jsonb_to_recordset($1::jsonb) AS r(model text, provider text, provider_model_id text)
           WHERE m.upstream = $2 AND m.model = r.model AND m.provider = r.provider`,
          JSON.stringify(
            names.map(({ model, provider, providerModelId }) => ({
              model,
              provider,
              provider_model_id: providerModelId,
            })),
          ),
          DEFAULT_UPSTREAM,
        );
        // Arrives at the commit, here and in every other process.
        await tx.$queryRawUnsafe(`SELECT pg_notify('tollgate_catalog', 'routes')::text`);
        return names.length;
      },
      { maxWait: LOCK_TIMEOUT_MS, timeout: TRANSACTION_TIMEOUT_MS },
    );
  }
}
