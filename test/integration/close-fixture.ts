import { expect } from 'vitest';
import { invoiceHash } from '../../src/billing/invoice-hash.js';
import type { RecordedInvoice } from '../../src/billing/invoices.repository.js';
import type { CloseReport } from '../../src/billing/period-close.service.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import {
  closesOn,
  configOf,
  intercepted,
  newOrganization,
  openMoney,
  type MoneyProcess,
  type TestOrganization,
} from './money-fixture.js';

/** When October is closed unless a test says otherwise. */
export const CLOSING = new Date('2026-11-01T01:00:00Z');

/** A database and a process on it whose clock shows the 10th of October. */
export class Closing {
  private constructor(
    readonly database: TestDatabase,
    readonly money: MoneyProcess,
  ) {}

  static async open(): Promise<Closing> {
    const database = await freshDatabase();
    return new Closing(database, await openMoney(database.url, '2026-10-10T00:00:00Z'));
  }

  async end(): Promise<void> {
    await this.money.close();
    await this.database.drop();
  }

  /** A Pro organization since a day; its own fee is 9.00 a month. */
  pro(createdAt = '2026-10-01T00:00:00Z'): Promise<TestOrganization> {
    return newOrganization(this.money, { plan: 'pro', createdAt });
  }

  /** A Free one with pay-as-you-go: no fee, 0.10 of credit. */
  free(createdAt = '2026-10-01T00:00:00Z', isPayAsYouGo = true): Promise<TestOrganization> {
    return newOrganization(this.money, { plan: 'free', createdAt, isPayAsYouGo });
  }

  async close(period = '2026-10', at = CLOSING): Promise<CloseReport> {
    this.money.now = at;
    const report = await this.money.closes.close(period, at);
    expect(report.failed).toEqual([]);
    return report;
  }

  /** Closes October while something happens between the computing and the lock of the budget. */
  async closeWhile(happens: () => Promise<unknown>, times = 1): Promise<CloseReport> {
    let happened = 0;
    const watched = intercepted(this.money.database, async ({ sql }) => {
      if (!sql.includes('FROM budgets') || !sql.trimEnd().endsWith('FOR UPDATE')) return;
      if (happened === times) return;
      happened += 1;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error('a request waited for the whole close'));
        }, 10_000);
      });
      await Promise.race([happens(), late]);
      clearTimeout(timer);
    });
    const report = await closesOn(watched, configOf(this.database.url)).close('2026-10', CLOSING);
    expect(happened).toBe(times);
    return report;
  }

  async countOf(table: string): Promise<number> {
    const [row] = await this.database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM ${table}`,
    );
    return row!.count;
  }

  async closedThrough({ accountId }: TestOrganization): Promise<string | null> {
    const [row] = await this.database.query<{ closed_through: string | null }>(
      'SELECT closed_through FROM budgets WHERE subject_id = $1',
      [accountId],
    );
    return row!.closed_through;
  }
}

export function linesOf(invoice: RecordedInvoice | null): string[] {
  return (invoice?.content.lines ?? []).map(({ kind, exactUsd }) => `${kind} ${exactUsd}`);
}

export function amountsOf(invoice: RecordedInvoice | null): string[] {
  const { exactSumUsd, totalUsd, carriedUsd } = invoice!.content;
  return [exactSumUsd, totalUsd, carriedUsd];
}

export function expectKept(invoice: RecordedInvoice | null): void {
  expect(invoice!.hash).toBe(invoiceHash(invoice!.content));
}
