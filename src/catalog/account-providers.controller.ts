import { Body, Get, Param, Put, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { AccountController, PathAccount, type AccountRef } from '../identity/account-path.js';
import { CallerGuard } from '../identity/caller.guard.js';
import {
  accountProviderRequestOf,
  AccountProvidersPage,
  AccountProviderView,
  routingChangeOf,
  RoutingView,
  SetAccountProvider,
  SetRouting,
  viewOfAccountProvider,
  viewOfRouting,
} from './account-providers.dto.js';
import { AccountProvidersService } from './account-providers.service.js';

const READING_SCOPES = ['usage.read', 'billing.read', 'limits.write'] as const;

@DocumentedApi('routing')
@UseGuards(CallerGuard)
@AccountController('')
export class AccountProvidersController {
  constructor(
    private readonly access: AccountAccess,
    private readonly choices: AccountProvidersService,
  ) {}

  @Get('routing')
  @ApiOperation({
    summary: 'Which provider is chosen',
    description: 'Scope usage.read, billing.read or limits.write.',
  })
  @ApiOkResponse({ type: RoutingView })
  async routing(
    @PathAccount() path: AccountRef,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<RoutingView>> {
    const { id } = await this.access.require(caller, path, READING_SCOPES);
    return viewOfRouting(await this.choices.routing(id));
  }

  @Put('routing')
  @ApiOperation({
    summary: 'Set which provider is chosen',
    description: 'What is left out stays as it is. Scope limits.write.',
  })
  @ApiOkResponse({ type: RoutingView })
  async setRouting(
    @PathAccount() path: AccountRef,
    @Body() body: SetRouting,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<RoutingView>> {
    const account = await this.access.require(caller, path, 'limits.write');
    return viewOfRouting(await this.choices.setRouting(account, routingChangeOf(body), actor));
  }

  @Get('providers')
  @ApiOperation({
    summary: 'The providers and what the account decided about them',
    description: 'By slug. Scope usage.read, billing.read or limits.write.',
  })
  @ApiOkResponse({ type: AccountProvidersPage })
  async list(
    @PathAccount() path: AccountRef,
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<AccountProvidersPage>> {
    const { id } = await this.access.require(caller, path, READING_SCOPES);
    const [afterSlug] = readCursor(cursor, ['text']) ?? [null];
    const rows = await this.choices.list(id, limit + 1, afterSlug);
    return pageOf(rows, limit, ({ provider }) => [provider], viewOfAccountProvider);
  }

  @Get('providers/:provider')
  @ApiOperation({
    summary: 'One provider',
    description: 'Scope usage.read, billing.read or limits.write.',
  })
  @ApiOkResponse({ type: AccountProviderView })
  async get(
    @PathAccount() path: AccountRef,
    @Param('provider') provider: string,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<AccountProviderView>> {
    const { id } = await this.access.require(caller, path, READING_SCOPES);
    return viewOfAccountProvider(await this.choices.find(id, provider));
  }

  @Put('providers/:provider')
  @ApiOperation({
    summary: 'Allow a provider or not, and bring a key of your own',
    description: 'What is left out stays as it is. Scope limits.write.',
  })
  @ApiOkResponse({ type: AccountProviderView })
  async set(
    @PathAccount() path: AccountRef,
    @Param('provider') provider: string,
    @Body() body: SetAccountProvider,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<AccountProviderView>> {
    const account = await this.access.require(caller, path, 'limits.write');
    const request = accountProviderRequestOf(body);
    return viewOfAccountProvider(await this.choices.set(account, provider, request, actor));
  }
}
