import { formatUsd } from '../domain/money.js';
import { csvCell } from './invoice-csv.js';
import type { ListedTransfer } from './ledger.repository.js';

const COLUMNS = [
  'id',
  'created_at',
  'period',
  'kind',
  'debit',
  'credit',
  'amount_usd',
  'organization',
  'account_id',
  'grant_id',
  'idempotency_id',
] as const;

/** The first line of the journal as CSV (RFC 4180, UTF-8). */
export function journalCsvHead(): string {
  return `${COLUMNS.join(',')}\r\n`;
}

export function journalCsvRow(transfer: ListedTransfer): string {
  const cells: Readonly<Record<(typeof COLUMNS)[number], string>> = {
    id: transfer.id,
    created_at: transfer.createdAt.toISOString(),
    period: transfer.period,
    kind: transfer.kind,
    debit: transfer.debit,
    credit: transfer.credit,
    amount_usd: formatUsd(transfer.amountPicoUsd),
    organization: transfer.organization ?? '',
    account_id: transfer.accountId ?? '',
    grant_id: transfer.grantId ?? '',
    idempotency_id: transfer.idempotencyId ?? '',
  };
  return `${COLUMNS.map((column) => csvCell(cells[column])).join(',')}\r\n`;
}
