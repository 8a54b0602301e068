/** The stream of `images/generations`: pictures half done, then each one done, its usage with it. */
import type { Call } from './call.js';
import type { StreamEvent, Units } from './dialects.js';
import type { JsonObject } from './json.js';
import type { StreamedAnswer } from './stream.js';

/** Of a picture that is shown before it is done. */
export const TOKENS_PER_PARTIAL = 100;
const MOST_PARTIALS = 3;

/** What a stream of pictures is made of. */
export interface ImageStream {
  readonly n: number;
  /** Half done ones before each that is done. */
  readonly partials: number;
  /** Base64, by the picture's index. */
  readonly picture: (index: number) => string;
  readonly size: string;
  /** The usage once these units were made; null: there is none. */
  readonly usage: (units: Units) => JsonObject | null;
}

/** `partial_images`; null: not from 0 to 3. */
export function partialsOf(body: JsonObject): number | null {
  const asked = body['partial_images'] ?? 0;
  if (typeof asked !== 'number' || !Number.isInteger(asked)) return null;
  return asked < 0 || asked > MOST_PARTIALS ? null : asked;
}

/**
 * A picture counts once it is done. With several, each usage is of everything up to then: no source
 * says whether a provider's is, or of its own picture alone.
 */
export function imageStream(call: Call, stream: ImageStream): StreamedAnswer {
  const events = Array.from({ length: stream.n }, (_, index) => eventsOf(call, stream, index));
  const message = 'The model backend failed';
  const error = { type: 'image_generation_server_error', code: 'server_error', message };
  return {
    events: events.flat(),
    outcome: 'complete',
    error: { kind: 'data', name: 'error', payload: { type: 'error', error }, tokens: 0 },
    padding: (padding) => ({ type: 'image_generation.partial_image', padding }),
  };
}

function eventsOf(call: Call, stream: ImageStream, index: number): StreamEvent[] {
  const { n, partials } = stream;
  const shared = {
    b64_json: stream.picture(index),
    created_at: call.facts.created,
    size: stream.size,
    quality: 'auto',
    background: 'opaque',
    output_format: 'png',
  };
  const data = (name: string, more: JsonObject, units: Units): StreamEvent => {
    const payload = { type: name, ...shared, ...more };
    return { kind: 'data', name, payload, tokens: 0, units };
  };
  const before = made(call, n, index);
  const shown = Array.from({ length: partials }, (_, at) =>
    data(
      'image_generation.partial_image',
      { partial_image_index: at },
      withPartials(before, at + 1),
    ),
  );
  const after = made(call, n, index + 1);
  const usage = stream.usage(after);
  const done = data('image_generation.completed', usage === null ? {} : { usage }, after);
  return [...shown, done];
}

/** Of everything that is planned, what belongs to the first pictures of so many. */
function made({ plan }: Call, n: number, pictures: number): Units {
  const parts = Object.entries(plan.units).map(
    ([unit, quantity]) => [unit, (quantity * BigInt(pictures)) / BigInt(n)] as const,
  );
  return Object.fromEntries(parts);
}

function withPartials(units: Units, partials: number): Units {
  const tokens = units['image_output'];
  if (tokens === undefined) return units;
  return { ...units, image_output: tokens + BigInt(partials * TOKENS_PER_PARTIAL) };
}
