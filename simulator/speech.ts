import { planMedia } from './answer-plan.js';
import type { Call } from './call.js';
import type { Endpoint, Understood } from './endpoint.js';
import { invalidRequest, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import type { JsonObject } from './json.js';
import type { Body } from './lying-body.js';
import { refusedWith200, sendBody } from './plain.js';
import { hashText } from './random.js';
import { missingModel } from './text-refusals.js';
import { INPUT_OUTPUT_USAGE } from './usage-faults.js';

/** `audio/speech`: bytes and nothing else. No answer says what it cost. */
export const speechEndpoint: Endpoint = {
  task: 'speech',
  path: 'audio/speech',
  errors: 'openai',
  idPrefix: 'speech',
  usageFields: INPUT_OUTPUT_USAGE,
  read,
};

const BYTES_PER_CHARACTER = 320;
const PIECE_BYTES = 16 * 1024;
const MOST_CHARACTERS = 100_000;

const contentTypes: ReadonlyMap<string, string> = new Map([
  ['mp3', 'audio/mpeg'],
  ['opus', 'audio/ogg'],
  ['aac', 'audio/aac'],
  ['flac', 'audio/flac'],
  ['wav', 'audio/wav'],
  ['pcm', 'audio/pcm'],
]);

function read(body: JsonObject): Understood {
  const { model, input } = body;
  const refusal = missingModel(body);
  if (refusal !== null || typeof model !== 'string') {
    return { refusal: refusal ?? jsonError(400, {}) };
  }
  if (typeof input !== 'string' || input === '' || input.length > MOST_CHARACTERS) {
    return { refusal: invalidRequest("Missing required parameter: 'input'.", 'input', null) };
  }
  const format = body['response_format'] ?? 'mp3';
  const contentType = typeof format === 'string' ? contentTypes.get(format) : undefined;
  if (contentType === undefined) {
    return { refusal: invalidRequest('Invalid format', 'response_format', null) };
  }
  const characters = codePoints(input);
  return {
    ask: {
      model,
      body,
      isStream: false,
      text: input,
      plan: (_asked, _offer, seed) =>
        planMedia(hashText(input.slice(-256), seed ^ input.length), {
          character: BigInt(characters),
        }),
      refusal: () => null,
      answer: (exchange, call) => answer(exchange, call, characters, contentType),
    },
  };
}

/** Unicode code points: what a person would count, and what providers bill. */
function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

async function answer(
  exchange: Exchange,
  call: Call,
  characters: number,
  contentType: string,
): Promise<void> {
  if (refusedWith200(exchange, call)) return;
  const length = call.asked.bytes ?? characters * BYTES_PER_CHARACTER;
  const headers = { ...call.headers, 'content-type': contentType };
  await sendBody(exchange, call, headers, noise(length, call.plan.hash));
}

/** Bytes decided by the request alone, of which one piece at a time is in memory. */
function noise(length: number, seed: number): Body {
  return { length, pieces: noisePieces(length, seed) };
}

function* noisePieces(length: number, seed: number): Iterable<Buffer> {
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let at = 0; at < PIECE_BYTES; at += 4) piece.writeUInt32LE(hashText(String(at), seed), at);
  for (let left = length; left > 0; left -= PIECE_BYTES) yield piece.subarray(0, left);
}
