import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { ValidateBy, ValidateIf } from 'class-validator';
import { parseUsd } from '../domain/money.js';

const TEXT_DEFAULT_MAX_CHARS = 200;
/** Control characters and half surrogate pairs: PostgreSQL takes neither in text or jsonb. */
const UNSTORABLE = /[\p{Cc}\p{Cs}]/u;

/** First segments of our own paths: no organization may be called so. */
const RESERVED_SLUGS: ReadonlySet<unknown> = new Set([
  'api',
  'v1',
  'partners',
  'webhooks',
  'livez',
  'readyz',
  'metrics',
  'app',
  'assets',
  'auth',
]);

/** Whether a slug collides with a path of ours. */
export function isReservedSlug(slug: string): boolean {
  return RESERVED_SLUGS.has(slug);
}

/** A slug that does not collide with a path of ours. */
export function NotReserved(): PropertyDecorator {
  return rule('notReserved', 'is reserved: choose another', (value) => !RESERVED_SLUGS.has(value));
}

/** One line of text that is not blank; the spaces around it are dropped. */
export function IsLine(maxChars = TEXT_DEFAULT_MAX_CHARS): PropertyDecorator {
  const trimmed = Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' ? value.trim() : value,
  );
  const isLine = rule(
    'isLine',
    `must be text of 1 to ${maxChars} characters on one line`,
    (value) =>
      typeof value === 'string' &&
      value.trim() !== '' &&
      value.length <= maxChars &&
      !UNSTORABLE.test(value),
  );
  return applyDecorators(trimmed, isLine);
}

/** An amount of US dollars as decimal text, at least 0; read it with `parseUsd`. */
export function IsUsdAmount(): PropertyDecorator {
  return ruleWith(
    'isUsdAmount',
    (value) =>
      typeof value === 'number'
        ? `must be a decimal string: write "${value.toString()}" in quotes, a JSON number may lose digits`
        : 'must be an amount of USD as a decimal string such as "50.00": at least 0, at most 12 decimals',
    (value) => {
      const amount = typeof value === 'string' ? parseUsd(value) : null;
      return amount !== null && amount >= 0n;
    },
  );
}

/** An ISO 8601 instant with its offset: `2026-12-31T23:59:59Z`. */
export function IsInstant(): PropertyDecorator {
  return rule(
    'isInstant',
    'must be an ISO 8601 time with its offset, such as "2026-12-31T23:59:59Z"',
    (value) => typeof value === 'string' && INSTANT.test(value) && isRealInstant(value),
  );
}

/** Null is a value of its own here (no limit); leaving the field out is an error unless optional. */
export function OrNull(): PropertyDecorator {
  return ValidateIf((_object, value) => value !== null);
}

/** May be left out, but not null: null and absent are never confused. */
export function MayBeAbsent(): PropertyDecorator {
  return ValidateIf((_object, value) => value !== undefined);
}

/** May be left out (nothing changes) or null (none). */
export function MayBeAbsentOrNull(): PropertyDecorator {
  return ValidateIf((_object, value) => value !== undefined && value !== null);
}

const INSTANT = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;

/** `Date.parse` moves the 31st of a short month on to the next: such a day does not exist. */
function isRealInstant(text: string): boolean {
  const [, year = '', month = '', day = ''] = INSTANT.exec(text) ?? [];
  const days = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return Number(day) <= days && !Number.isNaN(Date.parse(text));
}

function rule(
  name: string,
  message: string,
  isValid: (value: unknown) => boolean,
): PropertyDecorator {
  return ruleWith(name, () => message, isValid);
}

function ruleWith(
  name: string,
  messageFor: (value: unknown) => string,
  isValid: (value: unknown) => boolean,
): PropertyDecorator {
  return applyDecorators(
    ValidateBy({
      name,
      validator: {
        validate: isValid,
        defaultMessage: (argument) => messageFor(argument?.value),
      },
    }),
  );
}
