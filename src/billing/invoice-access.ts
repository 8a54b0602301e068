import { Injectable } from '@nestjs/common';
import type { Caller } from '../http/caller.js';
import { AccountAccess, notFound } from '../identity/account-access.js';
import type { RecordedInvoice } from './invoices.repository.js';
import { InvoicesService } from './invoices.service.js';

/** Invoices by their id, for whom they may be shown to or changed by. */
@Injectable()
export class InvoiceAccess {
  constructor(
    private readonly access: AccountAccess,
    private readonly invoices: InvoicesService,
  ) {}

  /** @throws TollgateError not_found when it is foreign or there is none; insufficient_scope. */
  async readable(id: string, caller: Caller): Promise<RecordedInvoice> {
    const invoice = await this.invoices.find(id);
    this.access.requireAccount(caller, invoice?.accountId ?? null, 'billing.read', 'invoice');
    if (invoice === null) throw notFound('invoice');
    return invoice;
  }

  /** As `readable`, for the operator. */
  async changeable(id: string, caller: Caller): Promise<RecordedInvoice> {
    const invoice = await this.readable(id, caller);
    this.access.requireOperator(caller);
    return invoice;
  }
}
