import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { classifySqlFailure } from '../database/sql-errors.js';
import { errorStatus, refusal, TollgateError, type Refusal } from '../domain/errors.js';
import { unroutedErrorBody } from './unrouted-error.js';

const STORE_RETRY_AFTER_S = 1;

/**
 * Every error of a route of Nest's, and every unknown path, in our one shape. What we refuse on
 * purpose (`TollgateError`) is told as it is; whatever else was thrown is logged with the request's
 * id and answered with nothing but that id.
 */
@Catch()
export class ApiErrorFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const refused = refusalOf(exception, request);
    if (errorStatus(refused.code) >= 500) {
      this.logger.error(
        {
          err: exception,
          requestId: request.id,
          method: request.method,
          route: request.routeOptions.url,
        },
        refused.code,
      );
    }
    if (reply.raw.headersSent) {
      // Half an answer must not look like a whole one.
      reply.raw.destroy();
      return;
    }
    if (refused.retryAfterS !== null) reply.header('retry-after', String(refused.retryAfterS));
    if (refused.shouldRetry !== null) reply.header('x-should-retry', String(refused.shouldRetry));
    void reply
      .status(errorStatus(refused.code))
      .type('application/json')
      .send(unroutedErrorBody(request.url, refused, request.id));
  }
}

function refusalOf(exception: unknown, request: FastifyRequest): Refusal {
  if (exception instanceof TollgateError) return exception.refusal;
  if (exception instanceof HttpException) {
    const refused = refusalOfFramework(exception, request);
    if (refused !== null) return refused;
  }
  if (isFromDatabase(exception)) {
    const { kind } = classifySqlFailure(exception);
    if (kind === 'connection' || kind === 'transient') {
      return refusal(
        'store_unavailable',
        'The database cannot be reached right now. Try again in a moment.',
        {
          retryAfterS: STORE_RETRY_AFTER_S,
        },
      );
    }
  }
  return refusal(
    'internal_error',
    `Something failed on our side. Quote the request id ${request.id} when you report it.`,
    {
      details: { requestId: request.id },
    },
  );
}

/** What Nest and Fastify refuse before our code runs; null: not for the caller to know. */
function refusalOfFramework(exception: HttpException, request: FastifyRequest): Refusal | null {
  switch (exception.getStatus()) {
    case 400: {
      const { cause } = exception;
      const isBody = cause instanceof SyntaxError || codeOf(cause).startsWith('FST_ERR_CTP_');
      if (codeOf(cause) === 'FST_ERR_BAD_URL') {
        return refusal(
          'invalid_request',
          'The path is not a valid URL path: check its percent-encoding.',
        );
      }
      return isBody
        ? refusal(
            'invalid_json',
            'The body is not valid JSON. Send a JSON object with content-type: application/json.',
          )
        : refusal('invalid_request', exception.message);
    }
    case 401:
      return refusal('invalid_token', exception.message);
    case 403:
      return refusal('insufficient_scope', exception.message);
    case 404:
      return refusal('unknown_route', `There is no ${request.method} ${pathOf(request)}.`);
    case 408:
      return refusal('request_timeout', 'The body did not arrive in time.');
    case 409:
      return refusal('conflict', exception.message);
    case 413:
      return refusal('request_too_large', 'The body is larger than this route takes.');
    case 414:
      return refusal('unknown_route', 'The path is longer than any of ours.');
    case 415:
      return refusal('unsupported_media_type', 'Send content-type: application/json.');
    case 429:
      return refusal('rate_limit_exceeded', exception.message);
    default:
      return null;
  }
}

/** Prisma and `pg` mark their errors with a code, a client version or the driver's own error. */
function isFromDatabase(exception: unknown): boolean {
  if (!(exception instanceof Error)) return false;
  return (
    exception.name.startsWith('PrismaClient') ||
    exception.name === 'DriverAdapterError' ||
    /^(P\d{4}|[0-9A-Z]{5}|ECONN\w+|EPIPE|ETIMEDOUT)$/.test(codeOf(exception))
  );
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/** Without the query, which may carry what does not belong into an answer. */
function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0]?.slice(0, 200) ?? '';
}
