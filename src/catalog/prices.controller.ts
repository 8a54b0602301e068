import { Body, Controller, Get, HttpCode, Param, Post, Query, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse } from '@nestjs/swagger';
import { refusal, TollgateError } from '../domain/errors.js';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { isUuid, PageQuery, pageOf, readCursor } from '../http/pagination.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { AccountAccess } from '../identity/account-access.js';
import { PriceSyncService } from './price-sync.service.js';
import {
  CreatePrice,
  PendingPricesPage,
  PendingPriceView,
  priceRequestOf,
  PricesPage,
  PricesQuery,
  PriceView,
  SyncView,
  viewOfListedPending,
  viewOfListedPrice,
  viewOfPending,
  viewOfPrice,
  viewOfSync,
} from './prices.dto.js';
import { PricesService } from './prices.service.js';

@DocumentedApi('prices')
@UseGuards(CallerGuard)
@Controller('api/prices')
export class PricesController {
  constructor(
    private readonly access: AccountAccess,
    private readonly prices: PricesService,
    private readonly sync: PriceSyncService,
  ) {}

  @Get()
  @ApiOkResponse({ type: PricesPage })
  async list(@Query() query: PricesQuery, @CurrentCaller() caller: Caller): Promise<PricesPage> {
    this.access.requireOperator(caller);
    const { upstream = null, provider = null, model = null, at, limit, cursor } = query;
    const [afterId] = readCursor(cursor, ['integer']) ?? [null];
    const filter = { upstream, provider, model, at: at === undefined ? null : new Date(at) };
    const rows = await this.prices.list(filter, { limit: limit + 1, afterId });
    return pageOf(rows, limit, ({ row }) => [Number(row.id)], viewOfListedPrice);
  }

  @Post()
  @ApiCreatedResponse({ type: PriceView })
  async create(
    @Body() body: CreatePrice,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<PriceView> {
    this.access.requireOperator(caller);
    return viewOfPrice(await this.prices.create(priceRequestOf(body), actor));
  }

  @Post('sync')
  @HttpCode(200)
  @ApiOkResponse({ type: SyncView })
  async syncNow(@CurrentCaller() caller: Caller, @CurrentActor() actor: Actor): Promise<SyncView> {
    this.access.requireOperator(caller);
    return viewOfSync(await this.sync.syncFor(actor));
  }

  @Get('pending')
  @ApiOkResponse({ type: PendingPricesPage })
  async pending(
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<PendingPricesPage> {
    this.access.requireOperator(caller);
    const [afterId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.prices.pendings(limit + 1, afterId);
    return pageOf(rows, limit, ({ pending }) => [pending.id], viewOfListedPending);
  }

  @Post('pending/:id/approve')
  @HttpCode(200)
  @ApiOkResponse({ type: PriceView })
  async approve(
    @Param('id') id: string,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<PriceView> {
    this.access.requireOperator(caller);
    return viewOfPrice(await this.prices.approve(pendingId(id), actor));
  }

  @Post('pending/:id/reject')
  @HttpCode(200)
  @ApiOkResponse({ type: PendingPriceView })
  async reject(
    @Param('id') id: string,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<PendingPriceView> {
    this.access.requireOperator(caller);
    return viewOfPending(await this.prices.reject(pendingId(id), actor));
  }
}

/** What is no id of ours is unknown, not wrong. */
function pendingId(id: string): string {
  if (isUuid(id)) return id;
  throw new TollgateError(refusal('not_found', 'There is no such pending price.'));
}
