import { Body, Get, Put, UseGuards } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, getSchemaPath } from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from './account-access.js';
import { AccountController, PathAccount, type AccountRef } from './account-path.js';
import type { Account } from './account.js';
import { AccountsService } from './accounts.service.js';
import { CallerGuard } from './caller.guard.js';
import {
  limitsRequestOf,
  OrganizationView,
  SetLimits,
  viewOfOrganization,
} from './organizations.dto.js';
import { UserView, viewOfUser } from './users.dto.js';

const ACCOUNT_SCHEMA = {
  schema: { oneOf: [{ $ref: getSchemaPath(OrganizationView) }, { $ref: getSchemaPath(UserView) }] },
};

@DocumentedApi('limits')
@ApiExtraModels(OrganizationView, UserView)
@UseGuards(CallerGuard)
@AccountController('limits')
export class AccountLimitsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly accounts: AccountsService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'The account with its limits',
    description: 'Scope usage.read, billing.read or limits.write.',
  })
  @ApiOkResponse(ACCOUNT_SCHEMA)
  async get(
    @PathAccount() path: AccountRef,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<OrganizationView> | Plain<UserView>> {
    const scopes = ['usage.read', 'billing.read', 'limits.write'] as const;
    return viewOfAccount(await this.access.require(caller, path, scopes));
  }

  @Put()
  @ApiOperation({
    summary: 'Set the limits',
    description:
      'Scope limits.write. Only the operator goes past maxSpendLimitUsd. What is optional and left out stays as it is.',
  })
  @ApiOkResponse(ACCOUNT_SCHEMA)
  async set(
    @PathAccount() path: AccountRef,
    @Body() body: SetLimits,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<OrganizationView> | Plain<UserView>> {
    const account = await this.access.require(caller, path, 'limits.write');
    const isOperator = caller.kind === 'operator';
    return viewOfAccount(
      await this.accounts.setLimits(account, limitsRequestOf(body), isOperator, actor),
    );
  }
}

function viewOfAccount(account: Account): Plain<OrganizationView> | Plain<UserView> {
  return account.kind === 'user' ? viewOfUser(account) : viewOfOrganization(account);
}
