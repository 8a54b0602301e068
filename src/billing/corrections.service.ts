import { Injectable } from '@nestjs/common';
import { planDownward, planUpward } from '../domain/corrections.js';
import { refusal, TollgateError } from '../domain/errors.js';
import { formatUsd } from '../domain/money.js';
import { periodBounds } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import type { RecordedCorrection } from './correction-records.repository.js';
import {
  CorrectionsRepository,
  type CorrectedEvent,
  type CorrectionRequest,
  type CorrectionResult,
} from './corrections.repository.js';
import { EventChanged, type LateEvent } from './late-events.repository.js';

export interface CorrectionOrder {
  /** Not 0; above 0 is charged, below 0 is given back. */
  readonly amountPicoUsd: bigint;
  readonly period: string;
  readonly reason: string;
  /** The request that it is about; tells whose payable it moves. */
  readonly requestId: string | null;
  readonly upstream: string | null;
  readonly provider: string | null;
  readonly idempotencyKey: string | null;
}

/** A provider's payable where a correction names neither a request nor a provider. */
const UNATTRIBUTED = 'unattributed';

/** Late facts: what a period should have been charged, once it is known. */
@Injectable()
export class CorrectionsService {
  constructor(private readonly corrections: CorrectionsRepository) {}

  /**
   * Books a correction, split as its own period would have split it.
   *
   * @throws TollgateError invalid_request for a period to come or before the account, not_found for a
   *   request that is not the account's, idempotency_key_reused.
   */
  async correct(
    account: { readonly id: string; readonly createdAt: Date },
    order: CorrectionOrder,
    actor: Actor,
    at: Date,
  ): Promise<RecordedCorrection> {
    const { start, end } = periodBounds(order.period);
    if (start.getTime() > at.getTime() || end.getTime() <= account.createdAt.getTime()) {
      throw bad('period', `period: ${order.period} lies outside the life of this account.`);
    }
    const event =
      order.requestId === null
        ? null
        : await this.corrections.findEvent(account.id, order.requestId);
    if (order.requestId !== null) checkEvent(order, event);
    const request: CorrectionRequest = {
      amountPicoUsd: order.amountPicoUsd,
      period: order.period,
      description: order.reason,
      requestId: order.requestId,
      upstream: event?.upstream ?? order.upstream ?? UNATTRIBUTED,
      provider: event?.provider ?? order.provider,
      idempotencyKey: order.idempotencyKey,
    };
    const check = (correctedPicoUsd: bigint): void => {
      if (event !== null) checkGivenBack(order.amountPicoUsd, event, correctedPicoUsd);
    };
    return correctionOf(await this.book(account.id, request, check, actor, at, null));
  }

  /**
   * Charges an event whose period is closed, because a person decided so.
   *
   * @returns null when somebody else decided on it meanwhile.
   */
  async chargeLate(
    accountId: string,
    late: LateEvent,
    request: Omit<CorrectionRequest, 'idempotencyKey' | 'requestId'>,
    actor: Actor,
    at: Date,
  ): Promise<RecordedCorrection | null> {
    const order = { ...request, requestId: late.id, idempotencyKey: `decision:${late.id}` };
    try {
      const result = await this.book(accountId, order, () => undefined, actor, at, late);
      return result.kind === 'corrected' ? result.correction : null;
    } catch (error) {
      if (error instanceof EventChanged) return null;
      throw error;
    }
  }

  async list(
    accountId: string,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly RecordedCorrection[]> {
    return this.corrections.list(accountId, limit, beforeId);
  }

  private async book(
    accountId: string,
    request: CorrectionRequest,
    check: (correctedPicoUsd: bigint) => void,
    actor: Actor,
    at: Date,
    late: LateEvent | null,
  ): Promise<CorrectionResult> {
    const { amountPicoUsd, period } = request;
    return this.corrections.correct(
      accountId,
      request,
      check,
      (row, open) =>
        amountPicoUsd > 0n
          ? planUpward(amountPicoUsd, period, row, open)
          : planDownward(-amountPicoUsd, period, row, open),
      actor,
      at,
      late,
    );
  }
}

function correctionOf(result: CorrectionResult): RecordedCorrection {
  if (result.kind !== 'other_content') return result.correction;
  throw new TollgateError(
    refusal(
      'idempotency_key_reused',
      'This Idempotency-Key stands for another correction: use a new one.',
    ),
  );
}

function checkEvent(order: CorrectionOrder, event: CorrectedEvent | null): void {
  if (event === null) {
    const message = `requestId: this account has no request ${order.requestId ?? ''}.`;
    throw new TollgateError(refusal('not_found', message, { param: 'requestId' }));
  }
  if (event.period !== order.period) {
    throw bad('period', `period: the request is of ${event.period}.`);
  }
}

function checkGivenBack(
  amountPicoUsd: bigint,
  event: CorrectedEvent,
  correctedPicoUsd: bigint,
): void {
  const left = (event.costPicoUsd ?? 0n) + correctedPicoUsd;
  if (amountPicoUsd >= 0n || -amountPicoUsd <= left) return;
  const message = `amountUsd: of what the request cost ${formatUsd(left)} is left: no more is given back.`;
  throw bad('amountUsd', message);
}

function bad(param: string, message: string): TollgateError {
  return new TollgateError(refusal('invalid_request', message, { param }));
}
