import { Injectable } from '@nestjs/common';
import { refusal, TollgateError } from '../domain/errors.js';
import { formatCents, PICO_USD_PER_CENT } from '../domain/invoices.js';
import { formatUsd } from '../domain/money.js';
import type { Actor } from '../http/actor.js';
import {
  CreditNotesRepository,
  type CreditNoteRequest,
  type RecordedCreditNote,
} from './credit-notes.repository.js';
import type { InvoiceContent } from './invoice-document.js';
import { invoiceHash } from './invoice-hash.js';
import type { RecordedInvoice } from './invoices.repository.js';

/** What takes back an invoice that was issued: a credit note over a part, a void of the whole. */
@Injectable()
export class CreditNotesService {
  constructor(private readonly notes: CreditNotesRepository) {}

  async listOf(invoice: RecordedInvoice): Promise<readonly RecordedCreditNote[]> {
    return this.notes.listOf(invoice.id);
  }

  /**
   * @throws TollgateError conflict when the invoice is void or given up, invalid_request for more than
   *   is left of it, idempotency_key_reused.
   */
  async credit(
    invoice: RecordedInvoice,
    request: CreditNoteRequest,
    actor: Actor,
    at: Date,
  ): Promise<RecordedCreditNote> {
    const note = await this.notes.issue(
      invoice,
      request,
      (current) => {
        checkCreditable(current, request.amountCents);
      },
      ({ id, number }) => {
        const content = contentOf(invoice, request, { id, number, at });
        return { content, hash: invoiceHash(content) };
      },
      actor,
      at,
    );
    if (note !== 'other_content') return note;
    throw new TollgateError(
      refusal(
        'idempotency_key_reused',
        'This Idempotency-Key stands for another credit note: use a new one.',
      ),
    );
  }

  /** @throws TollgateError conflict unless the invoice is finalized, unpaid and without credit notes. */
  async voidInvoice(
    invoice: RecordedInvoice,
    reason: string,
    actor: Actor,
    at: Date,
  ): Promise<RecordedInvoice> {
    return this.notes.voidInvoice(invoice, checkVoidable, reason, actor, at);
  }
}

/** `CN-000012`. */
function creditNoteNumber(number: number): string {
  return `CN-${number.toString().padStart(6, '0')}`;
}

function checkCreditable(invoice: RecordedInvoice, amountCents: bigint): void {
  const { state, totalCents, creditedCents } = invoice;
  if (state !== 'finalized' && state !== 'paid') {
    throw conflict(`The invoice is ${state}: no credit note is written over it.`);
  }
  const leftCents = totalCents - creditedCents;
  if (amountCents <= leftCents) return;
  const left = formatCents(leftCents);
  throw new TollgateError(
    refusal('invalid_request', `amountUsd: only ${left} of the invoice is not credited yet.`, {
      param: 'amountUsd',
    }),
  );
}

function checkVoidable({ state, paidCents, creditedCents }: RecordedInvoice): void {
  if (state !== 'finalized' || paidCents > 0n) {
    throw conflict(`The invoice is ${state}: only an unpaid one can be voided.`);
  }
  if (creditedCents > 0n) {
    throw conflict('A credit note was written over the invoice: it can no longer be voided.');
  }
}

function conflict(message: string): TollgateError {
  return new TollgateError(refusal('conflict', message));
}

function contentOf(
  { content }: RecordedInvoice,
  { amountCents, reason }: CreditNoteRequest,
  note: { readonly id: string; readonly number: number; readonly at: Date },
): InvoiceContent {
  const exactUsd = formatUsd(amountCents * PICO_USD_PER_CENT);
  return {
    id: note.id,
    kind: 'credit_note',
    number: creditNoteNumber(note.number),
    period: content.period,
    currency: 'USD',
    issuedAt: note.at.toISOString(),
    dueAt: null,
    issuer: content.issuer,
    customer: content.customer,
    lines: [
      {
        kind: 'credit_note',
        description: `Credit on ${content.number ?? 'an invoice'}: ${reason}`,
        exactUsd,
        displayUsd: formatCents(amountCents),
      },
    ],
    exactSumUsd: exactUsd,
    carriedUsd: '0',
    totalUsd: formatCents(amountCents),
    notes: [],
  };
}
