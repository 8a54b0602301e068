import { Body, Get, Post, Query, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import {
  correctionOrderOf,
  CorrectionsPage,
  CorrectionView,
  CreateCorrection,
  viewOfCorrection,
} from './corrections.dto.js';
import { CorrectionsService } from './corrections.service.js';
import { ApiIdempotencyKey, IdempotencyKey } from './idempotency-key.js';

@DocumentedApi('billing')
@UseGuards(CallerGuard)
@AccountController('corrections')
export class CorrectionsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly corrections: CorrectionsService,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Corrections of an account',
    description:
      'Newest first, those of voided invoices and credit notes too. Scope `billing.read`.',
  })
  @ApiOkResponse({ type: CorrectionsPage })
  async list(
    @PathAccount() path: AccountRef,
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<CorrectionsPage>> {
    const { id } = await this.access.require(caller, path, 'billing.read');
    const [beforeId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.corrections.list(id, limit + 1, beforeId);
    return pageOf(rows, limit, (row) => [row.id], viewOfCorrection);
  }

  @Post()
  @ApiOperation({
    summary: 'Correct what a month was charged',
    description:
      'Split as the month itself would have split it; of a closed month a line on the next invoice. Operator only.',
  })
  @ApiIdempotencyKey()
  @ApiCreatedResponse({ type: CorrectionView })
  async create(
    @PathAccount() path: AccountRef,
    @Body() body: CreateCorrection,
    @IdempotencyKey() key: string | null,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<CorrectionView>> {
    const account = await this.access.requireAsOperator(caller, path);
    const order = correctionOrderOf(body, key);
    return viewOfCorrection(
      await this.corrections.correct(account, order, actor, this.clock.now()),
    );
  }
}
