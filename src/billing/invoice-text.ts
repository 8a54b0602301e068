import { ADJUSTMENT_UNIT, formatCents, type InvoiceLineKind } from '../domain/invoices.js';
import { formatUsd, parseUsd } from '../domain/money.js';
import type { Unit } from '../domain/units.js';
import type { DocumentLine, DocumentPart, InvoiceDocument } from './invoice-document.js';

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
export function sectionsOf(lines: readonly DocumentLine[]): readonly LineSection[] {
  const sections: { title: string; lines: DocumentLine[] }[] = [];
  for (const line of lines) {
    const title = SECTIONS[line.kind];
    const last = sections.at(-1);
    if (last?.title === title) last.lines.push(line);
    else sections.push({ title, lines: [line] });
  }
  return sections;
}

/** What a quantity counts: `base` is one of it, and people read prices per `readable` of it. */
interface UnitWords {
  readonly label: string;
  readonly base: string;
  readonly readable: bigint;
}

const MILLION = 1_000_000n;

function tokens(label: string): UnitWords {
  return { label, base: 'token', readable: MILLION };
}

function milliseconds(label: string, readable: bigint): UnitWords {
  return { label: `${label}, milliseconds`, base: 'ms', readable };
}

const UNIT_WORDS: Readonly<Record<Unit, UnitWords>> = {
  input: tokens('Input tokens'),
  cached_input: tokens('Cached input tokens'),
  cache_write_5m: tokens('Cache write tokens, 5 minutes'),
  cache_write_1h: tokens('Cache write tokens, 1 hour'),
  output: tokens('Output tokens'),
  audio_input: tokens('Audio input tokens'),
  audio_output: tokens('Audio output tokens'),
  image_input: tokens('Image input tokens'),
  image_output: tokens('Image output tokens'),
  image: { label: 'Images', base: 'image', readable: 1n },
  pixel: { label: 'Pixels', base: 'pixel', readable: MILLION },
  video_ms: milliseconds('Video', 1_000n),
  audio_ms: milliseconds('Audio', 60_000n),
  compute_ms: milliseconds('Compute time', 1_000n),
  gpu_ms: milliseconds('GPU time', 1_000n),
  character: { label: 'Characters', base: 'character', readable: MILLION },
  request: { label: 'Requests', base: 'request', readable: 1n },
};

/** Names of many units in one word. */
const SPANS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  token: { '1000000': '1M tokens' },
  character: { '1000000': '1M characters' },
  pixel: { '1000000': 'megapixel' },
  ms: { '1000': 'second', '60000': 'minute', '3600000': 'hour' },
};

export interface PartText {
  readonly label: string;
  /** Empty for an adjustment, which has no quantity. */
  readonly quantity: string;
  /** As it is published: `0.90 per 1M tokens`. Null where that is not exact, or says no more. */
  readonly price: string | null;
  /** As it was applied: `0.0000009 per token`. Empty for an adjustment. */
  readonly exactPrice: string;
}

export function partText(part: DocumentPart): PartText {
  if (part.unit === ADJUSTMENT_UNIT) {
    const label = 'Fractions rounded off per request, and cost not charged to you';
    return { label, quantity: '', price: null, exactPrice: '' };
  }
  const words = wordsOf(part.unit);
  const perUnits = BigInt(part.perUnits ?? '1');
  const span = nameOfSpan(words, perUnits) ?? spanOf(words, perUnits);
  return {
    label: words.label,
    quantity: grouped(part.quantity),
    price: readablePrice(part.unitPriceUsd, perUnits, words),
    exactPrice: `${part.unitPriceUsd} per ${span}`,
  };
}

function wordsOf(unit: string): UnitWords {
  const known: Readonly<Record<string, UnitWords>> = UNIT_WORDS;
  return known[unit] ?? { label: unit, base: unit, readable: 1n };
}

function nameOfSpan({ base }: UnitWords, units: bigint): string | null {
  return units === 1n ? base : (SPANS[base]?.[units.toString()] ?? null);
}

function spanOf({ base }: UnitWords, units: bigint): string {
  return `${grouped(units.toString())} ${base === 'ms' ? base : `${base}s`}`;
}

function readablePrice(unitPriceUsd: string, perUnits: bigint, words: UnitWords): string | null {
  const picoUsd = parseUsd(unitPriceUsd);
  // A price that is already per a span with a name of its own is as readable as it gets.
  if (picoUsd === null || words.readable === 1n) return null;
  if (perUnits !== 1n && nameOfSpan(words, perUnits) !== null) return null;
  const scaled = picoUsd * words.readable;
  if (scaled % perUnits !== 0n) return null;
  const span = nameOfSpan(words, words.readable) ?? spanOf(words, words.readable);
  return `${usdText(formatUsd(scaled / perUnits))} per ${span}`;
}

/** `1234567.5` -> `1,234,567.5`; only the whole part is grouped. */
export function grouped(decimal: string): string {
  const [whole = '', fraction] = decimal.split('.');
  const separated = whole.replace(/\B(?=(?:\d{3})+$)/g, ',');
  return fraction === undefined ? separated : `${separated}.${fraction}`;
}

/** An amount for people: grouped, at least two decimals, none of the others cut. */
export function usdText(decimal: string): string {
  const [whole = '', fraction = ''] = decimal.split('.');
  return grouped(`${whole}.${fraction.padEnd(2, '0')}`);
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
  if (carriedUsd !== '0') {
    row('Less: carried to the next invoice', total - sum, usdText(formatUsdNegated(carriedUsd)));
  }
  main(kind === 'credit_note' ? 'Total credited' : 'Total', total);
  if (kind === 'credit_note') return rows;
  const paid = centsOf(paidUsd);
  const due = centsOf(amountDueUsd);
  const settled = total - paid - due;
  if (paid !== 0n) row('Less: paid', -paid);
  if (settled !== 0n) row(SETTLED_OTHERWISE[state] ?? 'Less: credit notes', -settled);
  main('Amount due', due);
  return rows;
}

const SETTLED_OTHERWISE: Readonly<Partial<Record<InvoiceDocument['state'], string>>> = {
  void: 'Less: void, nothing is due',
  uncollectible: 'Less: written off',
};

function formatUsdNegated(decimal: string): string {
  return decimal.startsWith('-') ? decimal.slice(1) : `-${decimal}`;
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
  } else if (centsOf(totalUsd) === 0n && exactSumUsd !== '0') {
    said.push(
      'The sum is less than the smallest amount that is invoiced: nothing is due, and it is carried to the next invoice.',
    );
  } else if (carriedUsd !== '0') {
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
