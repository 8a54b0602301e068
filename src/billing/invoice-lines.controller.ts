import { Controller, Get, Param, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery } from '../http/pagination.js';
import { notFound } from '../identity/account-access.js';
import { CallerGuard } from '../identity/caller.guard.js';
import type { JsonOf } from '../usage/json-of.js';
import { UsageEventPage } from '../usage/requests.dto.js';
import { usageEventAnswer } from '../usage/usage-event.js';
import { InvoiceAccess } from './invoice-access.js';
import { InvoiceLinesService } from './invoice-lines.service.js';

@DocumentedApi('invoices')
@UseGuards(CallerGuard)
@Controller('api/invoices/:id/lines')
export class InvoiceLinesController {
  constructor(
    private readonly access: InvoiceAccess,
    private readonly lines: InvoiceLinesService,
  ) {}

  @Get(':line/requests')
  @ApiOperation({
    summary: 'The requests that a line of usage sums',
    description: 'Newest first by admission. The first line is 1. Scope `billing.read`.',
  })
  @ApiOkResponse({ type: UsageEventPage })
  async requests(
    @Param('id') id: string,
    @Param('line') line: string,
    @Query() query: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<JsonOf<UsageEventPage>> {
    const invoice = await this.access.readable(id, caller);
    const page = await this.lines.requestsOf(invoice, line, query);
    if (page === null) throw notFound('line of usage on this invoice');
    return { data: page.data.map(usageEventAnswer), nextCursor: page.nextCursor };
  }
}
