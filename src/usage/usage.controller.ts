import { Controller, Get, Param, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { OrganizationAccess } from '../identity/organization-access.js';
import { BalanceAnswer } from './balance.dto.js';
import { BalanceService } from './balance.service.js';
import type { JsonOf } from './json-of.js';
import { type TaggedQuery, TaggedQueryPipe } from './query-rules.js';
import { RequestsQuery, UsageEventPage } from './requests.dto.js';
import { RequestsService } from './requests.service.js';
import { ApiTagFilter } from './tag-filter.js';
import { usageEventAnswer } from './usage-event.js';
import { UsageAnswer, UsageQuery } from './usage.dto.js';
import { UsageService } from './usage.service.js';

/** What an organization used and can still spend. */
@DocumentedApi('usage')
@UseGuards(CallerGuard)
@Controller('api/organizations/:slug')
export class UsageController {
  constructor(
    private readonly access: OrganizationAccess,
    private readonly usage: UsageService,
    private readonly requests: RequestsService,
    private readonly balances: BalanceService,
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
    @Param('slug') slug: string,
    @Query(new TaggedQueryPipe(UsageQuery)) query: TaggedQuery<UsageQuery>,
    @CurrentCaller() caller: Caller,
  ): Promise<JsonOf<UsageAnswer>> {
    const { id } = await this.access.requireOrganization(caller, slug, 'usage.read');
    return this.usage.groupedUsage(id, query, new Date());
  }

  @Get('requests')
  @ApiOperation({
    summary: 'Requests of an organization',
    description: 'Newest first by time of admission, open ones included. Scope `usage.read`.',
  })
  @ApiQuery({ name: '', type: RequestsQuery })
  @ApiTagFilter()
  @ApiOkResponse({ type: UsageEventPage })
  async list(
    @Param('slug') slug: string,
    @Query(new TaggedQueryPipe(RequestsQuery)) query: TaggedQuery<RequestsQuery>,
    @CurrentCaller() caller: Caller,
  ): Promise<JsonOf<UsageEventPage>> {
    const { id } = await this.access.requireOrganization(caller, slug, 'usage.read');
    const { data, nextCursor } = await this.requests.list(id, query);
    return { data: data.map(usageEventAnswer), nextCursor };
  }

  @Get('balance')
  @ApiOperation({
    summary: 'Balance of an organization',
    description:
      'Spent, held and left in the current UTC month. Scope `usage.read` or `billing.read`.',
  })
  @ApiOkResponse({ type: BalanceAnswer })
  async balance(
    @Param('slug') slug: string,
    @CurrentCaller() caller: Caller,
  ): Promise<JsonOf<BalanceAnswer>> {
    const { id } = await this.access.requireOrganization(caller, slug, [
      'usage.read',
      'billing.read',
    ]);
    return this.balances.balanceOf(id, new Date());
  }
}
