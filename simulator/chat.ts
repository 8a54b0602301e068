import { chatAsk, planText } from './answer-plan.js';
import type { Call } from './call.js';
import { plainAnswer, type StreamEvent, streamEvents } from './dialects.js';
import { lastUserText } from './directives.js';
import { type Endpoint, isPlain, type Understood } from './endpoint.js';
import { jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import type { JsonObject } from './json.js';
import { sendPlain } from './plain.js';
import { sendStream } from './stream.js';
import { missingModel, streamOptionsRefusal, textRefusal } from './text-refusals.js';
import { OPENAI_USAGE } from './usage-faults.js';

/** `chat/completions`: the answer in the dialect of whichever provider serves it. */
export const chatEndpoint: Endpoint = {
  task: 'chat',
  path: 'chat/completions',
  errors: 'openai',
  idPrefix: 'chatcmpl',
  usageFields: OPENAI_USAGE,
  read,
};

/** What OpenAI-style routes send where a stream cannot go on. */
export const STREAM_ERROR: StreamEvent = {
  kind: 'data',
  payload: { error: { message: 'The model backend failed', type: 'server_error', code: 500 } },
  tokens: 0,
};

function read(body: JsonObject): Understood {
  const { model, messages } = body;
  const refusal = missingModel(body);
  if (refusal !== null || typeof model !== 'string') {
    return { refusal: refusal ?? jsonError(400, {}) };
  }
  if (!Array.isArray(messages) || messages.length === 0) {
    return { refusal: jsonError(422, { detail: 'messages: a list with at least one entry' }) };
  }
  return {
    ask: {
      model,
      body,
      isStream: body['stream'] === true,
      text: lastUserText(messages),
      plan: (asked, { contextLength }, seed) => planText(chatAsk(body), asked, contextLength, seed),
      refusal: (call) => streamOptionsRefusal(call) ?? textRefusal(call, 'messages'),
      answer,
    },
  };
}

async function answer(exchange: Exchange, call: Call): Promise<void> {
  const { plan, offer, facts } = call;
  if (isPlain(call)) {
    await sendPlain(exchange, call, plainAnswer(plan, offer.dialect, facts));
    return;
  }
  await sendStream(exchange, call, {
    events: streamEvents(plan, offer.dialect, facts),
    outcome: 'complete',
    error: STREAM_ERROR,
    padding: (padding) => ({ id: facts.id, choices: [], padding }),
  });
}
