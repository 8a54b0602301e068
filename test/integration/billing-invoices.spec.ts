import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { invoiceCssSource } from '../../src/billing/invoice-css.js';
import { invoiceHash } from '../../src/billing/invoice-hash.js';
import type { ApiBody } from '../support/api-client.js';
import {
  FEBRUARY,
  JANUARY,
  startBilling,
  usd,
  type BillingAccount,
  type BillingUnderTest,
  type InvoiceBody,
} from './billing-fixture.js';

let billing: BillingUnderTest;
let customer: BillingAccount;
let other: BillingAccount;
let invoice: InvoiceBody;

const DETAILS = {
  name: 'Müller & <Co>',
  address: '=1 Main Street\nTown',
  email: null,
  taxId: null,
  reference: '=cmd()',
};

beforeAll(async () => {
  billing = await startBilling({ ISSUER_NAME: 'Tollgate Ltd', INVOICE_MINIMUM_USD: '0.50' });
  customer = await billing.addAccount('customer', 'team');
  other = await billing.addAccount('other', 'free');
  await billing.api.put(`${customer.path}/billing-details`, DETAILS);
  for (let count = 0; count < 7; count += 1) {
    await billing.use(customer, { input: 1_000_001n, output: 333_333n });
  }
  await billing.use(customer, { input: 10n, output: 1n }, { provider: 'other-provider' });
  await billing.use(other, { input: 7n, output: 3n });
  billing.setTime(FEBRUARY);
  expect((await billing.closePeriod('2027-01')).status).toBe(200);
  invoice = await billing.latestInvoice(customer);
});

afterAll(async () => {
  await billing.expectBooksAgree();
  await billing.close();
});

async function fetchAs(
  path: string,
  account: BillingAccount,
): Promise<{ status: number; headers: Headers; bytes: Buffer }> {
  const { secret } = await billing.api.addToken(account.slug, { scopes: ['billing.read'] });
  const response = await fetch(billing.url + path, {
    headers: { authorization: `Bearer ${secret}` },
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, bytes };
}

/** The cells of a row of CSV without quotes inside quotes. */
function cellsOf(row: string): readonly string[] {
  return row.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/);
}

describe('an invoice', () => {
  it('sums its lines exactly, and carries what is no whole cent', async () => {
    const sum = invoice.lines.reduce((total, { exactUsd }) => total + usd(exactUsd), 0n);
    expect(sum).toBe(usd(invoice.exactSumUsd));
    expect(usd(invoice.totalUsd) + usd(invoice.carriedUsd)).toBe(sum);
    expect(invoice).toMatchObject({
      number: 'INV-000001',
      state: 'finalized',
      period: '2027-01',
      currency: 'USD',
      issuedAt: FEBRUARY,
      dueAt: '2027-02-16T00:00:01.000Z',
      issuer: { name: 'Tollgate Ltd' },
      customer: { slug: 'customer', ...DETAILS },
      paidUsd: '0.00',
      amountDueUsd: invoice.totalUsd,
      payUrl: null,
    });
    expect(invoice.lines.map(({ kind }) => kind)).toEqual(['plan', 'usage', 'usage', 'credit']);
    const { status, body } = await customer.reader.get(`/api/invoices/${invoice.id}`);
    expect(status).toBe(200);
    expect(body).toEqual(invoice);
  });

  it('has the hash of its content, whatever became of it since', () => {
    const { state, paidUsd, amountDueUsd, payUrl, hash, ...content } = invoice;
    expect([state, paidUsd, amountDueUsd, payUrl]).toHaveLength(4);
    expect(invoiceHash(content)).toBe(hash);
  });

  it('is nobody else’s: foreign, unknown and malformed ids are one 404', async () => {
    for (const id of [invoice.id, '0197-nothing', '%00', '01970000-0000-7000-8000-000000000000']) {
      for (const suffix of ['', '.html', '.pdf', '.csv', '/lines/2/requests', '/credit-notes']) {
        const { status, body } = await other.reader.get(`/api/invoices/${id}${suffix}`);
        expect([id, suffix, status, body.error.code]).toEqual([id, suffix, 404, 'not_found']);
      }
    }
    expect((await other.reader.get(`${customer.path}/invoices`)).status).toBe(404);
    const { secret } = await billing.api.addToken('customer', { scopes: ['usage.read'] });
    expect((await billing.api.as(secret).get(`/api/invoices/${invoice.id}`)).status).toBe(403);
    expect((await billing.api.as(null).get(`/api/invoices/${invoice.id}.pdf`)).status).toBe(401);
  });

  it('has no form that we do not make', async () => {
    for (const suffix of ['.xml', '.', '.pdf.exe', '.PDF']) {
      const { status } = await customer.reader.get(`/api/invoices/${invoice.id}${suffix}`);
      expect([suffix, status]).toEqual([suffix, 404]);
    }
  });
});

describe('the forms of an invoice', () => {
  it('a page that may load and run nothing', async () => {
    const { status, headers, bytes } = await fetchAs(`/api/invoices/${invoice.id}.html`, customer);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(headers.get('content-security-policy')).toBe(
      `default-src 'none'; style-src ${invoiceCssSource()}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    expect(headers.get('cache-control')).toBe('private, no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    const html = bytes.toString('utf8');
    expect(html).toContain('INV-000001');
    expect(html).toContain('Müller &amp; &lt;Co&gt;');
    expect(html).toContain(`href="/api/invoices/${invoice.id}/lines/2/requests"`);
    expect(html).not.toContain('<script');
  });

  it('a PDF, always of the same bytes', async () => {
    const first = await fetchAs(`/api/invoices/${invoice.id}.pdf`, customer);
    expect(first.headers.get('content-type')).toBe('application/pdf');
    expect(first.headers.get('content-disposition')).toBe('inline; filename="INV-000001.pdf"');
    expect(first.bytes.subarray(0, 5).toString()).toBe('%PDF-');
    const again = await fetchAs(`/api/invoices/${invoice.id}.pdf`, customer);
    expect(again.bytes.equals(first.bytes)).toBe(true);
  });

  it('a table whose exact column adds up', async () => {
    const { headers, bytes } = await fetchAs(`/api/invoices/${invoice.id}.csv`, customer);
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(headers.get('content-disposition')).toBe('attachment; filename="INV-000001.csv"');
    const [head = '', ...rows] = bytes.toString('utf8').trim().split('\r\n');
    const column = head.split(',').indexOf('exact_usd');
    const sum = rows.reduce((total, row) => total + usd(cellsOf(row)[column]), 0n);
    expect(sum).toBe(usd(invoice.exactSumUsd));
  });
});

describe('the requests of a line', () => {
  it('are those that it sums, page by page', async () => {
    for (const [index, line] of invoice.lines.entries()) {
      if (line.kind !== 'usage') continue;
      const path = `/api/invoices/${invoice.id}/lines/${index + 1}/requests`;
      const events: ApiBody[] = [];
      for (let cursor: string | null = ''; cursor !== null;) {
        const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
        const { status, body } = await customer.reader.get(`${path}?limit=3${query}`);
        expect(status).toBe(200);
        events.push(...body.data);
        cursor = body.nextCursor;
      }
      expect(new Set(events.map(({ id }) => id)).size).toBe(line.requests);
      expect(events).toHaveLength(line.requests ?? -1);
      const cost = events.reduce((sum, { costUsd }) => sum + usd(costUsd), 0n);
      expect(cost).toBe(usd(line.exactUsd));
      expect(events[0]).toEqual(
        (await customer.reader.get(`/api/requests/${events[0]?.id ?? 'none'}`)).body,
      );
    }
  });

  it('are not asked of other lines, nor with a cursor of another list', async () => {
    const requestsOf = async (line: string): Promise<number> =>
      (await customer.reader.get(`/api/invoices/${invoice.id}/lines/${line}/requests`)).status;
    expect(await requestsOf('2')).toBe(200);
    for (const line of ['0', '-1', '1', '4', '5', '99999999999999999999', '2.0', '1e0', 'x']) {
      expect([line, await requestsOf(line)]).toEqual([line, 404]);
    }
    expect(await requestsOf('2')).toBe(200);
    const cursor = Buffer.from('["01970000-0000-7000-8000-000000000000"]').toString('base64url');
    const path = `/api/invoices/${invoice.id}/lines/2/requests?cursor=${cursor}`;
    expect((await customer.reader.get(path)).status).toBe(400);
  });
});

describe('payment by hand', () => {
  const PAYMENT = {
    method: 'bank_transfer',
    reference: 'statement 7',
    paidAt: '2027-02-01T12:00:00Z',
  };

  it.each([
    ['no method', { method: '' }],
    ['a NUL', { reference: 'a\u0000b' }],
    ['no reference', { reference: undefined }],
    ['a time in the future', { paidAt: '2027-02-02T00:00:02Z' }],
    ['a time that is none', { paidAt: '2027-02-30' }],
    ['the year 0', { paidAt: '0000-01-01T00:00:00Z' }],
    ['an amount of its own', { amountUsd: '1.00' }],
  ])('with %s is 400 and changes nothing', async (_name, wrong) => {
    const path = `/api/invoices/${invoice.id}/pay`;
    expect(await billing.api.post(path, { ...PAYMENT, ...wrong })).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request' } },
    });
    expect((await billing.latestInvoice(customer)).state).toBe('finalized');
  });

  it('is booked by the operator only, once, and the same again changes nothing', async () => {
    const path = `/api/invoices/${invoice.id}/pay`;
    expect((await customer.reader.post(path, PAYMENT)).status).toBe(403);
    expect((await other.reader.post(path, PAYMENT)).status).toBe(404);
    const paid = await billing.api.post(path, PAYMENT);
    expect(paid).toMatchObject({
      status: 200,
      body: { state: 'paid', paidUsd: invoice.totalUsd, amountDueUsd: '0.00', hash: invoice.hash },
    });
    expect(await billing.api.post(path, PAYMENT)).toMatchObject({ status: 200, body: paid.body });
    for (const [action, body] of [
      ['pay', { ...PAYMENT, reference: 'statement 8' }],
      ['uncollectible', undefined],
      ['void', undefined],
    ] as const) {
      expect(await billing.api.post(`/api/invoices/${invoice.id}/${action}`, body)).toMatchObject({
        status: 409,
        body: { error: { code: 'conflict' } },
      });
    }
    const [cash] = await billing.database.query<{ sum: string }>(
      `SELECT sum(amount_pico_usd)::text AS sum FROM ledger_transfers WHERE debit = 'cash'`,
    );
    expect(BigInt(cash?.sum ?? '0')).toBe(usd(invoice.totalUsd));
  });

  it('books one payment when two come at once', async () => {
    const late = await billing.addAccount('paying-twice', 'team');
    billing.setTime('2027-03-02T00:00:00.000Z');
    expect((await billing.closePeriod('2027-02')).status).toBe(200);
    const { id, totalUsd } = await billing.latestInvoice(late);
    const payments = Array.from({ length: 4 }, (_each, index) => ({
      ...PAYMENT,
      reference: `statement ${index}`,
    }));
    const answers = await Promise.all(
      payments.map((payment) => billing.api.post(`/api/invoices/${id}/pay`, payment)),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
    expect((await billing.latestInvoice(late)).paidUsd).toBe(totalUsd);
  });
});

describe('an invoice that is given up', () => {
  it('is written off once and can no longer be paid', async () => {
    billing.setTime(FEBRUARY);
    const lost = await billing.addAccount('lost', 'team');
    billing.setTime('2027-03-02T00:00:00.000Z');
    expect((await billing.closePeriod('2027-02')).status).toBe(200);
    const { id, totalUsd } = await billing.latestInvoice(lost);
    const path = `/api/invoices/${id}/uncollectible`;
    expect((await lost.reader.post(path)).status).toBe(403);
    const given = await billing.api.post(path);
    expect(given).toMatchObject({
      status: 200,
      body: { state: 'uncollectible', amountDueUsd: '0.00', paidUsd: '0.00', totalUsd },
    });
    expect(await billing.api.post(path)).toMatchObject({ status: 200, body: given.body });
    const payment = { method: 'cash', reference: 'x', paidAt: '2027-02-01T12:00:00Z' };
    expect((await billing.api.post(`/api/invoices/${id}/pay`, payment)).status).toBe(409);
    const [off] = await billing.database.query<{ sum: string }>(
      `SELECT sum(amount_pico_usd)::text AS sum FROM ledger_transfers WHERE debit = 'write_off'`,
    );
    expect(BigInt(off?.sum ?? '0')).toBe(usd(totalUsd));
  });
});

it('a total of nothing is paid at once, and there is nothing to pay or give up', async () => {
  const nothing = await billing.latestInvoice(other);
  expect(nothing).toMatchObject({ state: 'paid', totalUsd: '0.00', amountDueUsd: '0.00' });
  const payment = { method: 'cash', reference: 'x', paidAt: JANUARY };
  expect((await billing.api.post(`/api/invoices/${nothing.id}/pay`, payment)).status).toBe(409);
  expect((await billing.api.post(`/api/invoices/${nothing.id}/uncollectible`)).status).toBe(409);
});
