import { Injectable } from '@nestjs/common';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import type { Actor } from '../http/actor.js';
import { inTransaction, lockAccount, type Transaction } from './transactions.repository.js';

/** Whom invoices are addressed to. Without a name it is the account's. */
export interface BillingDetails {
  readonly name: string | null;
  /** Lines separated by line feeds. */
  readonly address: string | null;
  readonly email: string | null;
  readonly taxId: string | null;
  /** The customer's own: an order number, a cost centre. */
  readonly reference: string | null;
}

const NONE: BillingDetails = {
  name: null,
  address: null,
  email: null,
  taxId: null,
  reference: null,
};

@Injectable()
export class BillingDetailsRepository {
  constructor(private readonly database: DatabaseService) {}

  async find(accountId: string): Promise<BillingDetails> {
    return read(this.database.prisma, accountId);
  }

  /** Replaces all of them. Invoices that were issued keep what they said. */
  async replace(
    accountId: string,
    details: BillingDetails,
    actor: Actor,
    at: Date,
  ): Promise<BillingDetails> {
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, accountId);
      const before = await read(tx, accountId);
      await tx.billingDetails.upsert({
        where: { accountId },
        create: { accountId, ...details },
        update: details,
      });
      await writeAudit(tx, actor, at, {
        action: 'billing_details.set',
        subject: `account:${accountId}`,
        before: { ...before },
        after: { ...details },
      });
      return details;
    });
  }
}

async function read(tx: Transaction, accountId: string): Promise<BillingDetails> {
  const { name, address, email, taxId, reference } =
    (await tx.billingDetails.findUnique({ where: { accountId } })) ?? NONE;
  return { name, address, email, taxId, reference };
}
