import { TollgateError } from '../../src/domain/errors.js';
import type { CloseReport } from '../../src/billing/period-close.service.js';
import type { Context } from './context.js';
import { checkInvoices } from './invoices.js';
import type { ModelAccount } from './model-account.js';
import {
  closeMonth,
  isBlocked,
  linesOf,
  monthsToClose,
  sumOf,
  totalCentsOf,
} from './model-books.js';
import { endOfMonthMs, monthBefore, monthOf } from './months.js';
import { answer, compareReceipt, describe, described, refFor } from './requests.js';
import { HOUR_MS, text, type Run } from './run.js';

/** Steps in which months close. */

export async function close(context: Context): Promise<void> {
  const { run, dice } = context;
  const [first, second] = run.processes;
  const month = monthBefore(monthOf(second.now().getTime()));
  if (dice.chance(25)) await dryRun(context, month);
  const how = dice.weighted([
    ['once', 5],
    ['twice', 2],
    ['by two', 3],
    ['killed', run.isEnabled('interruptions') ? 4 : 0],
  ] as const);
  if (how === 'by two') {
    const reports = await Promise.all([
      first.closes.close(month, first.now()),
      second.closes.close(month, second.now()),
    ]);
    for (const report of reports) expectNoFailure(context, report);
  } else {
    if (how === 'killed') await closeInterrupted(context, month);
    const process = dice.pick(run.processes);
    expectNoFailure(context, await process.closes.close(month, process.now()));
    if (how === 'twice') expectNoFailure(context, await first.closes.close(month, first.now()));
  }
  context.say(`${month}, ${how}`);
  await closeInModel(context, month);
}

/** The close dies somewhere; what it had not finished, the next one finishes. */
async function closeInterrupted({ run, dice }: Context, month: string): Promise<void> {
  const process = dice.pick(run.processes);
  const how = dice.pick(['statement_fails', 'connection_dies', 'answer_lost'] as const);
  const after = dice.between(
    1,
    how === 'answer_lost' ? run.accounts.length : 12 * run.accounts.length,
  );
  process.billing.arm(how, after, dice.chance(60));
  try {
    await process.closes.close(month, process.now());
  } catch {
    // It died: nobody reads its report.
  } finally {
    process.billing.disarm();
  }
}

function expectNoFailure({ findings }: Context, report: CloseReport): void {
  for (const { organization, problem } of report.failed) {
    findings.ensure('invariant 16: a close succeeds', false, `${organization}: ${problem}`);
  }
}

/** By its own clock, with the delay that is configured. */
export async function closeDue(context: Context): Promise<void> {
  const { run, dice } = context;
  const process = dice.pick(run.processes);
  let closed: number | string;
  try {
    closed = await process.closes.closeDue(process.now());
  } catch (error) {
    closed = error instanceof Error ? error.message : String(error);
    context.findings.ensure('invariant 16: a close succeeds', false, closed);
  }
  const month = monthBefore(monthOf(process.now().getTime() - HOUR_MS));
  context.say(`${month}, ${closed} closed`);
  await closeInModel(context, month);
}

/** A month that is not over is not closed. */
export async function closeTooEarly(context: Context): Promise<void> {
  const { run, findings } = context;
  const [process] = run.processes;
  const month = monthOf(run.nowMs);
  let code = 'closed';
  try {
    await process.closes.close(month, process.now());
  } catch (error) {
    if (!(error instanceof TollgateError)) throw error;
    code = error.refusal.code;
  }
  context.say(`${month}: ${code}`);
  findings.equal(
    'invariant 17: a month ends with its last instant',
    month,
    code,
    'period_not_over',
  );
}

async function closeInModel(context: Context, month: string): Promise<void> {
  const { run } = context;
  const closed: ModelAccount[] = [];
  for (const account of run.accounts) {
    if (account.createdMs >= endOfMonthMs(month)) continue;
    for (const each of monthsToClose(account, month)) {
      if (isBlocked(run.model, account, each)) {
        context.say(`  ${account.name}: ${each} is blocked`);
        break;
      }
      run.linesAtClose.set(`${account.id} ${each}`, linesOf(run.model, account, each));
      const invoice = closeMonth(run.model, account, each, run.invoiceMinimum);
      context.say(
        `  ${account.name}: ${each} closed, ${invoice === null ? 'no invoice' : `invoice over ${text(invoice.totalCents * 10_000_000_000n)}`}, carried ${text(account.month(each).carried)}`,
      );
    }
    context.touch(account);
    closed.push(account);
  }
  context.findings.violations.push(...(await checkInvoices(run, closed)));
}

/** What a close would write; it writes nothing. */
export async function dryRun(context: Context, ofMonth?: string): Promise<void> {
  const { run, dice, findings } = context;
  const month = ofMonth ?? monthOf(run.nowMs);
  const process = dice.pick(run.processes);
  if (monthOf(process.now().getTime()) < month) return;
  // What was withheld after its commit is still being marked.
  for (const { journal } of run.processes) await journal.idle();
  const before = await fingerprint(run);
  const report = await process.closes.dryRun(month, process.now());
  findings.equal(
    'invariant 16: a dry run changes nothing',
    'the fingerprint of the books',
    await fingerprint(run),
    before,
  );
  const drafts = new Map(
    report.invoices
      .filter(({ id }) => id === null)
      .map(({ organization, totalUsd }) => [organization, totalUsd]),
  );
  for (const account of run.accounts) {
    if (account.isClosed(month)) continue;
    const expected = account.createdMs >= endOfMonthMs(month) ? null : draftOf(run, account, month);
    findings.equal(
      'invariant 8: invoices are what the rules say',
      `the draft of ${account.name} for ${month}`,
      drafts.get(run.slugOf(account)) ?? null,
      expected,
    );
  }
  context.say(`dry run of ${month}: ${drafts.size} drafts`);
}

function draftOf(run: Run, account: ModelAccount, month: string): string | null {
  const lines = linesOf(run.model, account, month);
  const hasInvoice =
    lines.hasUsage ||
    lines.plan !== 0n ||
    lines.credit !== 0n ||
    account.month(month).hasCorrection;
  if (!hasInvoice) return null;
  const cents = totalCentsOf(sumOf(lines), run.invoiceMinimum).toString().padStart(3, '0');
  return `${cents.slice(0, -2)}.${cents.slice(-2)}`;
}

const FINGERPRINT = [
  'budgets',
  'ledger_balances',
  'ledger_transfers',
  'credit_grants',
  'usage_events',
  'open_events',
  'invoices',
  'period_closes',
  'corrections',
  'plan_changes',
]
  .map(
    (table) =>
      `(SELECT coalesce(sum(hashtextextended(t::text, 0)), 0)::text || '/' || count(*) FROM ${table} t WHERE account_id = ANY($1))`,
  )
  .concat(`(SELECT string_agg(series || last_number, ' ' ORDER BY series) FROM document_numbers)`)
  .join(` || ' ' || `);

async function fingerprint(run: Run): Promise<string> {
  const [row] = await run.world.rows<{ print: string }>(`SELECT ${FINGERPRINT} AS print`, [
    run.accounts.map(({ id }) => id),
  ]);
  return row!.print;
}

/** What keeps a month open ends while it is being closed: it is charged, then or never. */
export async function closeRace(context: Context): Promise<void> {
  const { run, dice } = context;
  const [first, second] = run.processes;
  const month = monthBefore(monthOf(second.now().getTime()));
  const open = [...run.model.events.values()].filter(
    (event) => event.state === 'open' && event.month <= month,
  );
  const settling = open.map((event) => ({
    event,
    given: answer(context, event, { cost: dice.amount(event.hold) }),
  }));
  const closing = second.closes.close(month, second.now());
  const receipts = settling.map(
    ({ event, given }) => first.journal.settle(refFor(run, event), given.real).receipt,
  );
  expectNoFailure(context, await closing);
  for (const [index, { event, given }] of settling.entries()) {
    const receipt = await receipts[index]!;
    context.touch(event.account);
    context.say(`${describe(event)}: ${described(receipt)}`);
    compareReceipt(context, event, receipt, run.model.settle(event, given.model, false));
  }
  context.say(`${month}, in a race`);
  // Who was still under way when the close came by is not known: it is closed once more.
  expectNoFailure(context, await first.closes.close(month, first.now()));
  await closeInModel(context, month);
}
