import type { PriceRow } from '../domain/pricing.js';
import type { TaggedQuery } from './query-rules.js';
import type { UsageFilters } from './usage-query.js';
import type { UsageFilterQuery } from './usage.dto.js';

export const EVENT_STATES = [
  'open',
  'pending',
  'settled',
  'released',
  'unpriced',
  'quarantined',
  'failed_to_bill',
] as const;

/** `open` until the request ends. */
export type EventState = (typeof EVENT_STATES)[number];

/** States that wait for a price or a person: an index of their own finds them. */
export const UNDECIDED_STATES: readonly EventState[] = ['pending', 'unpriced', 'quarantined'];

export const OUTCOMES = ['complete', 'client_gone', 'upstream_error', 'aborted'] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** Where a list goes on: after this event, towards older ones. */
export interface EventPosition {
  readonly admittedAt: Date;
  readonly id: string;
}

/** One account's requests, open ones included, newest first by admission, then id. */
export interface EventListQuery {
  readonly accountId: string;
  readonly start: Date | null;
  readonly end: Date | null;
  readonly filters: UsageFilters;
  readonly state: EventState | null;
  readonly outcome: Outcome | null;
  readonly clientRequestId: string | null;
  readonly sessionId: string | null;
  readonly after: EventPosition | null;
  readonly limit: number;
}

/** Requests of every account, newest first by id. */
export interface EventStateQuery {
  readonly state: EventState | null;
  readonly afterId: string | null;
  readonly limit: number;
}

/** An attempt as the journal keeps it, in the names of our API. */
export interface AttemptRecord {
  readonly upstream: string;
  readonly provider: string | null;
  readonly providerRequestId: string | null;
  readonly status: number | null;
  readonly error: string | null;
  readonly durationMs: number;
}

/** A price row that an event names. */
export interface PriceRowRecord {
  readonly id: bigint;
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly unit: string;
  readonly condition: string;
  readonly picoUsd: bigint;
  readonly perUnits: bigint;
  readonly effectiveFrom: Date;
  readonly effectiveTo: Date | null;
  readonly source: PriceRow['source'];
}

/** A request as the journal knows it now. Money in pico-USD; null: not known (yet). */
export interface EventRecord {
  readonly id: string;
  readonly accountId: string;
  readonly organization: string | null;
  readonly userId: string | null;
  readonly memberId: string | null;
  readonly tokenId: string;
  readonly tokenName: string | null;
  readonly createdAt: Date;
  readonly admittedAt: Date;
  readonly servedAt: Date | null;
  readonly settledAt: Date | null;
  readonly period: string;
  readonly state: EventState;
  readonly outcome: Outcome | null;
  readonly upstream: string;
  readonly provider: string | null;
  readonly model: string;
  readonly providerModelId: string | null;
  readonly providerRequestId: string | null;
  readonly task: string;
  readonly isStream: boolean;
  readonly status: number | null;
  readonly tags: Readonly<Record<string, string>> | null;
  readonly sessionId: string | null;
  readonly clientRequestId: string | null;
  readonly inputTokens: bigint | null;
  readonly cachedInputTokens: bigint | null;
  readonly outputTokens: bigint | null;
  readonly reasoningTokens: bigint | null;
  readonly units: Readonly<Record<string, string>> | null;
  readonly usageSource: string | null;
  readonly isPriceAssumed: boolean | null;
  readonly isExternal: boolean | null;
  readonly holdPicoUsd: bigint;
  readonly costPicoUsd: bigint | null;
  readonly creditPicoUsd: bigint | null;
  readonly payAsYouGoPicoUsd: bigint | null;
  readonly ratedCostPicoUsd: bigint | null;
  readonly absorbedPicoUsd: bigint | null;
  readonly providerReportedPicoUsd: bigint | null;
  readonly firstByteMs: number | null;
  readonly durationMs: number | null;
  readonly priceRows: readonly PriceRowRecord[];
  readonly attempts: readonly AttemptRecord[] | null;
}

/** The filters that usage and lists of requests share. */
export function filtersOf({ query, tags }: TaggedQuery<UsageFilterQuery>): UsageFilters {
  return {
    provider: query.provider ?? null,
    model: query.model ?? null,
    memberId: query.member ?? null,
    tokenId: query.token ?? null,
    task: query.task ?? null,
    tags,
  };
}
