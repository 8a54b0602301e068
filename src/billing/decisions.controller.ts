import { Body, Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { AccountAccess, notFound } from '../identity/account-access.js';
import { CallerGuard } from '../identity/caller.guard.js';
import type { JsonOf } from '../usage/json-of.js';
import { UsageEventAnswer } from '../usage/requests.dto.js';
import { RequestsService } from '../usage/requests.service.js';
import { usageEventAnswer } from '../usage/usage-event.js';
import { DecideRequest, decisionOf } from './decisions.dto.js';
import { DecisionsService } from './decisions.service.js';

@DocumentedApi('billing')
@UseGuards(CallerGuard)
@Controller('api/requests/:id/decision')
export class DecisionsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly decisions: DecisionsService,
    private readonly requests: RequestsService,
    private readonly clock: Clock,
  ) {}

  @Post()
  @HttpCode(200)
  @ApiOperation({
    summary: 'Decide on a request that is unpriced or quarantined',
    description:
      'A charge is split over credit and limits as any other, and what they do not cover is ours; of a closed month it lands on the next invoice. Answers with the request. 409 when it was decided before. Operator only.',
  })
  @ApiOkResponse({ type: UsageEventAnswer })
  async decide(
    @Param('id') id: string,
    @Body() body: DecideRequest,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<JsonOf<UsageEventAnswer>> {
    this.access.requireOperator(caller);
    await this.decisions.decide(id, decisionOf(body), actor, this.clock.now());
    const event = await this.requests.find(id, null);
    if (event === null) throw notFound('request');
    return usageEventAnswer(event);
  }
}
