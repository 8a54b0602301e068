import { choicesOf, planText, type TextAsk, TextMeter } from './answer-plan.js';
import type { Call } from './call.js';
import { STREAM_ERROR } from './chat.js';
import { plainAnswer, type StreamEvent, streamEvents } from './dialects.js';
import { type Endpoint, isPlain, type Understood } from './endpoint.js';
import { invalidRequest, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { countOrNull, isObject, type JsonObject } from './json.js';
import { sendPlain } from './plain.js';
import { sendStream } from './stream.js';
import { missingModel, streamOptionsRefusal, textRefusal } from './text-refusals.js';
import { OPENAI_USAGE } from './usage-faults.js';

/** `completions`: text that goes on, with the usage where the provider puts it in chat. */
export const completionEndpoint: Endpoint = {
  task: 'completion',
  path: 'completions',
  errors: 'openai',
  idPrefix: 'cmpl',
  usageFields: OPENAI_USAGE,
  read,
};

const MOST_PROMPTS = 2_048;

/** The prompts of a request: texts, or lists of token ids. */
type Prompts = readonly (string | readonly number[])[];

function read(body: JsonObject): Understood {
  const { model } = body;
  const refusal = missingModel(body);
  if (refusal !== null || typeof model !== 'string') {
    return { refusal: refusal ?? jsonError(400, {}) };
  }
  const prompts = promptsOf(body['prompt']);
  if (prompts === null) {
    return { refusal: invalidRequest('you must provide a prompt', 'prompt', null) };
  }
  const isStream = body['stream'] === true;
  const n = choicesOf(body['n']);
  const bestOf = countOrNull(body['best_of']) ?? n;
  if (bestOf < n || (isStream && bestOf > n)) {
    const message = `best_of must be at least n (${n}), and equal to it in a stream`;
    return { refusal: invalidRequest(message, 'best_of', null) };
  }
  const text = prompts.findLast((prompt) => typeof prompt === 'string');
  return {
    ask: {
      model,
      body,
      isStream,
      text: typeof text === 'string' ? text : '',
      plan: (asked, { contextLength }, seed) =>
        planText(textAsk(body, prompts, bestOf), asked, contextLength, seed),
      refusal: (call) => streamOptionsRefusal(call) ?? textRefusal(call, 'prompt'),
      answer: (exchange, call) => answer(exchange, call, n, bestOf),
    },
  };
}

/** Every candidate is generated and billed, also those that `best_of` does not show. */
function textAsk(body: JsonObject, prompts: Prompts, bestOf: number): TextAsk {
  const meter = new TextMeter();
  for (const prompt of prompts) {
    if (typeof prompt === 'string') meter.addText(prompt);
    else meter.ids += prompt.length;
  }
  return {
    ...meter.measured,
    maximum: countOrNull(body['max_tokens']),
    choices: bestOf * prompts.length,
    reasons: false,
    tools: [],
    forcesTool: false,
  };
}

/** A text, a list of texts, a list of token ids, or a list of such lists; null for anything else. */
export function promptsOf(prompt: unknown): Prompts | null {
  if (typeof prompt === 'string') return [prompt];
  if (!Array.isArray(prompt) || prompt.length === 0) return null;
  if (isIds(prompt)) return [prompt];
  if (prompt.length > MOST_PROMPTS) return null;
  const prompts: (string | readonly number[])[] = [];
  for (const one of prompt as unknown[]) {
    if (typeof one !== 'string' && !isIds(one)) return null;
    prompts.push(one);
  }
  return prompts;
}

function isIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((id) => countOrNull(id) !== null);
}

async function answer(exchange: Exchange, call: Call, n: number, bestOf: number): Promise<void> {
  const { plan, offer, facts } = call;
  if (isPlain(call)) {
    const body = plainAnswer(plan, offer.dialect, facts);
    await sendPlain(exchange, call, plainText(body, n, bestOf));
    return;
  }
  await sendStream(exchange, call, {
    events: streamEvents(plan, offer.dialect, facts).map(textEvent),
    outcome: 'complete',
    error: STREAM_ERROR,
    padding: (padding) => ({ id: facts.id, choices: [], padding }),
  });
}

/** A chat answer as text: of each prompt's `bestOf` candidates the first `n`. */
function plainText(chat: JsonObject, n: number, bestOf: number): JsonObject {
  const choices = (chat['choices'] as JsonObject[]).filter((_, index) => index % bestOf < n);
  return {
    ...chat,
    object: 'text_completion',
    choices: choices.map((choice, index) => ({ ...textChoice(choice), index })),
  };
}

/** A chunk of a chat stream as a chunk of text; the usage stays where it is. */
function textEvent(event: StreamEvent): StreamEvent {
  if (event.kind !== 'data') return event;
  const choices = event.payload['choices'] as JsonObject[];
  const payload = {
    ...event.payload,
    object: 'text_completion',
    choices: choices.map(textChoice),
  };
  return { ...event, payload };
}

function textChoice({ delta, message, ...choice }: JsonObject): JsonObject {
  const source = isObject(message) ? message : isObject(delta) ? delta : {};
  const { content } = source;
  return { ...choice, text: typeof content === 'string' ? content : '', logprobs: null };
}
