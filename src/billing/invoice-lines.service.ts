import { Injectable } from '@nestjs/common';
import { pageOf, readCursor, type Page, type PageQuery } from '../http/pagination.js';
import { RequestsService } from '../usage/requests.service.js';
import { InvoiceRequestsRepository, type LineKey } from './invoice-requests.repository.js';
import type { RecordedInvoice } from './invoices.repository.js';

const LINE = /^[1-9]\d{0,5}$/;

export type LineRequest = Awaited<ReturnType<RequestsService['findMany']>>[number];

/** What stands behind the lines of an invoice. */
@Injectable()
export class InvoiceLinesService {
  constructor(
    private readonly lines: InvoiceRequestsRepository,
    private readonly requests: RequestsService,
  ) {}

  /**
   * The requests that a line of usage sums, newest first by admission. Null when the invoice has no
   * such line.
   *
   * @param line as it was written; the first is 1.
   * @throws TollgateError invalid_request for a foreign cursor.
   */
  async requestsOf(
    invoice: RecordedInvoice,
    line: string,
    { limit, cursor }: PageQuery,
  ): Promise<Page<LineRequest> | null> {
    const key = LINE.test(line) ? lineKeyOf(invoice, Number(line)) : null;
    if (key === null) return null;
    const position = readCursor(cursor, ['time', 'uuid']);
    const after = position === null ? null : { admittedAt: new Date(position[0]), id: position[1] };
    const found = await this.lines.list(key, limit + 1, after);
    const { data, nextCursor } = pageOf(
      found,
      limit,
      ({ admittedAt, id }) => [admittedAt.toISOString(), id],
      ({ id }) => id,
    );
    return { data: await this.requests.findMany(data, invoice.accountId), nextCursor };
  }
}

function lineKeyOf({ accountId, content }: RecordedInvoice, line: number): LineKey | null {
  const { upstream, provider, model, priceRowIds, kind } = content.lines[line - 1] ?? {};
  if (kind !== 'usage') return null;
  if (upstream === undefined || provider === undefined || model === undefined) return null;
  const { period } = content;
  return { accountId, period, upstream, provider, model, priceRowIds: priceRowIds ?? [] };
}
