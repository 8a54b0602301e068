import type { AnswerPlan } from './answer-plan.js';
import { textOf } from './answer-text.js';
import type { JsonObject } from './json.js';
import { type PicoUsd, usdNumber } from './money.js';
import type { Dialect } from './providers.js';

/** What a stream or a plain answer needs to know beside its plan. */
export interface AnswerFacts {
  /** `chatcmpl-...`, the body's id. */
  readonly id: string;
  /** The provider's own id for the model. */
  readonly model: string;
  /** Unix seconds. */
  readonly created: number;
  /** What the whole answer costs, in pico-USD; some providers state it. */
  readonly costPicoUsd: PicoUsd;
  /** `stream_options.include_usage` was given and this provider knows it. */
  readonly includeUsage: boolean;
  /** `stream_options.continuous_usage_stats` was given. */
  readonly continuousUsage: boolean;
  /** Passes every usage object on its way out; null drops it. Faults live here. */
  readonly alterUsage: ((usage: JsonObject) => JsonObject | null) | null;
  /** Appends a second, lower usage: a provider that contradicts itself. */
  readonly usageDecreases: boolean;
}

/** Quantities beyond tokens, by unit. */
export type Units = Readonly<Record<string, bigint>>;

/** One step of a stream. `tokens` = completion tokens generated once it was sent, over all choices. */
export type StreamEvent =
  | {
      readonly kind: 'data';
      readonly payload: JsonObject;
      readonly tokens: number;
      /** What is billed beyond tokens once it was sent. Left out: everything, from the first event on. */
      readonly units?: Units;
      /** The `event:` line above the data, where the route has one. */
      readonly name?: string;
    }
  | { readonly kind: 'comment'; readonly text: string; readonly tokens: number }
  | { readonly kind: 'done'; readonly tokens: number };

/** Completion tokens of the whole answer, over all choices. */
export function completionTokens(plan: AnswerPlan): number {
  return plan.tokensPerChoice * plan.choices;
}

/** Reasoning tokens of the whole answer, over all choices. */
export function reasoningTokens(plan: AnswerPlan): number {
  return plan.reasoningPerChoice * plan.choices;
}

/** The usage object after `tokens` completion tokens, with what this provider adds to it. */
export function usageObject(
  plan: AnswerPlan,
  dialect: Dialect,
  facts: AnswerFacts,
  tokens: number,
): JsonObject | null {
  const reasoning = Math.min(reasoningTokens(plan), tokens);
  const usage: JsonObject = {
    prompt_tokens: plan.promptTokens,
    completion_tokens: tokens,
    total_tokens: plan.promptTokens + tokens,
    prompt_tokens_details: plan.promptDetailsNull ? null : { cached_tokens: plan.cachedTokens },
  };
  if (reasoning > 0) usage['completion_tokens_details'] = { reasoning_tokens: reasoning };
  addExtra(usage, dialect, facts);
  return facts.alterUsage === null ? usage : facts.alterUsage(usage);
}

function addExtra(usage: JsonObject, dialect: Dialect, facts: AnswerFacts): void {
  switch (dialect.extra) {
    case 'none':
      return;
    case 'estimated_cost':
      usage['estimated_cost'] = usdNumber(facts.costPicoUsd);
      return;
    case 'cost':
      usage['cost'] = usdNumber(facts.costPicoUsd);
      usage['cost_details'] = { upstream_inference_cost: null };
      return;
    case 'num_sources_used':
      usage['num_sources_used'] = 0;
      return;
    case 'timings':
      usage['acceptance_rate'] = 3.25;
      usage['completion_tokens_after_first_per_sec'] = 441.7;
      usage['end_time'] = facts.created + 0.75;
      usage['is_last_response'] = true;
      usage['start_time'] = facts.created;
      usage['time_to_first_token'] = 0.125;
      usage['total_latency'] = 0.75;
      usage['total_tokens_per_sec'] = 320.5;
  }
}

/** The events of a streamed answer in this provider's dialect, `[DONE]` included where it sends one. */
export function streamEvents(
  plan: AnswerPlan,
  dialect: Dialect,
  facts: AnswerFacts,
): StreamEvent[] {
  const builder = new StreamBuilder(plan, dialect, facts);
  return builder.build();
}

/** The body of an answer that is not streamed. */
export function plainAnswer(plan: AnswerPlan, dialect: Dialect, facts: AnswerFacts): JsonObject {
  const reasoning = textOf(plan.textOffset, plan.reasoningPerChoice);
  const text = textOf(
    plan.textOffset + plan.reasoningPerChoice,
    plan.tokensPerChoice - plan.reasoningPerChoice,
  );
  const message: JsonObject = { role: 'assistant', content: plan.toolCalls > 0 ? null : text };
  if (reasoning !== '') message['reasoning_content'] = reasoning;
  if (plan.toolCalls > 0) {
    message['tool_calls'] = Array.from({ length: plan.toolCalls }, (_, index) => ({
      id: toolCallId(facts, index),
      type: 'function',
      function: {
        name: plan.toolName,
        arguments: JSON.stringify(index === 0 ? { text } : {}),
      },
    }));
  }
  const body: JsonObject = {
    id: facts.id,
    object: 'chat.completion',
    created: facts.created,
    model: facts.model,
    choices: Array.from({ length: plan.choices }, (_, index) => ({
      index,
      message,
      logprobs: null,
      finish_reason: plan.finishReason,
    })),
  };
  const usage = usageObject(plan, dialect, facts, completionTokens(plan));
  if (usage !== null) body['usage'] = usage;
  if (dialect.usage === 'groq') body['x_groq'] = { id: `req_${facts.id.slice(9)}` };
  return body;
}

function toolCallId(facts: AnswerFacts, index: number): string {
  return `call_${facts.id.slice(9)}_${index}`;
}

class StreamBuilder {
  private readonly events: StreamEvent[] = [];
  private tokens = 0;
  private readonly onEveryChunk: boolean;
  private readonly nullElsewhere: boolean;

  constructor(
    private readonly plan: AnswerPlan,
    private readonly dialect: Dialect,
    private readonly facts: AnswerFacts,
  ) {
    const { usage } = dialect;
    this.onEveryChunk = usage === 'every-chunk' || (usage === 'vllm' && facts.continuousUsage);
    this.nullElsewhere = usage === 'extra-chunk' && facts.includeUsage && facts.alterUsage === null;
  }

  build(): StreamEvent[] {
    const { plan, dialect } = this;
    this.comment();
    for (let choice = 0; choice < plan.choices; choice += 1) {
      const opening = this.chunk(choice, { role: 'assistant', content: '' }, null);
      if (dialect.usage === 'groq') opening['x_groq'] = this.groqId();
      this.data(opening);
    }
    if (plan.toolCalls > 0) this.openTools();
    for (let piece = 0; piece < plan.chunks; piece += 1) {
      const from = Math.floor((plan.tokensPerChoice * piece) / plan.chunks);
      const to = Math.floor((plan.tokensPerChoice * (piece + 1)) / plan.chunks);
      for (let choice = 0; choice < plan.choices; choice += 1) {
        this.tokens += to - from;
        this.data(this.chunk(choice, this.delta(from, to), null));
      }
      if (piece === 0) this.comment();
    }
    // No piece at all (chunks=0) still leaves the tokens generated: they were, unseen.
    this.tokens = completionTokens(plan);
    if (plan.toolCalls > 0) this.closeTools();
    this.finish();
    if (this.facts.usageDecreases) this.lowerUsage();
    if (dialect.sendsDone) this.events.push({ kind: 'done', tokens: this.tokens });
    return this.events;
  }

  private finish(): void {
    const { plan, dialect, facts } = this;
    for (let choice = 0; choice < plan.choices; choice += 1) {
      const last = this.chunk(choice, {}, plan.finishReason);
      if (choice === plan.choices - 1) this.usageOnLastChoice(last);
      this.data(last);
    }
    switch (dialect.usage) {
      case 'extra-chunk':
      case 'vllm':
      case 'groq':
        if (facts.includeUsage) this.usageChunk([]);
        return;
      case 'xai':
        this.data({ ...this.envelope(), choices: [] });
        return;
      case 'after-finish':
        this.usageChunk([
          { index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null },
        ]);
        return;
      case 'last-choice':
      case 'every-chunk':
      case 'in-choice':
    }
  }

  private usageOnLastChoice(chunk: JsonObject): void {
    const usage = this.usage();
    if (usage === null) return;
    switch (this.dialect.usage) {
      case 'last-choice':
      case 'xai':
        chunk['usage'] = usage;
        return;
      case 'groq':
        chunk['x_groq'] = { ...this.groqId(), usage };
        return;
      case 'in-choice': {
        const [choice] = chunk['choices'] as JsonObject[];
        if (choice !== undefined) choice['usage'] = usage;
        return;
      }
      case 'extra-chunk':
      case 'vllm':
      case 'every-chunk':
      case 'after-finish':
    }
  }

  private usageChunk(choices: JsonObject[]): void {
    const usage = this.usage();
    if (usage !== null) this.data({ ...this.envelope(), choices, usage });
  }

  private lowerUsage(): void {
    const usage = usageObject(this.plan, this.dialect, this.facts, this.tokens >> 1);
    if (usage !== null) this.data({ ...this.envelope(), choices: [], usage });
  }

  private delta(from: number, to: number): JsonObject {
    const { plan } = this;
    const delta: JsonObject = {};
    const turn = Math.min(Math.max(plan.reasoningPerChoice, from), to);
    if (turn > from) delta['reasoning_content'] = textOf(plan.textOffset + from, turn - from);
    if (turn > from && to === turn) return delta;
    const text = textOf(plan.textOffset + turn, to - turn);
    if (plan.toolCalls === 0) return { ...delta, content: text };
    return { ...delta, ...this.toolDelta(JSON.stringify(text).slice(1, -1)) };
  }

  private openTools(): void {
    for (let choice = 0; choice < this.plan.choices; choice += 1) {
      for (let index = 0; index < this.plan.toolCalls; index += 1) {
        const call = {
          index,
          id: toolCallId(this.facts, index),
          type: 'function',
          function: { name: this.plan.toolName, arguments: index === 0 ? '{"text":"' : '{}' },
        };
        this.data(this.chunk(choice, { tool_calls: [call] }, null));
      }
    }
  }

  private closeTools(): void {
    for (let choice = 0; choice < this.plan.choices; choice += 1) {
      this.data(this.chunk(choice, this.toolDelta('"}'), null));
    }
  }

  private toolDelta(text: string): JsonObject {
    return { tool_calls: [{ index: 0, function: { arguments: text } }] };
  }

  private chunk(index: number, delta: JsonObject, finish: string | null): JsonObject {
    const chunk = this.envelope();
    chunk['choices'] = [{ index, delta, logprobs: null, finish_reason: finish }];
    if (this.nullElsewhere) chunk['usage'] = null;
    if (this.onEveryChunk) {
      const usage = this.usage();
      if (usage !== null) chunk['usage'] = usage;
    }
    return chunk;
  }

  private envelope(): JsonObject {
    const { id, created, model } = this.facts;
    return { id, object: 'chat.completion.chunk', created, model };
  }

  private usage(): JsonObject | null {
    return usageObject(this.plan, this.dialect, this.facts, this.tokens);
  }

  private groqId(): JsonObject {
    return { id: `req_${this.facts.id.slice(9)}` };
  }

  private data(payload: JsonObject): void {
    this.events.push({ kind: 'data', payload, tokens: this.tokens });
  }

  private comment(): void {
    if (!this.dialect.comments) return;
    this.events.push({ kind: 'comment', text: 'OPENROUTER PROCESSING', tokens: this.tokens });
  }
}
