import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { refusal, TollgateError } from '../domain/errors.js';

const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 200;
const CURSOR_MAX_CHARS = 1000;

/** `?limit=&cursor=` of every list; routes with more parameters extend it. */
export class PageQuery {
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: LIMIT_MAX, default: LIMIT_DEFAULT })
  @IsOptional()
  @Transform(({ value }: { value: unknown }) => wholeNumber(value))
  @IsInt({ message: `must be a whole number from 1 to ${LIMIT_MAX}` })
  @Min(1, { message: `must be a whole number from 1 to ${LIMIT_MAX}` })
  @Max(LIMIT_MAX, { message: `must be a whole number from 1 to ${LIMIT_MAX}` })
  limit: number = LIMIT_DEFAULT;

  @ApiPropertyOptional({ type: String, description: 'The `nextCursor` of the page before.' })
  @IsOptional()
  @IsString({ message: 'must be the nextCursor of the page before, given once' })
  @MaxLength(CURSOR_MAX_CHARS, { message: 'must be the nextCursor of the page before' })
  cursor?: string;
}

/** One page of a list; `nextCursor` is null on the last. */
export interface Page<Item> {
  readonly data: readonly Item[];
  readonly nextCursor: string | null;
}

/** The sort key of the last row of a page, in sort order. */
export type CursorTuple = readonly (string | number)[];

const PART_CHECKS = {
  uuid: (part: unknown): boolean => typeof part === 'string' && isUuid(part),
  time: (part: unknown): boolean => typeof part === 'string' && isTime(part),
  text: (part: unknown): boolean => typeof part === 'string' && !/[\p{Cc}\p{Cs}]/u.test(part),
  integer: (part: unknown): boolean => Number.isSafeInteger(part),
};

/** What a part of a cursor must be: it becomes a parameter of a query. */
export type CursorPart = keyof typeof PART_CHECKS;

type TupleOf<Shape extends readonly CursorPart[]> = {
  -readonly [Index in keyof Shape]: Shape[Index] extends 'integer' ? number : string;
};

/**
 * Reads a cursor of ours back; null without one (the first page).
 *
 * @param shape what its parts must be: `['time', 'uuid']` for a list by time, then id.
 * @throws TollgateError invalid_request when it is not a cursor of this list.
 */
export function readCursor<const Shape extends readonly CursorPart[]>(
  cursor: string | undefined,
  shape: Shape,
): TupleOf<Shape> | null {
  if (cursor === undefined) return null;
  const tuple = decode(cursor);
  const isOurs =
    tuple !== null &&
    tuple.length === shape.length &&
    shape.every((part, index) => PART_CHECKS[part](tuple[index]));
  if (isOurs) return tuple as TupleOf<Shape>;
  const problem = 'must be the nextCursor of the page before, unchanged';
  throw new TollgateError(
    refusal('invalid_request', `cursor ${problem}`, {
      param: 'cursor',
      details: [{ field: 'cursor', problem }],
    }),
  );
}

/**
 * A page from rows read with `LIMIT limit + 1`: the row too many says that there is more.
 *
 * @param keyOf the sort key of a row, as `readCursor` gets it back.
 */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => CursorTuple,
  present: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = rows.length > limit && last !== undefined;
  return { data: shown.map(present), nextCursor: hasMore ? writeCursor(keyOf(last)) : null };
}

export function writeCursor(tuple: CursorTuple): string {
  return Buffer.from(JSON.stringify(tuple)).toString('base64url');
}

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** As `toISOString` writes it, of a year that the database knows: 0000 is none. */
function isTime(text: string): boolean {
  const ms = Date.parse(text);
  return /^(?!0000)\d{4}-/.test(text) && !Number.isNaN(ms) && new Date(ms).toISOString() === text;
}

function decode(cursor: string): unknown[] | null {
  if (!/^[A-Za-z0-9_-]+$/.test(cursor)) return null;
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    return Array.isArray(value) ? (value as unknown[]) : null;
  } catch {
    return null;
  }
}

/** A query parameter is text; only plain digits are a number. */
function wholeNumber(value: unknown): unknown {
  return typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
}
