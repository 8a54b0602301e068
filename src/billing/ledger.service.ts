import { Injectable } from '@nestjs/common';
import { journalCsvHead, journalCsvRow } from './ledger-csv.js';
import {
  LedgerRepository,
  type LedgerSum,
  type ListedTransfer,
  type TransferPosition,
} from './ledger.repository.js';

const EXPORT_PAGE = 2000;
const MINUTE_MS = 60_000;
const WINDOW_MIN_MS = MINUTE_MS;
const WINDOW_MAX_MS = 24 * 60 * MINUTE_MS;

/** The ledger as it is read: transfers of an account, the journal of all, sums of every account. */
@Injectable()
export class LedgerService {
  constructor(private readonly ledger: LedgerRepository) {}

  async listOf(
    accountId: string,
    period: string,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly ListedTransfer[]> {
    return this.ledger.listOf(accountId, period, limit, beforeId);
  }

  /** By account. @param at null: everything booked so far. */
  async trialBalance(at: Date | null): Promise<readonly LedgerSum[]> {
    return this.ledger.sumsAt(at);
  }

  /**
   * What was booked in a half-open span, as lines of CSV in order of booking. Each page is a query of
   * its own over a window of time: no transaction stays open while a slow reader reads.
   */
  async *journalCsv(from: Date, to: Date): AsyncGenerator<string> {
    yield journalCsvHead();
    let windowMs = WINDOW_MIN_MS;
    for (let start = from; start < to;) {
      const end = new Date(Math.min(start.getTime() + windowMs, to.getTime()));
      let rows = 0;
      for (let after: TransferPosition | null = null; ;) {
        const page: readonly ListedTransfer[] = await this.ledger.listBetween(
          start,
          end,
          EXPORT_PAGE,
          after,
        );
        rows += page.length;
        if (page.length > 0) yield page.map(journalCsvRow).join('');
        after = page.at(-1) ?? null;
        if (page.length < EXPORT_PAGE) break;
      }
      start = end;
      windowMs = nextWindowMs(windowMs, rows);
    }
  }
}

/** The table is found by time, not sorted by it: windows of about a page are read fastest. */
function nextWindowMs(windowMs: number, rows: number): number {
  if (rows > EXPORT_PAGE) return Math.max(windowMs / 2, WINDOW_MIN_MS);
  return rows < EXPORT_PAGE / 4 ? Math.min(windowMs * 2, WINDOW_MAX_MS) : windowMs;
}
