import { Worker } from 'node:worker_threads';
import type { InvoiceDocument } from './invoice-document.js';

const PDF_MAX_MS = 60_000;

/** The one that is being made: a crowd that opens invoices takes one core, not all of them. */
let last: Promise<unknown> = Promise.resolve();

/**
 * The document as a PDF, the same bytes each time. Laying out costs about a millisecond per line
 * without a pause, which requests in flight would feel: it runs in a thread of its own, one at a time,
 * whose memory goes with it.
 *
 * @throws Error when it takes longer than a minute.
 */
export function invoicePdf(document: InvoiceDocument): Promise<Buffer> {
  const made = last.then(() => renderApart(document));
  last = made.catch(() => undefined);
  return made;
}

/** From source (in tests) in this thread: a worker cannot load it. */
async function renderApart(document: InvoiceDocument): Promise<Buffer> {
  if (import.meta.url.endsWith('.ts')) {
    const { renderInvoicePdf } = await import('./invoice-pdf-render.js');
    return renderInvoicePdf(document);
  }
  const program = new URL('./invoice-pdf-worker.js', import.meta.url);
  const worker = new Worker(program, { workerData: document, execArgv: [] });
  return new Promise<Buffer>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`invoice PDF: not made within ${PDF_MAX_MS} ms`));
      void worker.terminate();
    }, PDF_MAX_MS);
    worker.once('message', (pdf: Uint8Array) => {
      resolve(Buffer.from(pdf.buffer, pdf.byteOffset, pdf.byteLength));
    });
    worker.once('error', reject);
    worker.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`invoice PDF: the thread ended with ${code} before it was made`));
    });
  });
}
