import { Get, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { periodOf } from '../domain/periods.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { LedgerQuery, TransfersPage, viewOfTransfer } from './ledger.dto.js';
import { LedgerService } from './ledger.service.js';

@DocumentedApi('ledger')
@UseGuards(CallerGuard)
@AccountController('ledger')
export class AccountLedgerController {
  constructor(
    private readonly access: AccountAccess,
    private readonly ledger: LedgerService,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'What was booked for an account',
    description:
      'Transfers of a month, and those of other months that move what it owes; newest first. Scope `billing.read`.',
  })
  @ApiOkResponse({ type: TransfersPage })
  async list(
    @PathAccount() path: AccountRef,
    @Query() { limit, cursor, period = periodOf(this.clock.now()) }: LedgerQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<TransfersPage>> {
    const { id } = await this.access.require(caller, path, 'billing.read');
    const [beforeId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.ledger.listOf(id, period, limit + 1, beforeId);
    return pageOf(rows, limit, (row) => [row.id], viewOfTransfer);
  }
}
