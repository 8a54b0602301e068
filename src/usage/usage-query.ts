import { UNITS, type Unit } from '../domain/units.js';

export const BUCKETS = ['hour', 'day', 'month'] as const;

/** Length of a time bucket; all are cut in UTC. */
export type Bucket = (typeof BUCKETS)[number];

export const DIMENSIONS = ['provider', 'model', 'member', 'token', 'task'] as const;

/** What usage can be grouped and filtered by, besides tags. */
export type Dimension = (typeof DIMENSIONS)[number];

export function isDimension(text: string): text is Dimension {
  return (DIMENSIONS as readonly string[]).includes(text);
}

/** How a tag is written among dimensions, in queries and in answers: `tag:project`. */
export const TAG_PREFIX = 'tag:';
const TAG_KEY = /^[a-z0-9_.-]{1,64}$/;

/** A tag's key as requests may carry it. */
export function isTagKey(text: string): boolean {
  return TAG_KEY.test(text);
}

/** Equality filters; an absent one takes everything. All of them must hold. */
export interface UsageFilters {
  readonly provider: string | null;
  readonly model: string | null;
  readonly memberId: string | null;
  readonly tokenId: string | null;
  readonly task: string | null;
  /** Tags that an event must carry with exactly these values. */
  readonly tags: Readonly<Record<string, string>>;
}

/** One account's ended events, grouped. Times are half-open: `start` inclusive, `end` exclusive. */
export interface GroupedUsageQuery {
  readonly accountId: string;
  readonly start: Date;
  readonly end: Date;
  readonly bucket: Bucket;
  readonly dimensions: readonly Dimension[];
  readonly tagKeys: readonly string[];
  readonly filters: UsageFilters;
  /** Only what had settled by then; null: everything. Later pages stand still with it. */
  readonly settledUntil: Date | null;
  readonly offset: number;
  readonly limit: number;
}

/** Sums over ended events. Money in pico-USD; what no event reported adds nothing. */
export interface UsageFigures {
  readonly requests: bigint;
  /** Events with an outcome other than `complete`, or a status of 400 and above. */
  readonly errors: bigint;
  readonly inputTokens: bigint;
  readonly cachedInputTokens: bigint;
  readonly outputTokens: bigint;
  readonly reasoningTokens: bigint;
  /** Only the units that some event reported. */
  readonly units: Readonly<Partial<Record<Unit, bigint>>>;
  readonly costPicoUsd: bigint;
  readonly creditPicoUsd: bigint;
  readonly payAsYouGoPicoUsd: bigint;
}

export interface UsageGroup {
  readonly bucketStart: Date;
  /** By dimension; only those grouped by. Null: events without one. */
  readonly dimensions: Readonly<Partial<Record<Dimension, string | null>>>;
  /** In the order of `tagKeys`. */
  readonly tagValues: readonly (string | null)[];
  readonly figures: UsageFigures;
}

export interface GroupedUsage {
  /** Of the whole query, not of the page. */
  readonly totals: UsageFigures;
  /** The latest settlement counted; null when nothing matched. */
  readonly settledUntil: Date | null;
  /** From `offset`, at most `limit`; by bucket, then cost descending, then keys. */
  readonly groups: readonly UsageGroup[];
}

/** Grouped usage of one account. A port: a columnar store can stand behind it. */
export abstract class UsageAggregates {
  abstract groupedUsage(query: GroupedUsageQuery): Promise<GroupedUsage>;
}

/** Figures of units by unit, in the order of the price book's list. */
export function unitsFrom(
  quantityOf: (unit: Unit) => bigint | null,
): Readonly<Partial<Record<Unit, bigint>>> {
  const units: Partial<Record<Unit, bigint>> = {};
  for (const unit of UNITS) {
    const quantity = quantityOf(unit);
    if (quantity !== null) units[unit] = quantity;
  }
  return units;
}
