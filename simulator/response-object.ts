import type { Call } from './call.js';
import { completionTokens, reasoningTokens } from './dialects.js';
import type { JsonObject } from './json.js';
import { answerText, reasoningText } from './text-pieces.js';

/** How a response ends, or that it has not yet. */
export type ResponseStatus = 'in_progress' | 'completed' | 'incomplete' | 'failed';

/** `incomplete` where the caller's maximum cut the answer, or a fault asks for it. */
export function responseStatus(call: Call): ResponseStatus {
  if (call.has('response-failed')) return 'failed';
  const isCut = call.plan.finishReason === 'length';
  return isCut || call.has('response-incomplete') ? 'incomplete' : 'completed';
}

/** The response as it stands; the usage is stated once it has ended, however it did. */
export function responseObject(
  call: Call,
  status: ResponseStatus,
  output: readonly JsonObject[],
): JsonObject {
  const { body, facts } = call;
  const answer: JsonObject = {
    id: facts.id,
    object: 'response',
    created_at: facts.created,
    status,
    background: false,
    error:
      status === 'failed' ? { code: 'server_error', message: 'The model backend failed' } : null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: body['instructions'] ?? null,
    max_output_tokens: body['max_output_tokens'] ?? null,
    metadata: {},
    model: facts.model,
    output,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    service_tier: 'default',
    store: false,
    temperature: 1,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    truncation: 'disabled',
    usage: null,
  };
  if (status === 'in_progress') return answer;
  const usage = responseUsage(call);
  if (usage !== null) return { ...answer, usage };
  const { usage: _usage, ...withoutUsage } = answer;
  return withoutUsage;
}

function responseUsage({ plan, facts }: Call): JsonObject | null {
  const output = completionTokens(plan);
  const usage = {
    input_tokens: plan.promptTokens,
    input_tokens_details: { cached_tokens: plan.cachedTokens },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoningTokens(plan) },
    total_tokens: plan.promptTokens + output,
  };
  return facts.alterUsage === null ? usage : facts.alterUsage(usage);
}

/** The items of a finished response: reasoning, then the message or the tool calls. */
export function outputItems(call: Call): JsonObject[] {
  const { plan } = call;
  const items: JsonObject[] = [];
  if (plan.reasoningPerChoice > 0) items.push(reasoningItem(call, reasoningText(plan)));
  if (plan.toolCalls === 0) return [...items, messageItem(call, answerText(plan), 'completed')];
  for (let index = 0; index < plan.toolCalls; index += 1) {
    items.push(toolItem(call, index, toolArguments(call, index), 'completed'));
  }
  return items;
}

/** The item that holds the reasoning. */
export function reasoningItem({ facts }: Call, text: string): JsonObject {
  const content = text === '' ? [] : [{ type: 'reasoning_text', text }];
  return { id: `rs_${facts.id.slice(5)}`, type: 'reasoning', summary: [], content };
}

/** The item that holds the text; without its content while it is being made. */
export function messageItem({ facts }: Call, text: string, status: string): JsonObject {
  const content = status === 'completed' ? [textPart(text)] : [];
  return { id: `msg_${facts.id.slice(5)}`, type: 'message', status, role: 'assistant', content };
}

/** The item of one tool call. */
export function toolItem(
  { facts, plan }: Call,
  index: number,
  given: string,
  status: string,
): JsonObject {
  const id = facts.id.slice(5);
  return {
    id: `fc_${id}_${index}`,
    type: 'function_call',
    status,
    call_id: `call_${id}_${index}`,
    name: plan.toolName,
    arguments: given,
  };
}

/** What a tool is called with: the first with the whole text, the others with nothing. */
export function toolArguments({ plan }: Call, index: number): string {
  return JSON.stringify(index === 0 ? { text: answerText(plan) } : {});
}

export function textPart(text: string): JsonObject {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}
