import { MS_PER_SECOND, quantityOf, type QuantityReading } from '../../domain/media.js';
import { NO_TOKEN_DETAILS, type TokenDetails } from '../../domain/media-rating.js';
import type { Task } from '../../domain/tasks.js';
import type { Unit } from '../../domain/units.js';
import { memberOf } from '../dialects/json-bytes.js';
import type { ProbedMember } from './json-probe.js';

/** Members that hold what was made, by the names that providers give them. */
const MADE = ['data', 'images', 'output', 'outputs', 'videos'] as const;
const TEXT_MAX_CHARS = 64;
const TEXTS_MAX = 16;

/** Collects quantities from their decimal text; the first of a unit stays. */
export class FigureBook {
  readonly quantities: Partial<Record<Unit, bigint>> = {};
  /** `usage.seconds: 2.5`: for a person who wants to see where a quantity comes from. */
  readonly texts: string[] = [];
  problem: { readonly problem: string; readonly raw: string } | null = null;

  /** Notes a figure in base units; true when it is one. */
  note(unit: Unit, name: string, text: string, baseUnits: bigint): boolean {
    if (this.quantities[unit] !== undefined) return true;
    const reading: QuantityReading = quantityOf(text, baseUnits);
    const raw = `${name}: ${text.slice(0, TEXT_MAX_CHARS)}`;
    this.texts.push(raw);
    if (reading.ok) this.quantities[unit] = reading.quantity;
    else this.problem ??= { problem: `${name} is ${reading.problem}`, raw };
    return reading.ok;
  }

  /** Takes over what a later event says: each figure is the highest that was said, never a sum. */
  raise(later: FigureBook): void {
    for (const [unit, quantity] of Object.entries(later.quantities) as [Unit, bigint][]) {
      const before = this.quantities[unit];
      if (before === undefined || quantity > before) this.quantities[unit] = quantity;
    }
    this.problem ??= later.problem;
    for (const text of later.texts) {
      if (this.texts.length < TEXTS_MAX && !this.texts.includes(text)) this.texts.push(text);
    }
  }

  count(unit: Unit, quantity: bigint): void {
    this.quantities[unit] ??= quantity;
  }
}

/** Reads what a JSON answer says about what was used, in other units than tokens. */
export function noteFigures(
  book: FigureBook,
  members: readonly ProbedMember[],
  task: Task,
): TokenDetails {
  const texts = new Map<string, string>();
  for (const { key, json } of members) if (json !== null) texts.set(key, json);
  const usage = objectText(texts.get('usage'));
  const metrics = objectText(texts.get('metrics'));
  const outputs = objectText(texts.get('outputs'));
  const seconds = (unit: Unit, name: string, text: string | null): void => {
    if (text !== null) book.note(unit, name, text, MS_PER_SECOND);
  };
  switch (task) {
    case 'transcription':
      seconds('audio_ms', 'usage.seconds', figureIn(usage, 'seconds'));
      seconds('audio_ms', 'usage.prompt_audio_seconds', figureIn(usage, 'prompt_audio_seconds'));
      seconds('audio_ms', 'duration', figure(texts.get('duration')));
      break;
    case 'video':
      seconds('video_ms', 'usage.seconds', figureIn(usage, 'seconds'));
      seconds('video_ms', 'seconds', figure(texts.get('seconds')));
      seconds('video_ms', 'duration', figure(texts.get('duration')));
      seconds('video_ms', 'outputs.duration', figureIn(outputs, 'duration'));
      break;
    case 'speech':
      seconds('audio_ms', 'usage.seconds', figureIn(usage, 'seconds'));
      seconds('audio_ms', 'duration', figure(texts.get('duration')));
      break;
    case 'image':
      noteImages(book, members);
      break;
    case 'inference':
      noteImages(book, members);
      seconds('video_ms', 'seconds', figure(texts.get('seconds')));
      seconds('audio_ms', 'usage.seconds', figureIn(usage, 'seconds'));
      seconds('audio_ms', 'duration', figure(texts.get('duration')));
      break;
    case 'chat':
    case 'completion':
    case 'responses':
    case 'messages':
    case 'embedding':
      break;
  }
  // Replicate: the time on its hardware.
  seconds('gpu_ms', 'metrics.predict_time', figureIn(metrics, 'predict_time'));
  return usage === null ? NO_TOKEN_DETAILS : detailsOf(usage, book);
}

/** Whether the arrays of what was made are there and empty: then nothing was. */
export function madeCount(members: readonly ProbedMember[]): number | null {
  let count: number | null = null;
  for (const { key, kind, elements, json } of members) {
    if (!(MADE as readonly string[]).includes(key)) continue;
    if (kind === 'array') count = Math.max(count ?? 0, elements);
    // Replicate gives a single picture without an array; too long to be kept is not empty.
    else if (json === null || (json.startsWith('"') && json !== '""'))
      count = Math.max(count ?? 0, 1);
  }
  return count;
}

/** How many images, and their pixels where each states its own. */
function noteImages(book: FigureBook, members: readonly ProbedMember[]): void {
  const count = madeCount(members);
  if (count === null) return;
  book.count('image', BigInt(count));
  for (const { key, kind, elements, elementTexts } of members) {
    if (!(MADE as readonly string[]).includes(key) || kind !== 'array' || elements === 0) continue;
    if (elements !== elementTexts.length) continue;
    const sizes = elementTexts.map(pixelsOfElement);
    if (sizes.every((pixels) => pixels !== null)) {
      book.count(
        'pixel',
        sizes.reduce((sum, pixels) => sum + pixels, 0n),
      );
    }
  }
}

function pixelsOfElement(text: string | null): bigint | null {
  const object = objectText(text ?? undefined);
  const [width, height] = [figureIn(object, 'width'), figureIn(object, 'height')];
  if (width === null || height === null) return null;
  const sides = [quantityOf(width, 1n), quantityOf(height, 1n)] as const;
  if (!sides[0].ok || !sides[1].ok) return null;
  const pixels = sides[0].quantity * sides[1].quantity;
  return pixels === 0n ? null : pixels;
}

const INPUT_DETAILS = ['input_tokens_details', 'input_token_details', 'prompt_tokens_details'];
const OUTPUT_DETAILS = [
  'output_tokens_details',
  'output_token_details',
  'completion_tokens_details',
];

/** Image and audio tokens, under each name that somebody gives them. */
function detailsOf(usage: Buffer, book: FigureBook): TokenDetails {
  const read = (containers: readonly string[], name: string): bigint | null => {
    for (const container of containers) {
      const span = memberOf(usage, 0, container);
      const inner = span === null ? null : objectText(usage.toString('utf8', span.start, span.end));
      const text = figureIn(inner, name);
      if (text === null) continue;
      const reading = /^\d{1,15}$/.test(text) ? quantityOf(text, 1n) : null;
      if (reading?.ok === true) return reading.quantity;
      const raw = `${container}.${name}: ${text.slice(0, TEXT_MAX_CHARS)}`;
      book.problem ??= { problem: `${container}.${name} is no number of tokens`, raw };
    }
    return null;
  };
  return {
    imageInput: read(INPUT_DETAILS, 'image_tokens'),
    audioInput: read(INPUT_DETAILS, 'audio_tokens'),
    imageOutput: read(OUTPUT_DETAILS, 'image_tokens'),
    audioOutput: read(OUTPUT_DETAILS, 'audio_tokens'),
  };
}

/** The bytes of an object's text; null for anything else. */
function objectText(json: string | undefined): Buffer | null {
  return json?.startsWith('{') === true ? Buffer.from(json) : null;
}

function figureIn(object: Buffer | null, name: string): string | null {
  if (object === null) return null;
  const span = memberOf(object, 0, name);
  return span === null ? null : figure(object.toString('utf8', span.start, span.end));
}

/** A number's text, in quotes or not; any other value is not a figure. */
function figure(json: string | undefined): string | null {
  const match = /^(?:"\s*([+-]?[0-9.][0-9.eE+-]*)\s*"|([+-]?[0-9.][0-9.eE+-]*))$/.exec(json ?? '');
  return match === null ? null : (match[1] ?? match[2] ?? null);
}
