import { planMedia } from './answer-plan.js';
import type { Call } from './call.js';
import type { Offer } from './catalogue.js';
import type { Units } from './dialects.js';
import { type Endpoint, isPlain, type Understood } from './endpoint.js';
import { invalidRequest, jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { imageStream, partialsOf, TOKENS_PER_PARTIAL } from './image-events.js';
import { countOrNull, type JsonObject } from './json.js';
import type { Body } from './lying-body.js';
import { OVERSIZE_BYTES, refusedWith200, sendBody, sendWhole } from './plain.js';
import { base64, type Picture, png } from './png.js';
import { hashText } from './random.js';
import { sendStream } from './stream.js';
import { missingModel, textRefusal } from './text-refusals.js';
import { INPUT_OUTPUT_USAGE } from './usage-faults.js';
import type { Route } from './routes.js';

/** `images/generations`: pictures in base64 or as addresses at which they lie. */
export const imageEndpoint: Endpoint = {
  task: 'image',
  path: 'images/generations',
  errors: 'openai',
  idPrefix: 'img',
  usageFields: INPUT_OUTPUT_USAGE,
  read,
};

const MOST_IMAGES = 16;
const MOST_PIXELS_A_SIDE = 8_192;
const DEFAULT_SIDE = 1_024;
const CHARS_PER_TOKEN = 4;
const TAIL_CHARS = 256;
/** Tokens of one square tile of a picture, where pictures are priced by tokens. */
const TOKENS_PER_TILE = 64;
const TILE_SIDE = 128;
/** Bodies up to this size go through every fault; longer ones are never whole in memory. */
const SMALL_BYTES = 1024 * 1024;

function read(body: JsonObject): Understood {
  const { model, prompt } = body;
  const refusal = missingModel(body);
  if (refusal !== null || typeof model !== 'string') {
    return { refusal: refusal ?? jsonError(400, {}) };
  }
  if (typeof prompt !== 'string') {
    return { refusal: invalidRequest("Missing required parameter: 'prompt'.", 'prompt', null) };
  }
  const n = countOrNull(body['n'] ?? 1);
  const size = sizeOf(body);
  if (n === null || n === 0 || n > MOST_IMAGES) {
    return { refusal: invalidRequest(`n must be from 1 to ${MOST_IMAGES}`, 'n', null) };
  }
  if (size === null) return { refusal: invalidRequest('Invalid size', 'size', null) };
  const partials = partialsOf(body);
  if (partials === null) {
    return { refusal: invalidRequest('From 0 to 3', 'partial_images', null) };
  }
  const isStream = body['stream'] === true;
  return {
    ask: {
      model,
      body,
      isStream,
      text: prompt,
      plan: (asked, offer, seed) => {
        const hash = hashText(prompt.slice(-TAIL_CHARS), seed ^ prompt.length);
        const units = { image: BigInt(n), pixel: BigInt(n * size.width * size.height) };
        if (!hasTokenPrice(offer)) return planMedia(hash, units);
        const counted = Math.max(1, Math.ceil(prompt.length / CHARS_PER_TOKEN));
        const tokens = { prompt: asked.input ?? counted, completion: 0 };
        const each = asked.output ?? tokensOf(size);
        const made = BigInt(n * (each + (isStream ? partials * TOKENS_PER_PARTIAL : 0)));
        return planMedia(hash, { ...units, image_output: made }, tokens);
      },
      refusal: (call) => textRefusal(call, 'prompt'),
      answer: (exchange, call) =>
        isPlain(call)
          ? answer(exchange, call, n, size)
          : answerInEvents(exchange, call, { n, size, partials }),
    },
  };
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** OpenAI's `size`, or Together's `width` and `height`. */
function sizeOf(body: JsonObject): Size | null {
  const { size } = body;
  if (typeof size === 'string' && size !== 'auto') {
    const [, width, height] = /^(\d{1,4})x(\d{1,4})$/.exec(size) ?? [];
    return sides(Number(width), Number(height));
  }
  return sides(Number(body['width'] ?? DEFAULT_SIDE), Number(body['height'] ?? DEFAULT_SIDE));
}

function sides(width: number, height: number): Size | null {
  const isSide = (side: number): boolean =>
    Number.isSafeInteger(side) && side > 0 && side <= MOST_PIXELS_A_SIDE;
  return isSide(width) && isSide(height) ? { width, height } : null;
}

/** The tokens of one picture, where tokens are what is priced; `[[sim output=]]` overrules. */
function tokensOf({ width, height }: Size): number {
  return TOKENS_PER_TILE * Math.ceil(width / TILE_SIDE) * Math.ceil(height / TILE_SIDE);
}

function hasTokenPrice({ rates }: Offer): boolean {
  return rates.some(({ unit }) => unit === 'image_output');
}

async function answer(exchange: Exchange, call: Call, n: number, size: Size): Promise<void> {
  if (refusedWith200(exchange, call)) return;
  const { asked, plan, body } = call;
  const wantsUrl = body['response_format'] === 'url';
  // What was asked for is the length of the answer, where base64 adds a third.
  const bytesEach = wantsUrl ? (asked.bytes ?? 0) : Math.floor(((asked.bytes ?? 0) / n) * 0.75);
  const pictures = Array.from({ length: n }, (_, index) => {
    const color = hashText(String(index), plan.hash) & 0xffffff;
    const picture = { ...size, color };
    const address = addressOf(exchange, picture, bytesEach);
    return wantsUrl ? text(JSON.stringify({ url: address })) : b64(png(picture, bytesEach));
  });
  const whole = joined([
    text(`{"created":${call.facts.created},"data":[`),
    ...pictures.flatMap((picture, index) => (index === 0 ? [picture] : [text(','), picture])),
    text(`]${rest(call)}}`),
  ]);
  if (whole.length > SMALL_BYTES) {
    await sendBody(exchange, call, call.headers, whole);
    return;
  }
  const bytes = Buffer.concat([...whole.pieces]);
  const sent = call.has('invalid-json') ? bytes.subarray(0, bytes.length >> 1) : bytes;
  await sendWhole(exchange, call, call.headers, sent);
}

interface Asked {
  readonly n: number;
  readonly size: Size;
  readonly partials: number;
}

/** Each event is whole in memory, unlike a plain answer. */
async function answerInEvents(exchange: Exchange, call: Call, asked: Asked): Promise<void> {
  const { n, size, partials } = asked;
  const bytesEach = Math.floor(((call.asked.bytes ?? 0) / n) * 0.75);
  const picture = (index: number): string => {
    const color = hashText(String(index), call.plan.hash) & 0xffffff;
    return Buffer.concat([...base64(png({ ...size, color }, bytesEach)).pieces]).toString('latin1');
  };
  const { alterUsage } = call.facts;
  const usage = (units: Units): JsonObject | null => {
    if (!hasTokenPrice(call.offer)) return null;
    const stated = imageUsage(call, units);
    return alterUsage === null ? stated : alterUsage(stated);
  };
  const text = `${size.width}x${size.height}`;
  await sendStream(exchange, call, imageStream(call, { n, partials, picture, size: text, usage }));
}

/** What follows the pictures: a usage where they are priced by tokens, and a fault's filler. */
function rest(call: Call): string {
  const { offer, facts, asked } = call;
  const more: JsonObject = {};
  if (hasTokenPrice(offer)) {
    const usage = imageUsage(call, call.plan.units);
    const altered = facts.alterUsage === null ? usage : facts.alterUsage(usage);
    if (altered !== null) more['usage'] = altered;
  }
  if (call.has('oversize-event')) more['padding'] = 'x'.repeat(asked.sizeBytes ?? OVERSIZE_BYTES);
  const json = JSON.stringify(more).slice(1, -1);
  return json === '' ? '' : `,${json}`;
}

function imageUsage({ plan }: Call, units: Units): JsonObject {
  const output = Number(units['image_output'] ?? 0n);
  return {
    total_tokens: plan.promptTokens + output,
    input_tokens: plan.promptTokens,
    output_tokens: output,
    input_tokens_details: { text_tokens: plan.promptTokens, image_tokens: 0 },
  };
}

function text(part: string): Body {
  const bytes = Buffer.from(part);
  return { length: bytes.length, pieces: [bytes] };
}

function b64(picture: Body): Body {
  return joined([text('{"b64_json":"'), base64(picture), text('"}')]);
}

function joined(bodies: readonly Body[]): Body {
  const length = bodies.reduce((sum, body) => sum + body.length, 0);
  return { length, pieces: piecesOf(bodies) };
}

function* piecesOf(bodies: readonly Body[]): Iterable<Buffer> {
  for (const { pieces } of bodies) yield* pieces;
}

/** The address names everything about the picture, so that nothing need be kept. */
function addressOf({ req }: Exchange, { width, height, color }: Picture, bytes: number): string {
  const name = `${width}x${height}-${color.toString(16).padStart(6, '0')}-${bytes}.png`;
  return `http://${req.headers.host ?? 'localhost'}/_pictures/${name}`;
}

/** `GET /_pictures/...`: no key needed, as at any provider's delivery host. */
export const pictureRoute: Route = {
  method: 'GET',
  pattern: /^\/_pictures\/(\d{1,4})x(\d{1,4})-([0-9a-f]{6})-(\d{1,10})\.png$/,
  serve: async ({ exchange, groups }) => {
    const [width = '', height = '', color = '', bytes = ''] = groups;
    const size = sides(Number(width), Number(height)) ?? { width: 1, height: 1 };
    const picture = png({ ...size, color: Number.parseInt(color, 16) }, Number(bytes));
    exchange.head(200, { 'content-type': 'image/png', 'content-length': picture.length });
    for (const piece of picture.pieces) await exchange.write(piece);
    exchange.end();
  },
};
