import { Transform } from 'class-transformer';
import { applyDecorators } from '@nestjs/common';
import { ValidateBy } from 'class-validator';
import { PICO_USD_PER_CENT } from '../domain/invoices.js';
import { parseUsd } from '../domain/money.js';
import { IsInstant } from '../http/field-rules.js';

/** Control characters but the line feed, and half surrogate pairs: the store takes neither. */
const UNSTORABLE = /[\p{Cs}]|(?!\n)\p{Cc}/u;
/** Periods have four digits, and times before any of ours are typing errors. */
const YEAR_MIN = 2000;
const YEAR_MAX = 9998;

/** An amount above 0 as decimal text; read it with `usdOf`. */
export function IsPositiveUsd(): PropertyDecorator {
  return amountRule('isPositiveUsd', 'above 0', (amount) => amount > 0n);
}

/** An amount above or below 0 as decimal text; read it with `usdOf`. */
export function IsSignedUsd(): PropertyDecorator {
  return amountRule('isSignedUsd', 'above or below 0', (amount) => amount !== 0n);
}

/** An amount above 0 in whole cents as decimal text; read it with `centsOf`. */
export function IsWholeCents(): PropertyDecorator {
  return amountRule(
    'isWholeCents',
    'above 0 and in whole cents',
    (amount) => amount > 0n && amount % PICO_USD_PER_CENT === 0n,
  );
}

function amountRule(
  name: string,
  which: string,
  isValid: (amount: bigint) => boolean,
): PropertyDecorator {
  return ValidateBy({
    name,
    validator: {
      validate: (value: unknown) => {
        const amount = typeof value === 'string' ? parseUsd(value) : null;
        return amount !== null && isValid(amount);
      },
      defaultMessage: (argument) =>
        typeof argument?.value === 'number'
          ? `must be a decimal string: write "${argument.value}" in quotes, a JSON number may lose digits`
          : `must be an amount of USD as a decimal string such as "50.00": ${which}, at most 12 decimals, at most 9223372.036854775807`,
    },
  });
}

/** The amount of a text that a rule let through. */
export function usdOf(text: string): bigint {
  const amount = parseUsd(text);
  if (amount === null) throw new Error(`billing: ${text} was let through as an amount`);
  return amount;
}

/** The cents of a text that `IsWholeCents` let through. */
export function centsOf(text: string): bigint {
  return usdOf(text) / PICO_USD_PER_CENT;
}

/** An instant that the books can take: of a year with four digits, and not before any of ours. */
export function IsBookableInstant(): PropertyDecorator {
  return applyDecorators(
    IsInstant(),
    ValidateBy({
      name: 'isBookableInstant',
      validator: {
        validate: (value: unknown) => {
          const year = typeof value === 'string' ? new Date(value).getUTCFullYear() : Number.NaN;
          return year >= YEAR_MIN && year <= YEAR_MAX;
        },
        defaultMessage: () =>
          `must be an ISO 8601 time with its offset, of the years ${YEAR_MIN} to ${YEAR_MAX}`,
      },
    }),
  );
}

/** Text of several lines that is not blank, such as an address. */
export function IsLines(maxChars: number): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }: { value: unknown }) =>
      typeof value === 'string' ? value.replaceAll('\r\n', '\n').trim() : value,
    ),
    ValidateBy({
      name: 'isLines',
      validator: {
        validate: (value: unknown) =>
          typeof value === 'string' &&
          value.trim() !== '' &&
          value.length <= maxChars &&
          !UNSTORABLE.test(value),
        defaultMessage: () =>
          `must be text of 1 to ${maxChars} characters, its lines separated by line feeds`,
      },
    }),
  );
}
