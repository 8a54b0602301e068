import type { OutgoingHttpHeaders } from 'node:http';
import { type AnswerPlan, planAnswer } from './answer-plan.js';
import type { BookEntry, Outcome } from './books.js';
import type { Offer } from './catalogue.js';
import type { Context } from './context.js';
import { type AnswerFacts, completionTokens, reasoningTokens } from './dialects.js';
import type { Directives } from './directives.js';
import type { Fault } from './faults.js';
import { isObject, type JsonObject } from './json.js';
import { costPicoUsd } from './money.js';
import { type Provider, providerOf } from './providers.js';
import { SeededRandom } from './random.js';
import { usageAlteration } from './usage-faults.js';

/** How much of the answer had been generated when the provider stopped counting. */
export type Extent = 'whole' | 'nothing' | { readonly tokens: number };

/** One chat request that reached a provider: what it asked, who serves it, and its one line in the books. */
export class Call {
  readonly plan: AnswerPlan;
  readonly facts: AnswerFacts;
  readonly provider: Provider;
  readonly headers: OutgoingHttpHeaders;
  readonly random: SeededRandom;
  private readonly requestId: string;
  private readonly requestIdSent: boolean;
  private readonly inferenceId: string | null;
  private isRecorded = false;

  constructor(
    private readonly context: Context,
    readonly model: string,
    readonly offer: Offer,
    readonly body: JsonObject,
    readonly asked: Directives,
    private readonly viaRouter: boolean,
  ) {
    this.provider = providerOf(offer.provider);
    this.plan = planAnswer(body, asked, offer.contextLength, context.seed);
    this.random = new SeededRandom(this.plan.hash);
    const serial = context.ids.next();
    const repeat = this.has('duplicate-request-id');
    this.requestId = context.ids.requestId(serial, asked.requestId, repeat);
    this.requestIdSent = !this.has('no-request-id');
    this.inferenceId = this.provider.sendsInferenceId ? `inf-${serial}` : null;
    this.headers = this.answerHeaders();
    this.facts = this.answerFacts(serial);
  }

  get isStream(): boolean {
    return this.body['stream'] === true;
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
      completion,
    };
    const entry: Omit<BookEntry, 'seq'> = {
      requestId: this.requestId,
      requestIdSent: this.requestIdSent && status !== 0,
      inferenceId: this.inferenceId,
      time: this.context.now(),
      task: 'chat',
      provider: offer.provider,
      model: this.model,
      providerModelId: offer.providerModelId,
      stream: this.isStream,
      promptTokens: tokens.prompt,
      cachedTokens: tokens.cached,
      cacheWriteTokens: 0,
      cacheWrite1hTokens: 0,
      completionTokens: completion,
      reasoningTokens: Math.min(reasoningTokens(plan), completion),
      units: {},
      costPicoUsd: costPicoUsd(offer.price, tokens),
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
  recordAbort(status: number, generatedTokens: number): void {
    const stopped: Extent = status === 0 ? 'nothing' : { tokens: generatedTokens };
    const routerBillsOn = this.viaRouter && this.context.routerBillsAborted;
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
    if (this.inferenceId !== null) headers['inference-id'] = this.inferenceId;
    const named = this.has('unpriced-provider') ? 'unlisted-provider' : this.offer.provider;
    if (this.viaRouter) headers['x-inference-provider'] = named;
    if (this.offer.provider === 'hf-inference') {
      headers['x-compute-type'] = 'cpu+optimized';
      headers['x-compute-time'] = (0.2 + (this.plan.hash % 800) / 1000).toFixed(3);
    }
    return headers;
  }

  private answerFacts(serial: string): AnswerFacts {
    const { plan, offer, asked } = this;
    const given = this.body['stream_options'];
    const options = isObject(given) ? given : {};
    return {
      id: `chatcmpl-${serial}`,
      model: offer.providerModelId,
      created: Math.floor(this.context.now().getTime() / 1000),
      costPicoUsd: costPicoUsd(offer.price, {
        prompt: plan.promptTokens,
        cached: plan.cachedTokens,
        completion: completionTokens(plan),
      }),
      includeUsage: options['include_usage'] === true,
      continuousUsage: options['continuous_usage_stats'] === true,
      alterUsage: usageAlteration(asked.faults),
      usageDecreases: this.has('usage-decreasing'),
    };
  }
}
