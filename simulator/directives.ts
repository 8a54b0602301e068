import { type Fault, isFault } from './faults.js';
import { isObject, type JsonObject } from './json.js';

/** Milliseconds, fixed (min = max) or drawn from the request's own seeded generator. */
export interface Delay {
  readonly minMs: number;
  readonly maxMs: number;
}

/** What a test asked of one request. Null: not asked, the simulator decides. */
export interface Directives {
  readonly output: number | null;
  readonly chunks: number | null;
  readonly input: number | null;
  readonly cached: number | null;
  /** Prompt tokens put into the cache for five minutes, for an hour. */
  readonly cacheWrite: number | null;
  readonly cacheWrite1h: number | null;
  readonly reasoning: number | null;
  readonly tools: number | null;
  readonly tag: string | null;
  readonly faults: readonly Fault[];
  readonly after: number | null;
  readonly delay: Delay | null;
  readonly chunkDelay: Delay | null;
  readonly split: number | 'random' | null;
  readonly sizeBytes: number | null;
  /** How long the answer of an image or speech request is. */
  readonly bytes: number | null;
  /** How long an uploaded recording is, whatever its bytes say. */
  readonly audioMs: number | null;
  /** Where a transcription states its length: `usage`, `duration`, `both` or `none`. */
  readonly states: LengthStatement | null;
  readonly retryAfterS: number | null;
  readonly shape: ErrorShape | null;
  readonly bill: boolean | null;
  readonly requestId: string | null;
  readonly done: boolean | null;
  readonly burst: boolean;
  /** How often a job is looked at before it has ended. */
  readonly polls: number | null;
  /** How a job ends. */
  readonly end: JobEnd | null;
  /** A job ends by itself after so many milliseconds, looked at or not. */
  readonly runMs: number | null;
  /** The quantity billed and reported, in the unit of the published price, as decimal text. */
  readonly quantity: string | null;
}

/** `lost`: the provider forgets the job and answers 404 from then on. */
export type JobEnd = 'done' | 'failed' | 'cancelled' | 'never' | 'lost';

export type LengthStatement = 'usage' | 'duration' | 'both' | 'none';

/** The shapes in which providers wrap an error message. */
export type ErrorShape = 'string' | 'object' | 'detail' | 'message' | 'problem' | 'anthropic';

export const noDirectives: Directives = {
  output: null,
  chunks: null,
  input: null,
  cached: null,
  cacheWrite: null,
  cacheWrite1h: null,
  reasoning: null,
  tools: null,
  tag: null,
  faults: [],
  after: null,
  delay: null,
  chunkDelay: null,
  split: null,
  sizeBytes: null,
  bytes: null,
  audioMs: null,
  states: null,
  retryAfterS: null,
  shape: null,
  bill: null,
  requestId: null,
  done: null,
  burst: false,
  polls: null,
  end: null,
  runMs: null,
  quantity: null,
};

/** A directive that the simulator does not understand: answered with 400, so a typo is noticed. */
export class DirectiveError extends Error {}

const MARK = '[[sim';
const HEADERS = new Map([
  ['x-sim-output-tokens', 'output'],
  ['x-sim-chunks', 'chunks'],
  ['x-sim-fault', 'fault'],
]);

type Writable = { -readonly [K in keyof Directives]: Directives[K] };

/** Parses `key=value key=value`. Throws DirectiveError on an unknown key or a bad value. */
export function parseDirectives(text: string): Partial<Directives> {
  const found: Partial<Writable> = {};
  for (const word of text.trim().split(/\s+/)) {
    if (word === '') continue;
    const at = word.indexOf('=');
    setDirective(found, at < 0 ? word : word.slice(0, at), at < 0 ? 'yes' : word.slice(at + 1));
  }
  return found;
}

/** The directives in `[[sim ...]]` of the last user message; empty when there are none. */
export function directivesInMessages(messages: readonly unknown[]): Partial<Directives> {
  return directivesInText(lastUserText(messages));
}

/** The directives in the last `[[sim ...]]` of a text; empty when there are none. */
export function directivesInText(text: string): Partial<Directives> {
  const start = text.lastIndexOf(MARK);
  if (start < 0) return {};
  const end = text.indexOf(']]', start);
  if (end < 0) throw new DirectiveError('[[sim without ]]');
  return parseDirectives(text.slice(start + MARK.length, end));
}

/** The directives in the last `[[sim ...]]` of a body of any kind; empty when there are none. */
export function directivesInBytes(bytes: Buffer): Partial<Directives> {
  const start = bytes.lastIndexOf(MARK);
  if (start < 0) return {};
  const end = bytes.indexOf(']]', start);
  if (end < 0) throw new DirectiveError('[[sim without ]]');
  return parseDirectives(bytes.toString('latin1', start + MARK.length, end));
}

/** The directives in `x-sim: key=value ...`, `x-sim-output-tokens`, `x-sim-chunks`, `x-sim-fault`. */
export function directivesInHeaders(headers: NodeJS.Dict<string | string[]>): Partial<Directives> {
  const found: Partial<Writable> = {};
  const general = headers['x-sim'];
  if (typeof general === 'string') Object.assign(found, parseDirectives(general));
  for (const [header, key] of HEADERS) {
    const value = headers[header];
    if (typeof value === 'string') setDirective(found, key, value);
  }
  return found;
}

/** Directives given as JSON (`{fault: "...", after: 3}`), the body of an admin call. */
export function directivesInJson(body: JsonObject): Partial<Directives> {
  const found: Partial<Writable> = {};
  for (const [key, value] of Object.entries(body)) {
    const text = Array.isArray(value) ? value.map(String).join(',') : value;
    if (typeof text !== 'string' && typeof text !== 'number' && typeof text !== 'boolean') {
      throw new DirectiveError(`directive '${key}' must be a string or a number`);
    }
    setDirective(found, key, text === true ? 'yes' : text === false ? 'no' : String(text));
  }
  return found;
}

/** The text of the last user message. */
export function lastUserText(messages: readonly unknown[]): string {
  for (let i = messages.length - 1; i >= 0; i -= 1) {
    const message = messages[i];
    if (!isObject(message) || message['role'] !== 'user') continue;
    const content = message['content'];
    if (typeof content === 'string') return content;
    if (!Array.isArray(content)) return '';
    return content
      .map((part: unknown) =>
        isObject(part) && typeof part['text'] === 'string' ? part['text'] : '',
      )
      .join('\n');
  }
  return '';
}

function setDirective(into: Partial<Writable>, key: string, value: string): void {
  switch (key) {
    case 'output':
    case 'chunks':
    case 'input':
    case 'cached':
    case 'reasoning':
    case 'tools':
    case 'after':
    case 'polls':
    case 'bytes':
      into[key] = count(key, value);
      return;
    case 'cache_write':
      into.cacheWrite = count(key, value);
      return;
    case 'cache_write_1h':
      into.cacheWrite1h = count(key, value);
      return;
    case 'audio_ms':
      into.audioMs = count(key, value);
      return;
    case 'states':
      into.states = statement(value);
      return;
    case 'run_ms':
      into.runMs = count(key, value);
      return;
    case 'quantity':
      into.quantity = decimal(key, value);
      return;
    case 'end':
      into.end = jobEnd(value);
      return;
    case 'size':
      into.sizeBytes = count(key, value);
      return;
    case 'retry_after':
      into.retryAfterS = count(key, value);
      return;
    case 'delay':
      into.delay = delay(key, value);
      return;
    case 'chunk_delay':
      into.chunkDelay = delay(key, value);
      return;
    case 'tag':
      into.tag = value;
      return;
    case 'request_id':
      into.requestId = value;
      return;
    case 'fault':
      into.faults = value.split(',').map(fault);
      return;
    case 'split':
      into.split = value === 'random' ? value : Math.max(1, count(key, value));
      return;
    case 'shape':
      into.shape = shape(value);
      return;
    case 'bill':
    case 'done':
      into[key] = yes(key, value);
      return;
    case 'burst':
      into.burst = yes(key, value);
      return;
    default:
      throw new DirectiveError(`unknown directive '${key}'`);
  }
}

function count(key: string, value: string): number {
  if (!/^\d{1,12}$/.test(value)) throw new DirectiveError(`directive '${key}' is not a count`);
  return Number(value);
}

function delay(key: string, value: string): Delay {
  const [min = '', max = min] = value.split('-');
  return { minMs: count(key, min), maxMs: count(key, max) };
}

function decimal(key: string, value: string): string {
  if (!/^\d{1,9}(\.\d{1,12})?$/.test(value)) {
    throw new DirectiveError(`directive '${key}' is not a decimal`);
  }
  return value;
}

function jobEnd(value: string): JobEnd {
  switch (value) {
    case 'done':
    case 'failed':
    case 'cancelled':
    case 'never':
    case 'lost':
      return value;
    default:
      throw new DirectiveError(`a job does not end '${value}'`);
  }
}

function yes(key: string, value: string): boolean {
  if (value !== 'yes' && value !== 'no')
    throw new DirectiveError(`directive '${key}' is yes or no`);
  return value === 'yes';
}

function fault(value: string): Fault {
  if (!isFault(value)) throw new DirectiveError(`unknown fault '${value}'`);
  return value;
}

function statement(value: string): LengthStatement {
  switch (value) {
    case 'usage':
    case 'duration':
    case 'both':
    case 'none':
      return value;
    default:
      throw new DirectiveError(`nothing is stated in '${value}'`);
  }
}

function shape(value: string): ErrorShape {
  switch (value) {
    case 'string':
    case 'object':
    case 'detail':
    case 'message':
    case 'problem':
    case 'anthropic':
      return value;
    default:
      throw new DirectiveError(`unknown error shape '${value}'`);
  }
}
