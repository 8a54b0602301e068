import { Body, Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { type Given, OptionalBodyPipe } from './optional-body.js';
import { periodOfPath } from './period-rules.js';
import { ClosePeriod, CloseReportView, viewOfClose } from './periods.dto.js';
import { PeriodsService } from './periods.service.js';

@DocumentedApi('billing')
@UseGuards(CallerGuard)
@Controller('api/periods')
export class PeriodsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly periods: PeriodsService,
    private readonly clock: Clock,
  ) {}

  @Post(':period/close')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Close a month of every account',
    description:
      'And the months before it that are still open. Skips the delay, never the wait for requests in flight; again closes what was left. 409 `period_not_over`. Operator only.',
  })
  @ApiBody({ type: ClosePeriod, required: false })
  @ApiOkResponse({ type: CloseReportView })
  async close(
    @Param('period') text: string,
    @Body(new OptionalBodyPipe(ClosePeriod)) { dryRun }: Given<ClosePeriod>,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<CloseReportView>> {
    this.access.requireOperator(caller);
    const period = periodOfPath(text);
    const at = this.clock.now();
    if (dryRun === true) return viewOfClose(await this.periods.dryRun(period, at));
    return viewOfClose(await this.periods.close(period, actor, at));
  }
}
