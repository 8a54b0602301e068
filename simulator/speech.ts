import { planMedia } from './answer-plan.js';
import type { Call } from './call.js';
import type { Offer } from './catalogue.js';
import { STREAM_ERROR } from './chat.js';
import type { StreamEvent, Units } from './dialects.js';
import type { Directives } from './directives.js';
import { type Endpoint, isPlain, type Understood } from './endpoint.js';
import { invalidRequest, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import type { JsonObject } from './json.js';
import type { Body } from './lying-body.js';
import { refusedWith200, sendBody } from './plain.js';
import { hashText } from './random.js';
import { sendStream } from './stream.js';
import { missingModel } from './text-refusals.js';
import { INPUT_OUTPUT_USAGE } from './usage-faults.js';

/**
 * `audio/speech`: bytes and nothing else, and no word about what they cost; or, with `stream_format:
 * "sse"`, the same bytes in events, and at last a usage.
 */
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
const CHARS_PER_TOKEN = 4;
const AUDIO_TOKENS_PER_CHARACTER = 2;
const CHUNKS = 8;

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
  const streamFormat = body['stream_format'] ?? 'audio';
  if (streamFormat !== 'audio' && streamFormat !== 'sse') {
    return { refusal: invalidRequest('Invalid stream format', 'stream_format', null) };
  }
  const characters = codePoints(input);
  return {
    ask: {
      model,
      body,
      isStream: streamFormat === 'sse',
      text: input,
      plan: (asked, offer, seed) => {
        const hash = hashText(input.slice(-256), seed ^ input.length);
        const units = { character: BigInt(characters) };
        if (!hasTokenPrice(offer)) return planMedia(hash, units);
        const { prompt, audio } = tokensOf(asked, characters);
        const tokens = { prompt, completion: 0 };
        return planMedia(hash, { ...units, audio_output: BigInt(audio) }, tokens);
      },
      refusal: () => null,
      answer: (exchange, call) =>
        isPlain(call)
          ? answer(exchange, call, characters, contentType)
          : answerInEvents(exchange, call, characters),
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

function hasTokenPrice({ rates }: Offer): boolean {
  return rates.some(({ unit }) => unit === 'audio_output');
}

/** Counted whether they are what is priced or not. */
function tokensOf(asked: Directives, characters: number): { prompt: number; audio: number } {
  return {
    prompt: asked.input ?? Math.ceil(characters / CHARS_PER_TOKEN),
    audio: asked.output ?? characters * AUDIO_TOKENS_PER_CHARACTER,
  };
}

async function answerInEvents(exchange: Exchange, call: Call, characters: number): Promise<void> {
  await sendStream(exchange, call, {
    events: speechEvents(call, characters),
    outcome: 'complete',
    error: STREAM_ERROR,
    padding: (padding) => ({ type: 'speech.audio.delta', audio: '', padding }),
  });
}

/** The text is billed with the first sound of it, audio tokens as far as they were spoken. */
function speechEvents(call: Call, characters: number): StreamEvent[] {
  const { asked, plan } = call;
  const sound = Buffer.concat([
    ...noise(asked.bytes ?? characters * BYTES_PER_CHARACTER, plan.hash).pieces,
  ]);
  const chunks = asked.chunks ?? CHUNKS;
  const events = Array.from({ length: chunks }, (_, index): StreamEvent => {
    const part = (whole: number, of: number): number => Math.floor((whole * of) / chunks);
    const bytes = sound.subarray(part(sound.length, index), part(sound.length, index + 1));
    const payload = { type: 'speech.audio.delta', audio: bytes.toString('base64') };
    const units = spoken(plan.units, index + 1, chunks);
    return { kind: 'data', payload, tokens: 0, units };
  });
  const usage = usageOf(call, characters);
  const payload = { type: 'speech.audio.done', ...(usage !== null && { usage }) };
  return [...events, { kind: 'data', payload, tokens: 0, units: plan.units }];
}

function spoken(units: Units, chunks: number, of: number): Units {
  const tokens = units['audio_output'];
  if (tokens === undefined) return units;
  return { ...units, audio_output: (tokens * BigInt(chunks)) / BigInt(of) };
}

/** Null: a fault leaves it out. */
function usageOf({ asked, facts }: Call, characters: number): JsonObject | null {
  const { prompt, audio } = tokensOf(asked, characters);
  const usage = { input_tokens: prompt, output_tokens: audio, total_tokens: prompt + audio };
  return facts.alterUsage === null ? usage : facts.alterUsage(usage);
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
