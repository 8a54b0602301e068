import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { UNITS } from '../domain/units.js';
import {
  DIMENSIONS,
  type Dimension,
  type GroupedUsage,
  type GroupedUsageQuery,
  unitsFrom,
  UsageAggregates,
  type UsageFigures,
  type UsageGroup,
} from './usage-query.js';

const DIMENSION_COLUMNS: Readonly<Record<Dimension, string>> = {
  provider: 'u.provider',
  model: 'u.model',
  member: 'u.member_id::text',
  token: 'u.token_id::text',
  task: 'u.task',
};

/** Column of a sum -> the aggregate over events `u`. */
const FIGURES: readonly (readonly [name: string, aggregate: string])[] = [
  ['requests', 'count(*)'],
  ['errors', `count(*) FILTER (WHERE u.outcome <> 'complete' OR u.status >= 400)`],
  ['input_tokens', 'sum(u.input_tokens)'],
  ['cached_input_tokens', 'sum(u.cached_input_tokens)'],
  ['output_tokens', 'sum(u.output_tokens)'],
  ['reasoning_tokens', 'sum(u.reasoning_tokens)'],
  ['cost', 'sum(u.cost_pico_usd)'],
  ['credit', 'sum(u.credit_pico_usd)'],
  ['pay_as_you_go', 'sum(u.pay_as_you_go_pico_usd)'],
  // numeric: an event that waits for a person may carry a quantity past BIGINT.
  ...UNITS.map((unit) => [`unit_${unit}`, `sum((u.units ->> '${unit}')::numeric)`] as const),
];

const listOf = (format: (name: string, aggregate: string) => string): string =>
  FIGURES.map(([name, aggregate]) => format(name, aggregate)).join(', ');

/**
 * One text for every query, so that a connection keeps one prepared statement whatever callers ask
 * for: a dimension that is not asked for is null in every row, a filter that is not given is null.
 * Walks the index (account_id, admitted_at, id). The row without a bucket is the totals. Times leave
 * as milliseconds and sums as text: neither depends on the session's time zone or on floats.
 */
const SQL = `
WITH groups AS (
  SELECT date_trunc($1::text, u.admitted_at, 'UTC') AS bucket,
    ${DIMENSIONS.map((name) => `CASE WHEN '${name}' = ANY($2::text[]) THEN ${DIMENSION_COLUMNS[name]} END AS ${name}`).join(',\n    ')},
    CASE WHEN cardinality($3::text[]) > 0 THEN ARRAY(
      SELECT u.tags ->> k.key FROM unnest($3::text[]) WITH ORDINALITY AS k(key, place) ORDER BY k.place
    ) END AS tags,
    ${listOf((name, aggregate) => `${aggregate} AS ${name}`)},
    max(u.settled_at) AS settled_until
  FROM usage_events u
  WHERE u.account_id = $4::uuid AND u.admitted_at >= $5::timestamptz AND u.admitted_at < $6::timestamptz
    AND ($7::timestamptz IS NULL OR u.settled_at <= $7::timestamptz)
    AND ($8::text IS NULL OR u.provider = $8::text)
    AND ($9::text IS NULL OR u.model = $9::text)
    AND ($10::uuid IS NULL OR u.member_id = $10::uuid)
    AND ($11::uuid IS NULL OR u.token_id = $11::uuid)
    AND ($12::text IS NULL OR u.task = $12::text)
    AND ($13::jsonb IS NULL OR u.tags @> $13::jsonb)
  GROUP BY 1, 2, 3, 4, 5, 6, 7
),
page AS (
  SELECT * FROM groups
  ORDER BY bucket, coalesce(cost, 0) DESC, ${DIMENSIONS.join(', ')}, tags
  LIMIT $14::bigint OFFSET $15::bigint
)
SELECT (extract(epoch FROM g.bucket) * 1000)::bigint AS bucket_ms, ${DIMENSIONS.map((name) => `g.${name}`).join(', ')},
  to_jsonb(g.tags) AS tags, ${listOf((name) => `g.${name}::text AS ${name}`)},
  (extract(epoch FROM g.settled_until) * 1000)::bigint AS settled_until_ms
FROM (
  SELECT NULL::timestamptz AS bucket, ${DIMENSIONS.map((name) => `NULL::text AS ${name}`).join(', ')},
    NULL::text[] AS tags, ${listOf((name) => `sum(${name}) AS ${name}`)}, max(settled_until) AS settled_until
  FROM groups
  UNION ALL
  SELECT * FROM page
) g
ORDER BY g.bucket NULLS FIRST, coalesce(g.cost, 0) DESC, ${DIMENSIONS.map((name) => `g.${name}`).join(', ')}, g.tags`;

type GroupRecord = Readonly<Record<Dimension, string | null>> &
  Readonly<Record<string, unknown>> & {
    readonly bucket_ms: bigint | null;
    readonly tags: readonly (string | null)[] | null;
    readonly settled_until_ms: bigint | null;
  };

/** Grouped usage straight from the ended events, in one statement. */
@Injectable()
export class UsageRepository extends UsageAggregates {
  constructor(private readonly database: DatabaseService) {
    super();
  }

  override async groupedUsage(query: GroupedUsageQuery): Promise<GroupedUsage> {
    const { filters } = query;
    const records = await this.database.prisma.$queryRawUnsafe<GroupRecord[]>(
      SQL,
      query.bucket,
      query.dimensions,
      query.tagKeys,
      query.accountId,
      query.start.toISOString(),
      query.end.toISOString(),
      query.settledUntil?.toISOString() ?? null,
      filters.provider,
      filters.model,
      filters.memberId,
      filters.tokenId,
      filters.task,
      Object.keys(filters.tags).length === 0 ? null : JSON.stringify(filters.tags),
      query.limit,
      query.offset,
    );
    const totals = records.find(({ bucket_ms: bucketMs }) => bucketMs === null);
    if (totals === undefined) throw new Error('usage: a query without totals');
    return {
      totals: figuresOf(totals),
      settledUntil:
        totals.settled_until_ms === null ? null : new Date(Number(totals.settled_until_ms)),
      groups: records.flatMap((record) => groupOf(record, query.dimensions)),
    };
  }
}

function groupOf(record: GroupRecord, dimensions: readonly Dimension[]): UsageGroup[] {
  if (record.bucket_ms === null) return [];
  return [
    {
      bucketStart: new Date(Number(record.bucket_ms)),
      dimensions: Object.fromEntries(dimensions.map((name) => [name, record[name]])),
      tagValues: record.tags ?? [],
      figures: figuresOf(record),
    },
  ];
}

function figuresOf(record: GroupRecord): UsageFigures {
  const sum = (name: string): bigint | null => {
    const text = record[name];
    return typeof text === 'string' ? BigInt(text) : null;
  };
  return {
    requests: sum('requests') ?? 0n,
    errors: sum('errors') ?? 0n,
    inputTokens: sum('input_tokens') ?? 0n,
    cachedInputTokens: sum('cached_input_tokens') ?? 0n,
    outputTokens: sum('output_tokens') ?? 0n,
    reasoningTokens: sum('reasoning_tokens') ?? 0n,
    units: unitsFrom((unit) => sum(`unit_${unit}`)),
    costPicoUsd: sum('cost') ?? 0n,
    creditPicoUsd: sum('credit') ?? 0n,
    payAsYouGoPicoUsd: sum('pay_as_you_go') ?? 0n,
  };
}
