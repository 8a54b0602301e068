import type { AnswerPlan } from './answer-plan.js';
import type { Call } from './call.js';
import type { Offer } from './catalogue.js';
import type { Directives } from './directives.js';
import type { ErrorAnswer } from './error-answers.js';
import type { Exchange } from './exchange.js';
import type { JsonObject } from './json.js';
import type { Task } from './tasks.js';
import type { UsageFields } from './usage-faults.js';

/** What an endpoint understood of a request, before it is known who serves it. */
export interface Ask {
  /** As it was asked for, suffix included. */
  readonly model: string;
  readonly body: JsonObject;
  readonly isStream: boolean;
  /** The text in which directives may stand. */
  readonly text: string;
  plan(asked: Directives, offer: Offer, seed: number): AnswerPlan;
  /** What the provider that serves would not take; null: it serves. */
  refusal(call: Call): ErrorAnswer | null;
  answer(exchange: Exchange, call: Call): Promise<void>;
}

/** What a request asks for, or why it cannot be understood. */
export type Understood = { readonly ask: Ask } | { readonly refusal: ErrorAnswer };

/** One OpenAI-style route: the same at the router and at every provider. */
export interface Endpoint {
  readonly task: Task;
  /** What follows `/v1/`, or a provider's own start of paths. */
  readonly path: string;
  readonly errors: 'openai' | 'anthropic';
  /** Start of the answer's own id. */
  readonly idPrefix: string;
  readonly usageFields: UsageFields;
  read(body: JsonObject): Understood;
}

/** True for the faults that replace a stream by a plain answer, and for requests that want no stream. */
export function isPlain(call: Call): boolean {
  return !call.isStream || call.has('json-for-stream');
}
