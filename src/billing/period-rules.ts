import { ValidateBy } from 'class-validator';
import { isPeriod } from '../domain/periods.js';
import { invalidField } from '../http/validation.pipe.js';

const PROBLEM = 'must be a month as YYYY-MM';

/** `YYYY-MM`. */
export function IsPeriod(): PropertyDecorator {
  return ValidateBy({
    name: 'isPeriod',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && isPeriod(value),
      defaultMessage: () => PROBLEM,
    },
  });
}

/**
 * The period of a path.
 *
 * @throws TollgateError invalid_request when it is none.
 */
export function periodOfPath(text: string): string {
  if (isPeriod(text)) return text;
  throw invalidField('period', PROBLEM);
}
