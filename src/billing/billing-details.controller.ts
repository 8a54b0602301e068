import { Body, Get, Put, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { BillingDetailsBody, billingDetailsOf } from './billing-details.dto.js';
import { BillingDetailsService } from './billing-details.service.js';

@DocumentedApi('billing')
@UseGuards(CallerGuard)
@AccountController('billing-details')
export class BillingDetailsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly details: BillingDetailsService,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Whom invoices are addressed to',
    description: 'Scope `billing.read`.',
  })
  @ApiOkResponse({ type: BillingDetailsBody })
  async get(
    @PathAccount() path: AccountRef,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<BillingDetailsBody>> {
    const { id } = await this.access.require(caller, path, 'billing.read');
    return this.details.find(id);
  }

  @Put()
  @ApiOperation({
    summary: 'Set whom invoices are addressed to',
    description:
      'Replaces all of it, from the next invoice on: one that was issued keeps what it says. Scope `limits.write`.',
  })
  @ApiOkResponse({ type: BillingDetailsBody })
  async replace(
    @PathAccount() path: AccountRef,
    @Body() body: BillingDetailsBody,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<BillingDetailsBody>> {
    const { id } = await this.access.require(caller, path, 'limits.write');
    return this.details.replace(id, billingDetailsOf(body), actor, this.clock.now());
  }
}
