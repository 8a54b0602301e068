import { Body, Controller, Get, Param, Put, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { CallerGuard } from '../identity/caller.guard.js';
import {
  providerRequestOf,
  ProvidersPage,
  ProviderView,
  SetProvider,
  viewOfProvider,
} from './providers.dto.js';
import { ProvidersService } from './providers.service.js';

@DocumentedApi('providers')
@UseGuards(CallerGuard)
@Controller('api/providers')
export class ProvidersController {
  constructor(
    private readonly access: AccountAccess,
    private readonly providers: ProvidersService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Every provider',
    description: 'Those that were set, are listed or priced, or are known; by slug. Operator only.',
  })
  @ApiOkResponse({ type: ProvidersPage })
  async list(
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<ProvidersPage>> {
    this.access.requireOperator(caller);
    const [afterSlug] = readCursor(cursor, ['text']) ?? [null];
    const rows = await this.providers.list(limit + 1, afterSlug);
    return pageOf(rows, limit, ({ slug }) => [slug], viewOfProvider);
  }

  @Get(':slug')
  @ApiOperation({ summary: 'One provider', description: 'Operator only.' })
  @ApiOkResponse({ type: ProviderView })
  async get(
    @Param('slug') slug: string,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<ProviderView>> {
    this.access.requireOperator(caller);
    return viewOfProvider(await this.providers.find(slug));
  }

  @Put(':slug')
  @ApiOperation({
    summary: 'Set how a provider is called',
    description:
      'What is left out stays as it is. With a key, or a baseUrl where we do not know it, the provider is called directly. Operator only.',
  })
  @ApiOkResponse({ type: ProviderView })
  async set(
    @Param('slug') slug: string,
    @Body() body: SetProvider,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<ProviderView>> {
    this.access.requireOperator(caller);
    return viewOfProvider(await this.providers.change(slug, providerRequestOf(body), actor));
  }
}
