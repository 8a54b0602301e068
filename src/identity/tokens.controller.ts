import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Patch,
  Post,
  Query,
  UseGuards,
} from '@nestjs/common';
import {
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
} from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { CallerGuard } from './caller.guard.js';
import { notFound, OrganizationAccess } from './organization-access.js';
import type { Token } from './token.js';
import {
  CreatedToken,
  CreateToken,
  newTokenOf,
  tokenChangeOf,
  TokensPage,
  TokenView,
  UpdateToken,
  viewOfToken,
} from './tokens.dto.js';
import { TokensService } from './tokens.service.js';

@DocumentedApi('tokens')
@UseGuards(CallerGuard)
@Controller('api')
export class TokensController {
  constructor(
    private readonly access: OrganizationAccess,
    private readonly tokens: TokensService,
  ) {}

  @Post('organizations/:slug/tokens')
  @ApiOperation({
    summary: 'Make a token',
    description:
      'The secret is in this answer only. Scope tokens.write; a token hands on no scope that it lacks.',
  })
  @ApiCreatedResponse({ type: CreatedToken })
  async create(
    @Param('slug') slug: string,
    @Body() body: CreateToken,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<CreatedToken>> {
    const organization = await this.access.requireOrganization(caller, slug, 'tokens.write');
    this.access.requireGrantable(caller, body.scopes ?? []);
    const { token, secret } = await this.tokens.create(organization, newTokenOf(body), actor);
    return { ...viewOfToken(token), token: secret };
  }

  @Get('organizations/:slug/tokens')
  @ApiOperation({
    summary: 'The tokens',
    description: 'Newest first, revoked ones too. Scope tokens.write.',
  })
  @ApiOkResponse({ type: TokensPage })
  async list(
    @Param('slug') slug: string,
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<TokensPage>> {
    const { id: accountId } = await this.access.requireOrganization(caller, slug, 'tokens.write');
    const [beforeId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.tokens.list(accountId, limit + 1, beforeId);
    return pageOf(rows, limit, ({ id }) => [id], viewOfToken);
  }

  @Patch('tokens/:id')
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

  @Delete('tokens/:id')
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
