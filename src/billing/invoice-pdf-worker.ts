import { parentPort, workerData } from 'node:worker_threads';
import type { InvoiceDocument } from './invoice-document.js';
import { renderInvoicePdf } from './invoice-pdf-render.js';

// A program in a thread: gets a document, posts its PDF, ends.
parentPort?.postMessage(await renderInvoicePdf(workerData as InvoiceDocument));
