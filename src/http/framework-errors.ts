import type { FastifyReply, FastifyRequest } from 'fastify';
import { errorStatus, refusal } from '../domain/errors.js';
import { idHeaders, unroutedErrorBody } from './unrouted-error.js';

/**
 * What Fastify's router refuses before any hook or filter runs (a path with broken
 * percent-encoding, a segment that is too long), in our shape. An option of the server.
 */
export function answerFrameworkError(
  error: { readonly code: string },
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const url = request.raw.url ?? '';
  const refused =
    error.code === 'FST_ERR_BAD_URL'
      ? refusal('invalid_request', 'The path is not a valid URL path: check its percent-encoding.')
      : refusal(
          'unknown_route',
          'There is no such route: a part of the path is longer than any of ours.',
        );
  void reply
    .status(errorStatus(refused.code))
    .headers({ ...idHeaders(url, request.id), 'x-content-type-options': 'nosniff' })
    .type('application/json')
    .send(unroutedErrorBody(url, refused, request.id));
}
