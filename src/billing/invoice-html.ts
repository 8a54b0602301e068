import { invoiceCss } from './invoice-css.js';
import type { DocumentLine, DocumentPart, InvoiceDocument } from './invoice-document.js';
import { partText, usdText } from './invoice-part-text.js';
import {
  dayText,
  factsOf,
  headlineOf,
  notesOf,
  partyLines,
  requestsText,
  sectionsOf,
  stampOf,
  titleOf,
  totalRowsOf,
} from './invoice-text.js';

export interface InvoicePageOptions {
  /**
   * Where the stylesheet (`invoiceCss`) is served. Without it the page carries its style, which a
   * policy must allow by `invoiceCssSource`, and stays whole when it is saved or sent on.
   */
  readonly stylesheetHref?: string;
  /** Where the requests behind a line can be read; null: nowhere. */
  readonly requestsHref?: (line: DocumentLine) => string | null;
}

/** A whole page for people: no script, nothing loaded but the stylesheet, every text escaped. */
export function invoiceHtml(document: InvoiceDocument, options: InvoicePageOptions = {}): string {
  const title = [titleOf(document), document.number, document.customer.name]
    .filter((text) => text !== null)
    .join(' ');
  const style =
    options.stylesheetHref === undefined
      ? `<style>${invoiceCss()}</style>`
      : `<link rel="stylesheet" href="${escapeHtml(options.stylesheetHref)}">`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)}</title>
${style}
</head>
<body>
<main class="invoice">
${headHtml(document)}
${partiesHtml(document)}
${headlineHtml(document)}
${linesHtml(document, options)}
${totalsHtml(document)}
<section class="notes">
${notesOf(document)
  .map((note) => `<p>${escapeHtml(note)}</p>`)
  .join('\n')}
</section>
<footer class="foot">${footText(document)}</footer>
</main>
</body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

function headHtml(document: InvoiceDocument): string {
  const { text, tone } = stampOf(document);
  return `<header class="head">
<div>
<h1>${titleOf(document)}</h1>
<p class="number">${escapeHtml(document.number ?? 'without a number')}</p>
</div>
<p class="stamp ${tone}">${text}</p>
</header>`;
}

function partiesHtml(document: InvoiceDocument): string {
  const { from, billTo } = partyLines(document);
  const facts = factsOf(document).map(
    ([label, text]) => `<dt>${escapeHtml(label)}</dt><dd>${escapeHtml(text)}</dd>`,
  );
  return `<div class="parties">
<section class="party"><h2>From</h2>
${partyHtml(from)}
</section>
<section class="party"><h2>Bill to</h2>
${partyHtml(billTo)}
</section>
<dl class="fact">
${facts.join('\n')}
</dl>
</div>`;
}

function partyHtml([name = '', ...rest]: readonly string[]): string {
  const named = `<p class="name">${escapeHtml(name)}</p>`;
  return [named, ...rest.map((text) => `<p>${escapeHtml(text)}</p>`)].join('\n');
}

function headlineHtml(document: InvoiceDocument): string {
  const { label, amountUsd, dueAt, payUrl } = headlineOf(document);
  const amount = `${document.currency} ${usdText(amountUsd)}`;
  const by = dueAt === null ? '' : `\n<span>by ${escapeHtml(dayText(dueAt))}</span>`;
  const pay =
    payUrl === null
      ? ''
      : `\n<a class="pay" rel="noreferrer" href="${escapeHtml(payUrl)}">Pay this invoice</a>`;
  return `<p class="due">
<span>${label}</span>
<strong>${escapeHtml(amount)}</strong>${by}${pay}
</p>`;
}

function linesHtml(document: InvoiceDocument, options: InvoicePageOptions): string {
  const { currency } = document;
  const bodies = sectionsOf(document).flatMap((section) =>
    section.lines.map((line, index) => {
      const heading = `<tr class="section"><th scope="rowgroup" colspan="5">${section.title}</th></tr>\n`;
      return `<tbody>\n${index === 0 ? heading : ''}${lineHtml(line, options)}</tbody>`;
    }),
  );
  return `<div class="scroll"><table>
<thead><tr>
<th scope="col">Description</th>
<th scope="col" class="figure">Quantity</th>
<th scope="col" class="figure">Unit price, ${currency}</th>
<th scope="col" class="figure">Exact, ${currency}</th>
<th scope="col" class="figure">Amount, ${currency}</th>
</tr></thead>
${bodies.join('\n')}
</table></div>`;
}

function lineHtml(line: DocumentLine, { requestsHref }: InvoicePageOptions): string {
  return `<tr class="line">
<th scope="row" colspan="3">${escapeHtml(line.description)}${requestsHtml(line, requestsHref?.(line) ?? null)}</th>
<td class="figure">${escapeHtml(usdText(line.exactUsd))}</td>
<td class="figure">${escapeHtml(usdText(line.displayUsd))}</td>
</tr>
${(line.parts ?? []).map(partHtml).join('')}`;
}

function requestsHtml(line: DocumentLine, href: string | null): string {
  const count = requestsText(line);
  if (count === null) return '';
  const shown = href === null ? count : `<a href="${escapeHtml(href)}">${count}</a>`;
  return ` <span class="requests">${shown}</span>`;
}

function partHtml(part: DocumentPart): string {
  const { label, quantity, price, exactPrice } = partText(part);
  const exact = escapeHtml(exactPrice);
  const shown = price === null ? exact : `${escapeHtml(price)}<span class="exact">${exact}</span>`;
  const figures =
    quantity === ''
      ? `<th scope="row" colspan="3">${escapeHtml(label)}</th>`
      : `<th scope="row">${escapeHtml(label)}</th>
<td class="figure">${escapeHtml(quantity)}</td>
<td class="figure">${shown}</td>`;
  return `<tr class="part">
${figures}
<td class="figure">${escapeHtml(usdText(part.exactUsd))}</td>
<td></td>
</tr>
`;
}

function totalsHtml(document: InvoiceDocument): string {
  const rows = totalRowsOf(document).map(
    ({ label, exactUsd, usd, isMain }) => `<tr${isMain ? ' class="main"' : ''}>
<th scope="row">${label}</th>
<td class="figure">${escapeHtml(exactUsd ?? '')}</td>
<td class="figure">${escapeHtml(usd)}</td>
</tr>`,
  );
  return `<table class="totals">
${rows.join('\n')}
</table>`;
}

function footText({ id, number, hash }: InvoiceDocument): string {
  const named = `${number ?? 'Draft'}, document ${id}`;
  return escapeHtml(hash === null ? named : `${named}, SHA-256 ${hash}`);
}
