import { Body, Controller, Get, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiBody, ApiCreatedResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Clock } from '../config/clock.js';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { CallerGuard } from '../identity/caller.guard.js';
import {
  CreateCreditNote,
  creditNoteRequestOf,
  CreditNotesPage,
  CreditNoteView,
  viewOfCreditNote,
} from './credit-notes.dto.js';
import { CreditNotesService } from './credit-notes.service.js';
import { ApiIdempotencyKey, IdempotencyKey } from './idempotency-key.js';
import { InvoiceAccess } from './invoice-access.js';
import { InvoiceView, VoidInvoice } from './invoices.dto.js';
import { documentOf } from './invoices.service.js';
import { type Given, OptionalBodyPipe } from './optional-body.js';

const NO_REASON = 'no reason given';

/** What takes an issued invoice back, in part or whole. */
@DocumentedApi('invoices')
@UseGuards(CallerGuard)
@Controller('api/invoices/:id')
export class CreditNotesController {
  constructor(
    private readonly access: InvoiceAccess,
    private readonly notes: CreditNotesService,
    private readonly clock: Clock,
  ) {}

  @Get('credit-notes')
  @ApiOperation({
    summary: 'Credit notes over an invoice',
    description: 'By number, all of them. Scope `billing.read`.',
  })
  @ApiOkResponse({ type: CreditNotesPage })
  async list(
    @Param('id') id: string,
    @CurrentCaller() caller: Caller,
  ): Promise<Plain<CreditNotesPage>> {
    const notes = await this.notes.listOf(await this.access.readable(id, caller));
    return { data: notes.map(viewOfCreditNote), nextCursor: null };
  }

  @Post('credit-notes')
  @ApiOperation({
    summary: 'Write a credit note',
    description:
      'Over at most what is left of the invoice. It pays out corrections of the open month first; the rest is goodwill. Operator only.',
  })
  @ApiIdempotencyKey()
  @ApiCreatedResponse({ type: CreditNoteView })
  async create(
    @Param('id') id: string,
    @Body() body: CreateCreditNote,
    @IdempotencyKey() key: string | null,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<CreditNoteView>> {
    const invoice = await this.access.changeable(id, caller);
    const request = creditNoteRequestOf(body, key);
    return viewOfCreditNote(await this.notes.credit(invoice, request, actor, this.clock.now()));
  }

  @Post('void')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Void an invoice',
    description:
      'Of an open one without credit notes: it keeps its number, and its lines return on the next invoice. Operator only.',
  })
  @ApiBody({ type: VoidInvoice, required: false })
  @ApiOkResponse({ type: InvoiceView })
  async voidInvoice(
    @Param('id') id: string,
    @Body(new OptionalBodyPipe(VoidInvoice)) body: Given<VoidInvoice>,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<InvoiceView>> {
    const invoice = await this.access.changeable(id, caller);
    const reason = body.reason ?? NO_REASON;
    return documentOf(await this.notes.voidInvoice(invoice, reason, actor, this.clock.now()));
  }
}
