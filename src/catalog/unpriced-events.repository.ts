import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { PriceRow } from '../domain/pricing.js';
import { ANY_MODEL } from '../domain/pricing.js';
import type { Attempt, EventOutcome } from '../metering/journal.js';
import { PRICE_COLUMNS, priceRowOf, type PriceRecord } from './price-record.js';

/** An event that waits for a price, as the journal keeps it. */
export interface UnpricedEvent {
  readonly id: string;
  readonly accountId: string;
  readonly memberId: string | null;
  readonly tokenId: string;
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly period: string;
  readonly admittedAt: Date;
  readonly settledAt: Date;
  readonly holdPicoUsd: bigint;
  /** As it is stored: a task of `domain/tasks.ts`. */
  readonly task: string;
  readonly outcome: EventOutcome;
  readonly servedAt: Date | null;
  readonly providerModelId: string | null;
  readonly providerRequestId: string | null;
  readonly status: number | null;
  /** Quantities by unit as decimal text. */
  readonly units: Readonly<Record<string, string>>;
  readonly reasoningTokens: bigint | null;
  readonly usageSource: 'provider' | 'estimated' | 'none';
  readonly providerReportedPicoUsd: bigint | null;
  readonly firstByteMs: number | null;
  readonly durationMs: number | null;
  readonly attempts: readonly Attempt[];
  readonly rawUsage: string | null;
  /** The answer never reached the caller: the account pays nothing of it. */
  readonly isWithheld: boolean;
}

/** A row of the book and when it was written. */
export interface ImportedPrice {
  readonly row: PriceRow;
  readonly importedAt: Date;
}

interface EventRecord {
  readonly id: string;
  readonly account_id: string;
  readonly member_id: string | null;
  readonly token_id: string;
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly period: string;
  readonly admitted_at: Date;
  readonly settled_at: Date;
  readonly hold_pico_usd: bigint;
  readonly task: string;
  readonly outcome: EventOutcome;
  readonly served_at: Date | null;
  readonly provider_model_id: string | null;
  readonly provider_request_id: string | null;
  readonly status: number | null;
  readonly units: Readonly<Record<string, string>>;
  readonly reasoning_tokens: bigint | null;
  readonly usage_source: 'provider' | 'estimated' | 'none';
  readonly provider_reported_pico_usd: bigint | null;
  readonly first_byte_ms: number | null;
  readonly duration_ms: number | null;
  readonly attempts: readonly Attempt[] | null;
  readonly raw_usage: string | null;
  readonly is_withheld: boolean;
}

@Injectable()
export class UnpricedEventsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Events that wait for a price, in order of id; of one provider, or of all (null). */
  async waiting(
    of: { readonly upstream: string; readonly provider: string } | null,
    afterId: string,
    limit: number,
  ): Promise<readonly UnpricedEvent[]> {
    const records = await this.database.prisma.$queryRawUnsafe<EventRecord[]>(
      `SELECT id::text, account_id::text, member_id::text, token_id::text, upstream, provider, model, period::text,
         admitted_at, settled_at, hold_pico_usd, task, outcome, served_at, provider_model_id, provider_request_id, status,
         units, reasoning_tokens, usage_source, provider_reported_pico_usd, first_byte_ms, duration_ms, attempts, raw_usage, is_withheld
       FROM usage_events
       WHERE state = 'unpriced' AND id > $1::uuid AND provider IS NOT NULL AND units IS NOT NULL AND NOT is_external
         AND ($2::text IS NULL OR upstream = $2) AND ($3::text IS NULL OR provider = $3)
       ORDER BY usage_events.id LIMIT $4::int`,
      afterId,
      of?.upstream ?? null,
      of?.provider ?? null,
      limit,
    );
    return records.map(eventOf);
  }

  /** Every row that could price a model of a provider, past and future. */
  async pricesFor(
    upstream: string,
    provider: string,
    model: string,
  ): Promise<readonly ImportedPrice[]> {
    const records = await this.database.prisma.$queryRawUnsafe<
      (PriceRecord & { imported_at: Date })[]
    >(
      `SELECT ${PRICE_COLUMNS}, imported_at FROM prices
       WHERE upstream = $1 AND provider = $2 AND model IN ($3, $4) ORDER BY id`,
      upstream,
      provider,
      model,
      ANY_MODEL,
    );
    return records.map((record) => ({ row: priceRowOf(record), importedAt: record.imported_at }));
  }
}

function eventOf(record: EventRecord): UnpricedEvent {
  return {
    id: record.id,
    accountId: record.account_id,
    memberId: record.member_id,
    tokenId: record.token_id,
    upstream: record.upstream,
    provider: record.provider,
    model: record.model,
    period: record.period,
    admittedAt: record.admitted_at,
    settledAt: record.settled_at,
    holdPicoUsd: record.hold_pico_usd,
    task: record.task,
    outcome: record.outcome,
    servedAt: record.served_at,
    providerModelId: record.provider_model_id,
    providerRequestId: record.provider_request_id,
    status: record.status,
    units: record.units,
    reasoningTokens: record.reasoning_tokens,
    usageSource: record.usage_source,
    providerReportedPicoUsd: record.provider_reported_pico_usd,
    firstByteMs: record.first_byte_ms,
    durationMs: record.duration_ms,
    attempts: record.attempts ?? [],
    rawUsage: record.raw_usage,
    isWithheld: record.is_withheld,
  };
}
