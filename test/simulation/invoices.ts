import { invoiceHash } from '../../src/billing/invoice-hash.js';
import { Findings, type Violation } from './checks.js';
import type { ModelAccount, ModelInvoice } from './model-account.js';
import { chargedEvents, type ModelLines } from './model-books.js';
import type { Run } from './run.js';

/** Invoices as they stand in the store, against the model and against what was seen of them before. */
interface InvoiceFacts {
  readonly id: string;
  readonly account_id: string;
  readonly period: string;
  readonly number: number;
  readonly state: string;
  readonly sum: string;
  readonly cents: string;
  readonly carried: string;
  readonly credited: string;
  readonly paid: string;
  readonly hash: string;
  readonly content: {
    readonly number: string;
    readonly period: string;
    readonly totalUsd: string;
    readonly exactSumUsd: string;
    readonly carriedUsd: string;
    readonly lines: readonly LineFacts[];
  };
}

interface LineFacts {
  readonly kind: string;
  readonly exactUsd: string;
  readonly displayUsd: string;
  readonly requests?: number;
  readonly parts?: readonly { readonly exactUsd: string }[];
}

const READ_INVOICES = `
SELECT id::text, account_id::text, period, number, state, exact_sum_pico_usd::text AS sum, total_cents::text AS cents,
  carried_pico_usd::text AS carried, credited_cents::text AS credited, paid_cents::text AS paid, hash, content
FROM invoices WHERE account_id = ANY($1) ORDER BY number`;

const READ_CLOSES = `
SELECT account_id::text, period, carried_pico_usd::text AS carried, invoice_id::text
FROM period_closes WHERE account_id = ANY($1)`;

export async function checkInvoices(
  run: Run,
  accounts: readonly ModelAccount[],
): Promise<readonly Violation[]> {
  const ids = accounts.map(({ id }) => id);
  const invoices = await run.world.rows<InvoiceFacts>(READ_INVOICES, [ids]);
  const closes = await run.world.rows<{
    account_id: string;
    period: string;
    carried: string;
    invoice_id: string | null;
  }>(READ_CLOSES, [ids]);
  return accounts.flatMap((account) => {
    const findings = new Findings(account.name);
    const own = invoices.filter(({ account_id }) => account_id === account.id);
    for (const invoice of own) checkUnchanged(findings, run, invoice);
    const months = account.allMonths().filter(({ isClosed }) => isClosed);
    findings.equal(
      'invariant 16: a month closes once, in order',
      'the number of closed months',
      closes.filter(({ account_id }) => account_id === account.id).length,
      months.length,
    );
    for (const { month, carried, invoice } of months) {
      const close = closes.find((one) => one.account_id === account.id && one.period === month);
      findings.equal(
        'invariant 14: what was owed less what was billed is carried',
        `what ${month} carries`,
        close === undefined ? null : BigInt(close.carried),
        carried,
      );
      const found = own.filter(({ period }) => period === month);
      findings.equal(
        'invariant 16: a month makes one invoice',
        `invoices of ${month}`,
        found.length,
        invoice === null ? 0 : 1,
      );
      findings.equal(
        'invariant 16: a month makes one invoice',
        `the invoice that the close of ${month} names`,
        close?.invoice_id ?? null,
        found[0]?.id ?? null,
      );
      if (invoice !== null && found[0] !== undefined) {
        checkAmounts(findings, invoice, found[0]);
        checkLines(findings, run, account, invoice, found[0]);
      }
    }
    return findings.violations;
  });
}

/** Its content is what it was when it was first seen, and its hash is the content's. */
function checkUnchanged(findings: Findings, run: Run, invoice: InvoiceFacts): void {
  const { id, hash, content, number, period, sum, cents, carried } = invoice;
  const seen = JSON.stringify({ hash, content, number, period, sum, cents, carried });
  const before = run.invoiceTexts.get(id);
  if (before === undefined) run.invoiceTexts.set(id, seen);
  else {
    findings.equal(
      'invariant 16: a finalized invoice never changes',
      `INV-${number}`,
      seen,
      before,
    );
  }
  findings.equal(
    'invariant 16: a finalized invoice never changes',
    `the hash of the content of INV-${number}`,
    invoiceHash(content),
    hash,
  );
  findings.equal(
    'invariant 16: numbers have no gap and no repeat',
    'the number in the content',
    content.number,
    `INV-${number.toString().padStart(6, '0')}`,
  );
}

function checkAmounts(findings: Findings, expected: ModelInvoice, actual: InvoiceFacts): void {
  const of = (what: string): string => `${what} of the invoice of ${expected.month}`;
  const check = 'invariant 8: invoices are what the rules say';
  findings.equal(check, of('the sum'), BigInt(actual.sum), expected.sum);
  findings.equal(check, of('the total in cents'), BigInt(actual.cents), expected.totalCents);
  findings.equal(check, of('what is carried'), BigInt(actual.carried), expected.carried);
  findings.equal(check, of('the state'), actual.state, expected.state);
  findings.equal(check, of('what was credited'), BigInt(actual.credited), expected.creditedCents);
  findings.equal(check, of('what was paid'), BigInt(actual.paid), expected.paidCents);
  const { content } = actual;
  findings.equal(check, of('the sum written'), pico(content.exactSumUsd), expected.sum);
  findings.equal(
    check,
    of('the total written'),
    pico(content.totalUsd),
    expected.totalCents * 10_000_000_000n,
  );
  findings.equal(check, of('the carry written'), pico(content.carriedUsd), expected.carried);
  if (expected.totalCents > 0n) {
    findings.ensure(
      'invariant 14: less than a cent is carried past a total',
      expected.carried >= 0n && BigInt(actual.carried) < 10_000_000_000n,
      of(`a carry of ${actual.carried}`),
    );
  }
}

function checkLines(
  findings: Findings,
  run: Run,
  account: ModelAccount,
  { month, sum }: ModelInvoice,
  { content }: InvoiceFacts,
): void {
  const expected = run.linesAtClose.get(`${account.id} ${month}`);
  const of = (kind: string): bigint =>
    content.lines
      .filter((line) => line.kind === kind)
      .reduce((total, line) => total + pico(line.exactUsd), 0n);
  const all = content.lines.reduce((total, line) => total + pico(line.exactUsd), 0n);
  const check = 'invariant 8: invoices are what the rules say';
  findings.equal(check, `the lines of ${month} summed`, all, sum);
  if (expected !== undefined) compareLines(findings, month, expected, of);
  const charged = chargedEvents(run.model, account, month);
  findings.equal(
    'invariant 15: a charged request is on one invoice',
    `the usage on the invoice of ${month}`,
    of('usage'),
    charged.reduce((total, { cost }) => total + cost, 0n),
  );
  // One that cost nothing may still have come after the close.
  findings.equal(
    'invariant 15: a charged request is on one invoice',
    `the number of requests on the invoice of ${month}`,
    content.lines.reduce((total, { requests }) => total + (requests ?? 0), 0),
    expected?.requests,
  );
  for (const { kind, parts, exactUsd } of content.lines) {
    if (parts === undefined) continue;
    findings.equal(
      check,
      `the parts of a line of ${kind} of ${month}`,
      parts.reduce((total, part) => total + pico(part.exactUsd), 0n),
      pico(exactUsd),
    );
  }
  const shown = content.lines.reduce((total, line) => total + pico(line.displayUsd), 0n);
  const cents = 10_000_000_000n;
  findings.equal(
    check,
    `what the lines of ${month} show`,
    shown,
    (sum >= 0n ? sum / cents : -((-sum + cents - 1n) / cents)) * cents,
  );
}

function compareLines(
  findings: Findings,
  month: string,
  expected: ModelLines,
  of: (kind: string) => bigint,
): void {
  const check = 'invariant 8: invoices are what the rules say';
  findings.equal(check, `the plan fees of ${month}`, of('plan'), expected.plan);
  findings.equal(check, `the usage of ${month}`, of('usage'), expected.usage);
  findings.equal(check, `the credit of ${month}`, of('credit'), expected.credit);
  findings.equal(
    check,
    `corrections, credit notes and carry of ${month}`,
    of('correction') + of('credit_note') + of('carry'),
    expected.corrections + expected.carry,
  );
}

/** Decimal dollars as pico-USD. */
export function pico(usd: string): bigint {
  const isNegative = usd.startsWith('-');
  const [whole = '0', fraction = ''] = usd.replace('-', '').split('.');
  const amount = BigInt(whole) * 1_000_000_000_000n + BigInt(fraction.padEnd(12, '0'));
  return isNegative ? -amount : amount;
}

/** Numbers are given in order, one for each invoice, over all accounts of the store. */
export async function checkNumbers(run: Run): Promise<readonly Violation[]> {
  const findings = new Findings('the store');
  for (const [series, table] of [
    ['INV', 'invoices'],
    ['CN', 'credit_notes'],
  ] as const) {
    const [facts] = await run.world.rows<{
      count: number;
      first: number;
      last: number;
      next: number;
    }>(
      `SELECT count(*)::int, coalesce(min(number), 1) AS first, coalesce(max(number), 0) AS last,
         (SELECT last_number FROM document_numbers WHERE series = $1) AS next FROM ${table}`,
      [series],
    );
    const { count, first, last, next } = facts!;
    findings.equal(
      'invariant 16: numbers have no gap and no repeat',
      `${series}: ${count} documents, numbers`,
      `${first}-${last}, ${next} taken`,
      `1-${count}, ${count} taken`,
    );
  }
  return findings.violations;
}
