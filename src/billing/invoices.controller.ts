import { Body, Controller, Get, HttpCode, Param, Post, Res, UseGuards } from '@nestjs/common';
import {
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  getSchemaPath,
} from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Clock } from '../config/clock.js';
import { CurrentActor, type Actor } from '../http/actor.js';
import { DocumentedApi } from '../http/api-documentation.js';
import { CurrentCaller, type Caller } from '../http/caller.js';
import type { Plain } from '../http/plain.js';
import { CallerGuard } from '../identity/caller.guard.js';
import { InvoiceAccess } from './invoice-access.js';
import { answerIn, formOf } from './invoice-forms.js';
import { InvoiceView, PayInvoice, paymentOf } from './invoices.dto.js';
import { documentOf, InvoicesService } from './invoices.service.js';

const TEXT = { schema: { type: 'string' } };

/** Invoices by their id. */
@DocumentedApi('invoices')
@ApiExtraModels(InvoiceView)
@UseGuards(CallerGuard)
@Controller('api/invoices')
export class InvoicesController {
  constructor(
    private readonly access: InvoiceAccess,
    private readonly invoices: InvoicesService,
    private readonly clock: Clock,
  ) {}

  @Get(':id')
  @ApiOperation({
    summary: 'One invoice',
    description: 'As JSON, or with `.html`, `.pdf` or `.csv` behind the id. Scope `billing.read`.',
  })
  @ApiParam({ name: 'id', type: String, description: 'The id, or `<id>.html|.pdf|.csv`.' })
  @ApiOkResponse({
    content: {
      'application/json': { schema: { $ref: getSchemaPath(InvoiceView) } },
      'text/html': TEXT,
      'application/pdf': { schema: { type: 'string', format: 'binary' } },
      'text/csv': TEXT,
    },
  })
  async get(
    @Param('id') name: string,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Plain<InvoiceView> | string | Buffer> {
    const { id, form } = formOf(name);
    const document = documentOf(await this.access.readable(id, caller));
    if (form === null) return document;
    const { headers, body } = await answerIn(form, document);
    void reply.headers(headers);
    return body;
  }

  @Post(':id/pay')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Book a payment by hand',
    description:
      'Of all that is due. The same payment again changes nothing; another one, or of an invoice that is not open, is 409. Operator only.',
  })
  @ApiOkResponse({ type: InvoiceView })
  async pay(
    @Param('id') id: string,
    @Body() body: PayInvoice,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<InvoiceView>> {
    const invoice = await this.access.changeable(id, caller);
    const at = this.clock.now();
    return documentOf(await this.invoices.pay(invoice, paymentOf(body), actor, at));
  }

  @Post(':id/uncollectible')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Give up what is due',
    description: 'Of an open invoice; again changes nothing. Operator only.',
  })
  @ApiOkResponse({ type: InvoiceView })
  async writeOff(
    @Param('id') id: string,
    @CurrentCaller() caller: Caller,
    @CurrentActor() actor: Actor,
  ): Promise<Plain<InvoiceView>> {
    const invoice = await this.access.changeable(id, caller);
    return documentOf(await this.invoices.writeOff(invoice, actor, this.clock.now()));
  }
}
