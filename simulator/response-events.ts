import type { Call } from './call.js';
import { completionTokens, type StreamEvent } from './dialects.js';
import type { JsonObject } from './json.js';
import {
  messageItem,
  outputItems,
  reasoningItem,
  responseObject,
  responseStatus,
  textPart,
  toolArguments,
  toolItem,
} from './response-object.js';
import { answerText, reasoningText, textPieces } from './text-pieces.js';

/** The event of a response that breaks in its middle. It has no usage. */
export const responseError: StreamEvent = {
  kind: 'data',
  name: 'error',
  payload: {
    type: 'error',
    code: 'server_error',
    message: 'The model backend failed',
    param: null,
    sequence_number: 0,
  },
  tokens: 0,
};

/** The typed events of a response, from `response.created` to its end. */
export function responseEvents(call: Call): StreamEvent[] {
  return new ResponseScript(call).build();
}

class ResponseScript {
  private readonly events: StreamEvent[] = [];
  private tokens = 0;
  private outputIndex = 0;

  constructor(private readonly call: Call) {}

  build(): StreamEvent[] {
    const { call } = this;
    const { plan } = call;
    const begun = responseObject(call, 'in_progress', []);
    this.add('response.created', { response: begun });
    this.add('response.in_progress', { response: begun });
    if (plan.reasoningPerChoice > 0) this.reasoning();
    if (plan.toolCalls === 0) this.message();
    for (let index = 0; index < plan.toolCalls; index += 1) this.toolCall(index);
    this.tokens = completionTokens(plan);
    const status = responseStatus(call);
    const ended = responseObject(call, status, outputItems(call));
    this.add(`response.${status}`, { response: ended });
    return this.events;
  }

  private reasoning(): void {
    const { call } = this;
    const text = reasoningText(call.plan);
    const item = reasoningItem(call, text);
    this.item('added', reasoningItem(call, ''));
    this.tokens = call.plan.reasoningPerChoice;
    const part = { item_id: item['id'], content_index: 0 };
    this.at('response.content_part.added', { ...part, part: { type: 'reasoning_text', text: '' } });
    this.at('response.reasoning_text.delta', { ...part, delta: text });
    this.at('response.reasoning_text.done', { ...part, text });
    this.at('response.content_part.done', { ...part, part: { type: 'reasoning_text', text } });
    this.item('done', item);
  }

  private message(): void {
    const { call } = this;
    const text = answerText(call.plan);
    const item = messageItem(call, text, 'completed');
    const part = { item_id: item['id'], content_index: 0 };
    this.item('added', messageItem(call, '', 'in_progress'));
    this.at('response.content_part.added', { ...part, part: textPart('') });
    for (const piece of textPieces(call.plan)) {
      this.tokens = piece.tokens;
      this.at('response.output_text.delta', { ...part, delta: piece.text, logprobs: [] });
    }
    this.at('response.output_text.done', { ...part, text, logprobs: [] });
    this.at('response.content_part.done', { ...part, part: textPart(text) });
    this.item('done', item);
  }

  private toolCall(index: number): void {
    const { call } = this;
    const given = toolArguments(call, index);
    const item = toolItem(call, index, given, 'completed');
    this.item('added', toolItem(call, index, '', 'in_progress'));
    if (index === 0) this.tokens = completionTokens(call.plan);
    this.at('response.function_call_arguments.delta', { item_id: item['id'], delta: given });
    this.at('response.function_call_arguments.done', { item_id: item['id'], arguments: given });
    this.item('done', item);
  }

  private item(what: 'added' | 'done', item: JsonObject): void {
    this.at(`response.output_item.${what}`, { item });
    if (what === 'done') this.outputIndex += 1;
  }

  private at(type: string, fields: JsonObject): void {
    this.add(type, { output_index: this.outputIndex, ...fields });
  }

  private add(type: string, fields: JsonObject): void {
    const payload = { type, sequence_number: this.events.length, ...fields };
    this.events.push({ kind: 'data', name: type, payload, tokens: this.tokens });
  }
}
