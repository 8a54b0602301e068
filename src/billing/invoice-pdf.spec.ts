import fc from 'fast-check';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { type InvoiceLine, totalOf, usageLine } from '../domain/invoices.js';
import { documentAmounts, documentLines, type InvoiceDocument } from './invoice-document.js';
import { invoicePdf } from './invoice-pdf.js';
import { renderInvoicePdf } from './invoice-pdf-render.js';
import { isPrintable, printable } from './invoice-pdf-text.js';

const HASH = '304101aa1ec4b08ca8edfc89845add0dd24de217c882d98db938cb23f171de95';

function usage(index: number): InvoiceLine {
  const quantity = 1_000_003n + BigInt(index);
  const others = index % 3 === 0 ? (['cached_input', 'cache_write_5m', 'output'] as const) : [];
  const units = ['input', ...others] as const;
  return usageLine({
    upstream: 'default',
    provider: 'novita',
    model: `org/model-${index}-end`,
    priceRows: units.map((unit) => ({ id: 7n, unit, picoUsd: 900_000n, perUnits: 1n })),
    requests: index + 1,
    quantities: new Map(units.map((unit, at) => [unit, quantity + BigInt(at) * 10_000_000n])),
    costPicoUsd: units.reduce((sum, _, at) => {
      return sum + (quantity + BigInt(at) * 10_000_000n) * 900_000n;
    }, 0n),
    isCostStated: false,
  });
}

function document(lines: number, parts: Partial<InvoiceDocument> = {}): InvoiceDocument {
  const all = Array.from({ length: lines }, (_, index) => usage(index));
  const amounts = documentAmounts(totalOf(all, 0n));
  return {
    id: '019a9f10-5b6e-7c3a-9d2f-0f3f7a1b2c3d',
    kind: 'invoice',
    number: 'INV-000123',
    state: 'finalized',
    period: '2026-10',
    currency: 'USD',
    issuedAt: '2026-11-01T01:00:00.000Z',
    dueAt: '2026-11-15T01:00:00.000Z',
    issuer: { name: 'Northgate Ltd', address: '12 Harbour Street\nDublin', taxId: 'IE1234' },
    customer: {
      slug: 'acme',
      name: 'Acme GmbH',
      address: 'Lindenallee 14\nKöln',
      email: null,
      taxId: null,
      reference: 'PO 0815',
    },
    lines: documentLines(all),
    ...amounts,
    notes: [],
    paidUsd: '0.00',
    amountDueUsd: amounts.totalUsd,
    payUrl: 'https://pay.example/1',
    hash: HASH,
    ...parts,
  };
}

/** The text of each page in the order in which it is drawn, read back through the fonts' own maps. */
async function pagesOf(of: InvoiceDocument): Promise<readonly string[]> {
  const file = (await renderInvoicePdf(of, { isCompressed: false })).toString('latin1');
  const objectOf = (id: string): string => {
    const start = file.indexOf(`\n${id} 0 obj`);
    return file.slice(start, file.indexOf('\nendobj', start));
  };
  const charactersOf = (font: string): readonly string[] => {
    const map = objectOf(/\/ToUnicode (\d+) 0 R/.exec(objectOf(font))?.[1] ?? 'none');
    const ranges = [...map.matchAll(/<[\da-f]{4}> <[\da-f]{4}> \[([^\]]*)\]/g)];
    return ranges.flatMap(([, list = '']) =>
      [...list.matchAll(/<([\da-f]+)>/g)].map(([, code = '']) =>
        Buffer.from(code, 'hex').swap16().toString('utf16le'),
      ),
    );
  };
  const kids = /\/Kids \[([^\]]*)\]/.exec(file)?.[1] ?? '';
  return [...kids.matchAll(/(\d+) 0 R/g)].map(([, page = '']) => {
    const [, contents = '', resources = ''] =
      /\/Contents (\d+) 0 R\n\/Resources (\d+) 0 R/.exec(objectOf(page)) ?? [];
    const fonts = new Map(
      [...objectOf(resources).matchAll(/\/(F\d+) (\d+) 0 R/g)].map(
        ([, name = '', id = '']) => [name, charactersOf(id)] as const,
      ),
    );
    const drawn = objectOf(contents).matchAll(/\/(F\d+) [\d.]+ Tf\n\[(.*)\] TJ/g);
    return [...drawn]
      .flatMap(([, font = '', glyphs = '']) =>
        [...glyphs.matchAll(/<([\da-f]+)>/g)].flatMap(([, codes = '']) =>
          [...codes.matchAll(/.{4}/g)].map(([code]) => fonts.get(font)?.[parseInt(code, 16)] ?? ''),
        ),
      )
      .join('');
  });
}

describe('the PDF', () => {
  it('says what the invoice says', async () => {
    const pages = await pagesOf(document(3));
    expect(pages).toHaveLength(1);
    for (const text of [
      'INV-000123',
      'OPEN',
      'Northgate Ltd',
      'Tax ID: IE1234',
      'Acme GmbH',
      'Köln',
      '1 November 2026',
      'by 15 November 2026',
      'October 2026',
      'PO 0815',
      'org/model-1-end on novita',
      '2 requests',
      '1,000,004',
      '0.90 per 1M tokens',
      '0.0000009 per token',
      '0.9000036',
      '59.4000189',
      'Less: carried to the next invoice',
      '-0.0000189',
      'USD 59.40',
      'Pay this invoice',
      'Amounts are net; Tollgate computes no tax.',
      `SHA-256 ${HASH}`,
      '1 / 1',
    ]) {
      expect(pages[0]).toContain(text);
    }
  });

  it('breaks hundreds of lines over numbered pages, each with the head, and no line in two', async () => {
    const pages = await pagesOf(document(300));
    expect(pages.length).toBeGreaterThan(10);
    pages.forEach((page, index) => {
      expect(page).toContain(`${index + 1} / ${pages.length}`);
      expect(page).toContain('Description');
      expect(page).toContain('INV-000123');
      expect(page).toContain(HASH);
    });
    for (let index = 0; index < 300; index += 1) {
      const holding = pages.filter((page) => page.includes(`model-${index}-end`));
      expect(holding).toHaveLength(1);
      const lastPart = index % 3 === 0 ? 31_000_003 : 1_000_003;
      expect(holding[0]).toContain((lastPart + index).toLocaleString('en'));
    }
    expect(pages.at(-1)).toContain('Amount due');
  });

  it('is marked on every page when it is void or a draft, and only then', async () => {
    const marks = async (parts: Partial<InvoiceDocument>, mark: string): Promise<number> => {
      const pages = await pagesOf(document(30, parts));
      return pages.filter((page) => page.includes(mark)).length / pages.length;
    };
    expect(await marks({ state: 'void', amountDueUsd: '0.00' }, 'VOID')).toBe(1);
    expect(await marks({ state: 'draft', number: null, hash: null }, 'DRAFT')).toBe(1);
    expect(await marks({ state: 'paid' }, 'PAID')).toBeLessThan(1);
  });

  it('is the same file each time', async () => {
    const [one, other] = await Promise.all([invoicePdf(document(3)), invoicePdf(document(3))]);
    expect(one.equals(other)).toBe(true);
    expect(one.equals(await renderInvoicePdf(document(3)))).toBe(true);
    expect(one.subarray(0, 5).toString()).toBe('%PDF-');
  });

  it('shows a sign and a note for what its font lacks, and never fails over a name', async () => {
    const { customer } = document(1);
    const named = (name: string): InvoiceDocument =>
      document(1, { customer: { ...customer, name, address: name, reference: name } });
    const [page = ''] = await pagesOf(named('東京 Łódź Чайка 🚀'));
    expect(page).toContain('\ufffd\ufffd Łódź Чайка \ufffd');
    expect(page).toContain('no font for');
    expect((await pagesOf(document(1)))[0]).not.toContain('\ufffd');
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 60 }), async (name) => {
        expect((await pagesOf(named(name)))[0]).toContain('acme');
      }),
      { numRuns: 10 },
    );
  });

  it('links only to where the invoice is paid, over http(s)', async () => {
    const links = async (payUrl: string): Promise<boolean> =>
      (await renderInvoicePdf(document(1, { payUrl }), { isCompressed: false })).includes('/URI (');
    expect(await links('https://pay.example/1')).toBe(true);
    expect(await links('file:///etc/passwd')).toBe(false);
  });
});

describe('text of the PDF', () => {
  it('keeps a character only if both fonts have it', () => {
    const require = createRequire(import.meta.url);
    const fontkit = createRequire(require.resolve('pdfmake'))('fontkit') as {
      openSync: (path: string) => { hasGlyphForCodePoint: (codePoint: number) => boolean };
    };
    const fonts = ['Regular', 'Medium'].map((weight) =>
      fontkit.openSync(require.resolve(`pdfmake/fonts/Roboto/Roboto-${weight}.ttf`)),
    );
    for (let codePoint = 0x20; codePoint < 0x11000; codePoint += 1) {
      const character = String.fromCodePoint(codePoint);
      // Spaces and what Unicode composes are changed before they are looked up.
      if (/\s/.test(character) || character.normalize('NFC') !== character) continue;
      if (!isPrintable(character)) continue;
      expect(fonts.every((font) => font.hasGlyphForCodePoint(codePoint))).toBe(true);
    }
    expect(isPrintable('Aé€Œőß–“”…−≤Яω№ıệ')).toBe(true);
    expect(isPrintable('Aé東')).toBe(false);
  });

  it('is composed, on one line, and breaks words that no column holds', () => {
    expect(printable('  Ko\u0308ln\n a\tb ')).toBe('Köln a b');
    expect(printable('x'.repeat(60)).split('\u200b')).toEqual([
      'x'.repeat(18),
      'x'.repeat(18),
      'x'.repeat(18),
      'x'.repeat(6),
    ]);
    expect(printable('org/model-70B-Instruct')).toBe('org/model-70B-Instruct');
  });
});
