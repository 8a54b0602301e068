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
  readonly reasoning: number | null;
  readonly tools: number | null;
  readonly tag: string | null;
  readonly faults: readonly Fault[];
  readonly after: number | null;
  readonly delay: Delay | null;
  readonly chunkDelay: Delay | null;
  readonly split: number | 'random' | null;
  readonly sizeBytes: number | null;
  readonly retryAfterS: number | null;
  readonly shape: ErrorShape | null;
  readonly bill: boolean | null;
  readonly requestId: string | null;
  readonly done: boolean | null;
  readonly burst: boolean;
}

/** The shapes in which providers wrap an error message. */
export type ErrorShape = 'string' | 'object' | 'detail' | 'message' | 'problem';

export const noDirectives: Directives = {
  output: null,
  chunks: null,
  input: null,
  cached: null,
  reasoning: null,
  tools: null,
  tag: null,
  faults: [],
  after: null,
  delay: null,
  chunkDelay: null,
  split: null,
  sizeBytes: null,
  retryAfterS: null,
  shape: null,
  bill: null,
  requestId: null,
  done: null,
  burst: false,
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
  const text = lastUserText(messages);
  const start = text.lastIndexOf(MARK);
  if (start < 0) return {};
  const end = text.indexOf(']]', start);
  if (end < 0) throw new DirectiveError('[[sim without ]]');
  return parseDirectives(text.slice(start + MARK.length, end));
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

function lastUserText(messages: readonly unknown[]): string {
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
      into[key] = count(key, value);
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

function yes(key: string, value: string): boolean {
  if (value !== 'yes' && value !== 'no')
    throw new DirectiveError(`directive '${key}' is yes or no`);
  return value === 'yes';
}

function fault(value: string): Fault {
  if (!isFault(value)) throw new DirectiveError(`unknown fault '${value}'`);
  return value;
}

function shape(value: string): ErrorShape {
  switch (value) {
    case 'string':
    case 'object':
    case 'detail':
    case 'message':
    case 'problem':
      return value;
    default:
      throw new DirectiveError(`unknown error shape '${value}'`);
  }
}
