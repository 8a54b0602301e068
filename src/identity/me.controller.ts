import { Controller, Get, UseGuards } from '@nestjs/common';
import {
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiProperty,
  getSchemaPath,
} from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { notFound } from './account-access.js';
import { AccountsService } from './accounts.service.js';
import { CallerGuard } from './caller.guard.js';
import { OrganizationView, viewOfOrganization } from './organizations.dto.js';
import { ServerlessAllowanceService } from './serverless-allowance.service.js';
import { TokenView, viewOfToken } from './tokens.dto.js';
import { TokensService } from './tokens.service.js';
import { UserView, viewOfUser } from './users.dto.js';

class OperatorView {
  @ApiProperty({ enum: ['operator'] })
  kind!: 'operator';
}

class ServerlessView {
  @ApiProperty({ description: 'Calls of the serverless tier a UTC day; it follows load' })
  limit!: number;
  @ApiProperty({ description: 'Calls of today' })
  used!: number;
  @ApiProperty()
  remaining!: number;
  @ApiProperty({ format: 'date-time', description: 'The next UTC midnight' })
  resetsAt!: string;
}

class TokenCallerView {
  @ApiProperty({ enum: ['token'] })
  kind!: 'token';
  @ApiProperty({ type: TokenView })
  token!: TokenView;
  @ApiProperty({ type: OrganizationView })
  organization!: OrganizationView;
  @ApiProperty({ type: ServerlessView })
  serverless!: ServerlessView;
}

class UserTokenCallerView {
  @ApiProperty({ enum: ['token'] })
  kind!: 'token';
  @ApiProperty({ type: TokenView })
  token!: TokenView;
  @ApiProperty({ type: UserView })
  user!: UserView;
  @ApiProperty({ type: ServerlessView })
  serverless!: ServerlessView;
}

type MeView = Plain<OperatorView> | Plain<TokenCallerView> | Plain<UserTokenCallerView>;

@DocumentedApi('me')
@ApiExtraModels(OperatorView, TokenCallerView, UserTokenCallerView)
@UseGuards(CallerGuard)
@Controller('api/me')
export class MeController {
  constructor(
    private readonly tokens: TokensService,
    private readonly accounts: AccountsService,
    private readonly serverless: ServerlessAllowanceService,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Who am I' })
  @ApiOkResponse({
    schema: {
      oneOf: [OperatorView, TokenCallerView, UserTokenCallerView].map((view) => ({
        $ref: getSchemaPath(view),
      })),
    },
  })
  async get(@CurrentCaller() caller: Caller): Promise<MeView> {
    if (caller.kind === 'operator') return { kind: 'operator' };
    const account = await this.accounts.find(caller.accountId);
    const token = await this.tokens.find(caller.tokenId);
    if (token === null || account === null) throw notFound('token');
    const allowance = await this.serverless.standing(account.id, account.plan);
    const serverless = { ...allowance, resetsAt: allowance.resetsAt.toISOString() };
    const common = { kind: 'token', token: viewOfToken(token), serverless } as const;
    return account.kind === 'user'
      ? { ...common, user: viewOfUser(account) }
      : { ...common, organization: viewOfOrganization(account) };
  }
}
