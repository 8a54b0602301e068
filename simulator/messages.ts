import { measureMessages, planText, type TextAsk } from './answer-plan.js';
import type { Call } from './call.js';
import { lastUserText } from './directives.js';
import { type Endpoint, isPlain, type Understood } from './endpoint.js';
import { invalidRequest, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { countOrNull, isObject, type JsonObject } from './json.js';
import { messageError, messageEvents } from './message-events.js';
import { messageObject } from './message-object.js';
import { sendPlain } from './plain.js';
import type { Routed } from './routes.js';
import { refuse } from './serve-endpoint.js';
import { sendStream } from './stream.js';
import { missingModel, textRefusal } from './text-refusals.js';
import { INPUT_OUTPUT_USAGE } from './usage-faults.js';

/** `messages`, as Anthropic's clients speak it: named events and no `[DONE]`. */
export const messagesEndpoint: Endpoint = {
  task: 'messages',
  path: 'messages',
  errors: 'anthropic',
  idPrefix: 'msg',
  usageFields: INPUT_OUTPUT_USAGE,
  read,
};

const CHARS_PER_TOKEN = 4;

function read(body: JsonObject): Understood {
  const { model, messages } = body;
  const refusal = missingModel(body);
  if (refusal !== null || typeof model !== 'string') {
    return { refusal: refusal ?? jsonError(400, {}) };
  }
  if (!Array.isArray(messages) || messages.length === 0) {
    return { refusal: invalidRequest('messages: Field required', 'messages', null) };
  }
  if (countOrNull(body['max_tokens']) === null) {
    return { refusal: invalidRequest('max_tokens: Field required', 'max_tokens', null) };
  }
  return {
    ask: {
      model,
      body,
      isStream: body['stream'] === true,
      text: lastUserText(messages),
      plan: (asked, { contextLength }, seed) => planText(textAsk(body), asked, contextLength, seed),
      refusal: (call) => textRefusal(call, 'messages'),
      answer,
    },
  };
}

function textAsk(body: JsonObject): TextAsk {
  const tools: unknown[] = Array.isArray(body['tools']) ? body['tools'] : [];
  const choice = body['tool_choice'];
  return {
    ...measureMessages(body, tools),
    maximum: countOrNull(body['max_tokens']),
    choices: 1,
    // Its usage has no place for reasoning apart from output: none is made unless asked for.
    reasons: false,
    tools,
    forcesTool: isObject(choice) && (choice['type'] === 'any' || choice['type'] === 'tool'),
  };
}

async function answer(exchange: Exchange, call: Call): Promise<void> {
  if (isPlain(call)) {
    await sendPlain(exchange, call, messageObject(call));
    return;
  }
  await sendStream(exchange, call, {
    events: messageEvents(call),
    outcome: 'complete',
    error: messageError,
    padding: (padding) => ({ type: 'ping', padding }),
  });
}

/** `messages/count_tokens`: counts and answers; nobody bills it and the books do not know it. */
export function serveCountTokens({ context, exchange }: Routed, bytes: Buffer): void {
  const id = context.ids.unbilled();
  const body: unknown = parse(bytes);
  const model = isObject(body) ? body['model'] : null;
  if (!isObject(body) || typeof model !== 'string' || !Array.isArray(body['messages'])) {
    const refusal = invalidRequest('model and messages: Field required', 'messages', null);
    refuse(exchange, messagesEndpoint, refusal, id, {});
    return;
  }
  const tools: unknown[] = Array.isArray(body['tools']) ? body['tools'] : [];
  const { chars } = measureMessages(body, tools);
  const headers = { 'content-type': 'application/json', 'x-request-id': id, 'request-id': id };
  const counted = Math.max(1, Math.ceil(chars / CHARS_PER_TOKEN));
  exchange.answer(200, headers, JSON.stringify({ input_tokens: counted }));
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return null;
  }
}
