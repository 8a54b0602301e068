import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import { coverTransfers, topUp, type BudgetRow } from '../domain/budget-rows.js';
import type { ClosedPeriodBooks, CorrectionPlan } from '../domain/corrections.js';
import { formatUsd } from '../domain/money.js';
import { periodOf } from '../domain/periods.js';
import { providerPayable, type Transfer } from '../domain/ledger.js';
import type { Actor } from '../http/actor.js';
import { postTransfers, readBudget, writeBudget, writeGranted } from './book.repository.js';
import { readClosedBooks, readOpenPeriod, STILL_OPEN } from './closed-books.repository.js';
import {
  CORRECTION_FIELDS,
  findByKey,
  insertCorrection,
  recordedOf,
  type CorrectionOfKey,
  type CorrectionRecord,
  type RecordedCorrection,
} from './correction-records.repository.js';
import { settleLate, type LateEvent } from './late-events.repository.js';
import { inTransaction, lockAccount, type Transaction } from './transactions.repository.js';

export interface CorrectionRequest {
  /** Above 0 is charged, below 0 is given back. */
  readonly amountPicoUsd: bigint;
  /** The period that it is about. */
  readonly period: string;
  readonly description: string;
  readonly requestId: string | null;
  /** Whose payable it moves. */
  readonly upstream: string;
  readonly provider: string | null;
  readonly idempotencyKey: string | null;
}

export type CorrectionResult =
  | { readonly kind: 'corrected' | 'corrected_before'; readonly correction: RecordedCorrection }
  | { readonly kind: 'other_content' };

@Injectable()
export class CorrectionsRepository {
  constructor(private readonly database: DatabaseService) {}

  /**
   * Books a correction once per idempotency key, split by `decide` under the lock of the budget.
   *
   * @param check asked under the account's lock, for a new correction only, with the sum of those of
   *   the same request so far; what it throws changes nothing.
   * @param late an event that a person decided on after its period was closed: it is settled with the
   *   correction.
   */
  async correct(
    accountId: string,
    request: CorrectionRequest,
    check: (correctedPicoUsd: bigint) => void,
    decide: (row: BudgetRow, open: { period: string; books: ClosedPeriodBooks }) => CorrectionPlan,
    actor: Actor,
    at: Date,
    late: LateEvent | null = null,
  ): Promise<CorrectionResult> {
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, accountId);
      const before = await findByKey(tx, accountId, request.idempotencyKey);
      if (before !== null) {
        return isSame(before, request)
          ? { kind: 'corrected_before', correction: before.correction }
          : { kind: 'other_content' };
      }
      check(await readCorrected(tx, request.requestId));
      const id = uuidv7();
      const openPeriod = await readOpenPeriod(tx, accountId);
      const isClosed = request.period < openPeriod;
      const books = isClosed ? await readClosedBooks(tx, accountId, request.period) : STILL_OPEN;
      await writeAudit(tx, actor, at, {
        action: 'correction.create',
        subject: `account:${accountId}`,
        before: null,
        after: {
          id,
          period: request.period,
          amountUsd: formatUsd(request.amountPicoUsd),
          reason: request.description,
          requestId: request.requestId,
        },
      });
      let row = await readBudget(tx, accountId, 'settlements');
      for (const period of new Set([request.period, periodOf(at)])) {
        const granted = topUp(row, period, at, uuidv7);
        if (granted.grants.length > 0) await writeGranted(tx, granted, MONTHLY);
        row = granted.row;
      }
      const plan = decide(row, { period: openPeriod, books });
      const transfers = transfersOf(accountId, id, request, plan, at);
      const covering = coverTransfers(accountId, plan.covers, { at, newId: uuidv7, cause: id });
      await postTransfers(tx, [...transfers, ...covering]);
      const correction = correctionOf(id, request, plan, at);
      await insertCorrection(tx, accountId, correction, {
        actor: actor.name,
        idempotencyKey: request.idempotencyKey,
        parts: plan.parts,
      });
      if (late !== null) await settleLate(tx, late, request.amountPicoUsd, plan, transfers, at);
      await writeBudget(tx, plan.row);
      return { kind: 'corrected', correction };
    });
  }

  /** Of an account, newest first. */
  async list(
    accountId: string,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly RecordedCorrection[]> {
    const records = await this.database.prisma.$queryRawUnsafe<CorrectionRecord[]>(
      `SELECT ${CORRECTION_FIELDS} FROM corrections c
       WHERE c.account_id = $1::text::uuid AND ($2::text IS NULL OR c.id < $2::text::uuid) ORDER BY c.id DESC LIMIT $3::int`,
      accountId,
      beforeId,
      limit,
    );
    return records.map(recordedOf);
  }

  /** An event of the account that a correction may be about. */
  async findEvent(accountId: string, requestId: string): Promise<CorrectedEvent | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<
      { upstream: string; provider: string | null; period: string; cost: string | null }[]
    >(
      `SELECT upstream, provider, period::text AS period, cost_pico_usd::text AS cost FROM usage_events
       WHERE id = $1::text::uuid AND account_id = $2::text::uuid`,
      requestId,
      accountId,
    );
    if (record === undefined) return null;
    return { ...record, costPicoUsd: record.cost === null ? null : BigInt(record.cost) };
  }
}

export interface CorrectedEvent {
  readonly upstream: string;
  readonly provider: string | null;
  readonly period: string;
  readonly costPicoUsd: bigint | null;
}

const MONTHLY = { reason: `the plan's monthly credit`, actor: 'system', idempotencyKey: null };

/** What corrections have made of a request's cost; the one that charged it late is that cost. */
async function readCorrected(tx: Transaction, requestId: string | null): Promise<bigint> {
  if (requestId === null) return 0n;
  const [record] = await tx.$queryRawUnsafe<{ sum: string }[]>(
    `SELECT coalesce(sum(amount_pico_usd), 0)::text AS sum FROM corrections
     WHERE request_id = $1::text::uuid AND (idempotency_key IS NULL OR idempotency_key NOT LIKE 'decision:%')`,
    requestId,
  );
  return BigInt(record?.sum ?? '0');
}

/** Of the period that the correction is about, whatever period it lands in. */
function transfersOf(
  accountId: string,
  id: string,
  { amountPicoUsd, period, upstream, provider }: CorrectionRequest,
  plan: CorrectionPlan,
  at: Date,
): readonly Transfer[] {
  const payable = providerPayable(upstream, provider);
  return plan.parts.map((part, index) => ({
    id: uuidv7(),
    createdAt: at,
    period,
    kind: 'correction',
    debit: amountPicoUsd > 0n ? part.account : payable,
    credit: amountPicoUsd > 0n ? payable : part.account,
    amountPicoUsd: part.amountPicoUsd,
    accountId,
    grantId: part.grantId,
    idempotencyId: `correction:${id}:${index}`,
  }));
}

function correctionOf(
  id: string,
  request: CorrectionRequest,
  plan: CorrectionPlan,
  at: Date,
): RecordedCorrection {
  return {
    id,
    period: request.period,
    landsIn: plan.landsIn,
    kind: 'correction',
    amountPicoUsd: request.amountPicoUsd,
    linePicoUsd: plan.linePicoUsd,
    description: request.description,
    requestId: request.requestId,
    createdAt: at,
  };
}

function isSame(
  { correction, payable }: CorrectionOfKey,
  { upstream, provider, ...request }: CorrectionRequest,
): boolean {
  return (
    correction.amountPicoUsd === request.amountPicoUsd &&
    correction.period === request.period &&
    correction.description === request.description &&
    correction.requestId === request.requestId &&
    payable === providerPayable(upstream, provider)
  );
}
