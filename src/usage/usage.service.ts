import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { formatUsd } from '../domain/money.js';
import { periodBounds, periodOf } from '../domain/periods.js';
import { readCursor, writeCursor } from '../http/pagination.js';
import { invalidField } from '../http/validation.pipe.js';
import type { JsonOf } from './json-of.js';
import { instantOf, type TaggedQuery } from './query-rules.js';
import { filtersOf } from './requests-query.js';
import {
  type GroupedUsageQuery,
  isDimension,
  TAG_PREFIX,
  UsageAggregates,
  type UsageFigures,
  type UsageGroup,
} from './usage-query.js';
import type { UsageAnswer, UsageFiguresAnswer, UsageGroupAnswer, UsageQuery } from './usage.dto.js';

const SPAN_MAX_DAYS = 400;
const DAY_MS = 86_400_000;
const QUESTION_CHARS = 22;

/** What a page leaves to the next: the question, the span it was resolved to, how far it got. */
const CURSOR_SHAPE = ['text', 'time', 'time', 'time', 'integer'] as const;

interface Span {
  readonly start: Date;
  readonly end: Date;
}

/** Usage of one account over time. */
@Injectable()
export class UsageService {
  constructor(private readonly aggregates: UsageAggregates) {}

  /**
   * Groups of non-zero requests by bucket and dimensions. Later pages count only what had settled
   * when the first was read, so that a group moves across no page border while requests end.
   *
   * @param at now: where the span ends when the caller does not say.
   * @throws TollgateError invalid_request for a span or cursor that cannot be.
   */
  async groupedUsage(
    accountId: string,
    asked: TaggedQuery<UsageQuery>,
    at: Date,
  ): Promise<JsonOf<UsageAnswer>> {
    const { query } = asked;
    const question = digestOf(accountId, asked);
    const cursor = readUsageCursor(query.cursor, question);
    const span = cursor ?? spanOf(query, at);
    const names = query.groupBy ?? [];
    const grouped: GroupedUsageQuery = {
      accountId,
      start: span.start,
      end: span.end,
      bucket: query.bucket,
      dimensions: names.filter(isDimension),
      tagKeys: names
        .filter((name) => name.startsWith(TAG_PREFIX))
        .map((name) => name.slice(TAG_PREFIX.length)),
      filters: filtersOf(asked),
      settledUntil: cursor?.settledUntil ?? null,
      offset: cursor?.offset ?? 0,
      limit: query.limit + 1,
    };
    const { totals, settledUntil, groups } = await this.aggregates.groupedUsage(grouped);
    const hasMore = groups.length > query.limit && settledUntil !== null;
    return {
      start: span.start.toISOString(),
      end: span.end.toISOString(),
      bucket: query.bucket,
      data: groups.slice(0, query.limit).map((group) => groupAnswer(group, grouped.tagKeys)),
      totals: figuresAnswer(totals),
      nextCursor: hasMore
        ? writeCursor([
            question,
            span.start.toISOString(),
            span.end.toISOString(),
            (cursor?.settledUntil ?? settledUntil).toISOString(),
            grouped.offset + query.limit,
          ])
        : null,
    };
  }
}

function readUsageCursor(
  cursor: string | undefined,
  question: string,
): (Span & { readonly settledUntil: Date; readonly offset: number }) | null {
  const parts = readCursor(cursor, CURSOR_SHAPE);
  if (parts === null) return null;
  const [asked, start, end, settledUntil, offset] = parts;
  if (asked !== question) {
    throw invalidField(
      'cursor',
      'belongs to another query: repeat every other parameter, or start without a cursor',
    );
  }
  if (offset < 0)
    throw invalidField('cursor', 'must be the nextCursor of the page before, unchanged');
  return {
    start: new Date(start),
    end: new Date(end),
    settledUntil: new Date(settledUntil),
    offset,
  };
}

/** The current UTC month so far, or the asked span: without `start` the month that `end` closes. */
function spanOf(query: UsageQuery, at: Date): Span {
  const end = query.end === undefined ? at : instantOf(query.end);
  const lastInstant = new Date(end.getTime() - 1);
  const start =
    query.start === undefined ? periodBounds(periodOf(lastInstant)).start : instantOf(query.start);
  if (start >= end) {
    throw query.end === undefined
      ? invalidField('start', 'must be in the past, or give an end after it')
      : invalidField('end', 'must be after start: start is inclusive, end exclusive');
  }
  if (end.getTime() - start.getTime() > SPAN_MAX_DAYS * DAY_MS) {
    throw invalidField(
      'start',
      `must be at most ${SPAN_MAX_DAYS} days before end: ask for a shorter span`,
    );
  }
  return { start, end };
}

/** The same for every page of one question. */
function digestOf(accountId: string, { query, tags }: TaggedQuery<UsageQuery>): string {
  const asked = Object.entries(query).filter(([name]) => name !== 'cursor' && name !== 'limit');
  const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
    a < b ? -1 : 1;
  return createHash('sha256')
    .update(JSON.stringify([accountId, asked.sort(byName), Object.entries(tags).sort(byName)]))
    .digest('base64url')
    .slice(0, QUESTION_CHARS);
}

function groupAnswer(group: UsageGroup, tagKeys: readonly string[]): JsonOf<UsageGroupAnswer> {
  const tags = Object.fromEntries(
    tagKeys.map((key, index) => [`${TAG_PREFIX}${key}`, group.tagValues[index] ?? null]),
  );
  return {
    bucketStart: group.bucketStart.toISOString(),
    ...group.dimensions,
    ...tags,
    ...figuresAnswer(group.figures),
  };
}

function figuresAnswer(figures: UsageFigures): JsonOf<UsageFiguresAnswer> {
  return {
    requests: Number(figures.requests),
    errors: Number(figures.errors),
    inputTokens: Number(figures.inputTokens),
    cachedInputTokens: Number(figures.cachedInputTokens),
    outputTokens: Number(figures.outputTokens),
    reasoningTokens: Number(figures.reasoningTokens),
    units: Object.fromEntries(
      Object.entries(figures.units).map(([unit, quantity]) => [unit, quantity.toString()]),
    ),
    costUsd: formatUsd(figures.costPicoUsd),
    creditUsd: formatUsd(figures.creditPicoUsd),
    payAsYouGoUsd: formatUsd(figures.payAsYouGoPicoUsd),
  };
}
