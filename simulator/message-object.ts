import type { Call } from './call.js';
import { completionTokens } from './dialects.js';
import type { JsonObject } from './json.js';
import { answerText, reasoningText } from './text-pieces.js';

const stopReasons = { stop: 'end_turn', length: 'max_tokens', tool_calls: 'tool_use' } as const;

/** Why the message ended, in Anthropic's words. */
export function stopReason({ plan }: Call): string {
  return stopReasons[plan.finishReason];
}

/** A whole message. */
export function messageObject(call: Call): JsonObject {
  const { plan, facts } = call;
  const content: JsonObject[] = [];
  if (plan.reasoningPerChoice > 0) {
    content.push({ type: 'thinking', thinking: reasoningText(plan), signature: 'sim' });
  }
  if (plan.toolCalls === 0) content.push({ type: 'text', text: answerText(plan) });
  for (let index = 0; index < plan.toolCalls; index += 1) {
    const input = index === 0 ? { text: answerText(plan) } : {};
    content.push({ ...toolUse(call, index), input });
  }
  const message = {
    id: facts.id,
    type: 'message',
    role: 'assistant',
    model: facts.model,
    content,
    stop_reason: stopReason(call),
    stop_sequence: null,
  };
  const usage = messageUsage(call, completionTokens(plan));
  return usage === null ? message : { ...message, usage };
}

/** A call of a tool, its input still empty. */
export function toolUse({ plan, facts }: Call, index: number): JsonObject {
  return { type: 'tool_use', id: `toolu_${facts.id.slice(4)}_${index}`, name: plan.toolName };
}

/** Input, cache reads and cache writes stand beside each other: none contains another. */
export function messageUsage({ plan, facts }: Call, outputTokens: number): JsonObject | null {
  const { promptTokens, cachedTokens, cacheWriteTokens, cacheWrite1hTokens } = plan;
  const usage: JsonObject = {
    input_tokens: promptTokens - cachedTokens - cacheWriteTokens,
    cache_creation_input_tokens: cacheWriteTokens,
    cache_read_input_tokens: cachedTokens,
    cache_creation: {
      ephemeral_5m_input_tokens: cacheWriteTokens - cacheWrite1hTokens,
      ephemeral_1h_input_tokens: cacheWrite1hTokens,
    },
    output_tokens: outputTokens,
    service_tier: 'standard',
  };
  return facts.alterUsage === null ? usage : facts.alterUsage(usage);
}
