import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import { flooredCents, formatCents, PICO_USD_PER_CENT } from '../domain/invoices.js';
import { receivable, unbilled, type Transfer, type TransferKind } from '../domain/ledger.js';
import { parseUsd } from '../domain/money.js';
import type { Actor } from '../http/actor.js';
import { postTransfers, readBudget } from './book.repository.js';
import { readOpenPeriod } from './closed-books.repository.js';
import { insertCorrection, type RecordedCorrection } from './correction-records.repository.js';
import type { InvoiceContent } from './invoice-document.js';
import { readInvoice, type RecordedInvoice } from './invoices.repository.js';
import { nextNumber } from './period-close.repository.js';
import { inTransaction, lockAccount, type Transaction } from './transactions.repository.js';

export interface RecordedCreditNote {
  readonly id: string;
  readonly number: number;
  readonly invoiceId: string;
  readonly amountCents: bigint;
  /** What no correction of the account's pays for. */
  readonly goodwillCents: bigint;
  readonly reason: string;
  readonly issuedAt: Date;
  readonly content: InvoiceContent;
  readonly hash: string;
}

export interface CreditNoteRequest {
  readonly amountCents: bigint;
  readonly reason: string;
  readonly idempotencyKey: string | null;
}

/** What a credit note says once it has its number. */
export interface NewCreditNote {
  readonly content: InvoiceContent;
  readonly hash: string;
}

interface CreditNoteRecord {
  readonly id: string;
  readonly number: number;
  readonly invoice_id: string;
  readonly amount: string;
  readonly goodwill: string;
  readonly reason: string;
  readonly issued_at: Date;
  readonly content: InvoiceContent;
  readonly hash: string;
}

const FIELDS = `n.id::text, n.number, n.invoice_id::text, n.amount_cents::text AS amount, n.goodwill_cents::text AS goodwill, n.reason,
  n.issued_at, n.content, n.hash`;

@Injectable()
export class CreditNotesRepository {
  constructor(private readonly database: DatabaseService) {}

  async listOf(invoiceId: string): Promise<readonly RecordedCreditNote[]> {
    const records = await this.database.prisma.$queryRawUnsafe<CreditNoteRecord[]>(
      `SELECT ${FIELDS} FROM credit_notes n WHERE n.invoice_id = $1::text::uuid ORDER BY n.number`,
      invoiceId,
    );
    return records.map(creditNoteOf);
  }

  /**
   * Issues a credit note. As far as corrections of the open period are still to be paid out it pays
   * those, and stands beside them on the next invoice; the rest is goodwill.
   *
   * @param check asked under the account's lock; what it throws changes nothing.
   */
  async issue(
    invoice: RecordedInvoice,
    request: CreditNoteRequest,
    check: (current: RecordedInvoice) => void,
    write: (note: { id: string; number: number; goodwillCents: bigint }) => NewCreditNote,
    actor: Actor,
    at: Date,
  ): Promise<RecordedCreditNote | 'other_content'> {
    const { accountId } = invoice;
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, accountId);
      const before = await findByKey(tx, accountId, request.idempotencyKey);
      if (before !== null) {
        const isSame =
          before.invoiceId === invoice.id &&
          before.amountCents === request.amountCents &&
          before.reason === request.reason;
        return isSame ? before : 'other_content';
      }
      const current = await lockInvoice(tx, invoice.id);
      check(current);
      const open = await readOpenPeriod(tx, accountId);
      const owedBackCents = await readOwedBack(tx, accountId, open);
      const paidOutCents =
        owedBackCents < request.amountCents ? owedBackCents : request.amountCents;
      const goodwillCents = request.amountCents - paidOutCents;
      const id = uuidv7();
      const number = await nextNumber(tx, 'CN');
      const { content, hash } = write({ id, number, goodwillCents });
      await insertNote(tx, { ...request, id, number, goodwillCents, content, hash }, current, {
        actor: actor.name,
        at,
      });
      await writeCredited(tx, current, request.amountCents, at);
      await writeAudit(tx, actor, at, {
        action: 'invoice.credit_note',
        subject: `invoice:${invoice.id}`,
        before: null,
        after: {
          id,
          amountUsd: formatCents(request.amountCents),
          goodwillUsd: formatCents(goodwillCents),
          reason: request.reason,
        },
      });
      if (paidOutCents > 0n) {
        await insertCorrection(
          tx,
          accountId,
          lineOf('credit_note', invoice.period, open, paidOutCents * PICO_USD_PER_CENT, {
            description: `Credit note ${content.number ?? ''} paid out`,
            at,
          }),
          { actor: actor.name, idempotencyKey: null, parts: [], invoiceId: invoice.id },
        );
      }
      await readBudget(tx, accountId, 'settlements');
      const transfer = transferOf(accountId, open, at);
      const credit = receivable(accountId);
      await postTransfers(tx, [
        ...transfer(
          'credit_note',
          unbilled(accountId, open),
          credit,
          paidOutCents,
          `credit-note:${id}`,
        ),
        ...transfer(
          'credit_note',
          'promo_cost',
          credit,
          goodwillCents,
          `credit-note:${id}:goodwill`,
        ),
      ]);
      const [issued] = await readNotes(tx, id);
      if (issued === undefined) throw new Error(`billing: credit note ${id} is gone`);
      return issued;
    });
  }

  /**
   * Voids an unpaid invoice: it keeps its number, and its lines return as corrections in the open
   * period, with a carry that takes off what it had carried, so that they sum to its total.
   */
  async voidInvoice(
    invoice: RecordedInvoice,
    check: (current: RecordedInvoice) => void,
    reason: string,
    actor: Actor,
    at: Date,
  ): Promise<RecordedInvoice> {
    const { accountId } = invoice;
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, accountId);
      const current = await lockInvoice(tx, invoice.id);
      check(current);
      const open = await readOpenPeriod(tx, accountId);
      for (const line of returningLines(current, open, at)) {
        await insertCorrection(tx, accountId, line, {
          actor: actor.name,
          idempotencyKey: null,
          parts: [],
          invoiceId: invoice.id,
        });
      }
      await tx.$executeRawUnsafe(
        `UPDATE invoices SET state = 'void', ended_at = $2::text::timestamptz WHERE id = $1::text::uuid`,
        invoice.id,
        at.toISOString(),
      );
      await writeAudit(tx, actor, at, {
        action: 'invoice.void',
        subject: `invoice:${invoice.id}`,
        before: { state: current.state },
        after: { state: 'void', reason, totalUsd: formatCents(current.totalCents) },
      });
      await readBudget(tx, accountId, 'settlements');
      await postTransfers(
        tx,
        transferOf(accountId, open, at)(
          'void',
          unbilled(accountId, open),
          receivable(accountId),
          current.totalCents,
          `void:${invoice.id}`,
        ),
      );
      return { ...current, state: 'void' };
    });
  }
}

async function lockInvoice(tx: Transaction, id: string): Promise<RecordedInvoice> {
  const invoice = await readInvoice(tx, id, ' FOR UPDATE');
  if (invoice === null) throw new Error(`billing: invoice ${id} is gone`);
  return invoice;
}

/**
 * Whole cents that corrections of the open period owe back and no credit note has paid out; never
 * below 0. Credit that they gave back is credit again, not money.
 */
async function readOwedBack(tx: Transaction, accountId: string, open: string): Promise<bigint> {
  const [record] = await tx.$queryRawUnsafe<{ sum: string }[]>(
    `SELECT coalesce(-sum(CASE WHEN kind = 'credit_note' THEN line_pico_usd ELSE sign(amount_pico_usd) * (
         SELECT coalesce(sum((p->>'amountPicoUsd')::numeric), 0) FROM jsonb_array_elements(parts) p WHERE p->>'account' LIKE 'unbilled:%'
       ) END), 0)::text AS sum FROM corrections
     WHERE account_id = $1::text::uuid AND lands_in = $2::text::bpchar AND kind IN ('correction', 'credit_note')`,
    accountId,
    open,
  );
  const cents = flooredCents(BigInt(record?.sum ?? '0'));
  return cents > 0n ? cents : 0n;
}

function returningLines(
  { content, period }: RecordedInvoice,
  open: string,
  at: Date,
): readonly RecordedCorrection[] {
  const number = content.number ?? '';
  const lines = content.lines.map((line) =>
    lineOf('void', period, open, amountOf(line.exactUsd), {
      description: `${number} (void): ${line.description}`,
      at,
    }),
  );
  const carried = lineOf('void_carry', period, open, -amountOf(content.carriedUsd), {
    description: `${number} (void): what it had carried`,
    at,
  });
  return [...lines, carried].filter(({ linePicoUsd }) => linePicoUsd !== 0n);
}

function lineOf(
  kind: RecordedCorrection['kind'],
  period: string,
  landsIn: string,
  amountPicoUsd: bigint,
  { description, at }: { readonly description: string; readonly at: Date },
): RecordedCorrection {
  return {
    id: uuidv7(),
    period,
    landsIn,
    kind,
    amountPicoUsd,
    linePicoUsd: amountPicoUsd,
    description,
    requestId: null,
    createdAt: at,
  };
}

function amountOf(usd: string): bigint {
  const amount = parseUsd(usd);
  if (amount === null) throw new Error(`billing: an invoice says ${usd}`);
  return amount;
}

function transferOf(
  accountId: string,
  period: string,
  createdAt: Date,
): (
  kind: TransferKind,
  debit: string,
  credit: string,
  cents: bigint,
  idempotencyId: string,
) => readonly Transfer[] {
  return (kind, debit, credit, cents, idempotencyId) =>
    cents === 0n
      ? []
      : [
          {
            id: uuidv7(),
            createdAt,
            period,
            kind,
            debit,
            credit,
            amountPicoUsd: cents * PICO_USD_PER_CENT,
            accountId,
            grantId: null,
            idempotencyId,
          },
        ];
}

/** An invoice of which nothing is due any more is settled. */
async function writeCredited(
  tx: Transaction,
  invoice: RecordedInvoice,
  amountCents: bigint,
  at: Date,
): Promise<void> {
  const dueCents = invoice.totalCents - invoice.paidCents - invoice.creditedCents - amountCents;
  const isSettled = invoice.state === 'finalized' && dueCents <= 0n;
  await tx.$executeRawUnsafe(
    `UPDATE invoices SET credited_cents = credited_cents + $2::text::bigint,
       state = CASE WHEN $3::boolean THEN 'paid' ELSE state END,
       ended_at = CASE WHEN $3::boolean THEN $4::text::timestamptz ELSE ended_at END
     WHERE id = $1::text::uuid`,
    invoice.id,
    amountCents.toString(),
    isSettled,
    at.toISOString(),
  );
}

async function insertNote(
  tx: Transaction,
  note: CreditNoteRequest &
    NewCreditNote & {
      readonly id: string;
      readonly number: number;
      readonly goodwillCents: bigint;
    },
  invoice: RecordedInvoice,
  { actor, at }: { readonly actor: string; readonly at: Date },
): Promise<void> {
  await tx.$executeRawUnsafe(
    `INSERT INTO credit_notes (id, number, invoice_id, account_id, amount_cents, goodwill_cents, reason, issued_at, content, hash, actor, idempotency_key)
     VALUES ($1::text::uuid, $2::int, $3::text::uuid, $4::text::uuid, $5::text::bigint, $6::text::bigint, $7::text, $8::text::timestamptz,
       $9::text::jsonb, $10::text, $11::text, $12::text)`,
    note.id,
    note.number,
    invoice.id,
    invoice.accountId,
    note.amountCents.toString(),
    note.goodwillCents.toString(),
    note.reason,
    at.toISOString(),
    JSON.stringify(note.content),
    note.hash,
    actor,
    note.idempotencyKey,
  );
}

async function findByKey(
  tx: Transaction,
  accountId: string,
  key: string | null,
): Promise<RecordedCreditNote | null> {
  if (key === null) return null;
  const [record] = await tx.$queryRawUnsafe<CreditNoteRecord[]>(
    `SELECT ${FIELDS} FROM credit_notes n WHERE n.account_id = $1::text::uuid AND n.idempotency_key = $2::text`,
    accountId,
    key,
  );
  return record === undefined ? null : creditNoteOf(record);
}

async function readNotes(tx: Transaction, id: string): Promise<readonly RecordedCreditNote[]> {
  const records = await tx.$queryRawUnsafe<CreditNoteRecord[]>(
    `SELECT ${FIELDS} FROM credit_notes n WHERE n.id = $1::text::uuid`,
    id,
  );
  return records.map(creditNoteOf);
}

function creditNoteOf(record: CreditNoteRecord): RecordedCreditNote {
  return {
    id: record.id,
    number: record.number,
    invoiceId: record.invoice_id,
    amountCents: BigInt(record.amount),
    goodwillCents: BigInt(record.goodwill),
    reason: record.reason,
    issuedAt: record.issued_at,
    content: record.content,
    hash: record.hash,
  };
}
