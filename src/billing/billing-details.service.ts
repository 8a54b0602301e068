import { Injectable } from '@nestjs/common';
import type { Actor } from '../http/actor.js';
import { BillingDetailsRepository, type BillingDetails } from './billing-details.repository.js';

/** Whom the invoices of an account are addressed to, from the next one on. */
@Injectable()
export class BillingDetailsService {
  constructor(private readonly details: BillingDetailsRepository) {}

  async find(accountId: string): Promise<BillingDetails> {
    return this.details.find(accountId);
  }

  async replace(
    accountId: string,
    details: BillingDetails,
    actor: Actor,
    at: Date,
  ): Promise<BillingDetails> {
    return this.details.replace(accountId, details, actor, at);
  }
}
