import { invoiceCsv } from './invoice-csv.js';
import { invoiceCssSource } from './invoice-css.js';
import type { InvoiceDocument } from './invoice-document.js';
import { invoiceHtml } from './invoice-html.js';
import { invoicePdf } from './invoice-pdf.js';

const FORMS = ['html', 'pdf', 'csv'] as const;

/** What an invoice can be read as beside JSON. */
export type InvoiceForm = (typeof FORMS)[number];

/** A whole answer that is no JSON. */
export interface FormAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** `<id>`, or `<id>.pdf`, apart; null is JSON. What has another ending is no id. */
export function formOf(name: string): { readonly id: string; readonly form: InvoiceForm | null } {
  const form = FORMS.find((one) => name.endsWith(`.${one}`));
  return form === undefined
    ? { id: name, form: null }
    : { id: name.slice(0, -form.length - 1), form };
}

/** The document in a form for people or spreadsheets. */
export async function answerIn(form: InvoiceForm, document: InvoiceDocument): Promise<FormAnswer> {
  // Whose invoice it is must not be kept by anything between us and the reader.
  const common = { 'cache-control': 'private, no-store', 'x-content-type-options': 'nosniff' };
  switch (form) {
    case 'html':
      return {
        headers: {
          ...common,
          'content-type': 'text/html; charset=utf-8',
          'content-security-policy': `default-src 'none'; style-src ${invoiceCssSource()}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
          'referrer-policy': 'no-referrer',
        },
        body: invoiceHtml(document, { requestsHref: requestsHrefOf(document) }),
      };
    case 'pdf':
      return {
        headers: {
          ...common,
          'content-type': 'application/pdf',
          'content-disposition': `inline; filename="${fileNameOf(document)}.pdf"`,
        },
        body: await invoicePdf(document),
      };
    case 'csv':
      return {
        headers: {
          ...common,
          'content-type': 'text/csv; charset=utf-8',
          'content-disposition': `attachment; filename="${fileNameOf(document)}.csv"`,
        },
        body: invoiceCsv(document),
      };
  }
}

function requestsHrefOf({ id, lines }: InvoiceDocument): (line: (typeof lines)[number]) => string {
  return (line) => `/api/invoices/${id}/lines/${lines.indexOf(line) + 1}/requests`;
}

function fileNameOf({ number, id }: InvoiceDocument): string {
  return number ?? id;
}
