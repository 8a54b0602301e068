import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type JsonVisitor, NESTING_MAX, scanJson } from './json-scanner.js';

const SILENT: JsonVisitor = {
  key: () => undefined,
  string: () => undefined,
  scalar: () => undefined,
  open: () => undefined,
  close: () => undefined,
};

function isAccepted(body: Buffer): boolean {
  return scanJson(body, SILENT).ok;
}

function isParsed(body: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
    return true;
  } catch {
    return false;
  }
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

/** Texts near JSON: real ones, and real ones with a few bytes changed, cut, doubled or inserted. */
const PIECES = [
  ...['{', '}', '[', ']', ',', ':', '"', '\\', '0', '-', '1', '.', 'e', 'E', '+', ' ', '\n'],
  ...['\t', '\r', '\f', '\u00a0', '\ufeff', '\0', '\x1f', '\x7f', 'true', 'false', 'null', 'nul'],
  ...['\\u', '\\u00e9', '\\ud83d', '\\ude00', '\\uD83D\\uDE00', '\\x', '\\n', '\\"', 'é', '😀'],
  ...['"a"', '"a":', '{}', '[]', '01', '-0', '1e5', '1.', '.5', '//', "'"],
];
const document = fc
  .tuple(fc.json({ stringUnit: 'binary' }), fc.integer({ min: 0, max: 2 }))
  .map(([text, indent]) => (indent === 0 ? text : JSON.stringify(JSON.parse(text), null, indent)));
const nearJson = fc
  .tuple(
    document,
    fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.constantFrom(...PIECES)), { maxLength: 3 }),
  )
  .map(([text, changes]) => {
    let changed = text;
    for (const [place, removed, piece] of changes) {
      const at = place % (changed.length + 1);
      changed = changed.slice(0, at) + piece + changed.slice(at + removed);
    }
    return Buffer.from(changed);
  });

describe('the scanner', () => {
  it('accepts every JSON text', () => {
    fc.assert(fc.property(document, (text) => isAccepted(Buffer.from(text))));
  });

  it('accepts exactly what JSON.parse accepts, of texts near JSON', () => {
    fc.assert(
      fc.property(nearJson, (body) => isAccepted(body) === isParsed(body)),
      { numRuns: 5_000 },
    );
  });

  it('accepts exactly what JSON.parse accepts, of pieces in any order', () => {
    const pieces = fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(pieces, (parts) => {
        const body = Buffer.from(parts.join(''));
        return isAccepted(body) === isParsed(body);
      }),
      { numRuns: 20_000 },
    );
  });

  it('ends on any bytes whatever, and accepts none that JSON.parse does not', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const body = Buffer.from(bytes);
        return isAccepted(body) === isParsed(body);
      }),
      { numRuns: 5_000 },
    );
  });

  it('accepts a string exactly where its bytes are UTF-8', () => {
    const bytes = fc.array(fc.constantFrom(0x41, 0x80, 0xbf, 0xc3, 0xe2, 0xed, 0xa0, 0xf0, 0x9f));
    fc.assert(
      fc.property(bytes, (inner) => {
        const body = Buffer.from([0x22, ...inner, 0x22]);
        return isAccepted(body) === isParsed(body);
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses every control character inside a string and every byte as an escape but nine', () => {
    for (let byte = 0; byte < 128; byte++) {
      const letter = String.fromCharCode(byte);
      for (const text of [`"${letter}"`, `"\\${letter}"`, letter, `[1${letter}]`]) {
        const body = Buffer.from(text);
        expect([text, isAccepted(body)]).toEqual([text, isParsed(body)]);
      }
    }
  });

  it('names what is wrong and where', () => {
    const scan = (body: Buffer) => scanJson(body, SILENT);
    expect(scan(Buffer.alloc(0))).toEqual({ ok: false, reason: 'empty', at: 0 });
    expect(scan(Buffer.from('\ufeff{}'))).toMatchObject({ reason: 'byte_order_mark' });
    expect(scan(Buffer.from([0x22, 0xff, 0x22]))).toMatchObject({ reason: 'invalid_utf8' });
    expect(scan(Buffer.from('{"a":1} x'))).toEqual({ ok: false, reason: 'syntax', at: 8 });
    expect(scan(Buffer.from('{"a":tru}'))).toEqual({ ok: false, reason: 'syntax', at: 8 });
    expect(scan(Buffer.from('["\\u12g4"]'))).toEqual({ ok: false, reason: 'syntax', at: 4 });
  });

  it('admits nesting up to its limit and not one level more', () => {
    const nested = (levels: number) => Buffer.from('['.repeat(levels) + ']'.repeat(levels));
    expect(isAccepted(nested(NESTING_MAX))).toBe(true);
    expect(scanJson(nested(NESTING_MAX + 1), SILENT)).toMatchObject({ reason: 'too_deep' });
    expect(scanJson(Buffer.from('{"a":'.repeat(100_000)), SILENT)).toMatchObject({
      reason: 'too_deep',
      at: NESTING_MAX * 5,
    });
  });

  it('tells where each piece lies and how many bytes each string means', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), fc.boolean(), (value, isEscaped) => {
        fc.pre(depthOf(value) <= NESTING_MAX);
        const text = JSON.stringify(value);
        const body = Buffer.from(isEscaped ? escaped(text) : text);
        const read: unknown[] = [];
        const decode = (start: number, end: number): unknown =>
          JSON.parse(body.toString('utf8', start, end));
        const string = (start: number, end: number, bytes: number): void => {
          const decoded = decode(start - 1, end + 1);
          expect(bytes).toBe(Buffer.byteLength(String(decoded)));
          read.push(decoded);
        };
        let depth = 0;
        const result = scanJson(body, {
          key: string,
          string,
          scalar: (start, end) => read.push(decode(start, end)),
          open: (at, isObject) => {
            depth++;
            expect(body[at]).toBe(isObject ? 0x7b : 0x5b);
          },
          close: (end, isObject) => {
            depth--;
            expect(body[end - 1]).toBe(isObject ? 0x7d : 0x5d);
          },
        });
        expect(result).toEqual({ ok: true });
        expect(depth).toBe(0);
        expect(read).toEqual(leavesOf(JSON.parse(text)));
      }),
      { numRuns: 1_000 },
    );
  });

  it('counts a surrogate pair as four bytes and a lone surrogate as three', () => {
    const count = (inner: string): number => {
      let counted = -1;
      const string = (_start: number, _end: number, bytes: number): void => {
        counted = bytes;
      };
      scanJson(Buffer.from(`"${inner}"`), { ...SILENT, string });
      return counted;
    };
    const inners = [
      '\\ud83d\\ude00',
      '\\ud83d',
      '\\ude00\\ud83d',
      '\\ud83d\\ud83d\\ude00',
      '\\u00e9',
    ];
    expect(inners.map(count)).toEqual([4, 3, 6, 7, 2]);
    const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 12 });
    fc.assert(
      fc.property(units, (codes) => {
        const inner = codes.map((code) => `\\u${code.toString(16).padStart(4, '0')}`).join('');
        return count(inner) === Buffer.byteLength(String.fromCharCode(...codes));
      }),
    );
  });
});

/** The same text with every character past ASCII escaped. */
function escaped(text: string): string {
  return text.replace(/[\u0080-\uffff]/g, (letter) => {
    return `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** Names and scalars in the order of the text. */
function leavesOf(value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [value];
  if (Array.isArray(value)) return value.flatMap(leavesOf);
  return Object.entries(value).flatMap(([name, each]) => [name, ...leavesOf(each)]);
}
