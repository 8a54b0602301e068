import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Socket } from 'node:net';
import { errorBody, errorStatus, refusal, type Refusal } from '../domain/errors.js';
import { idHeaders, unroutedErrorBody } from './unrouted-error.js';

/** The one route whose parameter may hold a slash: the OpenAI client sends `org%2Fmodel`. */
const SLASH_IN_PARAMETER = /^\/v1\/models\/[^/]+$/;
const ENCODED_SLASH = /%2f|%5c|\\/i;
/** Spelled out or percent-encoded, in part or whole. */
const DOT_SEGMENT = /(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i;
const CONTROL = /%(?:[01][0-9a-f]|7f)/i;
/** Beyond these Node leaves headers out unseen: one of ours (who pays) must never be among those. */
export const HEADERS_MAX = 100;
const TOO_LARGE_STATUS = 431;

/**
 * What is wrong with a request target, which we would read in one way and somebody behind us in
 * another; null: nothing.
 */
export function targetProblem(target: string): string | null {
  if (!target.startsWith('/')) {
    return 'The request line must name a path, as in "POST /v1/chat/completions", not a whole URL.';
  }
  const queryAt = target.indexOf('?');
  const path = queryAt < 0 ? target : target.slice(0, queryAt);
  if (path.includes('//')) return 'The path has an empty segment ("//").';
  if (DOT_SEGMENT.test(path)) return 'The path has a dot segment ("." or "..").';
  // Our own routes read such a name as one that nobody has.
  if (CONTROL.test(path) && !path.startsWith('/api/'))
    return 'The path has an encoded control character.';
  if (ENCODED_SLASH.test(path) && !SLASH_IN_PARAMETER.test(path)) {
    return 'The path has an encoded slash: only the id in /v1/models/{id} may have one.';
  }
  return null;
}

/** Refuses what `targetProblem` finds, and too many headers, before any route sees the request. */
export function guardTarget(
  request: FastifyRequest,
  reply: FastifyReply,
  proceed: (error?: Error) => void,
): void {
  // Names and values in turn; Node keeps some of what is beyond its limit in here, and nowhere else.
  const hasTooMany = request.raw.rawHeaders.length > 2 * HEADERS_MAX;
  const url = request.raw.url ?? '';
  const problem = hasTooMany ? null : targetProblem(url);
  if (!hasTooMany && problem === null) {
    proceed();
    return;
  }
  const refused = hasTooMany
    ? refusal('invalid_request', `There are more than ${HEADERS_MAX} headers.`)
    : refusal('invalid_request', problem ?? '', { param: 'path' });
  void reply
    .status(hasTooMany ? TOO_LARGE_STATUS : errorStatus(refused.code))
    .headers({ ...idHeaders(url, request.id), 'x-content-type-options': 'nosniff' })
    .type('application/json')
    .send(unroutedErrorBody(url, refused, request.id));
}

/** What is no HTTP/1.1 request at all: Node's parser gave up, and there is nobody else to say why. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const refused = refusalOf(error.code ?? '');
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? TOO_LARGE_STATUS : errorStatus(refused.code);
  const body = JSON.stringify(errorBody(refused));
  socket.end(
    `HTTP/1.1 ${status} ${status === 408 ? 'Request Timeout' : 'Bad Request'}\r\n` +
      'content-type: application/json; charset=utf-8\r\nx-content-type-options: nosniff\r\n' +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function refusalOf(code: string): Refusal {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return refusal('request_timeout', 'The headers did not arrive in time.');
    case 'HPE_HEADER_OVERFLOW':
      return refusal('invalid_request', 'The headers are larger than 16 KiB.');
    case 'HPE_UNEXPECTED_CONTENT_LENGTH':
    case 'HPE_INVALID_CONTENT_LENGTH':
      return refusal(
        'invalid_request',
        'The length of the body is stated twice, or not as a number: send one Content-Length.',
        { param: 'content-length' },
      );
    case 'HPE_INVALID_TRANSFER_ENCODING':
      return refusal(
        'invalid_request',
        'The transfer encoding is not one that can be read: send Content-Length, or chunked alone.',
        { param: 'transfer-encoding' },
      );
    default:
      return refusal('invalid_request', 'This is not an HTTP/1.1 request that can be read.');
  }
}
