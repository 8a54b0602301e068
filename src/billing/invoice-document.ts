import {
  displayCents,
  formatCents,
  type InvoiceLine,
  type InvoiceLineKind,
  type InvoiceTotal,
} from '../domain/invoices.js';
import { formatUsd } from '../domain/money.js';

export type InvoiceState = 'draft' | 'finalized' | 'paid' | 'void' | 'uncollectible';

/** Who issues; null: not configured. */
export interface DocumentIssuer {
  readonly name: string | null;
  /** Lines separated by line feeds. */
  readonly address: string | null;
  readonly taxId: string | null;
}

/** Billing details as they were when the document was issued. */
export interface DocumentCustomer {
  readonly slug: string;
  readonly name: string;
  readonly address: string | null;
  readonly email: string | null;
  readonly taxId: string | null;
  /** The customer's own: an order number, a cost centre. */
  readonly reference: string | null;
}

export interface DocumentPart {
  readonly unit: string;
  readonly quantity: string;
  readonly unitPriceUsd: string;
  /** What the unit price is per; absent: one unit. */
  readonly perUnits?: string;
  readonly exactUsd: string;
}

export interface DocumentLine {
  readonly kind: InvoiceLineKind;
  readonly description: string;
  readonly upstream?: string;
  readonly provider?: string;
  readonly model?: string;
  readonly requests?: number;
  readonly priceRowIds?: readonly string[];
  readonly parts?: readonly DocumentPart[];
  /** Up to 12 decimals; what the invoice is computed from. */
  readonly exactUsd: string;
  /** Two decimals; what a person reads. */
  readonly displayUsd: string;
}

/** What never changes once the document is issued, and what its hash is taken over. */
export interface InvoiceContent {
  readonly id: string;
  readonly kind: 'invoice' | 'credit_note';
  /** `INV-000123`; null: a draft. */
  readonly number: string | null;
  /** `YYYY-MM`. */
  readonly period: string;
  readonly currency: 'USD';
  /** ISO 8601 UTC; null: a draft. */
  readonly issuedAt: string | null;
  readonly dueAt: string | null;
  readonly issuer: DocumentIssuer;
  readonly customer: DocumentCustomer;
  readonly lines: readonly DocumentLine[];
  readonly exactSumUsd: string;
  readonly carriedUsd: string;
  readonly totalUsd: string;
  /** Sentences for the customer, below the totals. */
  readonly notes: readonly string[];
}

/** An invoice or credit note as it is shown: its content and what happened to it since. */
export interface InvoiceDocument extends InvoiceContent {
  readonly state: InvoiceState;
  readonly paidUsd: string;
  readonly amountDueUsd: string;
  readonly payUrl: string | null;
  /** Of the content; null: a draft. */
  readonly hash: string | null;
}

/** The lines in JSON's words, with the cents that each shows: these add up to the floored sum. */
export function documentLines(lines: readonly InvoiceLine[]): readonly DocumentLine[] {
  const cents = displayCents(lines);
  return lines.map((line, index) => ({
    kind: line.kind,
    description: line.description,
    ...(line.upstream === null ? {} : { upstream: line.upstream }),
    ...(line.provider === null ? {} : { provider: line.provider }),
    ...(line.model === null ? {} : { model: line.model }),
    ...(line.requests === null ? {} : { requests: line.requests }),
    ...(line.priceRowIds.length === 0 ? {} : { priceRowIds: line.priceRowIds.map(String) }),
    ...(line.parts === null ? {} : { parts: line.parts.map(documentPart) }),
    exactUsd: formatUsd(line.exactPicoUsd),
    displayUsd: formatCents(cents[index] ?? 0n),
  }));
}

function documentPart(part: NonNullable<InvoiceLine['parts']>[number]): DocumentPart {
  return {
    unit: part.unit,
    quantity: part.quantity.toString(),
    unitPriceUsd: formatUsd(part.unitPricePicoUsd),
    ...(part.perUnits === 1n ? {} : { perUnits: part.perUnits.toString() }),
    exactUsd: formatUsd(part.exactPicoUsd),
  };
}

export function documentAmounts(
  total: InvoiceTotal,
): Pick<InvoiceContent, 'exactSumUsd' | 'carriedUsd' | 'totalUsd'> {
  return {
    exactSumUsd: formatUsd(total.exactSumPicoUsd),
    carriedUsd: formatUsd(total.carriedPicoUsd),
    totalUsd: formatCents(total.totalCents),
  };
}
