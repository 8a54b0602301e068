import { Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';
import { uuidv7 } from 'uuidv7';
import { refusal, TollgateError } from '../domain/errors.js';
import { idHeaders } from './unrouted-error.js';

/**
 * Gives every request of this server a UUIDv7 (`request.id`) and every answer its `x-request-id`,
 * whatever id the caller sent. Answers of our own API are never cached.
 */
@Injectable()
export class RequestIds implements OnModuleInit {
  constructor(private readonly host: HttpAdapterHost<FastifyAdapter>) {}

  onModuleInit(): void {
    const server = this.host.httpAdapter.getInstance();
    server.setGenReqId(() => uuidv7());
    server.addHook('onRequest', (request, reply, done) => {
      reply.headers(idHeaders(request.url, request.id));
      reply.header('x-content-type-options', 'nosniff');
      if (!request.url.startsWith('/api/')) {
        done();
        return;
      }
      reply.header('cache-control', 'no-store');
      if (isBodilessDelete(request)) delete request.raw.headers['content-type'];
      // What `curl -d` sends unless told otherwise: say what is missing instead of what it parses to.
      const isForm =
        request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false;
      done(isForm ? new TollgateError(refusal('unsupported_media_type', FORM_REFUSED)) : undefined);
    });
  }
}

/** Many clients state the type of every body, also of the one that a DELETE does not have. */
function isBodilessDelete({ method, headers }: FastifyRequest): boolean {
  const length = headers['content-length'];
  const isEmpty = length === undefined || Number(length) === 0;
  return method === 'DELETE' && isEmpty && headers['transfer-encoding'] === undefined;
}

const FORM_REFUSED = 'A form is not read here. Send JSON with content-type: application/json.';
