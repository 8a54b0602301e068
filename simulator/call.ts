import type { OutgoingHttpHeaders } from 'node:http';
import type { AnswerPlan } from './answer-plan.js';
import type { BookEntry, Outcome } from './books.js';
import type { Offer } from './catalogue.js';
import type { Context } from './context.js';
import { type AnswerFacts, completionTokens, reasoningTokens, type Units } from './dialects.js';
import type { Directives } from './directives.js';
import type { Fault } from './faults.js';
import { isObject, type JsonObject } from './json.js';
import { costPicoUsd, type PicoUsd, unitCostPicoUsd } from './money.js';
import { type Provider, providerOf } from './providers.js';
import { SeededRandom } from './random.js';
import type { Task } from './tasks.js';
import { usageAlteration, type UsageFields } from './usage-faults.js';

/** How much of the answer had been generated when the provider stopped counting. */
export type Extent = 'whole' | 'nothing' | Generated;

/** A part of an answer. */
export interface Generated {
  /** Completion tokens. */
  readonly tokens: number;
  /** What was used beyond tokens; null: everything that the whole answer uses. */
  readonly units: Units | null;
}

/** What a request is, once it is known who serves it. */
export interface CallTerms {
  readonly task: Task;
  /** The public id, without suffix. */
  readonly model: string;
  readonly offer: Offer;
  readonly body: JsonObject;
  readonly isStream: boolean;
  readonly plan: AnswerPlan;
  readonly asked: Directives;
  readonly viaRouter: boolean;
  /** Start of the answer's own id. */
  readonly idPrefix: string;
  /** What this route calls the counts in its usage. */
  readonly usageFields: UsageFields;
}

/** One request that reached a provider: what it asked, who serves it, and its one line in the books. */
export class Call {
  readonly plan: AnswerPlan;
  readonly facts: AnswerFacts;
  readonly provider: Provider;
  readonly headers: OutgoingHttpHeaders;
  readonly random: SeededRandom;
  readonly model: string;
  readonly offer: Offer;
  readonly body: JsonObject;
  readonly asked: Directives;
  readonly isStream: boolean;
  readonly requestId: string;
  private readonly requestIdSent: boolean;
  private readonly inferenceId: string | null;
  private isRecorded = false;

  constructor(
    private readonly context: Context,
    private readonly terms: CallTerms,
  ) {
    const { model, offer, body, isStream, plan, asked } = terms;
    this.model = model;
    this.offer = offer;
    this.body = body;
    this.asked = asked;
    this.isStream = isStream;
    this.plan = plan;
    this.provider = providerOf(offer.provider);
    this.random = new SeededRandom(this.plan.hash);
    const serial = context.ids.next();
    const repeat = this.has('duplicate-request-id');
    this.requestId = context.ids.requestId(serial, asked.requestId, repeat);
    this.requestIdSent = !this.has('no-request-id');
    this.inferenceId = this.provider.sendsInferenceId ? `inf-${serial}` : null;
    this.headers = this.answerHeaders();
    this.facts = this.answerFacts(serial);
  }

  has(fault: Fault): boolean {
    return this.asked.faults.includes(fault);
  }

  /**
   * Writes the call's line in the books; later calls do nothing, so an abort after the last byte
   * changes no line. `extent` is what the provider generated; `[[sim bill=yes|no]]` overrules it.
   */
  record(outcome: Outcome, status: number, extent: Extent): void {
    if (this.isRecorded) return;
    this.isRecorded = true;
    const { asked, plan, offer } = this;
    const counted = asked.bill === null ? extent : asked.bill ? 'whole' : 'nothing';
    const billed = counted !== 'nothing';
    const completion = counted === 'whole' ? completionTokens(plan) : billed ? counted.tokens : 0;
    const tokens = {
      prompt: billed ? plan.promptTokens : 0,
      cached: billed ? plan.cachedTokens : 0,
      cacheWrite: billed ? plan.cacheWriteTokens : 0,
      cacheWrite1h: billed ? plan.cacheWrite1hTokens : 0,
      completion,
    };
    const made = counted === 'whole' || counted === 'nothing' ? null : counted.units;
    const units = billed ? (made ?? plan.units) : {};
    const entry: Omit<BookEntry, 'seq'> = {
      requestId: this.requestId,
      requestIdSent: this.requestIdSent && status !== 0,
      inferenceId: this.inferenceId,
      time: this.context.now(),
      task: this.terms.task,
      provider: offer.provider,
      model: this.model,
      providerModelId: offer.providerModelId,
      stream: this.isStream,
      promptTokens: tokens.prompt,
      cachedTokens: tokens.cached,
      cacheWriteTokens: tokens.cacheWrite,
      cacheWrite1hTokens: tokens.cacheWrite1h,
      completionTokens: completion,
      reasoningTokens: Math.min(reasoningTokens(plan), completion),
      units,
      costPicoUsd: costPicoUsd(offer.price, tokens) + unitCostPicoUsd(offer.rates, units),
      status,
      outcome,
      billed,
      tag: asked.tag,
    };
    this.context.books.append(entry);
  }

  /**
   * The client hung up. A provider that bills on bills the whole answer; one that stops bills what
   * it generated, which is nothing while the headers (`status` 0) have not left.
   */
  recordAbort(status: number, generated: Generated): void {
    const stopped: Extent = status === 0 ? 'nothing' : generated;
    const routerBillsOn = this.terms.viaRouter && this.context.routerBillsAborted;
    const stops = this.provider.stopsBillingAtAbort && !routerBillsOn;
    const extent = stops ? stopped : 'whole';
    this.record('client_aborted', status, extent);
  }

  private answerHeaders(): OutgoingHttpHeaders {
    const headers: OutgoingHttpHeaders = {
      'content-type': 'application/json',
      // A proxy has no business passing this on: it belongs to the upstream's own domain.
      'set-cookie': 'sim-upstream=1; Path=/',
    };
    if (this.requestIdSent) headers['x-request-id'] = this.requestId;
    // Where Anthropic-style clients look for it.
    if (this.requestIdSent && this.terms.task === 'messages')
      headers['request-id'] = this.requestId;
    if (this.inferenceId !== null) headers['inference-id'] = this.inferenceId;
    const named = this.has('unpriced-provider') ? 'unlisted-provider' : this.offer.provider;
    if (this.terms.viaRouter) headers['x-inference-provider'] = named;
    if (this.offer.provider === 'hf-inference') {
      headers['x-compute-type'] = 'cpu+optimized';
      headers['x-compute-time'] = (0.2 + (this.plan.hash % 800) / 1000).toFixed(3);
    }
    return headers;
  }

  private answerFacts(serial: string): AnswerFacts {
    const { offer, asked } = this;
    const given = this.body['stream_options'];
    const options = isObject(given) ? given : {};
    return {
      id: `${this.terms.idPrefix}-${serial}`,
      model: offer.providerModelId,
      created: Math.floor(this.context.now().getTime() / 1000),
      costPicoUsd: this.wholeCost(),
      includeUsage: options['include_usage'] === true,
      continuousUsage: options['continuous_usage_stats'] === true,
      alterUsage: usageAlteration(asked.faults, this.terms.usageFields),
      usageDecreases: this.has('usage-decreasing'),
    };
  }

  private wholeCost(): PicoUsd {
    const { plan, offer } = this;
    const tokens = {
      prompt: plan.promptTokens,
      cached: plan.cachedTokens,
      cacheWrite: plan.cacheWriteTokens,
      cacheWrite1h: plan.cacheWrite1hTokens,
      completion: completionTokens(plan),
    };
    return costPicoUsd(offer.price, tokens) + unitCostPicoUsd(offer.rates, plan.units);
  }
}
