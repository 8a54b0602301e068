const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * The same JSON document with every number turned into a text of its own digits: `{"a":0.10}` ->
 * `{"a":"0.10"}`. Parsed beside the original it tells how a number was written, which the parsed
 * number does not. The document must have been parsed before: it is not checked here.
 */
export function numbersAsText(json: string): string {
  const parts: string[] = [];
  let copiedTo = 0;
  let at = 0;
  while (at < json.length) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(json, at);
    } else if (isInNumber(code)) {
      const start = at;
      while (at < json.length && isInNumber(json.charCodeAt(at))) at += 1;
      // The letters of `true`, `false` and `null` are no numbers, though `e` may be in one.
      if (isNumberStart(json.charCodeAt(start))) {
        parts.push(json.slice(copiedTo, start), '"', json.slice(start, at), '"');
        copiedTo = at;
      }
    } else {
      at += 1;
    }
  }
  parts.push(json.slice(copiedTo));
  return parts.join('');
}

/** Behind the closing quote. */
function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    at += code === BACKSLASH ? 2 : 1;
  }
  return at;
}

/** Digits, `-`, `+`, `.`, `e`, `E`. */
function isInNumber(code: number): boolean {
  return isNumberStart(code) || code === 0x2b || code === 0x2e || code === 0x65 || code === 0x45;
}

/** Digits and `-`. */
function isNumberStart(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2d;
}
