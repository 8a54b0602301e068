import { Body, Controller, Get, Param, Patch, Post, Query, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from './account-access.js';
import { CallerGuard } from './caller.guard.js';
import { CreateUser, UpdateUser, UsersPage, UserView, viewOfUser } from './users.dto.js';
import { UsersService } from './users.service.js';

/** People. What their own accounts have stands under `AccountController`. */
@DocumentedApi('users')
@UseGuards(CallerGuard)
@Controller('api/users')
export class UsersController {
  constructor(
    private readonly access: AccountAccess,
    private readonly users: UsersService,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Create a user with an account of his own',
    description: 'Operator only. Pay-as-you-go is off on the free plan and on with pro.',
  })
  @ApiCreatedResponse({ type: UserView })
  async create(
    @Body() body: CreateUser,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<UserView>> {
    this.access.requireOperator(caller);
    return viewOfUser(await this.users.create(body, actor));
  }

  @Get()
  @ApiOperation({ summary: 'All users', description: 'Oldest first. Operator only.' })
  @ApiOkResponse({ type: UsersPage })
  async list(
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<UsersPage>> {
    this.access.requireOperator(caller);
    const [afterId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.users.list(limit + 1, afterId);
    return pageOf(rows, limit, ({ id }) => [id], viewOfUser);
  }

  @Get(':userId')
  @ApiOperation({
    summary: 'One user with the limits of his own account',
    description: 'Scope usage.read, billing.read or limits.write, of his own token.',
  })
  @ApiOkResponse({ type: UserView })
  async get(
    @Param('userId') userId: string,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<UserView>> {
    const scopes = ['usage.read', 'billing.read', 'limits.write'] as const;
    return viewOfUser(await this.access.requireUser(caller, userId, scopes));
  }

  @Patch(':userId')
  @ApiOperation({
    summary: "Change the plan of a user's own account",
    description: 'Operator only.',
  })
  @ApiOkResponse({ type: UserView })
  async update(
    @Param('userId') userId: string,
    @Body() { plan }: UpdateUser,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<UserView>> {
    const user = await this.access.requireUserAsOperator(caller, userId);
    return viewOfUser(await this.users.changePlan(user, plan, actor));
  }
}
