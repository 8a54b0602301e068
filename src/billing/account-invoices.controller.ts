import { Get, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { InvoicesPage } from './invoices.dto.js';
import { documentOf, InvoicesService } from './invoices.service.js';

@DocumentedApi('invoices')
@UseGuards(CallerGuard)
@AccountController('invoices')
export class AccountInvoicesController {
  constructor(
    private readonly access: AccountAccess,
    private readonly invoices: InvoicesService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'The invoices of an account',
    description: 'Latest month first. Scope `billing.read`.',
  })
  @ApiOkResponse({ type: InvoicesPage })
  async list(
    @PathAccount() path: AccountRef,
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<InvoicesPage>> {
    const { id } = await this.access.require(caller, path, 'billing.read');
    const [beforePeriod] = readCursor(cursor, ['text']) ?? [null];
    const rows = await this.invoices.list(id, limit + 1, beforePeriod);
    return pageOf(rows, limit, ({ period }) => [period], documentOf);
  }
}
