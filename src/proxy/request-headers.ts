import type { IncomingHttpHeaders } from 'node:http';
import type { UpstreamKind } from '../catalog/provider-routes.js';
import { refusal, type Refusal } from '../domain/errors.js';
import type { Upstream } from './upstreams.js';

/** What of a caller's headers may reach an upstream of any kind. */
const FORWARDED: readonly string[] = [
  'accept',
  'content-type',
  'user-agent',
  'prefer',
  'openai-beta',
  'anthropic-version',
  'anthropic-beta',
  'http-referer',
  'x-title',
  'x-wait-for-model',
  'x-use-cache',
];
/** What else, by the kind of the upstream: a router that tags sessions. */
const FORWARDED_TO_ROUTER: readonly string[] = ['x-hf-session-id'];
const NOTHING_ELSE: readonly string[] = [];
const FORWARDED_BY_KIND: Readonly<Record<UpstreamKind, readonly string[]>> = {
  huggingface_router: FORWARDED_TO_ROUTER,
  openai_router: FORWARDED_TO_ROUTER,
  openai_compatible: NOTHING_ELSE,
  fal: NOTHING_ELSE,
  replicate: NOTHING_ELSE,
};

const SESSION_ID_MAX = 256;
const CLIENT_REQUEST_ID_MAX = 256;
const IDEMPOTENCY_KEY_MAX_BYTES = 255;
const TAGS_MAX = 10;
const TAG_VALUE_MAX = 64;
const TAG_KEY = /^[a-z0-9_.-]{1,64}$/;

/** Our own request headers, read and checked. */
export interface RequestMarks {
  readonly billTo: string | null;
  readonly sessionId: string | null;
  readonly clientRequestId: string | null;
  readonly tags: Readonly<Record<string, string>> | null;
  readonly includesCost: boolean;
  readonly idempotencyKey: string | null;
}

/**
 * The secret of a request: `Authorization: Bearer`, or `x-api-key`; null when there is none. A token
 * may be presented as `hf_` + token.
 */
export function secretOf(headers: IncomingHttpHeaders): string | null {
  const { authorization } = headers;
  if (authorization !== undefined) {
    const match = /^Bearer +(\S+) *$/i.exec(authorization);
    return match?.[1] ?? null;
  }
  const apiKey = headers['x-api-key'];
  return typeof apiKey === 'string' && apiKey !== '' ? apiKey : null;
}

/** Reads our own headers; a bad one is refused before anything is charged. */
export function readMarks(headers: IncomingHttpHeaders): RequestMarks | Refusal {
  const sessionId = single(headers['x-hf-session-id']);
  if (sessionId !== null && sessionId.length > SESSION_ID_MAX) {
    return bad('X-HF-Session-id', `must be at most ${SESSION_ID_MAX} characters`);
  }
  const clientRequestId = single(headers['x-client-request-id']);
  if (clientRequestId !== null && clientRequestId.length > CLIENT_REQUEST_ID_MAX) {
    return bad('X-Client-Request-Id', `must be at most ${CLIENT_REQUEST_ID_MAX} characters`);
  }
  const idempotencyKey = single(headers['idempotency-key']);
  if (idempotencyKey !== null && Buffer.byteLength(idempotencyKey) > IDEMPOTENCY_KEY_MAX_BYTES) {
    return bad('Idempotency-Key', `must be at most ${IDEMPOTENCY_KEY_MAX_BYTES} bytes`);
  }
  const includes = single(headers['x-tollgate-include-cost']);
  if (includes !== null && !/^(true|false)$/i.test(includes)) {
    return bad('X-Tollgate-Include-Cost', 'must be true or false');
  }
  const tagsText = single(headers['x-tollgate-tags']);
  const tags = tagsText === null ? null : parseTags(tagsText);
  if (typeof tags === 'string') return bad('X-Tollgate-Tags', tags);
  return {
    billTo: single(headers['x-hf-bill-to']),
    sessionId,
    clientRequestId,
    tags,
    includesCost: includes?.toLowerCase() === 'true',
    idempotencyKey,
  };
}

/** The headers for the upstream: the allow list, never a value that carries the caller's secret. */
export function upstreamHeaders(
  headers: IncomingHttpHeaders,
  secret: string,
  upstream: Pick<Upstream, 'kind' | 'authScheme' | 'apiKey' | 'billTo'>,
): Record<string, string> {
  const forwarded: Record<string, string> = {};
  for (const names of [FORWARDED, FORWARDED_BY_KIND[upstream.kind]]) {
    for (const name of names) {
      const value = headers[name];
      if (typeof value === 'string' && !value.includes(secret)) forwarded[name] = value;
    }
  }
  forwarded['accept-encoding'] = 'identity';
  if (upstream.apiKey !== null)
    forwarded['authorization'] = `${upstream.authScheme} ${upstream.apiKey}`;
  if (upstream.billTo !== null) forwarded['x-hf-bill-to'] = upstream.billTo;
  return forwarded;
}

function single(value: string | string[] | undefined): string | null {
  const text = Array.isArray(value) ? value[0] : value;
  return text === undefined || text === '' ? null : text;
}

function bad(header: string, problem: string): Refusal {
  return refusal('invalid_request', `The header ${header} ${problem}.`, { param: header });
}

/** The tags, or what is wrong with them. */
function parseTags(text: string): Readonly<Record<string, string>> | string {
  const pairs = text
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '');
  if (pairs.length > TAGS_MAX) return `carries more than ${TAGS_MAX} tags`;
  const tags = new Map<string, string>();
  for (const pair of pairs) {
    const cut = pair.indexOf('=');
    const key = cut < 0 ? pair : pair.slice(0, cut);
    if (cut < 0 || !TAG_KEY.test(key)) {
      return 'must be pairs key=value, separated by commas, with keys of a-z, 0-9, _, . and -';
    }
    const value = decoded(pair.slice(cut + 1));
    if (value === null) return `has a value for ${key} that is not percent-encoded text`;
    if (value.length > TAG_VALUE_MAX)
      return `has a value for ${key} of more than ${TAG_VALUE_MAX} characters`;
    if (tags.has(key)) return `names ${key} twice`;
    tags.set(key, value);
  }
  return tags.size === 0 ? {} : Object.fromEntries(tags);
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text).replaceAll('\0', '');
  } catch {
    return null;
  }
}
