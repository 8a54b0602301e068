import { planText, type TextAsk, TextMeter } from './answer-plan.js';
import type { Call } from './call.js';
import { lastUserText } from './directives.js';
import { type Endpoint, isPlain, type Understood } from './endpoint.js';
import { invalidRequest, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { countOrNull, isObject, type JsonObject } from './json.js';
import { sendPlain } from './plain.js';
import { responseEvents, responseError } from './response-events.js';
import { outputItems, responseObject, responseStatus } from './response-object.js';
import { sendStream } from './stream.js';
import { missingModel, textRefusal } from './text-refusals.js';
import { INPUT_OUTPUT_USAGE } from './usage-faults.js';

/** `responses`: typed events, the usage in the last one. */
export const responsesEndpoint: Endpoint = {
  task: 'responses',
  path: 'responses',
  errors: 'openai',
  idPrefix: 'resp',
  usageFields: INPUT_OUTPUT_USAGE,
  read,
};

function read(body: JsonObject): Understood {
  const { model, input } = body;
  const refusal = missingModel(body);
  if (refusal !== null || typeof model !== 'string') {
    return { refusal: refusal ?? jsonError(400, {}) };
  }
  if (typeof input !== 'string' && !(Array.isArray(input) && input.length > 0)) {
    return { refusal: invalidRequest("Missing required parameter: 'input'.", 'input', null) };
  }
  return {
    ask: {
      model,
      body,
      isStream: body['stream'] === true,
      text: typeof input === 'string' ? input : lastUserText(input),
      plan: (asked, { contextLength }, seed) => planText(textAsk(body), asked, contextLength, seed),
      refusal: (call) => textRefusal(call, 'input'),
      answer,
    },
  };
}

/** Instructions, then the input: text, or items whose content, arguments or output is text. */
function textAsk(body: JsonObject): TextAsk {
  const tools: unknown[] = Array.isArray(body['tools']) ? body['tools'] : [];
  const meter = new TextMeter();
  if (tools.length > 0) meter.chars += JSON.stringify(tools).length;
  meter.addContent(body['instructions']);
  const { input } = body;
  meter.addContent(typeof input === 'string' ? input : undefined);
  for (const item of Array.isArray(input) ? (input as unknown[]) : []) {
    if (!isObject(item)) continue;
    meter.addContent(item['content'] ?? item['output'] ?? item['arguments']);
  }
  return {
    ...meter.measured,
    maximum: countOrNull(body['max_output_tokens']),
    choices: 1,
    reasons: true,
    tools,
    forcesTool: body['tool_choice'] === 'required' || isObject(body['tool_choice']),
  };
}

async function answer(exchange: Exchange, call: Call): Promise<void> {
  const status = responseStatus(call);
  const outcome = status === 'failed' ? 'faulted' : 'complete';
  if (isPlain(call)) {
    await sendPlain(exchange, call, responseObject(call, status, outputItems(call)), outcome);
    return;
  }
  await sendStream(exchange, call, {
    events: responseEvents(call),
    outcome,
    error: responseError,
    padding: (padding) => ({ type: 'response.in_progress', padding }),
  });
}
