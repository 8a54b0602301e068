import { type InputFacts } from '../../domain/worst-case.js';
import { BodyOutline, type Member, MEMBERS_MAX } from './body-outline.js';
import { decodeString } from './body-words.js';
import { NESTING_MAX, type ScanResult, scanJson } from './json-scanner.js';

/** The fields in which callers and providers state a maximum of output tokens. */
export const MAX_OUTPUT_FIELDS = [
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
  'max_new_tokens',
] as const;

export type MaxOutputField = (typeof MAX_OUTPUT_FIELDS)[number];

/** What we read of a body; `null`: not given, or given as null. */
export interface ChatRequestFacts {
  /** Never empty; null only where the route does not take the model from the body. */
  readonly model: string | null;
  readonly stream: boolean | null;
  /** The caller's own `stream_options.include_usage`: whether the usage event is theirs to see. */
  readonly includeUsage: boolean | null;
  /** The caller's maxima by field. */
  readonly maxOutput: Readonly<Partial<Record<MaxOutputField, number>>>;
  /** The largest of them. */
  readonly callerMaxOutputTokens: number | null;
  readonly n: number | null;
  readonly bestOf: number | null;
  /** Prompts of a completion; 1 on every other route. */
  readonly prompts: number;
  /** max(`n`, `best_of`, 1) x prompts: how many times the maximum may be written. */
  readonly outputs: number;
  readonly background: boolean | null;
  readonly serviceTier: string | null;
  readonly sessionId: string | null;
  readonly promptCacheKey: string | null;
  /** What bounds the input, for the worst case. */
  readonly input: InputFacts;
  /** UTF-8 bytes of the request's text, for an estimate where no usage is reported. */
  readonly textBytes: number;
  /** Where the members lie, for `editBody`. */
  readonly layout: BodyLayout;
}

export interface BodyLayout {
  readonly members: readonly Member[];
  readonly streamOptions: readonly Member[];
}

export type ChatRequestResult =
  | { readonly ok: true; readonly facts: ChatRequestFacts }
  | {
      readonly ok: false;
      readonly code: 'invalid_json' | 'invalid_request';
      /** The field that is wrong; null when it is the body as a whole. */
      readonly field: string | null;
      readonly message: string;
    };

export interface ReadOptions {
  /** False where the route names the model: the body may then come without one. */
  readonly isModelRequired?: boolean;
}

/**
 * Reads the body of a generation request once: strictly where we read it (what we price must be
 * what the provider reads), not at all elsewhere. Codes: `invalid_json` for what is no JSON text,
 * `invalid_request` for a name that stands twice and for a wrong type in a field that we read.
 */
export function readChatRequest(body: Buffer, options: ReadOptions = {}): ChatRequestResult {
  const outline = new BodyOutline(body);
  const scanned = scanJson(body, outline);
  if (!scanned.ok) return refuse('invalid_json', null, scanMessage(scanned));
  if (!outline.isObject) return refuse('invalid_request', null, 'The body must be a JSON object.');
  if (outline.hasTooManyMembers) {
    const message = `The body has more than ${MEMBERS_MAX.toString()} fields.`;
    return refuse('invalid_request', null, message);
  }
  const { duplicate } = outline;
  if (duplicate !== null) {
    return refuse('invalid_request', duplicate, `\`${duplicate}\` is given more than once.`);
  }
  const reader = new FieldReader(body, outline);
  const facts = reader.facts(options.isModelRequired ?? true);
  if (reader.wrong === null) return { ok: true, facts };
  const { field, expected } = reader.wrong;
  return refuse('invalid_request', field, `\`${field}\` must be ${expected}.`);
}

class FieldReader {
  /** The first field of a wrong type; the facts are worth nothing then. */
  wrong: { readonly field: string; readonly expected: string } | null = null;

  constructor(
    private readonly body: Buffer,
    private readonly outline: BodyOutline,
  ) {}

  facts(isModelRequired: boolean): ChatRequestFacts {
    const { outline } = this;
    const model = this.string('model', 'a non-empty string');
    if (model === '' || (model === null && (isModelRequired || this.outline.byName.has('model')))) {
      this.reject('model', 'a non-empty string');
    }
    const maxOutput: Partial<Record<MaxOutputField, number>> = {};
    let callerMaxOutputTokens: number | null = null;
    for (const field of MAX_OUTPUT_FIELDS) {
      const maximum = this.integer(field, 0);
      if (maximum === null) continue;
      maxOutput[field] = maximum;
      callerMaxOutputTokens = Math.max(callerMaxOutputTokens ?? 0, maximum);
    }
    const n = this.integer('n', 1);
    const bestOf = this.integer('best_of', 1);
    const { prompts, textBytes, members, streamOptions, inputFacts } = outline;
    return {
      model,
      stream: this.boolean('stream'),
      includeUsage: this.includeUsage(),
      maxOutput,
      callerMaxOutputTokens,
      n,
      bestOf,
      prompts,
      outputs: Math.max(n ?? 1, bestOf ?? 1) * prompts,
      background: this.boolean('background'),
      serviceTier: this.string('service_tier'),
      sessionId: this.string('session_id'),
      promptCacheKey: this.string('prompt_cache_key'),
      input: inputFacts,
      textBytes,
      layout: { members, streamOptions },
    };
  }

  private includeUsage(): boolean | null {
    const options = this.outline.byName.get('stream_options');
    if (options === undefined || options.kind === 'null') return null;
    if (options.kind !== 'object') return this.reject('stream_options', 'an object or null');
    const option = this.outline.streamOptions.find(({ name }) => name === 'include_usage');
    return option === undefined ? null : this.booleanOf(option, 'stream_options.include_usage');
  }

  private reject(field: string, expected: string): null {
    this.wrong ??= { field, expected };
    return null;
  }

  private boolean(name: string): boolean | null {
    const member = this.outline.byName.get(name);
    return member === undefined ? null : this.booleanOf(member, name);
  }

  private booleanOf(member: Member, field: string): boolean | null {
    if (member.kind === 'null') return null;
    if (member.kind !== 'boolean') return this.reject(field, 'true, false or null');
    return this.body[member.valueStart] === 0x74;
  }

  private string(name: string, expected = 'a string or null'): string | null {
    const member = this.outline.byName.get(name);
    if (member === undefined || member.kind === 'null') return null;
    if (member.kind !== 'string') return this.reject(name, expected);
    return decodeString(this.body, member.valueStart + 1, member.valueEnd - 1, true);
  }

  /** Digits only: `1e2`, `100.0` and `-0` are read in more than one way out there. */
  private integer(name: string, least: number): number | null {
    const member = this.outline.byName.get(name);
    if (member === undefined || member.kind === 'null') return null;
    const text =
      member.kind === 'number'
        ? this.body.toString('latin1', member.valueStart, member.valueEnd)
        : '';
    if (!/^\d{1,15}$/.test(text) || Number(text) < least) {
      return this.reject(name, `an integer of at least ${least.toString()}, or null`);
    }
    return Number(text);
  }
}

function scanMessage(scanned: ScanResult & { ok: false }): string {
  switch (scanned.reason) {
    case 'empty':
      return 'The body is empty; it must be a JSON object.';
    case 'byte_order_mark':
      return 'The body begins with a byte-order mark; send plain UTF-8.';
    case 'invalid_utf8':
      return 'The body is not valid UTF-8.';
    case 'too_deep':
      return `The body is nested more than ${NESTING_MAX.toString()} levels deep.`;
    case 'syntax':
      return `The body is not valid JSON (at byte ${scanned.at.toString()}).`;
  }
}

function refuse(
  code: 'invalid_json' | 'invalid_request',
  field: string | null,
  message: string,
): ChatRequestResult {
  return { ok: false, code, field, message };
}
