import type { Call } from './call.js';
import { type ErrorAnswer, invalidRequest, streamOptionsForbidden } from './error-answers.js';
import type { JsonObject } from './json.js';

/** A missing or wrong model name; null when there is one. */
export function missingModel(body: JsonObject): ErrorAnswer | null {
  if (typeof body['model'] === 'string') return null;
  return invalidRequest('you must provide a model parameter', 'model', null);
}

/** What this provider would not take of a text request: fields it rejects, a prompt past its context. */
export function textRefusal(call: Call, inputField: string): ErrorAnswer | null {
  const { body, offer, plan } = call;
  for (const field of offer.dialect.rejects) {
    if (body[field] !== undefined) {
      return invalidRequest(`Unsupported parameter: ${field}`, field, 'unsupported_parameter');
    }
  }
  if (plan.promptTokens > offer.contextLength) {
    const message = `This model's maximum context length is ${offer.contextLength} tokens.`;
    return invalidRequest(message, inputField, 'context_length_exceeded');
  }
  return null;
}

/** What this provider makes of `stream_options`, which only chat and completions know. */
export function streamOptionsRefusal({ body, offer, isStream }: Call): ErrorAnswer | null {
  if (body['stream_options'] === undefined || body['stream_options'] === null) return null;
  const { streamOptions } = offer.dialect;
  if (streamOptions === 'rejects') return streamOptionsForbidden;
  if (streamOptions === 'rejects-unless-streaming' && !isStream) {
    const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
    return invalidRequest(message, 'stream_options', null);
  }
  return null;
}
