import { Body, Controller, Delete, HttpCode, Param, Patch, UseGuards } from '@nestjs/common';
import { ApiNoContentResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess, notFound } from './account-access.js';
import { CallerGuard } from './caller.guard.js';
import type { Token } from './token.js';
import { tokenChangeOf, TokenView, UpdateToken, viewOfToken } from './tokens.dto.js';
import { TokensService } from './tokens.service.js';

/** Tokens by their id, whatever account they are of. */
@DocumentedApi('tokens')
@UseGuards(CallerGuard)
@Controller('api/tokens')
export class TokensController {
  constructor(
    private readonly access: AccountAccess,
    private readonly tokens: TokensService,
  ) {}

  @Patch(':id')
  @ApiOperation({ summary: 'Change a token', description: 'Scope tokens.write.' })
  @ApiOkResponse({ type: TokenView })
  async update(
    @Param('id') id: string,
    @Body() body: UpdateToken,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<TokenView>> {
    const token = await this.requireToken(caller, id);
    this.access.requireGrantable(caller, body.scopes ?? []);
    return viewOfToken(await this.tokens.update(token, tokenChangeOf(body), actor));
  }

  @Delete(':id')
  @ApiOperation({ summary: 'Revoke a token', description: 'Scope tokens.write.' })
  @HttpCode(204)
  @ApiNoContentResponse({ description: 'Revoked, everywhere within a second.' })
  async revoke(
    @Param('id') id: string,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    await this.tokens.revoke(await this.requireToken(caller, id), actor);
  }

  private async requireToken(caller: Caller, id: string): Promise<Token> {
    const token = await this.tokens.find(id);
    this.access.requireAccount(caller, token?.accountId ?? null, 'tokens.write', 'token');
    if (token === null) throw notFound('token');
    return token;
  }
}
