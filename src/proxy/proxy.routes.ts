import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { ENDPOINTS } from './endpoints.js';
import { ROUTE_TABLES } from './passthrough/route-tables.js';
import { ProxyService } from './proxy.service.js';

/**
 * Mounts the proxy on Fastify directly: no guard, pipe or interceptor, and bodies stay streams. A
 * plugin of its own, so that its content-type parser is nobody else's.
 */
@Injectable()
export class ProxyRoutes {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly proxy: ProxyService,
  ) {}

  async mount(): Promise<void> {
    const fastify: FastifyInstance = this.host.httpAdapter.getInstance();
    await fastify.register((scope, _options, done) => {
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, payload, parsed) => {
        parsed(null, payload);
      });
      for (const [path, endpoint] of Object.entries(ENDPOINTS)) {
        scope.post(path, (request, reply) => {
          reply.hijack();
          void this.proxy.serve(endpoint, request.id, request.raw, reply.raw, request.ip);
        });
      }
      for (const [provider, routes] of ROUTE_TABLES) {
        scope.route({
          method: [...new Set(routes.map(({ method }) => method))],
          url: `/${provider}/*`,
          handler: (request, reply) => {
            reply.hijack();
            void this.proxy.servePass(request.id, request.raw, reply.raw, request.ip);
          },
        });
      }
      done();
    });
  }
}
