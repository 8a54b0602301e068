import { Controller, Get, Header, Query, StreamableFile, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Readable } from 'node:stream';
import { Clock } from '../config/clock.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { AccountAccess } from '../identity/account-access.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { instantOf } from '../usage/query-rules.js';
import {
  JournalQuery,
  spanOf,
  TrialBalanceQuery,
  TrialBalanceView,
  viewOfTrialBalance,
} from './ledger.dto.js';
import { LedgerService } from './ledger.service.js';

/** The books of the whole house. */
@DocumentedApi('ledger')
@UseGuards(CallerGuard)
@Controller('api/ledger')
export class LedgerController {
  constructor(
    private readonly access: AccountAccess,
    private readonly ledger: LedgerService,
    private readonly clock: Clock,
  ) {}

  @Get('trial-balance')
  @ApiOperation({
    summary: 'Debits and credits of every account',
    description: 'They sum to 0. Operator only.',
  })
  @ApiOkResponse({ type: TrialBalanceView })
  async trialBalance(
    @Query() { at }: TrialBalanceQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<TrialBalanceView>> {
    this.access.requireOperator(caller);
    const until = at === undefined ? null : instantOf(at);
    return viewOfTrialBalance(await this.ledger.trialBalance(until), until ?? this.clock.now());
  }

  @Get('journal.csv')
  @Header('cache-control', 'private, no-store')
  @Header('x-content-type-options', 'nosniff')
  @ApiOperation({
    summary: 'Every transfer of a span of time, as CSV',
    description:
      'In order of booking, streamed. What is booked while it is read may be missing from its last minute. Operator only.',
  })
  @ApiOkResponse({ content: { 'text/csv': { schema: { type: 'string' } } } })
  journal(@Query() query: JournalQuery, @CurrentCaller() caller: Caller): StreamableFile {
    this.access.requireOperator(caller);
    const { from, to } = spanOf(query);
    return new StreamableFile(Readable.from(this.ledger.journalCsv(from, to)), {
      type: 'text/csv; charset=utf-8',
      disposition: `attachment; filename="journal.csv"`,
    });
  }
}
