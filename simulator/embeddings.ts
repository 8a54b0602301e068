import { planMedia, TextMeter } from './answer-plan.js';
import type { Call } from './call.js';
import { promptsOf } from './completions.js';
import type { Endpoint, Understood } from './endpoint.js';
import { invalidRequest, jsonError } from './error-answers.js';
import { countOrNull, type JsonObject } from './json.js';
import { sendPlain } from './plain.js';
import { hashText } from './random.js';
import { missingModel, textRefusal } from './text-refusals.js';

/** `embeddings`: one vector per input, as numbers or as base64 of little-endian 32-bit floats. */
export const embeddingEndpoint: Endpoint = {
  task: 'embedding',
  path: 'embeddings',
  errors: 'openai',
  idPrefix: 'embd',
  usageFields: { input: 'prompt_tokens', output: 'prompt_tokens' },
  read,
};

const CHARS_PER_TOKEN = 4;
const DEFAULT_DIMENSIONS = 16;
const MOST_DIMENSIONS = 4_096;

function read(body: JsonObject): Understood {
  const { model } = body;
  const refusal = missingModel(body);
  if (refusal !== null || typeof model !== 'string') {
    return { refusal: refusal ?? jsonError(400, {}) };
  }
  const inputs = promptsOf(body['input']);
  if (inputs === null) return { refusal: invalidRequest("'input' is missing", 'input', null) };
  const text = inputs.findLast((input) => typeof input === 'string');
  const meter = new TextMeter();
  for (const input of inputs) {
    if (typeof input === 'string') meter.addText(input);
    else meter.ids += input.length;
  }
  const { chars, ids, tail } = meter.measured;
  return {
    ask: {
      model,
      body,
      isStream: false,
      text: typeof text === 'string' ? text : '',
      plan: (asked, _offer, seed) => {
        const counted = Math.max(1, Math.ceil(chars / CHARS_PER_TOKEN) + ids);
        const tokens = { prompt: asked.input ?? counted, completion: 0 };
        return planMedia(hashText(tail, seed ^ chars), {}, tokens);
      },
      refusal: (call) => textRefusal(call, 'input'),
      answer: (exchange, call) => sendPlain(exchange, call, vectors(call, inputs.map(String))),
    },
  };
}

function vectors(call: Call, inputs: readonly string[]): JsonObject {
  const { body, facts, plan } = call;
  const wanted = countOrNull(body['dimensions']) ?? DEFAULT_DIMENSIONS;
  const dimensions = Math.min(MOST_DIMENSIONS, Math.max(1, wanted));
  const isBase64 = body['encoding_format'] === 'base64';
  const answer: JsonObject = {
    object: 'list',
    data: inputs.map((input, index) => {
      const vector = vectorOf(input, dimensions);
      const embedding = isBase64 ? Buffer.from(vector.buffer).toString('base64') : [...vector];
      return { object: 'embedding', index, embedding };
    }),
    model: facts.model,
  };
  const usage = { prompt_tokens: plan.promptTokens, total_tokens: plan.promptTokens };
  const altered = facts.alterUsage === null ? usage : facts.alterUsage(usage);
  return altered === null ? answer : { ...answer, usage: altered };
}

/** Numbers that a 32-bit float holds exactly, decided by the input alone. */
function vectorOf(input: string, dimensions: number): Float32Array<ArrayBuffer> {
  const start = hashText(input, 0);
  return Float32Array.from(
    { length: dimensions },
    (_, index) => ((hashText(String(index), start) % 2_001) - 1_000) / 1_024,
  );
}
