import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import { providerPayable } from '../domain/ledger.js';
import { formatUsd } from '../domain/money.js';
import { periodOf } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import { postTransfers } from './book.repository.js';
import { inTransaction, type Transaction } from './transactions.repository.js';

export interface ProviderPaymentRequest {
  readonly upstream: string;
  readonly provider: string;
  readonly amountPicoUsd: bigint;
  readonly paidAt: Date;
  readonly idempotencyKey: string | null;
}

/** What we paid a provider. */
export interface ProviderPayment extends Omit<ProviderPaymentRequest, 'idempotencyKey'> {
  readonly id: string;
  readonly createdAt: Date;
}

interface PaymentRecord {
  readonly id: string;
  readonly upstream: string;
  readonly provider: string;
  readonly amount: string;
  readonly paid_at_ms: bigint;
  readonly created_at_ms: bigint;
}

const FIELDS = `p.id::text, p.upstream, p.provider, p.amount_pico_usd::text AS amount,
  (extract(epoch FROM p.paid_at) * 1000)::bigint AS paid_at_ms, (extract(epoch FROM p.created_at) * 1000)::bigint AS created_at_ms`;

// Two requests with one key at the same time: the second waits for the first, and then finds it.
const INSERT = `
INSERT INTO provider_payments (id, upstream, provider, amount_pico_usd, paid_at, created_at, actor, idempotency_key)
VALUES ($1::text::uuid, $2::text, $3::text, $4::text::bigint, $5::text::timestamptz, $6::text::timestamptz, $7::text, $8::text)
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING`;

@Injectable()
export class ProviderPaymentsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Books a payment once per idempotency key. `other_content`: the key stands for another one. */
  async book(
    request: ProviderPaymentRequest,
    actor: Actor,
    at: Date,
  ): Promise<ProviderPayment | 'other_content'> {
    return inTransaction(this.database, async (tx) => {
      const payment: ProviderPayment = {
        id: uuidv7(),
        upstream: request.upstream,
        provider: request.provider,
        amountPicoUsd: request.amountPicoUsd,
        paidAt: request.paidAt,
        createdAt: at,
      };
      if (!(await insert(tx, payment, request.idempotencyKey, actor))) {
        const before = await findByKey(tx, request.idempotencyKey);
        return isSame(before, request) ? before : 'other_content';
      }
      await postTransfers(tx, [
        {
          id: uuidv7(),
          createdAt: at,
          period: periodOf(at),
          kind: 'provider_payment',
          debit: providerPayable(payment.upstream, payment.provider),
          credit: 'cash',
          amountPicoUsd: payment.amountPicoUsd,
          accountId: null,
          grantId: null,
          idempotencyId: `provider-payment:${payment.id}`,
        },
      ]);
      await writeAudit(tx, actor, at, {
        action: 'provider_payment.create',
        subject: `provider:${payment.upstream}:${payment.provider}`,
        before: null,
        after: {
          id: payment.id,
          amountUsd: formatUsd(payment.amountPicoUsd),
          paidAt: payment.paidAt.toISOString(),
        },
      });
      return payment;
    });
  }

  /** Newest first. */
  async list(limit: number, beforeId: string | null): Promise<readonly ProviderPayment[]> {
    const records = await this.database.prisma.$queryRawUnsafe<PaymentRecord[]>(
      `SELECT ${FIELDS} FROM provider_payments p WHERE ($1::text IS NULL OR p.id < $1::text::uuid) ORDER BY p.id DESC LIMIT $2::int`,
      beforeId,
      limit,
    );
    return records.map(paymentOf);
  }
}

async function insert(
  tx: Transaction,
  payment: ProviderPayment,
  idempotencyKey: string | null,
  actor: Actor,
): Promise<boolean> {
  const count = await tx.$executeRawUnsafe(
    INSERT,
    payment.id,
    payment.upstream,
    payment.provider,
    payment.amountPicoUsd.toString(),
    payment.paidAt.toISOString(),
    payment.createdAt.toISOString(),
    actor.name,
    idempotencyKey,
  );
  return count === 1;
}

async function findByKey(tx: Transaction, key: string | null): Promise<ProviderPayment> {
  const [record] = await tx.$queryRawUnsafe<PaymentRecord[]>(
    `SELECT ${FIELDS} FROM provider_payments p WHERE p.idempotency_key = $1::text`,
    key,
  );
  if (record === undefined) throw new Error('billing: a payment that was in the way is gone');
  return paymentOf(record);
}

function isSame(before: ProviderPayment, request: ProviderPaymentRequest): boolean {
  return (
    before.upstream === request.upstream &&
    before.provider === request.provider &&
    before.amountPicoUsd === request.amountPicoUsd &&
    before.paidAt.getTime() === request.paidAt.getTime()
  );
}

function paymentOf(record: PaymentRecord): ProviderPayment {
  return {
    id: record.id,
    upstream: record.upstream,
    provider: record.provider,
    amountPicoUsd: BigInt(record.amount),
    paidAt: new Date(Number(record.paid_at_ms)),
    createdAt: new Date(Number(record.created_at_ms)),
  };
}
