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
import {
  CreateMember,
  memberChangeOf,
  MembersPage,
  MemberView,
  newMemberOf,
  UpdateMember,
  viewOfMember,
} from './members.dto.js';
import { MembersService } from './members.service.js';
import { AccountAccess } from './account-access.js';

@DocumentedApi('members')
@UseGuards(CallerGuard)
@Controller('api/organizations/:slug/members')
export class MembersController {
  constructor(
    private readonly access: AccountAccess,
    private readonly members: MembersService,
  ) {}

  @Post()
  @ApiOperation({ summary: 'Add a member', description: 'Scope members.write.' })
  @ApiCreatedResponse({ type: MemberView })
  async create(
    @Param('slug') slug: string,
    @Body() body: CreateMember,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<MemberView>> {
    const { id: accountId } = await this.access.requireOrganization(caller, slug, 'members.write');
    return viewOfMember(await this.members.create(accountId, newMemberOf(body), actor));
  }

  @Get()
  @ApiOperation({ summary: 'The members', description: 'Oldest first. Scope members.write.' })
  @ApiOkResponse({ type: MembersPage })
  async list(
    @Param('slug') slug: string,
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<MembersPage>> {
    const { id: accountId } = await this.access.requireOrganization(caller, slug, 'members.write');
    const [afterId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.members.list(accountId, limit + 1, afterId);
    return pageOf(rows, limit, ({ id }) => [id], viewOfMember);
  }

  @Patch(':id')
  @ApiOperation({ summary: 'Change a member', description: 'Scope members.write.' })
  @ApiOkResponse({ type: MemberView })
  async update(
    @Param('slug') slug: string,
    @Param('id') id: string,
    @Body() body: UpdateMember,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<MemberView>> {
    const { id: accountId } = await this.access.requireOrganization(caller, slug, 'members.write');
    return viewOfMember(await this.members.update(accountId, id, memberChangeOf(body), actor));
  }

  @Delete(':id')
  @ApiOperation({
    summary: 'Remove a member and revoke his tokens',
    description: 'Scope members.write.',
  })
  @HttpCode(204)
  @ApiNoContentResponse({ description: 'Removed; his tokens are revoked.' })
  async remove(
    @Param('slug') slug: string,
    @Param('id') id: string,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<void> {
    const { id: accountId } = await this.access.requireOrganization(caller, slug, 'members.write');
    await this.members.remove(accountId, id, actor);
  }
}
