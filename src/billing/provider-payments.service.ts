import { Injectable } from '@nestjs/common';
import { refusal, TollgateError } from '../domain/errors.js';
import type { Actor } from '../http/actor.js';
import { invalidField } from '../http/validation.pipe.js';
import {
  ProviderPaymentsRepository,
  type ProviderPayment,
  type ProviderPaymentRequest,
} from './provider-payments.repository.js';

/** What we paid providers, which takes it off what we owe them. */
@Injectable()
export class ProviderPaymentsService {
  constructor(private readonly payments: ProviderPaymentsRepository) {}

  /** @throws TollgateError invalid_request for a payment in the future, idempotency_key_reused. */
  async book(request: ProviderPaymentRequest, actor: Actor, at: Date): Promise<ProviderPayment> {
    if (request.paidAt.getTime() > at.getTime()) {
      throw invalidField('paidAt', 'must not lie in the future');
    }
    const payment = await this.payments.book(request, actor, at);
    if (payment !== 'other_content') return payment;
    throw new TollgateError(
      refusal(
        'idempotency_key_reused',
        'This Idempotency-Key stands for another payment: use a new one.',
      ),
    );
  }

  /** Newest first. */
  async list(limit: number, beforeId: string | null): Promise<readonly ProviderPayment[]> {
    return this.payments.list(limit, beforeId);
  }
}
