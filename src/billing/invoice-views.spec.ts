import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatCents, type InvoiceLine, totalOf, usageLine } from '../domain/invoices.js';
import { formatUsd, parseUsd } from '../domain/money.js';
import { invoiceCss, invoiceCssSource } from './invoice-css.js';
import { csvCell, invoiceCsv } from './invoice-csv.js';
import { documentAmounts, documentLines, type InvoiceDocument } from './invoice-document.js';
import { invoiceHash } from './invoice-hash.js';
import { invoiceHtml } from './invoice-html.js';
import { headlineOf, notesOf, stampOf, totalRowsOf } from './invoice-text.js';

const USD = 10n ** 12n;

function line(kind: InvoiceLine['kind'], description: string, exactPicoUsd: bigint): InvoiceLine {
  const none = { provider: null, upstream: null, model: null, requests: null, parts: null };
  return { ...none, kind, description, exactPicoUsd, priceRowIds: [] };
}

const LINES: readonly InvoiceLine[] = [
  line('plan', 'Pro, 2026-10', 9n * USD),
  usageLine({
    upstream: 'default',
    provider: 'novita',
    model: 'org/model',
    priceRows: [
      { id: 7n, unit: 'input', picoUsd: 900_000n, perUnits: 1n },
      { id: 9n, unit: 'output', picoUsd: 3_000_000n, perUnits: 1n },
    ],
    requests: 1_234,
    quantities: new Map([
      ['input', 1_234_567n],
      ['output', 89n],
    ]),
    costPicoUsd: 1_111_377_299_999n,
    isCostStated: false,
  }),
  line('credit', 'Monthly credit, Pro', -2n * USD),
];

function document(
  parts: Partial<InvoiceDocument> = {},
  lines: readonly InvoiceLine[] = LINES,
): InvoiceDocument {
  const total = totalOf(lines, USD / 2n);
  const content = {
    id: '019a9f10-5b6e-7c3a-9d2f-0f3f7a1b2c3d',
    kind: 'invoice',
    number: 'INV-000123',
    period: '2026-10',
    currency: 'USD',
    issuedAt: '2026-11-01T01:00:00.000Z',
    dueAt: '2026-11-15T01:00:00.000Z',
    issuer: { name: 'Northgate Ltd', address: '12 Harbour Street\nDublin', taxId: 'IE1234' },
    customer: {
      slug: 'acme',
      name: 'Acme GmbH',
      address: 'Lindenallee 14\nKöln',
      email: 'billing@acme.example',
      taxId: 'DE5678',
      reference: 'PO 0815',
    },
    lines: documentLines(lines),
    ...documentAmounts(total),
    notes: ['Thank you.'],
  } as const;
  return {
    ...content,
    state: 'finalized',
    paidUsd: '0.00',
    amountDueUsd: content.totalUsd,
    payUrl: 'https://pay.example/1?a=1&b=2',
    hash: invoiceHash(content),
    ...parts,
  };
}

describe('the document', () => {
  it('has the lines in the words of JSON, absent what a line has not', () => {
    const { lines, exactSumUsd, carriedUsd, totalUsd } = document();
    expect(lines[0]).toEqual({
      kind: 'plan',
      description: 'Pro, 2026-10',
      exactUsd: '9',
      displayUsd: '9.00',
    });
    expect(lines[1]).toMatchObject({
      provider: 'novita',
      requests: 1_234,
      priceRowIds: ['7', '9'],
      parts: [
        { unit: 'input', quantity: '1234567', unitPriceUsd: '0.0000009', exactUsd: '1.1111103' },
        { unit: 'output', quantity: '89', unitPriceUsd: '0.000003', exactUsd: '0.000267' },
        { unit: 'adjustment', exactUsd: '-0.000000000001' },
      ],
      exactUsd: '1.111377299999',
      displayUsd: '1.11',
    });
    expect({ exactSumUsd, carriedUsd, totalUsd }).toEqual({
      exactSumUsd: '8.111377299999',
      carriedUsd: '0.001377299999',
      totalUsd: '8.11',
    });
  });

  it('has totals whose columns add up, whatever the lines, what was paid and what was credited', () => {
    const amounts = fc.array(fc.bigInt(-2n * USD, 2n * USD), { maxLength: 8 });
    const settled = fc.tuple(fc.nat(100), fc.nat(100));
    fc.assert(
      fc.property(amounts, settled, (exact, [paidPart, creditedPart]) => {
        const lines = exact.map((each) => line('correction', 'x', each));
        const { totalCents } = totalOf(lines, USD / 2n);
        const paid = (totalCents * BigInt(paidPart)) / 100n;
        const credited = ((totalCents - paid) * BigInt(creditedPart)) / 100n;
        const amountDueUsd = formatCents(totalCents - paid - credited);
        const rows = totalRowsOf(document({ paidUsd: formatCents(paid), amountDueUsd }, lines));
        let cents = 0n;
        let exactSum = 0n;
        for (const { isMain, usd, exactUsd } of rows) {
          const shown = parseUsd(usd.replaceAll(',', '')) ?? -1n;
          if (isMain) expect(shown).toBe(cents);
          else cents += shown;
          exactSum += parseUsd((exactUsd ?? '0').replaceAll(',', '')) ?? -1n;
        }
        expect(formatUsd(exactSum)).toBe(formatUsd(totalCents * (USD / 100n)));
        expect(rows.at(-1)).toMatchObject({ label: 'Amount due' });
      }),
    );
  });

  it('names how it ended, and asks for money only while it is open', () => {
    const stamps = (['draft', 'finalized', 'paid', 'void', 'uncollectible'] as const).map(
      (state) => stampOf(document({ state })).text,
    );
    expect(stamps).toEqual(['Draft', 'Open', 'Paid', 'Void', 'Uncollectible']);
    expect(headlineOf(document())).toMatchObject({ amountUsd: '8.11', dueAt: document().dueAt });
    const paid = document({ state: 'paid', paidUsd: '8.11', amountDueUsd: '0.00' });
    expect(headlineOf(paid)).toMatchObject({ amountUsd: '0.00', dueAt: null, payUrl: null });
    const voided = document({ state: 'void', amountDueUsd: '0.00' });
    expect(totalRowsOf(voided).map(({ label }) => label)).toContain('Less: void, nothing is due');
    const note = document({ kind: 'credit_note', number: 'CN-000001', state: 'paid' });
    expect(stampOf(note).text).toBe('Credit note');
    expect(totalRowsOf(note).at(-1)?.label).toBe('Total credited');
    const draft = document({ state: 'draft', number: null, hash: null });
    expect(totalRowsOf(draft).at(-1)?.label).toBe('Total so far');
  });

  it('says why nothing is due although there is a sum', () => {
    const notesWith = (exact: bigint): string => {
      return notesOf(document({}, [line('correction', 'x', exact)])).join(' ');
    };
    expect(notesWith(-1n)).toMatch(/in your favour/);
    expect(notesWith(USD / 4n)).toMatch(/smallest amount/);
    expect(notesWith(USD + 1n)).toMatch(/rounded down once/);
    expect(notesWith(USD)).toBe('Amounts are net; Tollgate computes no tax. Thank you.');
    expect(notesWith(0n)).not.toMatch(/nothing is due/);
  });
});

describe('the page', () => {
  const page = invoiceHtml(document());

  it.each([
    ['<h1>Invoice</h1>'],
    ['INV-000123'],
    ['Northgate Ltd'],
    ['Tax ID: DE5678'],
    ['<p>Lindenallee 14</p>\n<p>Köln</p>'],
    ['1 November 2026'],
    ['by 15 November 2026'],
    ['October 2026'],
    ['PO 0815'],
    ['org/model on novita'],
    ['1,234 requests'],
    ['1,234,567'],
    ['0.90 per 1M tokens'],
    ['0.0000009 per token'],
    ['USD 8.11'],
    ['8.111377299999'],
    ['Less: carried to the next invoice'],
    ['-0.001377299999'],
    ['Amounts are net; Tollgate computes no tax.'],
    ['href="https://pay.example/1?a=1&amp;b=2"'],
    [document().hash ?? 'no hash'],
  ])('shows %s', (text) => {
    expect(page).toContain(text);
  });

  it('has no script, no handler and no style that a strict policy would block', () => {
    const linked = invoiceHtml(document(), { stylesheetHref: '/api/invoices/invoice.css' });
    expect(linked).toContain('<link rel="stylesheet" href="/api/invoices/invoice.css">');
    expect(linked).not.toMatch(/<style|<script|\sstyle=|\son\w+=|javascript:/i);
    const inside = /<style>([^]*)<\/style>/.exec(page)?.[1] ?? '';
    expect(inside).toBe(invoiceCss());
    const digest = createHash('sha256').update(inside).digest('base64');
    expect(invoiceCssSource()).toBe(`'sha256-${digest}'`);
    expect(invoiceCss()).not.toMatch(/url\(|@import|</);
  });

  it('links lines to their requests where the caller says so', () => {
    const linked = invoiceHtml(document(), {
      requestsHref: ({ model }) => (model === undefined ? null : `/app/requests?model=${model}&x`),
    });
    expect(linked).toContain('<a href="/app/requests?model=org/model&amp;x">1,234 requests</a>');
    const broken = invoiceHtml(document(), { requestsHref: () => "\"><img onerror='x'>" });
    expect(broken).toContain('href="&quot;&gt;&lt;img onerror=&#39;x&#39;&gt;"');
  });

  it('offers no payment but over http(s), nor of what is not open', () => {
    const links = (parts: Partial<InvoiceDocument>): boolean =>
      invoiceHtml(document(parts)).includes('<a ');
    expect(links({})).toBe(true);
    expect(links({ payUrl: 'javascript:alert(1)' })).toBe(false);
    expect(links({ payUrl: null })).toBe(false);
    expect(links({ state: 'void', amountDueUsd: '0.00' })).toBe(false);
    expect(links({ amountDueUsd: '0.00' })).toBe(false);
  });

  it('keeps its tags whatever anybody wrote anywhere', () => {
    const evil = fc.constantFrom('<b>', '</td>', '"', "'", '&lt;', '<!--', ']]>', '<script>');
    const text = fc.array(fc.oneof(evil, fc.string()), { minLength: 1 }).map((parts) => {
      return `x${parts.join('').replace(/\s/g, '')}`;
    });
    const tagsOf = (html: string): readonly string[] => {
      const body = html.slice(html.indexOf('<body>'));
      return [...body.matchAll(/<[^>]*>/g)].map(([tag]) => tag);
    };
    const withText = (word: string): string => {
      const base = document();
      const party = { name: word, address: word, taxId: word };
      return invoiceHtml({
        ...base,
        id: word,
        number: word,
        hash: word,
        issuer: party,
        customer: { ...party, slug: word, email: word, reference: word },
        notes: [word],
        lines: base.lines.map((each) => ({
          ...each,
          description: word,
          parts: [{ unit: word, quantity: word, unitPriceUsd: word, exactUsd: word }],
          exactUsd: word,
        })),
      });
    };
    const tags = tagsOf(withText('plain'));
    fc.assert(
      fc.property(text, (word) => {
        expect(tagsOf(withText(word))).toEqual(tags);
      }),
    );
  });
});

/** RFC 4180, as a spreadsheet reads it. */
function rowsOf(csv: string): readonly Readonly<Record<string, string>>[] {
  const rows = csv
    .split('\r\n')
    .slice(0, -1)
    .map((row) =>
      [...row.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
        ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
      ),
    );
  const [columns = [], ...cells] = rows;
  return cells.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at] ?? ''])));
}

describe('the CSV', () => {
  it('has a row per part, with columns that add up to the invoice', () => {
    const rows = rowsOf(invoiceCsv(document()));
    expect(rows).toHaveLength(5);
    expect(rows[1]).toMatchObject({
      invoice: 'INV-000123',
      line: '2',
      kind: 'usage',
      model: 'org/model',
      price_rows: '7 9',
      requests: '1234',
      unit: 'input',
      quantity: '1234567',
      unit_price_usd: '0.0000009',
      per_units: '1',
      exact_usd: '1.1111103',
      display_usd: '1.11',
    });
    const sum = (column: string): bigint =>
      rows.reduce((total, row) => total + (parseUsd(row[column] ?? '') ?? 0n), 0n);
    expect(formatUsd(sum('exact_usd'))).toBe('8.111377299999');
    expect(formatUsd(sum('display_usd'))).toBe('8.11');
    expect(sum('requests')).toBe(1_234n * USD);
  });

  it.each([
    ['=1+1', "'=1+1"],
    ['+1', "'+1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['-1+1', "'-1+1"],
    ['-', "'-"],
    ['\t=1', "'\t=1"],
    ['\r=1', '"\'\r=1"'],
    ['＝1', "'＝1"],
    ['=HYPERLINK("x","y")', '"\'=HYPERLINK(""x"",""y"")"'],
    ['-12.5', '-12.5'],
    ['-0.000000000001', '-0.000000000001'],
    ['a,b', '"a,b"'],
    ['a"b', '"a""b"'],
    ['a=b', 'a=b'],
    ['', ''],
  ])('writes %j as %j: nothing that a spreadsheet would run', (text, cell) => {
    expect(csvCell(text)).toBe(cell);
  });

  it('gives back every description, but for the apostrophe before a formula', () => {
    const text = fc.string().filter((each) => !/[\r\n]/.test(each));
    fc.assert(
      fc.property(text, (description) => {
        const [row] = rowsOf(invoiceCsv(document({}, [line('correction', description, 1n)])));
        const read = row?.['description'] ?? 'none';
        expect([description, `'${description}`]).toContain(read);
        expect(/^[=+@\t]/.test(read)).toBe(false);
      }),
    );
  });
});
