import { Controller, Get, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { ControlsPage, viewOfControl } from './controls.dto.js';
import { DailyControlService } from './daily-control.service.js';

@DocumentedApi('ledger')
@UseGuards(CallerGuard)
@Controller('api/controls')
export class ControlsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly controls: DailyControlService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Runs of the daily control',
    description:
      'What events, budgets and ledger differed by, which must be 0; latest first. Operator only.',
  })
  @ApiOkResponse({ type: ControlsPage })
  async list(
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<ControlsPage>> {
    this.access.requireOperator(caller);
    const [time] = readCursor(cursor, ['time']) ?? [null];
    const before = time === null ? null : new Date(time);
    const rows = await this.controls.list(limit + 1, before);
    return pageOf(rows, limit, ({ at }) => [at.toISOString()], viewOfControl);
  }
}
