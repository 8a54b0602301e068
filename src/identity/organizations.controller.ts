import { Body, Controller, Get, Param, Patch, Post, Query, UseGuards } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { CallerGuard } from './caller.guard.js';
import { AccountAccess } from './account-access.js';
import {
  CreateOrganization,
  organizationChangeOf,
  OrganizationsPage,
  OrganizationView,
  UpdateOrganization,
  viewOfOrganization,
} from './organizations.dto.js';
import { OrganizationsService } from './organizations.service.js';

@DocumentedApi('organizations')
@UseGuards(CallerGuard)
@Controller('api/organizations')
export class OrganizationsController {
  constructor(
    private readonly access: AccountAccess,
    private readonly organizations: OrganizationsService,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Create an organization',
    description: 'Operator only. Pay-as-you-go is off on the free plan and on otherwise.',
  })
  @ApiCreatedResponse({ type: OrganizationView })
  async create(
    @Body() body: CreateOrganization,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<OrganizationView>> {
    this.access.requireOperator(caller);
    return viewOfOrganization(await this.organizations.create(body, actor));
  }

  @Get()
  @ApiOperation({ summary: 'All organizations', description: 'By slug. Operator only.' })
  @ApiOkResponse({ type: OrganizationsPage })
  async list(
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<OrganizationsPage>> {
    this.access.requireOperator(caller);
    const [afterSlug] = readCursor(cursor, ['text']) ?? [null];
    const rows = await this.organizations.list(limit + 1, afterSlug);
    return pageOf(rows, limit, ({ slug }) => [slug], viewOfOrganization);
  }

  @Get(':slug')
  @ApiOperation({
    summary: 'One organization with its limits',
    description: 'Scope usage.read, billing.read or limits.write.',
  })
  @ApiOkResponse({ type: OrganizationView })
  async get(
    @Param('slug') slug: string,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<OrganizationView>> {
    const scopes = ['usage.read', 'billing.read', 'limits.write'] as const;
    return viewOfOrganization(await this.access.requireOrganization(caller, slug, scopes));
  }

  @Patch(':slug')
  @ApiOperation({
    summary: 'Change name, plan or seats',
    description: 'Operator only. The limits stay as they are.',
  })
  @ApiOkResponse({ type: OrganizationView })
  async update(
    @Param('slug') slug: string,
    @Body() body: UpdateOrganization,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<OrganizationView>> {
    const organization = await this.access.requireOrganizationAsOperator(caller, slug);
    return viewOfOrganization(
      await this.organizations.update(organization, organizationChangeOf(body), actor),
    );
  }
}
