import { Controller, Get, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProperty } from '@nestjs/swagger';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import { PageQuery, pageOf, readCursor } from '../http/pagination.js';
import type { Plain } from '../http/plain.js';
import { AuditService } from './audit.service.js';
import type { AuditEntry } from './audit.repository.js';
import { CallerGuard } from './caller.guard.js';
import { AccountAccess } from './account-access.js';

class AuditEntryView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String, format: 'date-time' })
  at!: string;
  @ApiProperty({ type: String, description: '`operator`, `system` or `token:<id>`.' })
  actor!: string;
  @ApiProperty({ type: String, example: 'token.revoke' })
  action!: string;
  @ApiProperty({ type: String, example: 'organization:acme' })
  subject!: string;
  @ApiProperty({ type: 'object', additionalProperties: true, nullable: true })
  before!: unknown;
  @ApiProperty({ type: 'object', additionalProperties: true, nullable: true })
  after!: unknown;
  @ApiProperty({ type: String, nullable: true, description: 'Where the request came from.' })
  address!: string | null;
}

class AuditPage {
  @ApiProperty({ type: [AuditEntryView] })
  data!: readonly AuditEntryView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

@DocumentedApi('audit log')
@UseGuards(CallerGuard)
@Controller('api/audit-log')
export class AuditController {
  constructor(
    private readonly access: AccountAccess,
    private readonly audit: AuditService,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Who did what', description: 'Newest first. Operator only.' })
  @ApiOkResponse({ type: AuditPage })
  async list(
    @Query() { limit, cursor }: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<AuditPage>> {
    this.access.requireOperator(caller);
    const [beforeId] = readCursor(cursor, ['uuid']) ?? [null];
    const rows = await this.audit.list(limit + 1, beforeId);
    return pageOf(rows, limit, ({ id }) => [id], viewOfEntry);
  }
}

function viewOfEntry(entry: AuditEntry): Plain<AuditEntryView> {
  return { ...entry, at: entry.at.toISOString() };
}
