import { Injectable } from '@nestjs/common';
import { refusal, TollgateError } from '../domain/errors.js';
import { formatCents } from '../domain/invoices.js';
import type { Actor } from '../http/actor.js';
import { isUuid } from '../http/pagination.js';
import { invalidField } from '../http/validation.pipe.js';
import type { InvoiceDocument } from './invoice-document.js';
import {
  InvoicesRepository,
  type InvoiceEnding,
  type Payment,
  type RecordedInvoice,
} from './invoices.repository.js';

/** Invoices as they were issued, and what became of them. */
@Injectable()
export class InvoicesService {
  constructor(private readonly invoices: InvoicesRepository) {}

  /** Null for what is no id of ours, and for one of no invoice. */
  async find(id: string): Promise<RecordedInvoice | null> {
    return isUuid(id) ? this.invoices.find(id) : null;
  }

  /** Latest period first. */
  async list(
    accountId: string,
    limit: number,
    beforePeriod: string | null,
  ): Promise<readonly RecordedInvoice[]> {
    return this.invoices.list(accountId, limit, beforePeriod);
  }

  /**
   * Books a payment by hand of all that is due. The same payment again changes nothing.
   *
   * @throws TollgateError invalid_request for a payment in the future, conflict unless the invoice is
   *   open.
   */
  async pay(
    invoice: RecordedInvoice,
    payment: Payment,
    actor: Actor,
    at: Date,
  ): Promise<RecordedInvoice> {
    if (payment.paidAt.getTime() > at.getTime()) {
      throw invalidField('paidAt', 'must not lie in the future');
    }
    return this.invoices.end(invoice, (current) => endingByPayment(current, payment), actor, at);
  }

  /**
   * Gives up what is due.
   *
   * @throws TollgateError conflict unless the invoice is open, or given up before.
   */
  async writeOff(invoice: RecordedInvoice, actor: Actor, at: Date): Promise<RecordedInvoice> {
    return this.invoices.end(invoice, endingByWriteOff, actor, at);
  }
}

function endingByPayment(current: RecordedInvoice, payment: Payment): InvoiceEnding | null {
  if (current.state === 'finalized') {
    return { state: 'paid', amountCents: dueCentsOf(current), payment };
  }
  const isSame =
    current.state === 'paid' &&
    current.paymentMethod === payment.method &&
    current.paymentReference === payment.reference &&
    current.paidAt?.getTime() === payment.paidAt.getTime();
  if (isSame) return null;
  throw conflict(`The invoice is ${current.state}: only one that is open can be paid.`);
}

function endingByWriteOff(current: RecordedInvoice): InvoiceEnding | null {
  if (current.state === 'uncollectible') return null;
  if (current.state === 'finalized') {
    return { state: 'uncollectible', amountCents: dueCentsOf(current), payment: null };
  }
  throw conflict(`The invoice is ${current.state}: only one that is open can be given up.`);
}

function conflict(message: string): TollgateError {
  return new TollgateError(refusal('conflict', message));
}

/** What the customer is still asked for: of an invoice that ended, however it did, nothing. */
function dueCentsOf({ state, totalCents, paidCents, creditedCents }: RecordedInvoice): bigint {
  return state === 'finalized' ? totalCents - paidCents - creditedCents : 0n;
}

/** The invoice as it is shown: its content and what happened to it since. */
export function documentOf(invoice: RecordedInvoice): InvoiceDocument {
  return {
    ...invoice.content,
    state: invoice.state,
    paidUsd: formatCents(invoice.paidCents),
    amountDueUsd: formatCents(dueCentsOf(invoice)),
    payUrl: null,
    hash: invoice.hash,
  };
}
