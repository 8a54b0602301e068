import { Body, Controller, Get, Post, Query, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { ApiIdempotencyKey, IdempotencyKey } from './idempotency-key.js';
import {
  CreateProviderPayment,
  providerPaymentOf,
  ProviderPaymentsPage,
  ProviderPaymentView,
  viewOfProviderPayment,
} from './provider-payments.dto.js';
import { ProviderPaymentsService } from './provider-payments.service.js';

@DocumentedApi('ledger')
@UseGuards(CallerGuard)
@Controller('api/provider-payments')
export class ProviderPaymentsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly payments: ProviderPaymentsService,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ApiOperation({ summary: 'What we paid providers', description: 'Newest first. Operator only.' })
  @ApiOkResponse({ type: ProviderPaymentsPage })
  async list(
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<ProviderPaymentsPage>> {
    this.access.requireOperator(caller);
    const [beforeId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.payments.list(limit + 1, beforeId);
    return pageOf(rows, limit, ({ id }) => [id], viewOfProviderPayment);
  }

  @Post()
  @ApiOperation({
    summary: 'Book a payment to a provider',
    description: 'It takes off what we owe it. Operator only.',
  })
  @ApiIdempotencyKey()
  @ApiCreatedResponse({ type: ProviderPaymentView })
  async book(
    @Body() body: CreateProviderPayment,
    @IdempotencyKey() key: string | null,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<ProviderPaymentView>> {
    this.access.requireOperator(caller);
    const request = providerPaymentOf(body, key);
    return viewOfProviderPayment(await this.payments.book(request, actor, this.clock.now()));
  }
}
