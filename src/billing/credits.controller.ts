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
import { CreateGrant, grantRequestOf, GrantsPage, GrantView, viewOfGrant } from './credits.dto.js';
import { GrantsService } from './grants.service.js';
import { ApiIdempotencyKey, IdempotencyKey } from './idempotency-key.js';

@DocumentedApi('billing')
@UseGuards(CallerGuard)
@AccountController('credits')
export class CreditsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly grants: GrantsService,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'Credit that the account was given',
    description: 'Newest first, used up and expired too. Scope `billing.read`.',
  })
  @ApiOkResponse({ type: GrantsPage })
  async list(
    @PathAccount() path: AccountRef,
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<GrantsPage>> {
    const { id } = await this.access.require(caller, path, 'billing.read');
    const [beforeId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.grants.list(id, this.clock.now(), limit + 1, beforeId);
    return pageOf(rows, limit, ({ grant }) => [grant.id], viewOfGrant);
  }

  @Post()
  @ApiOperation({
    summary: 'Give credit',
    description:
      'It covers at once what open months that it is usable in owe past credit. Operator only.',
  })
  @ApiIdempotencyKey()
  @ApiCreatedResponse({ type: GrantView })
  async give(
    @PathAccount() path: AccountRef,
    @Body() body: CreateGrant,
    @IdempotencyKey() key: string | null,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<GrantView>> {
    const { id } = await this.access.requireAsOperator(caller, path);
    const request = grantRequestOf(body, key);
    return viewOfGrant(await this.grants.give(id, request, actor, this.clock.now()));
  }
}
