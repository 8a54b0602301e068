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
import { CallerGuard } from './caller.guard.js';
import { notFound } from './organization-access.js';
import { OrganizationView, viewOfOrganization } from './organizations.dto.js';
import { OrganizationsService } from './organizations.service.js';
import { TokenView, viewOfToken } from './tokens.dto.js';
import { TokensService } from './tokens.service.js';

class OperatorView {
  @ApiProperty({ enum: ['operator'] })
  kind!: 'operator';
}

class TokenCallerView {
  @ApiProperty({ enum: ['token'] })
  kind!: 'token';
  @ApiProperty({ type: TokenView })
  token!: TokenView;
  @ApiProperty({ type: OrganizationView })
  organization!: OrganizationView;
}

@DocumentedApi('me')
@ApiExtraModels(OperatorView, TokenCallerView)
@UseGuards(CallerGuard)
@Controller('api/me')
export class MeController {
  constructor(
    private readonly tokens: TokensService,
    private readonly organizations: OrganizationsService,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Who am I' })
  @ApiOkResponse({
    schema: {
      oneOf: [{ $ref: getSchemaPath(OperatorView) }, { $ref: getSchemaPath(TokenCallerView) }],
    },
  })
  async get(
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<OperatorView> | Plain<TokenCallerView>> {
    if (caller.kind === 'operator') return { kind: 'operator' };
    const token = await this.tokens.find(caller.tokenId);
    const organization = await this.organizations.find(caller.slug);
    if (token === null || organization === null) throw notFound('token');
    return {
      kind: 'token',
      token: viewOfToken(token),
      organization: viewOfOrganization(organization),
    };
  }
}
