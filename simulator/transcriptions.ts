import { Readable } from 'node:stream';
import { planMedia } from './answer-plan.js';
import { textOf } from './answer-text.js';
import type { Call } from './call.js';
import type { Offer } from './catalogue.js';
import { STREAM_ERROR } from './chat.js';
import { isAuthorized } from './credentials.js';
import type { StreamEvent } from './dialects.js';
import type { Directives, LengthStatement } from './directives.js';
import { isPlain, type Understood } from './endpoint.js';
import { invalidCredentials, invalidRequest } from './error-answers.js';
import type { Exchange } from './exchange.js';
import type { JsonObject } from './json.js';
import { refusedWith200, sendPlain, sendWhole } from './plain.js';
import type { Routed } from './routes.js';
import { type EndpointForm, refuse, serveUnderstood } from './serve-endpoint.js';
import { sendStream } from './stream.js';
import { readUpload, type Upload, type UploadedFile } from './upload.js';

/** `audio/transcriptions`: a file in, text out; directives stand in the field `prompt`. */
export const transcriptionForm: EndpointForm = {
  task: 'transcription',
  path: 'audio/transcriptions',
  errors: 'openai',
  idPrefix: 'trans',
  usageFields: { input: 'seconds', output: 'seconds' },
};

const MS_PER_TOKEN = 100;
const CHUNKS = 8;
const MS_PER_SECOND = 1_000;

/** Reads the file in passing, then answers; `at` as for any endpoint. */
export async function serveTranscription(request: Routed, at: string | null): Promise<void> {
  const { context, exchange } = request;
  const { req } = exchange;
  const upload = await readUpload(req, req.headers, context.seed);
  if (!isAuthorized(context, req)) {
    refuse(exchange, transcriptionForm, invalidCredentials, context.ids.unbilled(), {});
    return;
  }
  await serveUnderstood(context, exchange, transcriptionForm, understand(upload), at);
}

/** The same for a caller whose key was looked at and a form that is in memory already. */
export async function serveReadTranscription(
  { context, exchange }: Pick<Routed, 'context' | 'exchange'>,
  bytes: Buffer,
  provider: string,
): Promise<void> {
  const upload = await readUpload(Readable.from([bytes]), exchange.req.headers, context.seed);
  await serveUnderstood(context, exchange, transcriptionForm, understand(upload), provider);
}

function understand(upload: Upload | null): Understood {
  if (upload === null) {
    return { refusal: invalidRequest('The body is no multipart form', null, null) };
  }
  const { fields, file } = upload;
  const model = fields.get('model');
  if (model === undefined) {
    return { refusal: invalidRequest('you must provide a model parameter', 'model', null) };
  }
  if (file === null || file.bytes === 0) {
    return { refusal: invalidRequest("Missing required parameter: 'file'.", 'file', null) };
  }
  const format = fields.get('response_format') ?? 'json';
  return {
    ask: {
      model,
      body: Object.fromEntries(fields),
      isStream: fields.get('stream') === 'true',
      text: fields.get('prompt') ?? '',
      plan: (asked, offer) => planOf(asked, offer, file),
      refusal: () => null,
      answer: (exchange, call) => answer(exchange, call, format, file),
    },
  };
}

function lengthOf(asked: Directives, file: UploadedFile): number {
  return asked.audioMs ?? file.lengthMs;
}

function hasTokenPrice({ rates }: Offer): boolean {
  return rates.some(({ unit }) => unit === 'audio_input');
}

function tokensOf(asked: Directives, file: UploadedFile): { audio: number; text: number } {
  const audio = asked.input ?? Math.max(1, Math.ceil(lengthOf(asked, file) / MS_PER_TOKEN));
  return { audio, text: asked.output ?? 8 + (file.hash % 57) };
}

function planOf(asked: Directives, offer: Offer, file: UploadedFile): Call['plan'] {
  const audioMs = BigInt(lengthOf(asked, file));
  if (!hasTokenPrice(offer)) return planMedia(file.hash, { audio_ms: audioMs });
  const { audio, text } = tokensOf(asked, file);
  const units = { audio_ms: audioMs, audio_input: BigInt(audio) };
  return planMedia(file.hash, units, { prompt: 0, completion: text });
}

async function answer(
  exchange: Exchange,
  call: Call,
  format: string,
  file: UploadedFile,
): Promise<void> {
  const { text: count } = tokensOf(call.asked, file);
  const text = textOf(call.plan.textOffset, count);
  if (!isPlain(call)) {
    await sendStream(exchange, call, {
      events: transcriptEvents(call, count, usageOf(call, file)),
      outcome: 'complete',
      error: STREAM_ERROR,
      padding: (padding) => ({ type: 'transcript.text.delta', delta: '', padding }),
    });
    return;
  }
  if (format === 'text' || format === 'srt' || format === 'vtt') {
    if (refusedWith200(exchange, call)) return;
    const headers = { ...call.headers, 'content-type': 'text/plain; charset=utf-8' };
    await sendWhole(exchange, call, headers, Buffer.from(`${text}\n`));
    return;
  }
  await sendPlain(exchange, call, transcript(call, format, text, file));
}

function transcript(call: Call, format: string, text: string, file: UploadedFile): JsonObject {
  const isVerbose = format === 'verbose_json';
  const states = call.asked.states ?? usually(call, isVerbose);
  const usage = usageOf(call, file);
  const seconds = lengthOf(call.asked, file) / MS_PER_SECOND;
  const stated = call.facts.alterUsage === null ? { seconds } : call.facts.alterUsage({ seconds });
  const answer: JsonObject = isVerbose
    ? { task: 'transcribe', language: 'english', text, segments: [segment(text, seconds)] }
    : { text };
  if (stated !== null && (states === 'duration' || states === 'both')) {
    answer['duration'] = stated['seconds'];
  }
  if (usage !== null && (states === 'usage' || states === 'both')) answer['usage'] = usage;
  if (call.offer.provider === 'groq') answer['x_groq'] = { id: `req_${call.facts.id}` };
  return answer;
}

/** Short answers state the length in a usage, long ones as a duration; OpenAI's long ones twice. */
function usually({ offer }: Call, isVerbose: boolean): LengthStatement {
  if (!isVerbose) return 'usage';
  return offer.provider === 'openai' ? 'both' : 'duration';
}

function segment(text: string, end: number): JsonObject {
  return { id: 0, seek: 0, start: 0, end, text, tokens: [], temperature: 0, avg_logprob: -0.25 };
}

/** Seconds, or tokens where tokens are what is priced. Null: a fault leaves it out. */
function usageOf({ asked, facts, offer, plan }: Call, file: UploadedFile): JsonObject | null {
  const alter = (seconds: number): JsonObject | null =>
    facts.alterUsage === null ? { seconds } : facts.alterUsage({ seconds });
  if (!hasTokenPrice(offer)) {
    const altered = alter(lengthOf(asked, file) / MS_PER_SECOND);
    return altered === null ? null : { type: 'duration', ...altered };
  }
  const { audio } = tokensOf(asked, file);
  const altered = alter(audio);
  if (altered === null) return null;
  return {
    type: 'tokens',
    input_tokens: altered['seconds'],
    input_token_details: { text_tokens: 0, audio_tokens: altered['seconds'] },
    output_tokens: plan.tokensPerChoice,
    total_tokens: audio + plan.tokensPerChoice,
  };
}

function transcriptEvents(call: Call, count: number, usage: JsonObject | null): StreamEvent[] {
  const { plan } = call;
  const chunks = call.asked.chunks ?? CHUNKS;
  // Where text is not what is billed, none of it counts.
  const billed = plan.tokensPerChoice > 0 ? 1 : 0;
  const events = Array.from({ length: chunks }, (_, index): StreamEvent => {
    const from = Math.floor((count * index) / chunks);
    const to = Math.floor((count * (index + 1)) / chunks);
    const delta = textOf(plan.textOffset + from, to - from);
    const payload = { type: 'transcript.text.delta', delta };
    return { kind: 'data', payload, tokens: billed * to };
  });
  const text = textOf(plan.textOffset, count);
  const payload = { type: 'transcript.text.done', text, ...(usage !== null && { usage }) };
  const tokens = plan.tokensPerChoice;
  return [...events, { kind: 'data', payload, tokens }, { kind: 'done', tokens }];
}
