import { isUtf8 } from 'node:buffer';

/**
 * A strict JSON reader for request bodies: one pass over the bytes, no value is built. What it
 * accepts is exactly RFC 8259 in valid UTF-8 without a byte-order mark, nested at most
 * `NESTING_MAX` deep. It tells a visitor where each piece lies and decides nothing itself.
 */
export interface JsonVisitor {
  /** A member name: the bytes between its quotes. Escapes are in it when `decodedBytes` is less. */
  key(start: number, end: number, decodedBytes: number): void;
  /** A string value: the bytes between its quotes, and how many UTF-8 bytes it means. */
  string(start: number, end: number, decodedBytes: number): void;
  /** A number, `true`, `false` or `null`. */
  scalar(start: number, end: number): void;
  /** `{` or `[` at this offset. */
  open(at: number, isObject: boolean): void;
  /** The end of the innermost open container: the offset after its bracket. */
  close(end: number, isObject: boolean): void;
}

export type ScanResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly reason: 'empty' | 'byte_order_mark' | 'invalid_utf8' | 'too_deep' | 'syntax';
      /** Byte offset of the first byte that cannot stand there (0 for `invalid_utf8`). */
      readonly at: number;
    };

export const NESTING_MAX = 64;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LOWER_E = 0x65;
const LOWER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** 1 where a string's plain run ends: a quote, a backslash, a control character. */
const ENDS_RUN = new Uint8Array(256).fill(1, 0, 0x20);
ENDS_RUN[QUOTE] = 1;
ENDS_RUN[BACKSLASH] = 1;

/** 1 for the letters that may follow a backslash, `u` aside. */
const IS_SHORT_ESCAPE = new Uint8Array(256);
for (const letter of Buffer.from('"\\/bfnrt')) IS_SHORT_ESCAPE[letter] = 1;

/** The value of a hexadecimal digit, 255 for any other byte. */
const HEX_VALUE = new Uint8Array(256).fill(255);
for (let digit = 0; digit < 16; digit++) {
  const text = digit.toString(16);
  HEX_VALUE[text.charCodeAt(0)] = digit;
  HEX_VALUE[text.toUpperCase().charCodeAt(0)] = digit;
}

const LITERALS = [Buffer.from('true'), Buffer.from('false'), Buffer.from('null')];

/** What each open container is. Made once: a body is read in one piece, by one scan at a time. */
const isObjectAt = new Uint8Array(NESTING_MAX);

/** Reads a whole body. The visitor may have been told pieces of a body that is then refused. */
export function scanJson(body: Buffer, visitor: JsonVisitor): ScanResult {
  if (body.length === 0) return { ok: false, reason: 'empty', at: 0 };
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf) {
    return { ok: false, reason: 'byte_order_mark', at: 0 };
  }
  if (!isUtf8(body)) return { ok: false, reason: 'invalid_utf8', at: 0 };
  return new Scan(body, visitor).run();
}

class Scan {
  /** Bytes by which the escapes of the last string shrink when decoded. */
  private shrinkage = 0;
  /** Where the last failed piece broke. */
  private brokenAt = 0;

  constructor(
    private readonly body: Buffer,
    private readonly visitor: JsonVisitor,
  ) {}

  /** The grammar as a loop: a value, then what may follow it in the innermost open container. */
  run(): ScanResult {
    const { body, visitor } = this;
    let depth = 0;
    let at = this.afterSpace(0);
    for (;;) {
      const first = body[at];
      if (first === QUOTE) {
        const end = this.stringEnd(at + 1);
        if (end < 0) return this.broken();
        visitor.string(at + 1, end, end - at - 1 - this.shrinkage);
        at = end + 1;
      } else if (first === OPEN_BRACE || first === OPEN_BRACKET) {
        if (depth === NESTING_MAX) return { ok: false, reason: 'too_deep', at };
        const isObject = first === OPEN_BRACE;
        isObjectAt[depth++] = isObject ? 1 : 0;
        visitor.open(at, isObject);
        at = this.afterSpace(at + 1);
        if (body[at] !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
          if (isObject) at = this.afterKey(at);
          if (at < 0) return this.broken();
          continue;
        }
        depth--;
        visitor.close(++at, isObject);
      } else {
        const end = this.scalarEnd(at);
        if (end < 0) return this.broken();
        visitor.scalar(at, end);
        at = end;
      }
      for (;;) {
        at = this.afterSpace(at);
        if (depth === 0) return at === body.length ? { ok: true } : brokenAt(at);
        const isObject = isObjectAt[depth - 1] === 1;
        const next = body[at];
        if (next === COMMA) {
          at = this.afterSpace(at + 1);
          if (isObject) at = this.afterKey(at);
          if (at < 0) return this.broken();
          break;
        }
        if (next !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) return brokenAt(at);
        depth--;
        visitor.close(++at, isObject);
      }
    }
  }

  private broken(): ScanResult {
    return brokenAt(this.brokenAt);
  }

  private afterSpace(from: number): number {
    const { body } = this;
    let at = from;
    for (;;) {
      const byte = body[at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
      at++;
    }
  }

  /** Reads `"name" :` and gives the offset of the value; -1 when broken. */
  private afterKey(at: number): number {
    const { body } = this;
    if (body[at] !== QUOTE) return this.fail(at);
    const end = this.stringEnd(at + 1);
    if (end < 0) return end;
    this.visitor.key(at + 1, end, end - at - 1 - this.shrinkage);
    const colonAt = this.afterSpace(end + 1);
    if (body[colonAt] !== COLON) return this.fail(colonAt);
    return this.afterSpace(colonAt + 1);
  }

  /** The offset of the closing quote of the string that begins at `from`; -1 when broken. */
  private stringEnd(from: number): number {
    const { body } = this;
    const length = body.length;
    let shrinkage = 0;
    let at = from;
    for (;;) {
      while (at < length && ENDS_RUN[body[at] as number] === 0) at++;
      const byte = body[at];
      if (byte === QUOTE) {
        this.shrinkage = shrinkage;
        return at;
      }
      if (byte !== BACKSLASH) return this.fail(at);
      const letter = body[at + 1];
      if (letter === undefined) return this.fail(at + 1);
      if (IS_SHORT_ESCAPE[letter] === 1) {
        shrinkage += 1;
        at += 2;
        continue;
      }
      if (letter !== LOWER_U) return this.fail(at + 1);
      const unit = this.codeUnit(at + 2);
      if (unit < 0) return this.fail(at + 2);
      at += 6;
      if (unit < 0x80) shrinkage += 5;
      else if (unit < 0x800) shrinkage += 4;
      else {
        // Three bytes, a lone surrogate too (it is decoded as U+FFFD); a pair is four.
        shrinkage += 3;
        if (unit >= 0xd800 && unit < 0xdc00 && this.isLowSurrogate(at)) {
          shrinkage += 5;
          at += 6;
        }
      }
    }
  }

  private isLowSurrogate(at: number): boolean {
    const { body } = this;
    if (body[at] !== BACKSLASH || body[at + 1] !== LOWER_U) return false;
    const unit = this.codeUnit(at + 2);
    return unit >= 0xdc00 && unit < 0xe000;
  }

  /** The value of four hexadecimal digits; -1 when they are not. */
  private codeUnit(at: number): number {
    const { body } = this;
    if (at + 4 > body.length) return -1;
    const a = HEX_VALUE[body[at] as number] as number;
    const b = HEX_VALUE[body[at + 1] as number] as number;
    const c = HEX_VALUE[body[at + 2] as number] as number;
    const d = HEX_VALUE[body[at + 3] as number] as number;
    return (a | b | c | d) > 15 ? -1 : (a << 12) | (b << 8) | (c << 4) | d;
  }

  private scalarEnd(at: number): number {
    const first = this.body[at];
    if (first === MINUS || isDigit(first)) return this.numberEnd(at);
    for (const literal of LITERALS) {
      if (first === literal[0]) return this.literalEnd(at, literal);
    }
    return this.fail(at);
  }

  private literalEnd(at: number, literal: Buffer): number {
    for (let index = 1; index < literal.length; index++) {
      if (this.body[at + index] !== literal[index]) return this.fail(at + index);
    }
    return at + literal.length;
  }

  private numberEnd(from: number): number {
    const { body } = this;
    let at = body[from] === MINUS ? from + 1 : from;
    if (body[at] === 0x30) at++;
    else {
      const digitsEnd = this.digitsEnd(at);
      if (digitsEnd === at) return this.fail(at);
      at = digitsEnd;
    }
    if (body[at] === POINT) {
      const digitsEnd = this.digitsEnd(at + 1);
      if (digitsEnd === at + 1) return this.fail(digitsEnd);
      at = digitsEnd;
    }
    if (((body[at] ?? 0) | 0x20) === LOWER_E) {
      const sign = body[at + 1];
      const digitsAt = sign === MINUS || sign === 0x2b ? at + 2 : at + 1;
      const digitsEnd = this.digitsEnd(digitsAt);
      if (digitsEnd === digitsAt) return this.fail(digitsEnd);
      at = digitsEnd;
    }
    return at;
  }

  private digitsEnd(from: number): number {
    let at = from;
    while (isDigit(this.body[at])) at++;
    return at;
  }

  private fail(at: number): -1 {
    this.brokenAt = at;
    return -1;
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function brokenAt(at: number): ScanResult {
  return { ok: false, reason: 'syntax', at };
}
