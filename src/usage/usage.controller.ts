import { Get, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import type { JsonOf } from './json-of.js';
import { type TaggedQuery, TaggedQueryPipe } from './query-rules.js';
import { RequestsQuery, UsageEventPage } from './requests.dto.js';
import { RequestsService } from './requests.service.js';
import { ApiTagFilter } from './tag-filter.js';
import { usageEventAnswer } from './usage-event.js';
import { UsageAnswer, UsageQuery } from './usage.dto.js';
import { UsageService } from './usage.service.js';

/** What an account used. */
@DocumentedApi('usage')
@UseGuards(CallerGuard)
@AccountController()
export class UsageController {
  constructor(
    private readonly access: AccountAccess,
    private readonly usage: UsageService,
    private readonly requests: RequestsService,
  ) {}

  @Get('usage')
  @ApiOperation({
    summary: 'Grouped usage',
    description:
      'Sums of ended requests by time of admission (UTC). Without `start` the month of `end`, without `end` until now; at most 400 days. Later pages count what had settled when the first was read. Scope `usage.read`.',
  })
  @ApiQuery({ name: '', type: UsageQuery })
  @ApiTagFilter()
  @ApiOkResponse({ type: UsageAnswer })
  async grouped(
    @PathAccount() path: AccountRef,
    @Query(new TaggedQueryPipe(UsageQuery)) query: TaggedQuery<UsageQuery>,
    @CurrentCaller() caller: Caller,
  ): Promise<JsonOf<UsageAnswer>> {
    const { id } = await this.access.require(caller, path, 'usage.read');
    return this.usage.groupedUsage(id, query, new Date());
  }

  @Get('requests')
  @ApiOperation({
    summary: 'Requests of an account',
    description: 'Newest first by time of admission, open ones included. Scope `usage.read`.',
  })
  @ApiQuery({ name: '', type: RequestsQuery })
  @ApiTagFilter()
  @ApiOkResponse({ type: UsageEventPage })
  async list(
    @PathAccount() path: AccountRef,
    @Query(new TaggedQueryPipe(RequestsQuery)) query: TaggedQuery<RequestsQuery>,
    @CurrentCaller() caller: Caller,
  ): Promise<JsonOf<UsageEventPage>> {
    const { id } = await this.access.require(caller, path, 'usage.read');
    const { data, nextCursor } = await this.requests.list(id, query);
    return { data: data.map(usageEventAnswer), nextCursor };
  }
}
