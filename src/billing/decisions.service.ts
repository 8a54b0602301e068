import { Injectable } from '@nestjs/common';
import { Catalog } from '../catalog/catalog.js';
import { endingFor } from '../catalog/unpriced-events.service.js';
import { refusal, TollgateError } from '../domain/errors.js';
import { formatUsd } from '../domain/money.js';
import { isUnit, type Unit } from '../domain/units.js';
import type { Quantities } from '../domain/usage.js';
import type { Actor } from '../http/actor.js';
import { isUuid } from '../http/pagination.js';
import { invalidField } from '../http/validation.pipe.js';
import { notFound } from '../identity/account-access.js';
import { Journal, type Ending } from '../metering/journal.js';
import { CorrectionsService } from './corrections.service.js';
import { DecisionsRepository, type DecidableEvent } from './decisions.repository.js';

/** What a person decides on a request that could not be charged by itself. */
export interface Decision {
  readonly action: 'charge' | 'absorb' | 'release';
  /** What it cost; null: by its quantities and the prices in force at its admission. */
  readonly costPicoUsd: bigint | null;
  readonly reason: string;
}

type WaitingEvent = DecidableEvent & { readonly state: 'unpriced' | 'quarantined' };

/** Ends the requests that wait for a person: each once. */
@Injectable()
export class DecisionsService {
  constructor(
    private readonly decisions: DecisionsRepository,
    private readonly journal: Journal,
    private readonly catalog: Catalog,
    private readonly corrections: CorrectionsService,
  ) {}

  /**
   * Charges it, as far as credit and limits cover it; bears its cost; or lets it go. Of a closed
   * period a charge is a late fact and lands on the next invoice.
   *
   * @throws TollgateError not_found, conflict when it does not wait for a person or its provider
   *   request was charged before, invalid_request when its cost cannot be told.
   */
  async decide(id: string, decision: Decision, actor: Actor, at: Date): Promise<void> {
    const event = waiting(isUuid(id) ? await this.decisions.find(id) : null);
    const ending = this.endingOf(event, decision, at);
    if (decision.action !== 'release') await this.requireUncharged(event);
    const { action, reason } = decision;
    const { ratedCostPicoUsd } = ending;
    const costUsd = ratedCostPicoUsd === null ? null : formatUsd(ratedCostPicoUsd);
    await this.decisions.note(
      event.id,
      {
        action: 'request.decision',
        before: { state: event.state },
        after: { action, costUsd, reason },
      },
      actor,
      at,
    );
    if (await this.end(event, ending, decision, actor, at)) return;
    await this.decisions.note(
      event.id,
      { action: 'request.decision_refused', before: { state: event.state }, after: { action } },
      actor,
      at,
    );
    throw conflict('Somebody else decided on the request meanwhile: nothing was changed.');
  }

  /** False when it did not wait any more. */
  private async end(
    event: WaitingEvent,
    ending: Ending,
    decision: Decision,
    actor: Actor,
    at: Date,
  ): Promise<boolean> {
    const isAbsorbed = decision.action === 'absorb';
    const ref = { ...event, idempotencyKey: null };
    const receipt = await this.journal.settleWaiting(ref, ending, event.state, isAbsorbed);
    if (receipt.kind !== 'period_closed') return receipt.kind === ending.state;
    const costPicoUsd = ending.ratedCostPicoUsd ?? 0n;
    if (decision.action !== 'charge' || costPicoUsd === 0n) {
      return this.decisions.endLate(event, isAbsorbed ? costPicoUsd : 0n, at);
    }
    const { accountId, period, upstream, provider } = event;
    const description = `Request ${event.id} of ${period}: ${decision.reason}`;
    const request = { amountPicoUsd: costPicoUsd, period, description, upstream, provider };
    return (await this.corrections.chargeLate(accountId, event, request, actor, at)) !== null;
  }

  private endingOf(event: WaitingEvent, { action, costPicoUsd }: Decision, at: Date): Ending {
    if (action === 'release') {
      if (costPicoUsd === null) return { ...carried(event), state: 'released' };
      throw invalidField('costUsd', 'must be left out: a request that is released has no cost');
    }
    if (costPicoUsd !== null) {
      return { ...carried(event), state: 'settled', ratedCostPicoUsd: costPicoUsd };
    }
    const rated = this.ratedEnding(event, at);
    if (rated !== null) return rated;
    throw invalidField(
      'costUsd',
      'is needed: the request cannot be rated by its quantities and the prices in force at its admission',
    );
  }

  /** Only an event that waits for a price keeps the quantities that it used. */
  private ratedEnding(event: WaitingEvent, at: Date): Ending | null {
    const { provider, units } = event;
    if (event.state !== 'unpriced' || provider === null || units === null) return null;
    const rows = this.catalog.priceRows(event.upstream, provider);
    const ending = endingFor(
      { ...event, provider, units, isWithheld: false },
      // To a person that asks, all of them are news.
      rows.map((row) => ({ row, importedAt: at })),
    );
    return ending?.state === 'settled' ? ending : null;
  }

  private async requireUncharged(event: WaitingEvent): Promise<void> {
    const chargedTo = await this.decisions.chargedTo(event);
    if (chargedTo === null) return;
    throw conflict(
      `Its provider request was charged to the request ${chargedTo}: this one can only be released.`,
    );
  }
}

/** The event, if it waits for a person. */
function waiting(event: DecidableEvent | 'open' | null): WaitingEvent {
  if (event === null) throw notFound('request');
  const state = event === 'open' ? 'open' : event.state;
  if (event !== 'open' && (state === 'unpriced' || state === 'quarantined')) {
    return { ...event, state };
  }
  throw conflict(
    `The request is ${state}: only one that is unpriced or quarantined waits for a decision.`,
  );
}

function conflict(message: string): TollgateError {
  return new TollgateError(refusal('conflict', message));
}

/** What an ending keeps of the event as it was recorded; without rows, which a person's cost has none of. */
function carried(event: DecidableEvent): Omit<Ending, 'state'> {
  return {
    outcome: event.outcome,
    servedAt: event.servedAt,
    provider: event.provider,
    providerModelId: event.providerModelId,
    providerRequestId: event.providerRequestId,
    status: event.status,
    quantities: quantitiesOf(event.units),
    reasoningTokens: event.reasoningTokens,
    usageSource: event.usageSource,
    isPriceAssumed: false,
    ratedCostPicoUsd: null,
    priceRowIds: [],
    providerReportedPicoUsd: event.providerReportedPicoUsd,
    firstByteMs: event.firstByteMs,
    durationMs: event.durationMs,
    attempts: event.attempts,
    rawUsage: event.rawUsage,
    givesKeyBack: false,
  };
}

/** As we wrote them; null where they were not known. */
function quantitiesOf(units: DecidableEvent['units']): Quantities | null {
  if (units === null) return null;
  const quantities: Partial<Record<Unit, bigint>> = {};
  for (const [unit, text] of Object.entries(units)) {
    if (isUnit(unit)) quantities[unit] = BigInt(text);
  }
  return quantities;
}
