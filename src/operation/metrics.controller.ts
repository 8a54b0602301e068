import { Controller, Get, Res, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProduces } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { MetricsService } from '../http/metrics.service.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { AccountAccess } from '../identity/account-access.js';

@DocumentedApi('operation')
@UseGuards(CallerGuard)
@Controller('metrics')
export class MetricsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly metrics: MetricsService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Prometheus metrics',
    description: 'With the admin token; without one on `METRICS_PORT`, on the loopback address.',
  })
  @ApiProduces('text/plain')
  @ApiOkResponse({ schema: { type: 'string' } })
  async scrape(
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    this.access.requireOperator(caller);
    const { registry } = this.metrics;
    reply.type(registry.contentType);
    return registry.metrics();
  }
}
