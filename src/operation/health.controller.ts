import { Controller, Get, Query, Res } from '@nestjs/common';
import {
  ApiOkResponse,
  ApiOperation,
  ApiServiceUnavailableResponse,
  ApiTags,
} from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { LivenessAnswer, ReadinessAnswer, ReadinessQuery } from './operation.dto.js';
import { type Readiness, ReadinessService } from './readiness.service.js';

/** For supervisors and balancers; no token needed. */
@ApiTags('operation')
@Controller()
export class HealthController {
  constructor(private readonly readiness: ReadinessService) {}

  @Get('livez')
  @ApiOperation({ summary: 'The process answers' })
  @ApiOkResponse({ type: LivenessAnswer })
  alive(): { status: 'ok' } {
    return { status: 'ok' };
  }

  @Get('readyz')
  @ApiOperation({
    summary: 'The service takes requests',
    description: 'A store outage after the start does not change it; `deep=1` shows one.',
  })
  @ApiOkResponse({ type: ReadinessAnswer })
  @ApiServiceUnavailableResponse({ type: ReadinessAnswer })
  async ready(
    @Query() { deep }: ReadinessQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Readiness> {
    const answer = await (deep === undefined
      ? this.readiness.current()
      : this.readiness.currentWithStore());
    reply.status(answer.status === 'ready' ? 200 : 503);
    return answer;
  }
}
