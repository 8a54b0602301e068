import { Controller, Get, Param, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { AccountAccess, notFound } from '../identity/account-access.js';
import { CallerGuard } from '../identity/caller.guard.js';
import type { JsonOf } from './json-of.js';
import { RequestsByStateQuery, UsageEventAnswer, UsageEventPage } from './requests.dto.js';
import { RequestsService } from './requests.service.js';
import { usageEventAnswer } from './usage-event.js';

/** Requests by their id, and those of every account. */
@DocumentedApi('usage')
@UseGuards(CallerGuard)
@Controller('api/requests')
export class RequestsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly requests: RequestsService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Requests of all accounts',
    description: 'Newest first by id. Operator only.',
  })
  @ApiOkResponse({ type: UsageEventPage })
  async list(
    @Query() query: RequestsByStateQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<JsonOf<UsageEventPage>> {
    this.access.requireOperator(caller);
    const { data, nextCursor } = await this.requests.listByState(query);
    return { data: data.map(usageEventAnswer), nextCursor };
  }

  @Get(':id')
  @ApiOperation({
    summary: 'One request',
    description: 'By the `x-request-id` of its answer. Scope `usage.read`.',
  })
  @ApiOkResponse({ type: UsageEventAnswer })
  async find(
    @Param('id') id: string,
    @CurrentCaller() caller: Caller,
  ): Promise<JsonOf<UsageEventAnswer>> {
    const event = await this.requests.find(id, caller.kind === 'token' ? caller.accountId : null);
    this.access.requireAccount(caller, event?.accountId ?? null, 'usage.read', 'request');
    if (event === null) throw notFound('request');
    return usageEventAnswer(event);
  }
}
