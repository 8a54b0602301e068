import type { Resolution } from '../catalog/catalog.js';
import type { Refused } from '../domain/admission.js';
import { refusal, type Refusal } from '../domain/errors.js';
import { formatUsd } from '../domain/money.js';
import type { AdmissionResult } from '../metering/journal.js';
import type { BodyReading } from './read-body.js';
import type { UpstreamFailure } from './upstream-exchange.js';

export const OVERLOADED: Refusal = refusal(
  'overloaded',
  'Too many requests are in flight. Try again in a moment.',
  {
    retryAfterS: 1,
  },
);
export const STORE_UNAVAILABLE: Refusal = refusal(
  'store_unavailable',
  'The request could not be recorded, so it was not forwarded. Try again in a moment.',
  { retryAfterS: 1 },
);
export const INTERNAL_ERROR: Refusal = refusal(
  'internal_error',
  'Something went wrong here. The request id names it in our logs.',
);

export const INVALID_TOKEN: Refusal = refusal(
  'invalid_token',
  'The token is missing, unknown, revoked or expired. Send a valid one as "Authorization: Bearer tg_...".',
);

/** The same whether there is such an organization or not: nobody learns which slugs are taken. */
export const NOT_A_MEMBER: Refusal = refusal(
  'not_a_member',
  'X-HF-Bill-To names an organization that this token cannot spend for.',
  { param: 'X-HF-Bill-To' },
);

export function bodyRefusal(kind: Exclude<BodyReading['kind'], 'read'>, maxBytes: number): Refusal {
  switch (kind) {
    case 'too_large':
      return refusal('request_too_large', `The body is larger than ${maxBytes} bytes.`);
    case 'no_memory':
      return refusal(
        'overloaded',
        'Too many large requests are in flight. Try again in a moment.',
        { retryAfterS: 1 },
      );
    case 'stalled':
    case 'client_gone':
      return refusal('request_timeout', 'The body did not arrive: nothing came for 30 seconds.');
  }
}

/** No id here is longer than 256 characters; a provider or policy may stand behind it. */
export const MODEL_TEXT_MAX_CHARS = 512;

/** Without the text itself: an answer is not to grow with what somebody sends. */
export const MODEL_TOO_LONG: Refusal = refusal(
  'invalid_request',
  `\`model\` must be at most ${MODEL_TEXT_MAX_CHARS} characters long.`,
  { param: 'model' },
);

export function notSupported(resolution: Extract<Resolution, { kind: 'not_supported' }>): Refusal {
  const { reason, model, pinned, closest, servedBy } = resolution;
  const sentences: string[] = [];
  if (reason === 'provider_disabled') {
    return refusal(
      'provider_disabled',
      pinned === null
        ? `Every provider that serves \`${model}\` is switched off for this account.`
        : `The provider \`${pinned}\` is switched off for this account.`,
      { param: 'model', details: { servedBy } },
    );
  }
  if (reason === 'unknown') {
    sentences.push(`The model \`${model}\` is not known here.`);
    if (closest.length > 0)
      sentences.push(`The closest are ${closest.map((id) => `\`${id}\``).join(', ')}.`);
  } else if (reason === 'provider') {
    sentences.push(
      pinned === null
        ? `Nobody serves the model \`${model}\` here just now.`
        : `The model \`${model}\` is not served by \`${pinned}\` here.`,
    );
    if (servedBy.length > 0) sentences.push(`It is served by ${servedBy.join(', ')}.`);
  } else {
    sentences.push(
      `The model \`${model}\` has no price${pinned === null ? '' : ` at \`${pinned}\``}, so it cannot be billed.`,
    );
  }
  return refusal('model_not_supported', sentences.join(' '), {
    param: 'model',
    details: { reason, closest, servedBy },
  });
}

export function admissionRefusal(result: Exclude<AdmissionResult, { kind: 'admitted' }>): Refusal {
  switch (result.kind) {
    case 'unavailable':
      return STORE_UNAVAILABLE;
    case 'failed':
      return INTERNAL_ERROR;
    case 'token_closed':
      return INVALID_TOKEN;
    case 'member_closed':
      return NOT_A_MEMBER;
    case 'replayed':
      return replayRefusal(result.is, result.of);
    case 'refused':
      return limitRefusal(result.refused, result.resetsAt);
  }
}

function replayRefusal(is: 'in_progress' | 'processed' | 'other_body', requestId: string): Refusal {
  const details = { requestId };
  switch (is) {
    case 'in_progress':
      return refusal(
        'request_in_progress',
        'A request with this Idempotency-Key is still in progress.',
        {
          retryAfterS: 1,
          details,
        },
      );
    case 'processed':
      return refusal(
        'request_already_processed',
        'A request with this Idempotency-Key was processed already.',
        {
          details,
        },
      );
    case 'other_body':
      return refusal(
        'idempotency_key_reused',
        'This Idempotency-Key was used with another body or on another route.',
        { details },
      );
  }
}

const WHOSE = { account: 'The account', member: 'The member', token: 'The token' } as const;

function limitRefusal(refused: Refused, resetsAt: Date): Refusal {
  const { code, scope } = refused;
  const whose = WHOSE[scope];
  const remaining = formatUsd(refused.remainingPicoUsd);
  const message =
    code === 'insufficient_funds'
      ? `${whose} has $${remaining} left, but this request may cost up to $${formatUsd(refused.requiredPicoUsd)}.${affordableHint(refused)}`
      : code === 'credit_exhausted'
        ? `${whose} has no credit left and pay-as-you-go is off.`
        : `${whose} has reached its spend limit of $${formatUsd(refused.limitPicoUsd)} for this month.`;
  return refusal(code, message, {
    details: {
      scope,
      limit: formatUsd(refused.limitPicoUsd),
      used: formatUsd(refused.usedPicoUsd),
      held: formatUsd(refused.heldPicoUsd),
      remaining,
      required: formatUsd(refused.requiredPicoUsd),
      affordableMaxTokens: refused.affordableMaxTokens,
      resetsAt: resetsAt.toISOString(),
    },
    ...(refused.isCausedByOpenHolds ? { retryAfterS: 1, shouldRetry: true } : {}),
  });
}

function affordableHint({ affordableMaxTokens }: Refused): string {
  return affordableMaxTokens === null || affordableMaxTokens < 1
    ? ''
    : ` Set a maximum of at most ${affordableMaxTokens} output tokens.`;
}

export function failureRefusal(failure: UpstreamFailure): Refusal {
  switch (failure) {
    case 'headers_timeout':
    case 'idle_timeout':
      return refusal('upstream_timeout', 'The provider did not answer in time.');
    case 'unreachable':
      return refusal('upstream_error', 'The provider could not be reached.');
    case 'malformed':
      return refusal('upstream_error', 'The provider answered with something that cannot be read.');
    case 'reset':
    case 'aborted':
      return refusal(
        'upstream_error',
        'The provider closed the connection before its answer was complete.',
      );
  }
}

export const ABOUT_OUR_KEY: Refusal = refusal(
  'upstream_error',
  'The provider refused the key of this service. The operator has been told; repeating the request does not help.',
  { shouldRetry: false },
);

export const NO_UPLOAD: Refusal = refusal(
  'unsupported_media_type',
  'Send a form with the file, with "content-type: multipart/form-data".',
);

export const UNSUPPORTED_MEDIA_TYPE: Refusal = refusal(
  'unsupported_media_type',
  'Send the body as JSON, uncompressed, with "content-type: application/json".',
);
