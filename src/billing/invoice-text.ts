import { formatCents, type InvoiceLineKind } from '../domain/invoices.js';
import type { DocumentLine, InvoiceDocument } from './invoice-document.js';
import { grouped, usdText } from './invoice-part-text.js';

// What the page and the PDF of an invoice say, in the same words.

export const NET_NOTE = 'Amounts are net; Tollgate computes no tax.';

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const;

/** `2026-06-15T...` -> `15 June 2026`, of the UTC day; a draft has no day. */
export function dayText(isoTime: string | null): string {
  if (isoTime === null) return 'not issued';
  const at = new Date(isoTime);
  const month = MONTHS[at.getUTCMonth()];
  if (month === undefined) return isoTime;
  return `${at.getUTCDate()} ${month} ${at.getUTCFullYear()}`;
}

/** `2026-05` -> `May 2026`. */
export function periodText(period: string): string {
  const [year = '', month = ''] = period.split('-');
  return `${MONTHS[Number(month) - 1] ?? month} ${year}`;
}

export function titleOf({ kind, state }: InvoiceDocument): string {
  if (kind === 'credit_note') return 'Credit note';
  return state === 'draft' ? 'Draft invoice' : 'Invoice';
}

export interface Stamp {
  readonly text: string;
  readonly tone: 'open' | 'good' | 'bad' | 'draft';
}

/** The word across the document that nobody can miss. */
export function stampOf({ kind, state }: InvoiceDocument): Stamp {
  if (kind === 'credit_note' && state !== 'void') return { text: 'Credit note', tone: 'good' };
  switch (state) {
    case 'draft':
      return { text: 'Draft', tone: 'draft' };
    case 'finalized':
      return { text: 'Open', tone: 'open' };
    case 'paid':
      return { text: 'Paid', tone: 'good' };
    case 'void':
      return { text: 'Void', tone: 'bad' };
    case 'uncollectible':
      return { text: 'Uncollectible', tone: 'bad' };
  }
}

/** What stands beside the two addresses. */
export function factsOf(document: InvoiceDocument): readonly (readonly [string, string])[] {
  const { kind, period, currency, issuedAt, dueAt, customer } = document;
  const facts: (readonly [string, string])[] = [['Issued', dayText(issuedAt)]];
  if (kind === 'invoice') facts.push(['Due', dayText(dueAt)]);
  facts.push(['Period', `${periodText(period)} (UTC)`], ['Currency', currency]);
  if (customer.reference !== null) facts.push(['Your reference', customer.reference]);
  return facts;
}

/** The two addresses, line by line, the name first. */
export function partyLines({ issuer, customer }: InvoiceDocument): {
  readonly from: readonly string[];
  readonly billTo: readonly string[];
} {
  const common = ({ address, taxId }: typeof issuer | typeof customer): readonly string[] => [
    ...(address ?? '').split('\n'),
    taxId === null ? '' : `Tax ID: ${taxId}`,
  ];
  const written = (lines: readonly string[]): readonly string[] =>
    lines.map((line) => line.trim()).filter((line) => line !== '');
  return {
    from: written([issuer.name ?? 'Issuer not configured', ...common(issuer)]),
    billTo: written([
      customer.name,
      ...common(customer),
      customer.email ?? '',
      `Account: ${customer.slug}`,
    ]),
  };
}

/** The one figure that everybody looks for. */
export interface Headline {
  readonly label: string;
  readonly amountUsd: string;
  /** Null: there is nothing to pay, or no day for it. */
  readonly dueAt: string | null;
  /** An http(s) address; null: nothing to pay, or nowhere to. */
  readonly payUrl: string | null;
}

export function headlineOf(document: InvoiceDocument): Headline {
  const { kind, state, totalUsd, amountDueUsd, dueAt, payUrl } = document;
  if (kind === 'credit_note') {
    return { label: 'Total credited', amountUsd: totalUsd, dueAt: null, payUrl: null };
  }
  if (state === 'draft') {
    return { label: 'Total so far', amountUsd: totalUsd, dueAt: null, payUrl: null };
  }
  const isOpen = state === 'finalized' && !isZero(amountDueUsd);
  const canPay = isOpen && payUrl !== null && /^https?:\/\//.test(payUrl);
  return {
    label: 'Amount due',
    amountUsd: amountDueUsd,
    dueAt: isOpen ? dueAt : null,
    payUrl: canPay ? payUrl : null,
  };
}

export function requestsText({ requests }: DocumentLine): string | null {
  if (requests === undefined) return null;
  return `${grouped(requests.toString())} ${requests === 1 ? 'request' : 'requests'}`;
}

const SECTIONS: Readonly<Record<InvoiceLineKind, string>> = {
  plan: 'Plan',
  payment: 'Plan',
  usage: 'Usage at provider rates',
  credit: 'Credit',
  correction: 'Corrections of earlier periods',
  credit_note: 'Corrections of earlier periods',
  carry: 'Carried from earlier invoices',
};

export interface LineSection {
  readonly title: string;
  readonly lines: readonly DocumentLine[];
}

/** The lines under their headings, in their order: a heading for each run of one section. */
export function sectionsOf({ kind, lines }: InvoiceDocument): readonly LineSection[] {
  const sections: { title: string; lines: DocumentLine[] }[] = [];
  for (const line of lines) {
    const title = kind === 'credit_note' ? 'Credited' : SECTIONS[line.kind];
    const last = sections.at(-1);
    if (last?.title === title) last.lines.push(line);
    else sections.push({ title, lines: [line] });
  }
  return sections;
}

export interface TotalRow {
  readonly label: string;
  /** Null: the row has no exact figure of its own. */
  readonly exactUsd: string | null;
  readonly usd: string;
  readonly isMain: boolean;
}

/**
 * The rows under the lines; each column adds up. Where the total is 0.00 although the lines have a
 * sum, that sum is what is carried, in cents as exactly.
 */
export function totalRowsOf(document: InvoiceDocument): readonly TotalRow[] {
  const { exactSumUsd, carriedUsd, totalUsd, paidUsd, amountDueUsd, kind, state } = document;
  const sum = document.lines.reduce((cents, { displayUsd }) => cents + centsOf(displayUsd), 0n);
  const total = centsOf(totalUsd);
  const rows: TotalRow[] = [];
  const row = (label: string, cents: bigint, exactUsd: string | null = null): void => {
    rows.push({ label, exactUsd, usd: usdText(formatCents(cents)), isMain: false });
  };
  const main = (label: string, cents: bigint): void => {
    rows.push({ label, exactUsd: null, usd: usdText(formatCents(cents)), isMain: true });
  };
  row('Sum of the lines', sum, usdText(exactSumUsd));
  if (!isZero(carriedUsd)) {
    row('Less: carried to the next invoice', total - sum, usdText(negated(carriedUsd)));
  }
  const { label } = headlineOf(document);
  const isAsked = kind === 'invoice' && state !== 'draft';
  main(isAsked ? 'Total' : label, total);
  if (!isAsked) return rows;
  const paid = centsOf(paidUsd);
  const due = centsOf(amountDueUsd);
  const settled = total - paid - due;
  if (paid !== 0n) row('Less: paid', -paid);
  if (settled !== 0n) row(SETTLED_OTHERWISE[state] ?? 'Less: credit notes', -settled);
  main(label, due);
  return rows;
}

const SETTLED_OTHERWISE: Readonly<Partial<Record<InvoiceDocument['state'], string>>> = {
  void: 'Less: void, nothing is due',
  uncollectible: 'Less: written off',
};

function negated(decimal: string): string {
  return decimal.startsWith('-') ? decimal.slice(1) : `-${decimal}`;
}

function isZero(decimal: string): boolean {
  return !/[1-9]/.test(decimal);
}

/** Cents of an amount that is written with whole cents. */
function centsOf(decimal: string): bigint {
  const [whole = '', fraction = ''] = decimal.split('.');
  return BigInt(`${whole}${fraction.padEnd(2, '0').slice(0, 2)}`);
}

/** What the reader should know, the document's own notes last. */
export function notesOf(document: InvoiceDocument): readonly string[] {
  const { exactSumUsd, carriedUsd, totalUsd, notes } = document;
  const said: string[] = [];
  if (centsOf(totalUsd) === 0n && exactSumUsd.startsWith('-')) {
    said.push('The sum is in your favour: nothing is due, and it is carried to the next invoice.');
  } else if (centsOf(totalUsd) === 0n && !isZero(exactSumUsd)) {
    said.push(
      'The sum is less than the smallest amount that is invoiced: nothing is due, and it is carried to the next invoice.',
    );
  } else if (!isZero(carriedUsd)) {
    said.push(
      'The total is the exact sum rounded down once to whole cents; the rest is carried to the next invoice.',
    );
  }
  const hasCents = document.lines.some(({ exactUsd, displayUsd }) => {
    return usdText(exactUsd) !== usdText(displayUsd);
  });
  if (hasCents) {
    said.push(
      'Amounts in cents are rounded for reading, so that they add up; the exact amounts are what is computed.',
    );
  }
  return [NET_NOTE, ...said, ...notes];
}
