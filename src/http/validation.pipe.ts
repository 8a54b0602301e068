import { ValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import { getMetadataStorage, type ValidationError } from 'class-validator';
import { refusal, TollgateError } from '../domain/errors.js';

/** One wrong field of a request: which, and how to mend it. */
interface FieldProblem {
  readonly field: string;
  readonly problem: string;
}

/** Classes that Nest hands through as they came: no rules of ours apply to them. */
const UNCHECKED: ReadonlySet<unknown> = new Set([String, Number, Boolean, Object, Array, Buffer]);

/**
 * Checks bodies and queries against their DTO class: wrong and unknown fields are refused by name
 * (400 `invalid_request` with `details: [{field, problem}]`), the handler gets an instance.
 */
export class ApiValidationPipe extends ValidationPipe {
  constructor() {
    super({
      transform: true,
      whitelist: true,
      forbidNonWhitelisted: true,
      validationError: { target: true, value: false },
      exceptionFactory: refuse,
    });
  }

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const { metatype } = metadata;
    const isChecked = metatype !== undefined && !UNCHECKED.has(metatype);
    if (
      metadata.type === 'body' &&
      metadata.data === undefined &&
      isChecked &&
      !isPlainObject(value)
    ) {
      throw new TollgateError(
        refusal(
          'invalid_json',
          'The body must be a JSON object, sent with content-type: application/json.',
        ),
      );
    }
    return super.transform(value, metadata) as Promise<unknown>;
  }
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
  );
}

function refuse(errors: readonly ValidationError[]): TollgateError {
  const problems = errors.flatMap((error) => problemsOf(error, ''));
  const message = problems.map(({ field, problem }) => `${field} ${problem}`).join('; ');
  return invalidFields(problems, message);
}

/** 400 for fields that only a service can judge, in the same shape as the pipe's. */
export function invalidField(field: string, problem: string): TollgateError {
  return invalidFields([{ field, problem }], `${field} ${problem}`);
}

function invalidFields(problems: readonly FieldProblem[], message: string): TollgateError {
  return new TollgateError(
    refusal('invalid_request', message, {
      param: problems[0]?.field ?? null,
      details: problems.map(({ field, problem }) => ({ field, problem })),
    }),
  );
}

function problemsOf(error: ValidationError, prefix: string): FieldProblem[] {
  const field = prefix + error.property;
  const own = Object.entries(error.constraints ?? {}).map(([rule, text]) => ({
    field,
    problem:
      rule === 'whitelistValidation' ? unknownField(error) : withoutName(text, error.property),
  }));
  const nested = (error.children ?? []).flatMap((child) => problemsOf(child, `${field}.`));
  // One field that breaks three rules is one problem to its sender: the first rule says it best.
  return [...own.slice(0, 1), ...nested];
}

function unknownField({ target }: ValidationError): string {
  const known = target === undefined ? [] : fieldsOf(target.constructor);
  return known.length === 0
    ? 'is not known: this route takes no fields'
    : `is not known; the fields are: ${known.join(', ')}`;
}

function fieldsOf(type: unknown): string[] {
  const rules = getMetadataStorage().getTargetValidationMetadatas(
    type as () => void,
    '',
    true,
    false,
  );
  return [...new Set(rules.map(({ propertyName }) => propertyName))];
}

/** class-validator begins its messages with the field's name; ours stands beside it. */
function withoutName(text: string, property: string): string {
  return text.startsWith(`${property} `) ? text.slice(property.length + 1) : text;
}
