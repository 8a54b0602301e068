/**
 * Every error code that Tollgate answers with and its HTTP status: the one table. A code is stable
 * and means one thing; the message is for people and may change.
 */
export const ERROR_STATUS = {
  invalid_json: 400,
  invalid_request: 400,
  model_not_supported: 400,
  invalid_token: 401,
  credit_exhausted: 402,
  spend_limit_reached: 402,
  insufficient_funds: 402,
  insufficient_scope: 403,
  not_a_member: 403,
  provider_disabled: 403,
  unknown_route: 404,
  not_found: 404,
  request_timeout: 408,
  request_in_progress: 409,
  request_already_processed: 409,
  price_in_force: 409,
  period_not_over: 409,
  conflict: 409,
  request_too_large: 413,
  unsupported_media_type: 415,
  idempotency_key_reused: 422,
  rate_limit_exceeded: 429,
  internal_error: 500,
  upstream_error: 502,
  model_loading: 503,
  store_unavailable: 503,
  overloaded: 503,
  upstream_timeout: 504,
} as const satisfies Record<string, number>;

export type ErrorCode = keyof typeof ERROR_STATUS;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_STATUS, text);
}

/** The HTTP status of a code. */
export function errorStatus(code: ErrorCode): number {
  return ERROR_STATUS[code];
}

/** `error.type`: `invalid_request_error` for 400, `authentication_error` for 401, else the code. */
export function errorType(code: ErrorCode): string {
  const status = ERROR_STATUS[code];
  if (status === 400) return 'invalid_request_error';
  return status === 401 ? 'authentication_error' : code;
}

/** A value that JSON can carry; money in it is already decimal text. */
export type DetailValue =
  | string
  | number
  | boolean
  | null
  | readonly DetailValue[]
  | { readonly [name: string]: DetailValue };

export interface RefusalParts {
  /** The request field that is wrong (`error.param`). */
  readonly param?: string | null;
  readonly details?: DetailValue;
  /** `Retry-After`. */
  readonly retryAfterS?: number | null;
  /** `x-should-retry`; null: no header, the client decides by the status. */
  readonly shouldRetry?: boolean | null;
  /** `estimated_time`, beside `error`: seconds until a model is loaded, as the provider says. */
  readonly estimatedTimeS?: number | null;
}

/** An error answer of ours as a plain value: an expected outcome that HTTP only has to write down. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | null;
  readonly details: DetailValue;
  readonly retryAfterS: number | null;
  readonly shouldRetry: boolean | null;
  readonly estimatedTimeS: number | null;
}

/** Codes whose repetition is never worth a try, whatever else is known. */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'request_already_processed',
  'idempotency_key_reused',
  'upstream_timeout',
]);

/** Waits longer than this are left to people: clients sleep a `Retry-After` of any length. */
const RETRY_WAIT_MAX_S = 60;

/**
 * A refusal with the retry hints that follow from its code: never again on a final 409, on 422 and
 * 504 and on a 429 with a wait over 60 s. What the caller of this function states goes first.
 */
export function refusal(code: ErrorCode, message: string, parts: RefusalParts = {}): Refusal {
  const retryAfterS = parts.retryAfterS ?? null;
  const isFinal =
    FINAL.has(code) || (code === 'rate_limit_exceeded' && (retryAfterS ?? 0) > RETRY_WAIT_MAX_S);
  return {
    code,
    message,
    param: parts.param ?? null,
    details: parts.details ?? null,
    retryAfterS,
    shouldRetry: parts.shouldRetry ?? (isFinal ? false : null),
    estimatedTimeS: parts.estimatedTimeS ?? null,
  };
}

/** The body of an error answer; `/v1/messages` wraps the same `error` once more. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: ErrorCode;
    readonly details: DetailValue;
  };
  /** Where Hugging Face's clients look for it; only on `model_loading`. */
  readonly estimated_time?: number;
}

export function errorBody(refused: Refusal): ErrorBody {
  const { code, message, param, details, estimatedTimeS } = refused;
  return {
    error: { message, type: errorType(code), param, code, details },
    ...(estimatedTimeS === null ? {} : { estimated_time: estimatedTimeS }),
  };
}

/** A refusal on its way up from where no return value can carry it. Never for broken promises. */
export class TollgateError extends Error {
  override readonly name = 'TollgateError';

  constructor(readonly refusal: Refusal) {
    super(refusal.message);
  }
}
