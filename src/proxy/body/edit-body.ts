import { type Member } from './body-outline.js';
import { type ChatRequestFacts, type MaxOutputField } from './chat-request.js';

/** The only changes that a request's body ever sees. */
export interface BodyEdits {
  /** The model as the upstream or the provider knows it. */
  readonly model?: string;
  /** A maximum of ours. Only where the caller gave none in that field (absent or null). */
  readonly maxOutput?: { readonly field: MaxOutputField; readonly value: number };
  /** Ask for the usage event: `stream_options.include_usage` becomes true. */
  readonly includeUsage?: true;
  /** Fields that the provider rejects. */
  readonly drop?: readonly string[];
}

interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * The body with the edits spliced in: every byte that no edit needs stays as it was, members keep
 * their order, new ones come last. Returns the same buffer when nothing changes. Throws an Error
 * for an edit that would break a promise: to overwrite a caller's own maximum, or to drop a member
 * that is edited.
 */
export function editBody(body: Buffer, facts: ChatRequestFacts, edits: BodyEdits): Buffer {
  const { members } = facts.layout;
  const dropped = new Set(edits.drop ?? []);
  const splices: Splice[] = [];
  const added: string[] = [];
  const set = (name: string, value: string): void => {
    if (dropped.has(name)) throw new Error(`edit: \`${name}\` is both set and dropped`);
    const member = members.find((candidate) => candidate.name === name);
    if (member === undefined) added.push(`${JSON.stringify(name)}:${value}`);
    else if (body.toString('utf8', member.valueStart, member.valueEnd) !== value) {
      splices.push({ start: member.valueStart, end: member.valueEnd, text: value });
    }
  };
  if (edits.model !== undefined && edits.model !== facts.model) {
    set('model', JSON.stringify(edits.model));
  }
  if (edits.maxOutput !== undefined) {
    const { field, value } = edits.maxOutput;
    if (facts.maxOutput[field] !== undefined) {
      throw new Error(`edit: \`${field}\` is the caller's own`);
    }
    set(field, value.toString());
  }
  if (edits.includeUsage === true && facts.includeUsage !== true) {
    const options = members.find(({ name }) => name === 'stream_options');
    if (options?.kind !== 'object') set('stream_options', '{"include_usage":true}');
    else {
      if (dropped.has(options.name)) throw new Error('edit: `stream_options` is set and dropped');
      splices.push(includeUsageSplice(options, facts.layout.streamOptions));
    }
  }
  splices.push(...dropSplices(members, dropped));
  if (added.length > 0) splices.push(additionSplice(body, members, dropped, added));
  return spliced(body, splices);
}

/** Merged into the caller's object, whatever else is in it. */
function includeUsageSplice(options: Member, streamOptions: readonly Member[]): Splice {
  const option = streamOptions.find(({ name }) => name === 'include_usage');
  if (option !== undefined) return { start: option.valueStart, end: option.valueEnd, text: 'true' };
  const at = options.valueStart + 1;
  const separator = streamOptions.length > 0 ? ',' : '';
  return { start: at, end: at, text: `"include_usage":true${separator}` };
}

/** A member goes with the comma that joined it: the one before it, or after it where it was first. */
function dropSplices(members: readonly Member[], dropped: ReadonlySet<string>): Splice[] {
  const splices: Splice[] = [];
  let hasKept = false;
  for (const [index, member] of members.entries()) {
    if (!dropped.has(member.name)) {
      hasKept = true;
      continue;
    }
    const before = members[index - 1];
    const after = members[index + 1];
    if (hasKept && before !== undefined) {
      splices.push({ start: before.valueEnd, end: member.valueEnd, text: '' });
    } else {
      const end = after === undefined ? member.valueEnd : after.nameStart;
      splices.push({ start: member.nameStart, end, text: '' });
    }
  }
  return splices;
}

/** New members stand right behind the last value, before whatever space closes the object. */
function additionSplice(
  body: Buffer,
  members: readonly Member[],
  dropped: ReadonlySet<string>,
  added: readonly string[],
): Splice {
  const at = members.at(-1)?.valueEnd ?? body.indexOf('{') + 1;
  const hasKept = members.some(({ name }) => !dropped.has(name));
  return { start: at, end: at, text: (hasKept ? ',' : '') + added.join(',') };
}

function spliced(body: Buffer, splices: Splice[]): Buffer {
  if (splices.length === 0) return body;
  const pieces: Buffer[] = [];
  let at = 0;
  // A stable sort: an insertion that touches a removal was pushed after it and follows it.
  for (const { start, end, text } of splices.sort((one, other) => one.start - other.start)) {
    pieces.push(body.subarray(at, start), Buffer.from(text));
    at = end;
  }
  pieces.push(body.subarray(at));
  return Buffer.concat(pieces);
}
