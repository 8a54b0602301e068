import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { uuidv7 } from 'uuidv7';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { closePeriod, differenceOf, type ClosedPeriod } from '../domain/closing.js';
import { formatCents } from '../domain/invoices.js';
import { formatUsd } from '../domain/money.js';
import { addDays, nextPeriod, periodBounds, periodOf } from '../domain/periods.js';
import { refusal, TollgateError } from '../domain/errors.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { documentAmounts, documentLines, type InvoiceContent } from './invoice-document.js';
import { invoiceHash } from './invoice-hash.js';
import { InvoicesRepository, type InvoiceHead } from './invoices.repository.js';
import {
  PeriodCloseRepository,
  type CloseDecision,
  type CloseInput,
  type ClosingAccount,
} from './period-close.repository.js';
import type { PeriodState } from './period-facts.repository.js';

const PAGE = 200;

export interface CloseReport {
  readonly period: string;
  /** Accounts whose period is closed, by this close or an earlier one. */
  readonly closed: number;
  readonly blocked: readonly (Pick<PeriodState, 'open' | 'pending'> & {
    readonly organization: string;
  })[];
  readonly unresolved: readonly (Pick<PeriodState, 'unpriced' | 'quarantined'> & {
    readonly organization: string;
  })[];
  readonly failed: readonly { readonly organization: string; readonly problem: string }[];
  readonly invoices: readonly InvoiceHead[];
}

/**
 * The close of months. Each account closes by itself: one that is stuck delays no other, and one that
 * is closed already is left alone, so a close that was interrupted is finished by the next.
 */
@Injectable()
export class PeriodCloseService {
  constructor(
    private readonly closes: PeriodCloseRepository,
    private readonly invoices: InvoicesRepository,
    private readonly metrics: MetricsService,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Closes a period of every account, and those before it that are still open.
   *
   * @throws TollgateError period_not_over.
   */
  async close(period: string, at: Date): Promise<CloseReport> {
    const { end } = periodBounds(period);
    if (end.getTime() > at.getTime()) throw notOver(period, end);
    const report = await this.closeAll(period, at, 'all');
    return { ...report, invoices: await this.invoices.headsOf(period) };
  }

  /** What a close at this instant would write, the running month included. */
  async dryRun(period: string, at: Date): Promise<CloseReport> {
    const { start, end } = periodBounds(period);
    if (start.getTime() > at.getTime()) throw notOver(period, end);
    const report = emptyReport(period);
    for await (const account of this.accounts(period, 'all')) {
      const state = await this.closes.stateOf(account.id, period);
      note(report, account, state);
      if (isClosed(account, period)) {
        report.closed += 1;
        continue;
      }
      const input = await this.closes.inputOf(account.id, period);
      const closed = closePeriod(input.facts, input.row, this.config.billing.invoiceMinimumPicoUsd);
      if (!closed.hasInvoice) continue;
      report.invoices.push({
        organization: account.slug,
        id: null,
        number: null,
        totalUsd: formatCents(closed.total.totalCents),
      });
    }
    report.invoices.push(...(await this.invoices.headsOf(period)));
    return report;
  }

  /**
   * Closes every period that ended longer ago than `PERIOD_CLOSE_DELAY_S`. Answers with how many.
   *
   * @throws Error when the close of an account failed, after all others were closed.
   */
  async closeDue(at: Date): Promise<number> {
    const due = new Date(at.getTime() - this.config.billing.periodCloseDelayMs);
    const lastOver = periodOf(new Date(periodBounds(periodOf(due)).start.getTime() - 1));
    const report = await this.closeAll(lastOver, at, 'open');
    const [failed] = report.failed;
    if (failed !== undefined) {
      throw new Error(
        `${report.failed.length} accounts could not be closed; ${failed.organization}: ${failed.problem}`,
      );
    }
    return report.newlyClosed;
  }

  private async closeAll(
    period: string,
    at: Date,
    which: 'all' | 'open',
  ): Promise<ReturnType<typeof emptyReport>> {
    const report = emptyReport(period);
    for await (const account of this.accounts(period, which)) {
      try {
        await this.closeThrough(account, period, at, report);
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error);
        report.failed.push({ organization: account.slug, problem });
        this.metrics.alarms.inc({ kind: 'period_close' });
        this.logger.error({ err: error, organization: account.slug, period }, 'a close failed');
      }
    }
    this.metrics.closesBlocked.set(report.blocked.length);
    this.metrics.closesFailed.set(report.failed.length);
    return report;
  }

  /** In order: a period is closed after those before it. */
  private async closeThrough(
    account: ClosingAccount,
    period: string,
    at: Date,
    report: ReturnType<typeof emptyReport>,
  ): Promise<void> {
    const { closedThrough, createdAt } = account;
    let next = closedThrough === null ? periodOf(createdAt) : nextPeriod(closedThrough);
    for (; next <= period; next = nextPeriod(next)) {
      const issued = { hasInvoice: false };
      const result = await this.closes.close(account.id, next, at, (input) => {
        const decision = this.decide(input, at);
        issued.hasInvoice = decision.closed.hasInvoice;
        return decision;
      });
      note(report, account, result.state);
      if (result.kind === 'blocked') return;
      if (result.kind !== 'closed') continue;
      report.newlyClosed += 1;
      if (issued.hasInvoice) this.metrics.invoicesIssued.inc();
    }
    report.closed += 1;
    if (isClosed(account, period)) {
      note(report, account, await this.closes.stateOf(account.id, period));
    }
  }

  private decide(input: CloseInput, at: Date): CloseDecision {
    const { facts } = input;
    const { billing } = this.config;
    const closed = closePeriod(facts, input.row, billing.invoiceMinimumPicoUsd);
    const invoiceId = uuidv7();
    return {
      closed,
      invoiceId,
      invoiceOf: (number) => {
        const dueAt = addDays(at, billing.paymentTermsDays);
        const content = this.contentOf(input, closed, { id: invoiceId, number, at, dueAt });
        return { id: invoiceId, issuedAt: at, dueAt, content, hash: invoiceHash(content) };
      },
      assertBooks: (unbilledPicoUsd) => {
        const difference = differenceOf(closed, facts, unbilledPicoUsd);
        if (difference === null) return;
        throw new Error(
          `the lines of ${facts.period} sum to ${formatUsd(difference.linesPicoUsd)}, the ledger says ${formatUsd(difference.unbilledPicoUsd)}: nothing was billed`,
        );
      },
    };
  }

  private contentOf(
    { facts, customer }: CloseInput,
    { lines, total }: ClosedPeriod,
    invoice: {
      readonly id: string;
      readonly number: number;
      readonly at: Date;
      readonly dueAt: Date;
    },
  ): InvoiceContent {
    return {
      id: invoice.id,
      kind: 'invoice',
      number: invoiceNumber(invoice.number),
      period: facts.period,
      currency: 'USD',
      issuedAt: invoice.at.toISOString(),
      dueAt: invoice.dueAt.toISOString(),
      issuer: this.config.billing.issuer,
      customer,
      lines: documentLines(lines),
      ...documentAmounts(total),
      notes: [],
    };
  }

  private async *accounts(period: string, which: 'all' | 'open'): AsyncGenerator<ClosingAccount> {
    const { end } = periodBounds(period);
    let after: string | null = null;
    for (;;) {
      const page: readonly ClosingAccount[] = await this.closes.accountsBefore(
        end,
        which === 'open' ? period : null,
        after,
        PAGE,
      );
      yield* page;
      if (page.length < PAGE) return;
      after = page.at(-1)?.id ?? null;
    }
  }
}

/** `INV-000123`. */
export function invoiceNumber(number: number): string {
  return `INV-${number.toString().padStart(6, '0')}`;
}

type Filling<Report> = {
  -readonly [Key in keyof Report]: Report[Key] extends readonly (infer Item)[]
    ? Item[]
    : Report[Key];
};

function emptyReport(period: string): Filling<CloseReport> & { newlyClosed: number } {
  return {
    period,
    closed: 0,
    newlyClosed: 0,
    blocked: [],
    unresolved: [],
    failed: [],
    invoices: [],
  };
}

function note(report: Filling<CloseReport>, { slug }: ClosingAccount, state: PeriodState): void {
  const { open, pending, unpriced, quarantined } = state;
  if (open + pending > 0) report.blocked.push({ organization: slug, open, pending });
  if (unpriced + quarantined === 0) return;
  // An account that catches up closes several months, one after the other: it is listed once.
  const last = report.unresolved.at(-1);
  const before = last?.organization === slug ? report.unresolved.pop() : undefined;
  report.unresolved.push({
    organization: slug,
    unpriced: unpriced + (before?.unpriced ?? 0),
    quarantined: quarantined + (before?.quarantined ?? 0),
  });
}

function isClosed({ closedThrough }: ClosingAccount, period: string): boolean {
  return closedThrough !== null && closedThrough >= period;
}

function notOver(period: string, end: Date): TollgateError {
  return new TollgateError(
    refusal('period_not_over', `${period} is not over before ${end.toISOString()}.`, {
      param: 'period',
      details: { endsAt: end.toISOString() },
    }),
  );
}
