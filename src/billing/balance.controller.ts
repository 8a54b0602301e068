import { Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { BalanceAnswer, viewOfBalance } from './balance.dto.js';
import { BalanceService } from './balance.service.js';

@DocumentedApi('billing')
@UseGuards(CallerGuard)
@AccountController('balance')
export class BalanceController {
  constructor(
    private readonly access: AccountAccess,
    private readonly balances: BalanceService,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Balance of an account',
    description:
      'Credit, spent, held and left in the current UTC month. Scope `usage.read` or `billing.read`.',
  })
  @ApiOkResponse({ type: BalanceAnswer })
  async get(
    @PathAccount() path: AccountRef,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<BalanceAnswer>> {
    const { id } = await this.access.require(caller, path, ['usage.read', 'billing.read']);
    return viewOfBalance(await this.balances.balanceOf(id, this.clock.now()));
  }
}
