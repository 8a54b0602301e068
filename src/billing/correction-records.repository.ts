import type { CorrectionPlan } from '../domain/corrections.js';
import type { LedgerAccount } from '../domain/ledger.js';
import type { Transaction } from './transactions.repository.js';

/** A correction as it stands in the store. */
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

export interface CorrectionRecord {
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

export const CORRECTION_FIELDS = `c.id::text, c.period::text AS period, c.lands_in::text AS lands_in, c.kind, c.amount_pico_usd::text AS amount,
  c.line_pico_usd::text AS line, c.description, c.request_id::text, c.created_at`;

export interface CorrectionOfKey {
  readonly correction: RecordedCorrection;
  /** The provider's account that it moved. */
  readonly payable: LedgerAccount | null;
}

/** What an idempotency key of the account stands for; null: nothing yet. */
export async function findByKey(
  tx: Transaction,
  accountId: string,
  key: string | null,
): Promise<CorrectionOfKey | null> {
  if (key === null) return null;
  const [record] = await tx.$queryRawUnsafe<(CorrectionRecord & { payable: string | null })[]>(
    `SELECT ${CORRECTION_FIELDS},
       (SELECT CASE WHEN c.amount_pico_usd > 0 THEN t.credit ELSE t.debit END FROM ledger_transfers t
        WHERE t.idempotency_id = 'correction:' || c.id || ':0') AS payable
     FROM corrections c WHERE c.account_id = $1::text::uuid AND c.idempotency_key = $2::text`,
    accountId,
    key,
  );
  if (record === undefined) return null;
  return { correction: recordedOf(record), payable: record.payable };
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

export function recordedOf(record: CorrectionRecord): RecordedCorrection {
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
