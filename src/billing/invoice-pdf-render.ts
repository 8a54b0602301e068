import { createRequire } from 'node:module';
import pdfmake, { type Content } from 'pdfmake';
import type { InvoiceDocument } from './invoice-document.js';
import { usdText } from './invoice-part-text.js';
import {
  INK,
  linesTable,
  PAGE_MARGIN_PT,
  plainLayout,
  rule,
  SOFT,
  TONES,
  totalsTable,
  WASH,
} from './invoice-pdf-tables.js';
import { isPrintable, printable } from './invoice-pdf-text.js';
import {
  dayText,
  factsOf,
  headlineOf,
  notesOf,
  partyLines,
  periodText,
  stampOf,
  titleOf,
} from './invoice-text.js';

type Definition = Parameters<typeof pdfmake.createPdf>[0];

const resolve = createRequire(import.meta.url).resolve;
const FONTS = {
  normal: resolve('pdfmake/fonts/Roboto/Roboto-Regular.ttf'),
  bold: resolve('pdfmake/fonts/Roboto/Roboto-Medium.ttf'),
};

// The library is one object per process: it reads its two fonts and nothing else, from nowhere else,
// whatever a document says.
pdfmake.setFonts({ Roboto: FONTS });
pdfmake.setUrlAccessPolicy(() => false);
pdfmake.setLocalAccessPolicy((path) => path === FONTS.normal || path === FONTS.bold);

export interface RenderOptions {
  /** False leaves the pages readable in the file; tests read them back. */
  readonly isCompressed?: boolean;
}

/**
 * The document as A4 pages. One document gives the same bytes whenever it is asked for: nothing in
 * them is of the moment they are made.
 */
export async function renderInvoicePdf(
  document: InvoiceDocument,
  { isCompressed = true }: RenderOptions = {},
): Promise<Buffer> {
  return pdfmake.createPdf({ ...definitionOf(document), compress: isCompressed }).getBuffer();
}

function definitionOf(document: InvoiceDocument): Definition {
  const { issuer, issuedAt, number, customer, period } = document;
  const name = [titleOf(document), number].filter((text) => text !== null).join(' ');
  const { text, tone } = stampOf(document);
  const isInForce = tone === 'open' || tone === 'good';
  return {
    pageSize: 'A4',
    pageMargins: [PAGE_MARGIN_PT, 46, PAGE_MARGIN_PT, 56],
    language: 'en',
    displayTitle: true,
    info: {
      title: name,
      author: issuer.name ?? '',
      subject: `${periodText(period)}, ${customer.slug}`,
      creator: 'Tollgate',
      creationDate: new Date(issuedAt ?? 0),
    },
    defaultStyle: { font: 'Roboto', fontSize: 9, lineHeight: 1.15, color: INK },
    ...(isInForce ? {} : { watermark: { text: text.toUpperCase(), opacity: 0.05 } }),
    header: (page) => (page === 1 ? null : runningHead(document, name)),
    footer: (page, pages) => foot(document, page, pages),
    content: [
      head(document),
      parties(document),
      headline(document),
      linesTable(document),
      { unbreakable: true, stack: [totalsTable(document), notes(document)] },
    ],
  };
}

function head(document: InvoiceDocument): Content {
  const { text, tone } = stampOf(document);
  const colour = TONES[tone];
  const width = (): number => 1.5;
  return {
    stack: [
      {
        columns: [
          {
            width: '*',
            stack: [
              { text: titleOf(document), fontSize: 20, bold: true },
              { text: printable(document.number ?? 'without a number'), fontSize: 11, color: SOFT },
            ],
          },
          {
            width: 'auto',
            layout: {
              ...plainLayout({ left: 9, top: 3, right: 9, bottom: 2 }),
              ...{ hLineColor: colour, vLineColor: colour, hLineWidth: width, vLineWidth: width },
            },
            table: {
              body: [[{ text: text.toUpperCase(), bold: true, fontSize: 11, color: colour }]],
            },
          },
        ],
      },
      rule(1.2, INK, 8),
    ],
  };
}

function parties(document: InvoiceDocument): Content {
  const { from, billTo } = partyLines(document);
  const body = factsOf(document).map(([label, text]) => [
    { text: label, color: SOFT },
    { text: printable(text) },
  ]);
  return {
    margin: [0, 14, 0, 14],
    columnGap: 18,
    columns: [
      { width: '*', ...party('From', from) },
      { width: '*', ...party('Bill to', billTo) },
      { width: 170, layout: 'noBorders', table: { widths: [66, '*'], body } },
    ],
  };
}

function party(heading: string, [name = '', ...rest]: readonly string[]): { stack: Content[] } {
  return {
    stack: [
      { text: heading, color: SOFT, fontSize: 8, margin: [0, 0, 0, 2] },
      { text: printable(name), bold: true },
      ...rest.map(printable),
    ],
  };
}

function headline(document: InvoiceDocument): Content {
  const { label, amountUsd, dueAt, payUrl } = headlineOf(document);
  const amount = `${document.currency} ${usdText(amountUsd)}`;
  const text: Content[] = [`${label}   `, { text: amount, bold: true, fontSize: 13 }];
  if (dueAt !== null) text.push(`   by ${dayText(dueAt)}`);
  const pay =
    payUrl === null
      ? { text: '' }
      : {
          text: 'Pay this invoice',
          link: payUrl,
          color: TONES.open,
          margin: [0, 4, 0, 0] as const,
        };
  return {
    margin: [0, 0, 0, 10],
    layout: { ...plainLayout({ left: 9, top: 6, right: 9, bottom: 5 }), fillColor: WASH },
    table: { widths: ['*', 'auto'], body: [[{ text }, { ...pay, margin: [0, 4, 0, 0] }]] },
  };
}

function notes(document: InvoiceDocument): Content {
  const said = [...notesOf(document)];
  if (!isPrintable(JSON.stringify(document))) {
    said.push('\ufffd stands for a character that this file has no font for; the web page has it.');
  }
  return {
    margin: [0, 18, 0, 0],
    stack: said.map((text) => ({
      text: printable(text),
      fontSize: 8,
      color: SOFT,
      margin: [0, 0, 0, 2],
    })),
  };
}

function runningHead({ customer }: InvoiceDocument, name: string): Content {
  const cell = { fontSize: 8, color: SOFT } as const;
  return {
    margin: [PAGE_MARGIN_PT, 24],
    columns: [
      { text: printable(name), ...cell },
      { text: printable(customer.name), ...cell, alignment: 'right' },
    ],
  };
}

function foot({ hash, id }: InvoiceDocument, page: number, pages: number): Content {
  const cell = { fontSize: 7, color: SOFT } as const;
  const said = hash === null ? `Document ${id}` : `Document ${id}\nSHA-256 ${hash}`;
  return {
    margin: [PAGE_MARGIN_PT, 12],
    columns: [
      { text: said, ...cell, width: '*' },
      { text: `${page} / ${pages}`, ...cell, fontSize: 8, width: 60, alignment: 'right' },
    ],
  };
}
