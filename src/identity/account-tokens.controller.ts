import { Body, Get, Post, Query, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from './account-access.js';
import { AccountController, PathAccount, type AccountRef } from './account-path.js';
import { CallerGuard } from './caller.guard.js';
import { CreatedToken, CreateToken, newTokenOf, TokensPage, viewOfToken } from './tokens.dto.js';
import { TokensService } from './tokens.service.js';

@DocumentedApi('tokens')
@UseGuards(CallerGuard)
@AccountController('tokens')
export class AccountTokensController {
  constructor(
    private readonly access: AccountAccess,
    private readonly tokens: TokensService,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Make a token',
    description:
      'The secret is in this answer only. Scope tokens.write; a token hands on no scope that it lacks.',
  })
  @ApiCreatedResponse({ type: CreatedToken })
  async create(
    @PathAccount() path: AccountRef,
    @Body() body: CreateToken,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<CreatedToken>> {
    const account = await this.access.require(caller, path, 'tokens.write');
    this.access.requireGrantable(caller, body.scopes ?? []);
    const { token, secret } = await this.tokens.create(account, newTokenOf(body), actor);
    return { ...viewOfToken(token), token: secret };
  }

  @Get()
  @ApiOperation({
    summary: 'The tokens',
    description: 'Newest first, revoked ones too. Scope tokens.write.',
  })
  @ApiOkResponse({ type: TokensPage })
  async list(
    @PathAccount() path: AccountRef,
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<TokensPage>> {
    const { id: accountId } = await this.access.require(caller, path, 'tokens.write');
    const [beforeId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.tokens.list(accountId, limit + 1, beforeId);
    return pageOf(rows, limit, ({ id }) => [id], viewOfToken);
  }
}
