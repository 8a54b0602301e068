import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import { topUp, type BudgetRow } from '../domain/budget-rows.js';
import {
  closedRow,
  closingTransfers,
  isSamePeriod,
  type ClosedPeriod,
  type PeriodFacts,
} from '../domain/closing.js';
import { unbilled } from '../domain/ledger.js';
import { planFees } from '../domain/plans.js';
import {
  postTransfers,
  readBalances,
  readBudget,
  writeBudget,
  writeGranted,
} from './book.repository.js';
import type { DocumentCustomer } from './invoice-document.js';
import {
  readCarryIn,
  readCustomer,
  readLandedCorrections,
  readPeriodState,
  readUsageLines,
  type PeriodState,
} from './period-facts.repository.js';
import { readPlanChanges } from './plans.repository.js';
import {
  inTransaction,
  lockAccount,
  RetryBooking,
  type Transaction,
} from './transactions.repository.js';

/** An account whose period is to be closed. */
export interface ClosingAccount {
  readonly id: string;
  readonly slug: string;
  readonly createdAt: Date;
  readonly closedThrough: string | null;
}

/** What a close is decided from: the facts, the budget, and whom the invoice is for. */
export interface CloseInput {
  readonly facts: PeriodFacts;
  readonly row: BudgetRow;
  readonly customer: DocumentCustomer;
}

/** An invoice as the close writes it. */
export interface NewInvoice {
  readonly id: string;
  readonly issuedAt: Date;
  readonly dueAt: Date;
  readonly content: object;
  readonly hash: string;
}

/** Decides the close, and what its invoice says once it has its number. */
export interface CloseDecision {
  readonly closed: ClosedPeriod;
  readonly invoiceOf: (number: number) => NewInvoice;
  readonly invoiceId: string;
  /** @throws Error when the books tell another sum than the lines. */
  readonly assertBooks: (unbilledPicoUsd: bigint) => void;
}

export type CloseResult =
  | { readonly kind: 'closed' | 'closed_before'; readonly state: PeriodState }
  | { readonly kind: 'blocked'; readonly state: PeriodState };

@Injectable()
export class PeriodCloseRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Accounts that began before an instant, by id; of a period only those that have it still open. */
  async accountsBefore(
    end: Date,
    openIn: string | null,
    afterId: string | null,
    limit: number,
  ): Promise<readonly ClosingAccount[]> {
    const records = await this.database.prisma.$queryRawUnsafe<
      { id: string; slug: string; created_at: Date; closed_through: string | null }[]
    >(
      `SELECT a.id::text, a.slug, a.created_at, b.closed_through::text AS closed_through
       FROM accounts a JOIN budgets b ON b.subject_id = a.id
       WHERE a.created_at < $1::text::timestamptz AND ($2::text IS NULL OR b.closed_through IS NULL OR b.closed_through < $2::text::bpchar)
         AND ($3::text IS NULL OR a.id > $3::text::uuid) ORDER BY a.id LIMIT $4::int`,
      end.toISOString(),
      openIn,
      afterId,
      limit,
    );
    return records.map((record) => ({
      id: record.id,
      slug: record.slug,
      createdAt: record.created_at,
      closedThrough: record.closed_through,
    }));
  }

  /** What a close at this instant would be decided from; nothing is locked or written. */
  async inputOf(accountId: string, period: string): Promise<CloseInput> {
    return readInput(this.database.prisma, accountId, period);
  }

  async stateOf(accountId: string, period: string): Promise<PeriodState> {
    return readPeriodState(this.database.prisma, accountId, period);
  }

  /**
   * Closes one account's period in one transaction: total, number, freeze, expire, post. It computes
   * before it locks the budget, and starts again if a settlement came between.
   */
  async close(
    accountId: string,
    period: string,
    at: Date,
    decide: (input: CloseInput) => CloseDecision,
  ): Promise<CloseResult> {
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, accountId);
      const state = await readPeriodState(tx, accountId, period);
      const before = await readBudget(tx, accountId, 'none');
      if (before.closedThrough !== null && before.closedThrough >= period) {
        return { kind: 'closed_before', state };
      }
      if (state.open + state.pending > 0) return { kind: 'blocked', state };
      await grantOf(tx, before, period, at);
      const input = await readInput(tx, accountId, period);
      const decision = decide(input);
      const invoice = decision.closed.hasInvoice
        ? await insertInvoice(tx, input.facts, decision)
        : null;
      await insertClose(tx, input.facts, decision.closed, { at, state, invoice });

      const row = await readBudget(tx, accountId, 'admissions');
      const [owed] = (await readBalances(tx, [unbilled(accountId, period)])).values();
      const now = await readPeriodState(tx, accountId, period);
      // One that waited and was decided at no cost moves no money, but it is a request of a line.
      const isSameState = now.unpriced === state.unpriced && now.quarantined === state.quarantined;
      const isSame = isSameState && isSamePeriod(input.row, row, period);
      if (now.open + now.pending > 0 || !isSame) {
        throw new RetryBooking('a request of the period came between');
      }
      decision.assertBooks(owed ?? 0n);
      const transfers = closingTransfers(input.facts, decision.closed, {
        at,
        invoiceId: decision.invoiceId,
        newId: uuidv7,
      });
      await postTransfers(tx, transfers);
      const releasedPicoUsd = await releaseUnpriced(tx, accountId, period);
      await writeBudget(tx, closedRow(row, period, releasedPicoUsd));
      return { kind: 'closed', state };
    });
  }
}

async function readInput(tx: Transaction, accountId: string, period: string): Promise<CloseInput> {
  const row = await readBudget(tx, accountId, 'none');
  const facts: PeriodFacts = {
    accountId,
    period,
    fees: planFees(await readPlanChanges(tx, accountId), period),
    usage: await readUsageLines(tx, accountId, period),
    corrections: await readLandedCorrections(tx, accountId, period),
    carryInPicoUsd: await readCarryIn(tx, accountId, period),
  };
  return { facts, row, customer: await readCustomer(tx, accountId) };
}

/**
 * A period's plan grant exists even when nobody asked for it: it expires at the close. Only an
 * account that settled nothing in the period lacks it, and is locked this early for it.
 */
async function grantOf(
  tx: Transaction,
  before: BudgetRow,
  period: string,
  at: Date,
): Promise<void> {
  if (topUp(before, period, at, uuidv7).grants.length === 0) return;
  const row = await readBudget(tx, before.subjectId, 'settlements');
  const granted = topUp(row, period, at, uuidv7);
  if (granted.grants.length === 0) return;
  await writeGranted(tx, granted, {
    reason: `the plan's monthly credit`,
    actor: 'system',
    idempotencyKey: null,
  });
}

/** Takes the next number in this transaction, so that none is lost with one that fails. */
export async function nextNumber(tx: Transaction, series: 'INV' | 'CN'): Promise<number> {
  const [record] = await tx.$queryRawUnsafe<{ last_number: number }[]>(
    `UPDATE document_numbers SET last_number = last_number + 1 WHERE series = $1::text RETURNING last_number`,
    series,
  );
  if (record === undefined) throw new Error(`billing: there is no series ${series}`);
  return record.last_number;
}

async function insertInvoice(
  tx: Transaction,
  { accountId, period }: PeriodFacts,
  { closed, invoiceOf }: CloseDecision,
): Promise<NewInvoice> {
  const number = await nextNumber(tx, 'INV');
  const invoice = invoiceOf(number);
  const { total } = closed;
  const isPaid = total.totalCents === 0n;
  await tx.$executeRawUnsafe(
    `INSERT INTO invoices (id, account_id, period, number, state, issued_at, due_at, exact_sum_pico_usd, total_cents, carried_pico_usd,
       content, hash, paid_at)
     VALUES ($1::text::uuid, $2::text::uuid, $3::text::bpchar, $4::int, $5::text, $6::text::timestamptz, $7::text::timestamptz,
       $8::text::numeric, $9::text::bigint, $10::text::numeric, $11::text::jsonb, $12::text, $13::text::timestamptz)`,
    invoice.id,
    accountId,
    period,
    number,
    isPaid ? 'paid' : 'finalized',
    invoice.issuedAt.toISOString(),
    invoice.dueAt.toISOString(),
    total.exactSumPicoUsd.toString(),
    total.totalCents.toString(),
    total.carriedPicoUsd.toString(),
    JSON.stringify(invoice.content),
    invoice.hash,
    isPaid ? invoice.issuedAt.toISOString() : null,
  );
  return invoice;
}

async function insertClose(
  tx: Transaction,
  { accountId, period }: PeriodFacts,
  { total }: ClosedPeriod,
  close: {
    readonly at: Date;
    readonly state: PeriodState;
    readonly invoice: NewInvoice | null;
  },
): Promise<void> {
  await tx.$executeRawUnsafe(
    `INSERT INTO period_closes (account_id, period, closed_at, invoice_id, carried_pico_usd, unpriced, quarantined)
     VALUES ($1::text::uuid, $2::text::bpchar, $3::text::timestamptz, $4::text::uuid, $5::text::numeric, $6::int, $7::int)`,
    accountId,
    period,
    close.at.toISOString(),
    close.invoice?.id ?? null,
    total.carriedPicoUsd.toString(),
    close.state.unpriced,
    close.state.quarantined,
  );
}

/**
 * Events that wait for a price no longer hold anything once their period is closed. Answers with what
 * the account held for them; members and tokens are written here.
 */
async function releaseUnpriced(
  tx: Transaction,
  accountId: string,
  period: string,
): Promise<bigint> {
  const released = await tx.$queryRawUnsafe<
    { member_id: string | null; token_id: string; hold: string }[]
  >(
    `WITH held AS (
       SELECT id, hold_pico_usd FROM usage_events
       WHERE state IN ('pending', 'unpriced', 'quarantined') AND state = 'unpriced' AND hold_pico_usd > 0
         AND account_id = $1::text::uuid AND period = $2::text::bpchar FOR UPDATE
     )
     UPDATE usage_events u SET hold_pico_usd = 0 FROM held h WHERE u.id = h.id
     RETURNING u.member_id::text, u.token_id::text, h.hold_pico_usd::text AS hold`,
    accountId,
    period,
  );
  const bySubject = new Map<string, bigint>();
  let sum = 0n;
  for (const { member_id: memberId, token_id: tokenId, hold } of released) {
    sum += BigInt(hold);
    for (const subject of memberId === null ? [tokenId] : [memberId, tokenId]) {
      bySubject.set(subject, (bySubject.get(subject) ?? 0n) + BigInt(hold));
    }
  }
  const subjects = [...bySubject.keys()].sort();
  if (subjects.length > 0) {
    await tx.$executeRawUnsafe(
      `UPDATE budgets b SET held_pico_usd = b.held_pico_usd - r.hold
       FROM unnest($1::text::uuid[], $2::text::numeric[]) AS r(id, hold) WHERE b.subject_id = r.id`,
      arrayText(subjects),
      arrayText(subjects.map((subject) => bySubject.get(subject) ?? 0n)),
    );
  }
  return sum;
}
