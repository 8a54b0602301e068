import { isJsonObject } from './answer-content.js';

/** The first error that an answer carried. Texts are bounded. */
export interface AnswerError {
  readonly message: string;
  readonly type: string | null;
  readonly code: string | null;
}

const MESSAGE_MAX_CHARS = 1000;
const NAME_MAX_CHARS = 128;

/**
 * The error that a JSON object states: an `error` member (text or object, also Groq's inside
 * `x_groq`), `type` or `object` equal to `error`. Null where it states none: `"error": null` is
 * what successful answers carry.
 */
export function errorOf(value: Readonly<Record<string, unknown>>): AnswerError | null {
  const error = value['error'];
  if (isStated(error)) return errorFrom(error);
  if (value['type'] === 'error' || value['object'] === 'error') return errorFrom(value);
  const groq = value['x_groq'];
  return isJsonObject(groq) && isStated(groq['error']) ? errorFrom(groq['error']) : null;
}

/** Reads an error out of whatever stands where an error is. */
export function errorFrom(value: unknown): AnswerError {
  if (!isJsonObject(value)) return { message: messageOf(value), type: null, code: null };
  const fields = isJsonObject(value['error']) ? value['error'] : value;
  return {
    message: messageOf(fields['message'] ?? fields['detail'] ?? fields['title'] ?? fields['error']),
    type: nameOf(fields['type']),
    code: nameOf(fields['code']),
  };
}

function isStated(error: unknown): boolean {
  return error !== undefined && error !== null && error !== false && error !== '';
}

function messageOf(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value.slice(0, MESSAGE_MAX_CHARS);
  return 'the provider stated no message';
}

function nameOf(value: unknown): string | null {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' ? value.slice(0, NAME_MAX_CHARS) : null;
}
