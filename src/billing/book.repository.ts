import { arrayText, namesOf, parametersOf, selectionOf, unnestOf } from '../database/columns.js';
import type { BudgetRow, Granted, NewGrant } from '../domain/budget-rows.js';
import { creditText, parseCredit, type CreditState } from '../domain/credits.js';
import { balanceChanges, type Transfer } from '../domain/ledger.js';
import { BALANCE_COLUMNS, GRANT_COLUMNS, TRANSFER_COLUMNS } from '../metering/journal.columns.js';
import type { Transaction } from './transactions.repository.js';

interface BudgetRecord {
  readonly limit: string | null;
  readonly is_pay_as_you_go: boolean;
  readonly is_closed: boolean;
  readonly period: string;
  readonly used: string;
  readonly previous_used: string;
  readonly held: string | null;
  readonly credit: string | null;
  readonly closed_through: string | null;
}

const READ_BUDGET = `
SELECT limit_pico_usd::text AS limit, is_pay_as_you_go, is_closed, period::text AS period, used_pico_usd::text AS used,
  previous_used_pico_usd::text AS previous_used, held_pico_usd::text AS held, credit::text AS credit,
  closed_through::text AS closed_through
FROM budgets WHERE subject_id = $1::text::uuid`;

/**
 * An account's budget. Locked, it keeps every settlement of the account waiting: lock late, write,
 * commit. `admissions` waits for admissions under way too, which lock an unlimited budget for share.
 */
export async function readBudget(
  tx: Transaction,
  accountId: string,
  lock: 'none' | 'settlements' | 'admissions',
): Promise<BudgetRow> {
  const suffix = { none: '', settlements: ' FOR NO KEY UPDATE', admissions: ' FOR UPDATE' }[lock];
  const [record] = await tx.$queryRawUnsafe<BudgetRecord[]>(READ_BUDGET + suffix, accountId);
  if (record === undefined) throw new Error(`billing: account ${accountId} has no budget`);
  return {
    subjectId: accountId,
    scope: 'account',
    limitPicoUsd: record.limit === null ? null : BigInt(record.limit),
    isPayAsYouGo: record.is_pay_as_you_go,
    isClosed: record.is_closed,
    period: record.period,
    usedPicoUsd: BigInt(record.used),
    previousUsedPicoUsd: BigInt(record.previous_used),
    heldPicoUsd: record.held === null ? null : BigInt(record.held),
    credit: parseCredit(record.credit),
    closedThrough: record.closed_through,
  };
}

/** Writes a budget read under lock: what was used, the credit, and how far it is closed. */
export async function writeBudget(tx: Transaction, row: BudgetRow): Promise<void> {
  await tx.$executeRawUnsafe(
    `UPDATE budgets SET period = $2::text::bpchar, used_pico_usd = $3::text::numeric, previous_used_pico_usd = $4::text::numeric,
       held_pico_usd = $5::text::numeric, credit = $6::text::jsonb, closed_through = $7::text::bpchar
     WHERE subject_id = $1::text::uuid`,
    row.subjectId,
    row.period,
    row.usedPicoUsd.toString(),
    row.previousUsedPicoUsd.toString(),
    row.heldPicoUsd?.toString() ?? null,
    creditText(row.credit),
    row.closedThrough,
  );
}

/** Writes what a grant did to a budget under lock, the grant itself, and its transfers. */
export async function writeGranted(
  tx: Transaction,
  { row, grants, transfers }: Granted,
  words: {
    readonly reason: string;
    readonly actor: string;
    readonly idempotencyKey: string | null;
  },
): Promise<void> {
  await insertGrants(tx, grants, words);
  await postTransfers(tx, transfers);
  await writeBudget(tx, row);
}

const INSERT_GRANTS = `
INSERT INTO credit_grants (${namesOf(GRANT_COLUMNS)}, reason, actor, idempotency_key)
SELECT ${selectionOf(GRANT_COLUMNS, 'g')}, $${GRANT_COLUMNS.length + 1}::text, $${GRANT_COLUMNS.length + 2}::text, $${GRANT_COLUMNS.length + 3}::text
FROM ${unnestOf(GRANT_COLUMNS, 'g', 1)}`;

async function insertGrants(
  tx: Transaction,
  grants: readonly NewGrant[],
  words: {
    readonly reason: string;
    readonly actor: string;
    readonly idempotencyKey: string | null;
  },
): Promise<void> {
  if (grants.length === 0) return;
  await tx.$executeRawUnsafe(
    INSERT_GRANTS,
    ...parametersOf(GRANT_COLUMNS, grants),
    words.reason,
    words.actor,
    words.idempotencyKey,
  );
}

const POST_TRANSFERS = `
INSERT INTO ledger_transfers (${namesOf(TRANSFER_COLUMNS)})
SELECT ${selectionOf(TRANSFER_COLUMNS, 't')} FROM ${unnestOf(TRANSFER_COLUMNS, 't', 1)}`;

// A check constraint judges a proposed row before its conflict: what exists is updated, never upserted.
const MOVE_BALANCES = `
WITH changes AS (SELECT * FROM ${unnestOf(BALANCE_COLUMNS, 'd', 1)}),
moved AS (
  UPDATE ledger_balances l SET balance_pico_usd = l.balance_pico_usd + c.balance_pico_usd
  FROM changes c WHERE l.ledger_account = c.ledger_account
  RETURNING l.ledger_account
)
INSERT INTO ledger_balances (${namesOf(BALANCE_COLUMNS)})
SELECT ${selectionOf(BALANCE_COLUMNS, 'c')} FROM changes c
WHERE NOT EXISTS (SELECT 1 FROM moved m WHERE m.ledger_account = c.ledger_account)`;

/**
 * Books transfers and moves the stored balances. What touches credit or `unbilled` is booked under
 * the lock of the account's budget, what touches `receivable` under `lockAccount`.
 */
export async function postTransfers(
  tx: Transaction,
  transfers: readonly Transfer[],
): Promise<void> {
  if (transfers.length === 0) return;
  await tx.$executeRawUnsafe(POST_TRANSFERS, ...parametersOf(TRANSFER_COLUMNS, transfers));
  const changes = balanceChanges(transfers);
  if (changes.length > 0) {
    await tx.$executeRawUnsafe(MOVE_BALANCES, ...parametersOf(BALANCE_COLUMNS, changes));
  }
}

/** Stored balances of ledger accounts, debits minus credits; 0 where there is none yet. */
export async function readBalances(
  tx: Transaction,
  accounts: readonly string[],
): Promise<ReadonlyMap<string, bigint>> {
  const records = await tx.$queryRawUnsafe<{ account: string; balance: string }[]>(
    `SELECT ledger_account AS account, balance_pico_usd::text AS balance FROM ledger_balances WHERE ledger_account = ANY($1::text::text[])`,
    arrayText(accounts),
  );
  const found = new Map(records.map(({ account, balance }) => [account, BigInt(balance)]));
  return new Map(accounts.map((account) => [account, found.get(account) ?? 0n]));
}

/** Sets what a plan entitles to, under the lock of the budget. */
export async function writeCredit(
  tx: Transaction,
  accountId: string,
  credit: CreditState,
): Promise<void> {
  await tx.$executeRawUnsafe(
    `UPDATE budgets SET credit = $2::text::jsonb WHERE subject_id = $1::text::uuid`,
    accountId,
    creditText(credit),
  );
}
