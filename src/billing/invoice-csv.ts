import type { DocumentLine, DocumentPart, InvoiceDocument } from './invoice-document.js';

const COLUMNS = [
  'invoice',
  'state',
  'period',
  'issued_at',
  'currency',
  'customer',
  'line',
  'kind',
  'description',
  'upstream',
  'provider',
  'model',
  'price_rows',
  'requests',
  'unit',
  'quantity',
  'unit_price_usd',
  'per_units',
  'exact_usd',
  'display_usd',
] as const;

type Cells = Readonly<Record<(typeof COLUMNS)[number], string>>;

/** A cell that a spreadsheet would run; a plain number is none. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
const PLAIN_NUMBER = /^-?\d+(?:\.\d+)?$/;
const NEEDS_QUOTES = /[",\r\n]/;

/**
 * An invoice as CSV (RFC 4180, UTF-8): a row per part, one for a line without parts. Columns add up:
 * `exact_usd` to the exact sum, `requests` and `display_usd` stand on the first row of a line only.
 */
export function invoiceCsv(document: InvoiceDocument): string {
  const rows = document.lines.flatMap((line, index) => lineRows(document, line, index + 1));
  return [COLUMNS.join(','), ...rows.map(rowText)].map((row) => `${row}\r\n`).join('');
}

function lineRows(document: InvoiceDocument, line: DocumentLine, number: number): readonly Cells[] {
  const hasParts = line.parts !== undefined && line.parts.length > 0;
  const parts: readonly (DocumentPart | null)[] = hasParts ? line.parts : [null];
  return parts.map((part, index) => ({
    invoice: document.number ?? '',
    state: document.state,
    period: document.period,
    issued_at: document.issuedAt ?? '',
    currency: document.currency,
    customer: document.customer.slug,
    line: number.toString(),
    kind: line.kind,
    description: line.description,
    upstream: line.upstream ?? '',
    provider: line.provider ?? '',
    model: line.model ?? '',
    price_rows: (line.priceRowIds ?? []).join(' '),
    requests: index === 0 ? (line.requests?.toString() ?? '') : '',
    unit: part?.unit ?? '',
    quantity: part?.quantity ?? '',
    unit_price_usd: part?.unitPriceUsd ?? '',
    per_units: part === null ? '' : (part.perUnits ?? '1'),
    exact_usd: part?.exactUsd ?? line.exactUsd,
    display_usd: index === 0 ? line.displayUsd : '',
  }));
}

function rowText(cells: Cells): string {
  return COLUMNS.map((column) => csvCell(cells[column])).join(',');
}

/** One cell, quoted where it must be; text that a spreadsheet would run gets a leading apostrophe. */
export function csvCell(text: string): string {
  const safe = FORMULA.test(text) && !PLAIN_NUMBER.test(text) ? `'${text}` : text;
  return NEEDS_QUOTES.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
