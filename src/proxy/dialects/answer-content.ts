/** Counts what an answer said, for the estimate that is made where no usage arrives. */
export class ContentMeter {
  bytes = 0;
  /** Something passed that has no text to count (audio, encrypted reasoning, vectors). */
  hasOpaque = false;

  /** Adds a text's UTF-8 bytes; anything that is no string adds nothing. */
  add(text: unknown): void {
    if (typeof text === 'string' && text !== '') this.bytes += Buffer.byteLength(text);
  }

  addOpaque(value: unknown): void {
    if (typeof value === 'string' && value !== '') this.hasOpaque = true;
  }
}

type Json = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `choices` of chat completions and completions, streamed (`delta`) or whole (`message`). */
export function countChoices(choices: unknown, meter: ContentMeter): void {
  if (!Array.isArray(choices)) return;
  for (const choice of choices as unknown[]) {
    if (!isJsonObject(choice)) continue;
    meter.add(choice['text']);
    const message = choice['delta'] ?? choice['message'];
    if (isJsonObject(message)) countChatMessage(message, meter);
  }
}

function countChatMessage(message: Json, meter: ContentMeter): void {
  const content = message['content'];
  if (typeof content === 'string') meter.add(content);
  else countParts(content, meter);
  const reasoning = message['reasoning'];
  const reasoningContent = message['reasoning_content'];
  meter.add(reasoning);
  // Some providers say the same under both names.
  if (reasoningContent !== reasoning) meter.add(reasoningContent);
  if (message['refusal'] !== undefined) meter.add(message['refusal']);
  if (message['tool_calls'] !== undefined) countToolCalls(message['tool_calls'], meter);
  if (message['function_call'] !== undefined) countCall(message['function_call'], meter);
  const audio = message['audio'];
  if (isJsonObject(audio)) {
    meter.add(audio['transcript']);
    meter.addOpaque(audio['data']);
  }
}

/** Content as a list of parts: text, thinking (a text, or parts again), refusals, tool use. */
export function countParts(parts: unknown, meter: ContentMeter): void {
  if (!Array.isArray(parts)) return;
  for (const part of parts as unknown[]) {
    if (isJsonObject(part)) countPart(part, meter);
  }
}

/** One part of a message: an Anthropic content block, a part of a chat or Responses message. */
export function countPart(part: Json, meter: ContentMeter): void {
  meter.add(part['text']);
  meter.add(part['refusal']);
  const thinking = part['thinking'];
  if (typeof thinking === 'string') meter.add(thinking);
  else if (Array.isArray(thinking)) {
    for (const inner of thinking as unknown[]) if (isJsonObject(inner)) meter.add(inner['text']);
  }
  meter.addOpaque(part['data']);
  if (part['type'] === 'tool_use' || part['type'] === 'server_tool_use') {
    meter.add(part['name']);
    countArguments(part['input'], meter);
  }
}

function countToolCalls(calls: unknown, meter: ContentMeter): void {
  if (!Array.isArray(calls)) return;
  for (const call of calls as unknown[]) {
    if (!isJsonObject(call)) continue;
    countCall(call['function'], meter);
    countCall(call['custom'], meter);
  }
}

function countCall(call: unknown, meter: ContentMeter): void {
  if (!isJsonObject(call)) return;
  meter.add(call['name']);
  countArguments(call['arguments'], meter);
  countArguments(call['input'], meter);
}

function countArguments(value: unknown, meter: ContentMeter): void {
  if (!isJsonObject(value)) {
    meter.add(value);
    return;
  }
  if (Object.keys(value).length === 0) return;
  try {
    meter.add(JSON.stringify(value));
  } catch {
    // Nested deeper than the stack: the call was there, its length stays unknown.
    meter.hasOpaque = true;
  }
}

/** One event of the Anthropic stream. */
export function countMessagesEvent(type: string, event: Json, meter: ContentMeter): void {
  if (type === 'content_block_delta') {
    const delta = event['delta'];
    if (!isJsonObject(delta)) return;
    meter.add(delta['text']);
    meter.add(delta['thinking']);
    meter.add(delta['partial_json']);
  } else if (type === 'content_block_start') {
    if (isJsonObject(event['content_block'])) countPart(event['content_block'], meter);
  } else if (type === 'message_start' && isJsonObject(event['message'])) {
    countParts(event['message']['content'], meter);
  }
}

/** One event of the Responses stream: only deltas, since every `done` repeats them. */
export function countResponsesEvent(type: string, event: Json, meter: ContentMeter): void {
  if (type.endsWith('.delta')) {
    if (type === 'response.audio.delta') meter.addOpaque(event['delta']);
    else meter.add(event['delta']);
  } else if (type === 'response.output_item.added' && isJsonObject(event['item'])) {
    meter.add(event['item']['name']);
  }
}

/** The `output` of a whole response. */
export function countResponsesOutput(output: unknown, meter: ContentMeter): void {
  if (!Array.isArray(output)) return;
  for (const item of output as unknown[]) {
    if (!isJsonObject(item)) continue;
    countParts(item['content'], meter);
    countParts(item['summary'], meter);
    meter.add(item['name']);
    meter.add(item['arguments']);
    meter.add(item['input']);
    meter.addOpaque(item['encrypted_content']);
    meter.addOpaque(item['result']);
  }
}
