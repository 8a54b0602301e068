import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import type { Plain } from '../http/plain.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { PlansPage, viewOfPlan } from './plans.dto.js';
import { SubscriptionsService } from './subscriptions.service.js';

@DocumentedApi('billing')
@UseGuards(CallerGuard)
@Controller('api/plans')
export class PlansController {
  constructor(private readonly subscriptions: SubscriptionsService) {}

  @Get()
  @ApiOperation({ summary: 'The plans', description: 'All of them, for any caller.' })
  @ApiOkResponse({ type: PlansPage })
  async list(): Promise<Plain<PlansPage>> {
    const plans = await this.subscriptions.listPlans();
    return { data: plans.map(viewOfPlan), nextCursor: null };
  }
}
