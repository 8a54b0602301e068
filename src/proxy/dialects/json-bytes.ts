/**
 * Finds values inside JSON text without building them: where the text itself matters (a price as
 * it was written, a splice) or where most of the value is of no interest (a large answer).
 * All positions are byte offsets. Every function is linear and iterative.
 */
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Nothing that a provider answers nests deeper; parsing deeper text costs memory per level. */
export const JSON_DEPTH_MAX = 512;

export interface JsonSpan {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

export function skipWhitespace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at += 1;
  }
}

/** The end of the value that starts at `from`; -1 where it is cut off, deeper than allowed, or none. */
export function skipValue(bytes: Uint8Array, from: number): number {
  const first = bytes[from];
  if (first === QUOTE) return skipString(bytes, from);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return skipScalar(bytes, from);
  let depth = 0;
  let at = from;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = skipString(bytes, at);
      if (at < 0) return -1;
      continue;
    }
    at += 1;
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      if (depth > JSON_DEPTH_MAX) return -1;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return -1;
}

/**
 * Visits the members of the object that starts at `from`, in order and duplicates included.
 * Returns the position of its closing brace, -1 where the text is not an object or is broken.
 */
export function visitMembers(
  bytes: Buffer,
  from: number,
  visit: (key: string, start: number, end: number) => void,
): number {
  if (bytes[from] !== OPEN_BRACE) return -1;
  let at = skipWhitespace(bytes, from + 1);
  if (bytes[at] === CLOSE_BRACE) return at;
  for (;;) {
    if (bytes[at] !== QUOTE) return -1;
    const keyEnd = skipString(bytes, at);
    if (keyEnd < 0) return -1;
    const key = keyText(bytes, at, keyEnd);
    at = skipWhitespace(bytes, keyEnd);
    if (bytes[at] !== COLON) return -1;
    const start = skipWhitespace(bytes, at + 1);
    const end = skipValue(bytes, start);
    if (end < 0) return -1;
    visit(key, start, end);
    at = skipWhitespace(bytes, end);
    if (bytes[at] === CLOSE_BRACE) return at;
    if (bytes[at] !== COMMA) return -1;
    at = skipWhitespace(bytes, at + 1);
  }
}

/** The value of a member; of duplicates the last, as JSON.parse takes it. Null where there is none. */
export function memberOf(bytes: Buffer, object: number, name: string): JsonSpan | null {
  let found: JsonSpan | null = null;
  visitMembers(bytes, object, (key, start, end) => {
    if (key === name) found = { start, end };
  });
  return found;
}

/** The start of each element of the array at `from`. */
export function elementsOf(bytes: Buffer, from: number): number[] {
  const starts: number[] = [];
  if (bytes[from] !== OPEN_BRACKET) return starts;
  let at = skipWhitespace(bytes, from + 1);
  while (at < bytes.length && bytes[at] !== CLOSE_BRACKET) {
    const end = skipValue(bytes, at);
    if (end < 0) return starts;
    starts.push(at);
    at = skipWhitespace(bytes, end);
    if (bytes[at] !== COMMA) return starts;
    at = skipWhitespace(bytes, at + 1);
  }
  return starts;
}

export function isObjectAt(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === OPEN_BRACE;
}

function skipString(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  const end = bytes.length;
  while (at < end) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    at += byte === BACKSLASH ? 2 : 1;
  }
  return -1;
}

function skipScalar(bytes: Uint8Array, from: number): number {
  let at = from;
  for (; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    const isPart =
      (byte >= 0x30 && byte <= 0x39) || // digits
      (byte >= 0x61 && byte <= 0x7a) || // true, false, null, e
      byte === 0x2b ||
      byte === 0x2d ||
      byte === 0x2e ||
      byte === 0x45;
    if (!isPart) break;
  }
  return at > from ? at : -1;
}

/** An escaped key is the same key: `"us\u0061ge"` is `usage`. */
function keyText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start + 1, end - 1);
  if (!text.includes('\\')) return text;
  try {
    return String(JSON.parse(`"${text}"`));
  } catch {
    return text;
  }
}
