import { Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { SubscriptionView, viewOfSubscription } from './plans.dto.js';
import { SubscriptionsService } from './subscriptions.service.js';

@DocumentedApi('billing')
@UseGuards(CallerGuard)
@AccountController('subscription')
export class SubscriptionController {
  constructor(
    private readonly access: AccountAccess,
    private readonly subscriptions: SubscriptionsService,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'The plan of an account',
    description: 'In force, and what the next month begins with. Scope `billing.read`.',
  })
  @ApiOkResponse({ type: SubscriptionView })
  async get(
    @PathAccount() path: AccountRef,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<SubscriptionView>> {
    const { id } = await this.access.require(caller, path, 'billing.read');
    return viewOfSubscription(await this.subscriptions.of(id, this.clock.now()));
  }
}
