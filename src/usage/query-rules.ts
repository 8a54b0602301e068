import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { isISO8601, ValidateBy } from 'class-validator';
import { ApiValidationPipe, invalidField } from '../http/validation.pipe.js';
import { isDimension, isTagKey, TAG_PREFIX } from './usage-query.js';

const GROUP_BY_MAX = 10;
const TAG_FILTERS_MAX = 10;
const TAG_VALUE_MAX_CHARS = 64;
const FIELD_SHOWN_MAX_CHARS = 80;
/** Years past any usage are refused: periods have four digits. */
const DAY = /^(?:19|20|21)\d{2}-\d{2}-\d{2}$/;
const INSTANT =
  /^(?:19|20|21)\d{2}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/;
/** A tag's value may be any text but what PostgreSQL cannot keep. */
const UNSTORABLE = /[\0\p{Cs}]/u;

/** An instant with its offset, or a day: its first instant in UTC. Read it with `instantOf`. */
export function IsInstantOrDay(): PropertyDecorator {
  return ValidateBy({
    name: 'isInstantOrDay',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && isInstantOrDay(value),
      defaultMessage: () =>
        'must be an ISO 8601 time with its offset, such as 2026-11-01T00:00:00Z, or a UTC day such as 2026-11-01',
    },
  });
}

function isInstantOrDay(text: string): boolean {
  if (!DAY.test(text) && !INSTANT.test(text)) return false;
  // `strict` refuses days that do not exist, `Date.parse` hours that do not.
  return isISO8601(text, { strict: true }) && !Number.isNaN(Date.parse(text));
}

/** The instant of a text that `IsInstantOrDay` let through. */
export function instantOf(text: string): Date {
  return new Date(text);
}

/** `a,b` or the parameter given several times -> a list; anything else stays as it is. */
export function CommaList(): PropertyDecorator {
  return Transform(({ value }: { value: unknown }) => {
    const parts: readonly unknown[] = Array.isArray(value) ? value : [value];
    return parts.flatMap((part) => (typeof part === 'string' ? part.split(',') : [part]));
  });
}

/** Dimensions and `tag:` keys, none twice. */
export function IsGroupBy(): PropertyDecorator {
  return ValidateBy({
    name: 'isGroupBy',
    validator: {
      validate: (value: unknown) => groupByProblem(value) === null,
      defaultMessage: (argument) => groupByProblem(argument?.value) ?? '',
    },
  });
}

function groupByProblem(value: unknown): string | null {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isKnown = (name: unknown): boolean =>
    typeof name === 'string' &&
    (isDimension(name) || (name.startsWith(TAG_PREFIX) && isTagKey(name.slice(TAG_PREFIX.length))));
  if (!names.every(isKnown)) {
    return 'must be a comma-separated list of provider, model, member, token, task and tag:<key> (a key is 1 to 64 of a-z 0-9 _ . -)';
  }
  if (new Set(names).size < names.length) return 'must name nothing twice';
  return names.length > GROUP_BY_MAX ? `must name at most ${GROUP_BY_MAX} things` : null;
}

/** A checked query with its `tag:<key>=<value>` parameters apart. */
export interface TaggedQuery<Query> {
  readonly query: Query;
  readonly tags: Readonly<Record<string, string>>;
}

/** Checks a query whose names are not all known beforehand: `tag:<key>` beside those of a DTO. */
@Injectable()
export class TaggedQueryPipe<Query extends object> implements PipeTransform<
  Record<string, unknown>,
  Promise<TaggedQuery<Query>>
> {
  private readonly pipe = new ApiValidationPipe();

  constructor(private readonly queryClass: new () => Query) {}

  async transform(
    value: Record<string, unknown>,
    metadata: ArgumentMetadata,
  ): Promise<TaggedQuery<Query>> {
    const entries = Object.entries(value);
    const isTag = ([name]: readonly [string, unknown]): boolean => name.startsWith(TAG_PREFIX);
    const query = await this.pipe.transform(
      Object.fromEntries(entries.filter((entry) => !isTag(entry))),
      { ...metadata, metatype: this.queryClass },
    );
    return { query: query as Query, tags: tagsFrom(entries.filter(isTag)) };
  }
}

function tagsFrom(entries: readonly (readonly [string, unknown])[]): Record<string, string> {
  if (entries.length > TAG_FILTERS_MAX) {
    throw invalidField('tag', `may be given for at most ${TAG_FILTERS_MAX} keys`);
  }
  // fromEntries defines properties of its own, whatever their names.
  return Object.fromEntries(
    entries.map(([name, value]) => {
      const key = name.slice(TAG_PREFIX.length);
      if (!isTagKey(key)) {
        throw invalidField(
          name.slice(0, FIELD_SHOWN_MAX_CHARS),
          'must be tag:<key>, the key 1 to 64 of a-z 0-9 _ . -',
        );
      }
      if (!isTagValue(value)) {
        const problem = `must be given once, with a value of at most ${TAG_VALUE_MAX_CHARS} characters`;
        throw invalidField(name, problem);
      }
      return [key, value];
    }),
  );
}

function isTagValue(value: unknown): value is string {
  return (
    typeof value === 'string' && value.length <= TAG_VALUE_MAX_CHARS && !UNSTORABLE.test(value)
  );
}
