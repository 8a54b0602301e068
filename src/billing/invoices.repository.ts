import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import { formatCents, PICO_USD_PER_CENT } from '../domain/invoices.js';
import { receivable, type Transfer } from '../domain/ledger.js';
import { periodOf } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import { postTransfers } from './book.repository.js';
import type { InvoiceContent, InvoiceState } from './invoice-document.js';
import { inTransaction, lockAccount, type Transaction } from './transactions.repository.js';

/** An invoice as a close lists it; of a dry run without id and number. */
export interface InvoiceHead {
  readonly organization: string;
  readonly id: string | null;
  readonly number: string | null;
  readonly totalUsd: string;
}

export interface RecordedInvoice {
  readonly id: string;
  readonly accountId: string;
  readonly period: string;
  readonly state: InvoiceState;
  readonly content: InvoiceContent;
  readonly hash: string;
  readonly totalCents: bigint;
  readonly paidCents: bigint;
  readonly creditedCents: bigint;
  readonly paidAt: Date | null;
  readonly paymentMethod: string | null;
  readonly paymentReference: string | null;
}

interface InvoiceRecord {
  readonly id: string;
  readonly account_id: string;
  readonly period: string;
  readonly state: InvoiceState;
  readonly content: InvoiceContent;
  readonly hash: string;
  readonly total: string;
  readonly paid: string;
  readonly credited: string;
  readonly paid_at: Date | null;
  readonly payment_method: string | null;
  readonly payment_reference: string | null;
}

const FIELDS = `i.id::text, i.account_id::text, i.period::text AS period, i.state, i.content, i.hash, i.total_cents::text AS total,
  i.paid_cents::text AS paid, i.credited_cents::text AS credited, i.paid_at, i.payment_method, i.payment_reference`;

export interface Payment {
  readonly method: string;
  readonly reference: string;
  readonly paidAt: Date;
}

@Injectable()
export class InvoicesRepository {
  constructor(private readonly database: DatabaseService) {}

  async find(id: string): Promise<RecordedInvoice | null> {
    return readInvoice(this.database.prisma, id, '');
  }

  /** An account's invoices, latest period first. */
  async list(
    accountId: string,
    limit: number,
    beforePeriod: string | null,
  ): Promise<readonly RecordedInvoice[]> {
    const records = await this.database.prisma.$queryRawUnsafe<InvoiceRecord[]>(
      `SELECT ${FIELDS} FROM invoices i
       WHERE i.account_id = $1::text::uuid AND ($2::text IS NULL OR i.period < $2::text::bpchar) ORDER BY i.period DESC LIMIT $3::int`,
      accountId,
      beforePeriod,
      limit,
    );
    return records.map(invoiceOf);
  }

  /** Invoices of a period, by number. */
  async headsOf(period: string): Promise<readonly InvoiceHead[]> {
    const records = await this.database.prisma.$queryRawUnsafe<
      { slug: string; id: string; number: string; total: string }[]
    >(
      `SELECT a.slug, i.id::text, i.content->>'number' AS number, i.total_cents::text AS total
       FROM invoices i JOIN accounts a ON a.id = i.account_id WHERE i.period = $1::text::bpchar ORDER BY i.number`,
      period,
    );
    return records.map(({ slug, id, number, total }) => ({
      organization: slug,
      id,
      number,
      totalUsd: formatCents(BigInt(total)),
    }));
  }

  /**
   * Ends an invoice: paid by hand, or given up. Takes the decision as a function, which is asked under
   * the account's lock; what it throws changes nothing.
   */
  async end(
    invoice: RecordedInvoice,
    decide: (current: RecordedInvoice) => InvoiceEnding | null,
    actor: Actor,
    at: Date,
  ): Promise<RecordedInvoice> {
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, invoice.accountId);
      const current = await readInvoice(tx, invoice.id, ' FOR UPDATE');
      if (current === null) throw new Error(`billing: invoice ${invoice.id} is gone`);
      const ending = decide(current);
      if (ending === null) return current;
      await postTransfers(tx, transfersOf(current, ending, at));
      await writeEnding(tx, current.id, ending, at);
      await writeAudit(tx, actor, at, {
        action: `invoice.${ending.state}`,
        subject: `invoice:${current.id}`,
        before: { state: current.state },
        after: {
          state: ending.state,
          amountUsd: formatCents(ending.amountCents),
          ...(ending.payment === null
            ? {}
            : { method: ending.payment.method, reference: ending.payment.reference }),
        },
      });
      const after = await readInvoice(tx, invoice.id, '');
      if (after === null) throw new Error(`billing: invoice ${invoice.id} is gone`);
      return after;
    });
  }
}

export interface InvoiceEnding {
  readonly state: 'paid' | 'uncollectible';
  /** What is paid, or given up. */
  readonly amountCents: bigint;
  readonly payment: Payment | null;
}

export async function readInvoice(
  tx: Transaction,
  id: string,
  lock: '' | ' FOR UPDATE',
): Promise<RecordedInvoice | null> {
  const [record] = await tx.$queryRawUnsafe<InvoiceRecord[]>(
    `SELECT ${FIELDS} FROM invoices i WHERE i.id = $1::text::uuid${lock}`,
    id,
  );
  return record === undefined ? null : invoiceOf(record);
}

function transfersOf(
  invoice: RecordedInvoice,
  { state, amountCents }: InvoiceEnding,
  at: Date,
): readonly Transfer[] {
  if (amountCents === 0n) return [];
  return [
    {
      id: uuidv7(),
      createdAt: at,
      period: periodOf(at),
      kind: state === 'paid' ? 'payment' : 'write_off',
      debit: state === 'paid' ? 'cash' : 'write_off',
      credit: receivable(invoice.accountId),
      amountPicoUsd: amountCents * PICO_USD_PER_CENT,
      accountId: invoice.accountId,
      grantId: null,
      idempotencyId: `${state}:${invoice.id}`,
    },
  ];
}

async function writeEnding(
  tx: Transaction,
  id: string,
  { state, amountCents, payment }: InvoiceEnding,
  at: Date,
): Promise<void> {
  await tx.$executeRawUnsafe(
    `UPDATE invoices SET state = $2::text, ended_at = $3::text::timestamptz,
       paid_cents = CASE WHEN $2::text = 'paid' THEN $4::text::bigint ELSE paid_cents END,
       paid_at = $5::text::timestamptz, payment_method = $6::text, payment_reference = $7::text
     WHERE id = $1::text::uuid`,
    id,
    state,
    at.toISOString(),
    amountCents.toString(),
    payment?.paidAt.toISOString() ?? null,
    payment?.method ?? null,
    payment?.reference ?? null,
  );
}

function invoiceOf(record: InvoiceRecord): RecordedInvoice {
  return {
    id: record.id,
    accountId: record.account_id,
    period: record.period,
    state: record.state,
    content: record.content,
    hash: record.hash,
    totalCents: BigInt(record.total),
    paidCents: BigInt(record.paid),
    creditedCents: BigInt(record.credited),
    paidAt: record.paid_at,
    paymentMethod: record.payment_method,
    paymentReference: record.payment_reference,
  };
}
