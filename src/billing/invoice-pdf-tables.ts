import type { Content, CustomTableLayout, TableCell } from 'pdfmake';
import type { DocumentLine, DocumentPart, InvoiceDocument } from './invoice-document.js';
import { partText, usdText } from './invoice-part-text.js';
import { printable } from './invoice-pdf-text.js';
import { requestsText, sectionsOf, type Stamp, totalRowsOf } from './invoice-text.js';

export const INK = '#1b1f24';
export const SOFT = '#57606a';
export const WASH = '#f3f5f7';
const LINE = '#d0d7de';
export const TONES: Readonly<Record<Stamp['tone'], string>> = {
  open: '#0a5cad',
  good: '#14703c',
  bad: '#b3261e',
  draft: '#7a5600',
};

const A4_WIDTH_PT = 595.28;
export const PAGE_MARGIN_PT = 42;
const INNER_WIDTH_PT = A4_WIDTH_PT - 2 * PAGE_MARGIN_PT;
const GAP_PT = 8;
/** Quantity, unit price, exact, amount; the description has the rest. */
const FIGURE_WIDTHS_PT = [66, 106, 95, 62];

/** Padding in points; nothing else is drawn. */
export function plainLayout(padding: {
  readonly left?: number;
  readonly top?: number;
  readonly right?: number;
  readonly bottom?: number;
}): CustomTableLayout {
  const { left = 0, top = 0, right = 0, bottom = 0 } = padding;
  return {
    hLineWidth: () => 0,
    vLineWidth: () => 0,
    paddingLeft: () => left,
    paddingTop: () => top,
    paddingRight: () => right,
    paddingBottom: () => bottom,
  };
}

/** A line across the page. */
export function rule(lineWidth: number, lineColor: string, spaceAbove: number): Content {
  const ends = { x1: 0, y1: 0, x2: INNER_WIDTH_PT, y2: 0 };
  return {
    canvas: [{ type: 'line', ...ends, lineWidth, lineColor }],
    margin: [0, spaceAbove, 0, 0],
  };
}

/**
 * The lines under a head that repeats on every page. A line with its parts, and with the heading of
 * its section where it is the first, is one row that never breaks: no heading ends a page.
 */
export function linesTable(document: InvoiceDocument): Content {
  const { currency } = document;
  const heads = ['Description', 'Quantity', 'Unit price', `Exact, ${currency}`, currency];
  const head = figuresTable([
    heads.map((text, column) => ({
      text,
      color: SOFT,
      fontSize: 8,
      bold: true,
      alignment: column === 0 ? 'left' : 'right',
    })),
  ]);
  const rows = sectionsOf(document).flatMap((section) =>
    section.lines.map((line, index): TableCell[] => {
      const heading: Content = { text: section.title, bold: true, fontSize: 10 };
      const block = [rule(0.5, LINE, 0), figuresTable(lineRows(line))];
      return [{ stack: index === 0 ? [{ ...heading, margin: [0, 10, 0, 3] }, ...block] : block }];
    }),
  );
  return {
    layout: { ...plainLayout({}), hLineWidth: (row) => (row === 1 ? 0.8 : 0) },
    table: { headerRows: 1, dontBreakRows: true, widths: ['*'], body: [[head], ...rows] },
  };
}

/** A table of its own for each line, so the widths are fixed: the columns of all of them align. */
function figuresTable(body: TableCell[][]): Content {
  const gap = (column: number): number => (column === 0 ? 0 : GAP_PT);
  const layout = { ...plainLayout({ top: 2, bottom: 1 }), paddingLeft: gap };
  return { layout, table: { widths: ['*', ...FIGURE_WIDTHS_PT], body } };
}

function lineRows(line: DocumentLine): TableCell[][] {
  const description: Content[] = [
    { text: printable(line.description), bold: true },
    { text: `   ${requestsText(line) ?? ''}`, color: SOFT, fontSize: 8 },
  ];
  const row: TableCell[] = [
    { text: description, colSpan: 3 },
    {},
    {},
    { text: usdText(line.exactUsd), alignment: 'right', fontSize: 8, margin: [0, 1, 0, 0] },
    { text: usdText(line.displayUsd), alignment: 'right' },
  ];
  return [row, ...(line.parts ?? []).map(partRow)];
}

function partRow(part: DocumentPart): TableCell[] {
  const { label, quantity, price, exactPrice } = partText(part);
  const cell = { color: SOFT, fontSize: 8 } as const;
  const figure = { ...cell, alignment: 'right' } as const;
  const name = { text: printable(label), ...cell, margin: [8, 0, 0, 0] } as const;
  const exact = { text: usdText(part.exactUsd), ...figure };
  if (quantity === '') return [{ ...name, margin: [8, 0, 0, 0], colSpan: 3 }, {}, {}, exact, ''];
  const applied = { text: printable(exactPrice), ...figure };
  const unitPrice: TableCell =
    price === null
      ? applied
      : {
          stack: [
            { text: price, ...figure },
            { ...applied, fontSize: 6.5 },
          ],
        };
  return [{ ...name, margin: [8, 0, 0, 0] }, { text: quantity, ...figure }, unitPrice, exact, ''];
}

export function totalsTable(document: InvoiceDocument): Content {
  const rows = totalRowsOf(document);
  const body = rows.map(({ label, exactUsd, usd, isMain }): TableCell[] => [
    { text: label, bold: isMain },
    { text: exactUsd ?? '', alignment: 'right', fontSize: 8, color: SOFT, margin: [0, 1, 0, 0] },
    { text: usd, alignment: 'right', bold: isMain },
  ]);
  return {
    margin: [0, 14, 0, 0],
    columns: [
      { width: '*', text: '' },
      {
        width: 'auto',
        layout: {
          ...plainLayout({ top: 3, bottom: 2 }),
          hLineWidth: (row) => (rows[row]?.isMain === true ? 0.8 : 0),
        },
        table: { widths: [150, 106, 70], body },
      },
    ],
  };
}
