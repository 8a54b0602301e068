import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import { coverTransfers, topUp, type BudgetRow } from '../domain/budget-rows.js';
import type { ClosedPeriodBooks, CorrectionPlan } from '../domain/corrections.js';
import type { Grant, GrantKind } from '../domain/credits.js';
import { formatUsd } from '../domain/money.js';
import { nextPeriod, periodOf } from '../domain/periods.js';
import { providerPayable, type Transfer } from '../domain/ledger.js';
import type { Actor } from '../http/actor.js';
import { postTransfers, readBudget, writeBudget, writeGranted } from './book.repository.js';
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

export interface RecordedCorrection {
  readonly id: string;
  readonly period: string;
  readonly landsIn: string;
  readonly kind: 'correction' | 'void' | 'void_carry' | 'credit_note';
  readonly amountPicoUsd: bigint;
  readonly linePicoUsd: bigint;
  readonly description: string;
  readonly requestId: string | null;
  readonly createdAt: Date;
}

interface CorrectionRecord {
  readonly id: string;
  readonly period: string;
  readonly lands_in: string;
  readonly kind: RecordedCorrection['kind'];
  readonly amount: string;
  readonly line: string;
  readonly description: string;
  readonly request_id: string | null;
  readonly created_at: Date;
}

const FIELDS = `c.id::text, c.period::text AS period, c.lands_in::text AS lands_in, c.kind, c.amount_pico_usd::text AS amount,
  c.line_pico_usd::text AS line, c.description, c.request_id::text, c.created_at`;

export type CorrectionResult =
  | { readonly kind: 'corrected' | 'corrected_before'; readonly correction: RecordedCorrection }
  | { readonly kind: 'other_content' };

/** The event of a late decision, as it ends in the same transaction. */
export interface LateEvent {
  readonly id: string;
  readonly state: 'unpriced' | 'quarantined';
}

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
          ? { kind: 'corrected_before', correction: before }
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
      if (late !== null) await settleLate(tx, late, request, plan, transfers, at);
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
      `SELECT ${FIELDS} FROM corrections c
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

async function findByKey(
  tx: Transaction,
  accountId: string,
  key: string | null,
): Promise<RecordedCorrection | null> {
  if (key === null) return null;
  const [record] = await tx.$queryRawUnsafe<CorrectionRecord[]>(
    `SELECT ${FIELDS} FROM corrections c WHERE c.account_id = $1::text::uuid AND c.idempotency_key = $2::text`,
    accountId,
    key,
  );
  return record === undefined ? null : recordedOf(record);
}

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

/** The account's earliest period that is not closed: where late facts land. */
export async function readOpenPeriod(tx: Transaction, accountId: string): Promise<string> {
  const [record] = await tx.$queryRawUnsafe<{ closed_through: string | null; created_at: Date }[]>(
    `SELECT b.closed_through::text AS closed_through, a.created_at FROM budgets b JOIN accounts a ON a.id = b.subject_id
     WHERE b.subject_id = $1::text::uuid`,
    accountId,
  );
  if (record === undefined) throw new Error(`billing: there is no account ${accountId}`);
  return record.closed_through === null
    ? periodOf(record.created_at)
    : nextPeriod(record.closed_through);
}

/** An open period's budget tells all: its books are not asked. */
const STILL_OPEN: ClosedPeriodBooks = {
  unusedPlanCreditPicoUsd: 0n,
  payAsYouGoPicoUsd: 0n,
  burned: [],
};

/** What the ledger tells of a closed period, with what corrections have made of it since. */
async function readClosedBooks(
  tx: Transaction,
  accountId: string,
  period: string,
): Promise<ClosedPeriodBooks> {
  const [sums] = await tx.$queryRawUnsafe<{ unused: string; owed: string }[]>(
    `SELECT
       (coalesce(sum(amount_pico_usd) FILTER (WHERE kind = 'expiry' AND debit = 'plan_credit:' || $1 || ':' || $2), 0)
        - coalesce(sum(amount_pico_usd) FILTER (WHERE kind = 'correction' AND debit = 'promo_cost'), 0)
        + coalesce(sum(amount_pico_usd) FILTER (WHERE kind = 'correction' AND credit = 'promo_cost'), 0))::text AS unused,
       (coalesce(sum(amount_pico_usd) FILTER (WHERE kind IN ('settlement', 'correction') AND debit LIKE 'unbilled:%'), 0)
        - coalesce(sum(amount_pico_usd) FILTER (WHERE kind IN ('covered', 'taken_back', 'correction') AND credit LIKE 'unbilled:%'), 0))::text AS owed
     FROM ledger_transfers WHERE account_id = $1::text::uuid AND period = $2::text::bpchar`,
    accountId,
    period,
  );
  const burned = await tx.$queryRawUnsafe<
    {
      id: string;
      kind: GrantKind;
      amount: string;
      granted_at: Date;
      expires_at: Date | null;
      burned: string;
    }[]
  >(
    `SELECT g.id::text, g.kind, g.amount_pico_usd::text AS amount, g.granted_at, g.expires_at,
       sum(CASE WHEN t.kind IN ('settlement', 'covered') OR (t.kind = 'correction' AND t.debit NOT LIKE 'provider_payable:%')
         THEN t.amount_pico_usd ELSE -t.amount_pico_usd END)::text AS burned
     FROM ledger_transfers t JOIN credit_grants g ON g.id = t.grant_id
     WHERE t.account_id = $1::text::uuid AND t.period = $2::text::bpchar AND g.kind <> 'plan'
       AND t.kind IN ('settlement', 'covered', 'taken_back', 'correction')
     GROUP BY g.id ORDER BY g.kind = 'promotional', g.id`,
    accountId,
    period,
  );
  return {
    unusedPlanCreditPicoUsd: BigInt(sums?.unused ?? '0'),
    payAsYouGoPicoUsd: BigInt(sums?.owed ?? '0'),
    burned: burned.map((record) => ({
      burnedPicoUsd: BigInt(record.burned),
      grant: grantOf(record),
    })),
  };
}

function grantOf(record: {
  readonly id: string;
  readonly kind: GrantKind;
  readonly amount: string;
  readonly granted_at: Date;
  readonly expires_at: Date | null;
}): Grant {
  return {
    id: record.id,
    kind: record.kind,
    amountPicoUsd: BigInt(record.amount),
    remainingPicoUsd: 0n,
    grantedAt: record.granted_at,
    expiresAt: record.expires_at,
    period: null,
    burnedPicoUsd: {},
  };
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

export async function insertCorrection(
  tx: Transaction,
  accountId: string,
  correction: RecordedCorrection,
  more: {
    readonly actor: string;
    readonly idempotencyKey: string | null;
    readonly parts: CorrectionPlan['parts'];
    readonly invoiceId?: string;
  },
): Promise<void> {
  await tx.correction.create({
    data: {
      id: correction.id,
      accountId,
      period: correction.period,
      landsIn: correction.landsIn,
      kind: correction.kind,
      amountPicoUsd: correction.amountPicoUsd.toString(),
      linePicoUsd: correction.linePicoUsd.toString(),
      description: correction.description,
      requestId: correction.requestId,
      invoiceId: more.invoiceId ?? null,
      parts: more.parts.map(({ account, grantId, amountPicoUsd }) => ({
        account,
        grantId,
        amountPicoUsd: amountPicoUsd.toString(),
      })),
      createdAt: correction.createdAt,
      actor: more.actor,
      idempotencyKey: more.idempotencyKey,
    },
  });
}

/** The event of a late decision: settled with what the account pays of it. */
async function settleLate(
  tx: Transaction,
  late: LateEvent,
  { amountPicoUsd }: CorrectionRequest,
  plan: CorrectionPlan,
  transfers: readonly Transfer[],
  at: Date,
): Promise<void> {
  const cost = amountPicoUsd - plan.absorbedPicoUsd;
  const owed = plan.parts
    .filter(({ account }) => account.startsWith('unbilled:'))
    .reduce((sum, part) => sum + part.amountPicoUsd, 0n);
  const [counts] = await tx.$queryRawUnsafe<{ settled: number; charged: number }[]>(
    SETTLE_LATE,
    late.id,
    late.state,
    at.toISOString(),
    cost.toString(),
    (cost - owed).toString(),
    owed.toString(),
    plan.absorbedPicoUsd.toString(),
    `{${transfers.map(({ id }) => id).join(',')}}`,
  );
  if (counts?.settled !== 1) throw new EventChanged(`event ${late.id} is no longer ${late.state}`);
  if (counts.charged !== 1) throw new EventChanged(`event ${late.id} was charged as another`);
}

// A provider request is charged at most once, this way too; `charged` is 1 also where none is named.
const SETTLE_LATE = `
WITH settled AS (
  UPDATE usage_events SET state = 'settled', is_late = TRUE, settled_at = $3::text::timestamptz, cost_pico_usd = $4::text::bigint,
    credit_pico_usd = $5::text::bigint, pay_as_you_go_pico_usd = $6::text::bigint, absorbed_pico_usd = $7::text::bigint,
    transfer_ids = $8::text::uuid[]
  WHERE id = $1::text::uuid AND state = $2::text
  RETURNING id, upstream, provider, provider_request_id
),
charged AS (
  INSERT INTO charged_requests (upstream, provider, provider_request_id, event_id)
  SELECT upstream, provider, provider_request_id, id FROM settled
  WHERE provider IS NOT NULL AND provider_request_id IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM settled)::int AS settled,
  ((SELECT count(*) FROM charged)
   + (SELECT count(*) FROM settled WHERE provider IS NULL OR provider_request_id IS NULL))::int AS charged`;

/** Somebody else decided on the event meanwhile; nothing was booked. */
export class EventChanged extends Error {
  override readonly name = 'EventChanged';
}

function recordedOf(record: CorrectionRecord): RecordedCorrection {
  return {
    id: record.id,
    period: record.period,
    landsIn: record.lands_in,
    kind: record.kind,
    amountPicoUsd: BigInt(record.amount),
    linePicoUsd: BigInt(record.line),
    description: record.description,
    requestId: record.request_id,
    createdAt: record.created_at,
  };
}

function isSame(before: RecordedCorrection, request: CorrectionRequest): boolean {
  return (
    before.amountPicoUsd === request.amountPicoUsd &&
    before.period === request.period &&
    before.description === request.description &&
    before.requestId === request.requestId
  );
}
