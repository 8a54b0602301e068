import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { AccountAccess } from '../identity/account-access.js';
import { JobsPage, viewOfJob } from './jobs.dto.js';
import { JobsService } from './jobs.service.js';

@DocumentedApi('jobs')
@UseGuards(CallerGuard)
@Controller('api/jobs')
export class JobsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly jobs: JobsService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'What runs by itself',
    description: 'Every job with its schedule and how it went, over all processes. Operator only.',
  })
  @ApiOkResponse({ type: JobsPage })
  async list(@CurrentCaller() caller: Caller): Promise<Plain<JobsPage>> {
    this.access.requireOperator(caller);
    const jobs = await this.jobs.list(new Date());
    return { data: jobs.map(viewOfJob), nextCursor: null };
  }
}
