import { Busboy } from '@fastify/busboy';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  boundaryOf,
  MultipartScanner,
  type MultipartProblem,
  PARTS_MAX,
  type PartHead,
} from './multipart-scanner.js';

interface ReadPart {
  readonly name: string;
  readonly isFile: boolean;
  readonly content: Buffer;
  readonly start: number;
  readonly end: number;
}

type Reading = { readonly parts: readonly ReadPart[] } | MultipartProblem;

function read(chunks: readonly Buffer[], boundary: string): Reading {
  const parts: ReadPart[] = [];
  let head: PartHead | null = null;
  let start = 0;
  let content: Buffer[] = [];
  const scanner = new MultipartScanner(boundary, {
    begin: (next, at) => {
      [head, start, content] = [next, at, []];
      return null;
    },
    data: (bytes) => {
      content.push(Buffer.from(bytes));
      return null;
    },
    end: (at) => {
      if (head === null) throw new Error('an end without a beginning');
      const { name, isFile } = head;
      parts.push({ name, isFile, content: Buffer.concat(content), start, end: at });
      return null;
    },
  });
  for (const chunk of chunks) {
    const problem = scanner.push(chunk);
    if (problem !== null) return problem;
  }
  return scanner.end() ?? { parts };
}

interface Part {
  readonly name: string;
  readonly filename?: string | undefined;
  readonly content: Buffer;
}

function formOf(boundary: string, parts: readonly Part[]): Buffer {
  const pieces = parts.flatMap(({ name, filename, content }) => {
    const file = filename === undefined ? '' : `; filename="${filename}"`;
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`;
    return [Buffer.from(head), content, Buffer.from('\r\n')];
  });
  return Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]);
}

/** Cut where the numbers say. */
function split(body: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (body.length + 1)))].sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const to of [...at, body.length]) {
    chunks.push(body.subarray(from, to));
    from = to;
  }
  return chunks;
}

const text = (value: string): Buffer => Buffer.from(value);
const boundaries = fc.stringMatching(/^[0-9A-Za-z'()+_,./:=?-]{1,70}$/);
const names = fc.stringMatching(/^[A-Za-z_[\]. ]{1,20}$/);
/** What a parser trips over: pieces of delimiters, line ends, quotes. */
const tricky = (boundary: string): fc.Arbitrary<Buffer> =>
  fc
    .array(
      fc.oneof(
        fc.constantFrom('\r\n', '\r', '\n', '--', '-', '"', '\r\n-', '\r\n--', '\r\n\r\n', '\0'),
        fc.constant(`\r\n--${boundary.slice(0, -1)}`),
        fc.constant(boundary),
        fc.string(),
      ),
      { maxLength: 12 },
    )
    .map((pieces) => Buffer.from(pieces.join('')));
const forms = boundaries.chain((boundary) => {
  const content = fc
    .oneof(
      tricky(boundary),
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    )
    .filter((bytes) => !bytes.includes(`--${boundary}`));
  const part = fc.record({
    name: names,
    filename: fc.option(fc.constantFrom('a.mp3', 'we ird;=.wav', 'À 声.mp3', ''), {
      nil: undefined,
    }),
    content,
  });
  return fc.record({ boundary: fc.constant(boundary), parts: fc.array(part, { minLength: 1 }) });
});

describe('a form', () => {
  it('is read the same however it is cut', () => {
    const cuts = fc.array(fc.nat(10_000), { maxLength: 30 });
    fc.assert(
      fc.property(forms, cuts, ({ boundary, parts }, at) => {
        const body = formOf(boundary, parts);
        const reading = read(split(body, at), boundary);
        if (!('parts' in reading)) throw new Error(reading.message);
        expect(reading.parts.map(({ name }) => name)).toEqual(parts.map(({ name }) => name));
        for (const [index, part] of reading.parts.entries()) {
          const wanted = parts[index];
          expect(part.content.equals(wanted?.content ?? text('?'))).toBe(true);
          expect(part.isFile).toBe(wanted?.filename !== undefined);
          expect(body.subarray(part.start, part.end).equals(part.content)).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('is read the same cut at every byte, and byte by byte', () => {
    const boundary = '----form-boundary';
    const body = formOf(boundary, [
      { name: 'file', filename: 'a.wav', content: text(`\r\n--${boundary.slice(1)}\r\n--\r\n\r`) },
      { name: 'model', content: text('openai/whisper') },
      { name: 'empty', content: text('') },
    ]);
    const whole = read([body], boundary);
    expect(whole).toHaveProperty('parts.length', 3);
    for (let at = 0; at <= body.length; at += 1) {
      expect(read([body.subarray(0, at), body.subarray(at)], boundary)).toEqual(whole);
    }
    expect(read(split(body, [...body.keys()]), boundary)).toEqual(whole);
  });

  it('that ends early is refused, wherever it ends', () => {
    const body = formOf('b0', [{ name: 'model', content: text('m') }]);
    for (let at = 0; at < body.length - 2; at += 1) {
      expect(read([body.subarray(0, at)], 'b0')).toHaveProperty('message');
    }
    expect(read([body.subarray(0, body.length - 2)], 'b0')).toHaveProperty('parts');
  });

  const HEAD = 'Content-Disposition: form-data; name="model"';

  it.each<[string, string]>([
    ['a preamble', `hello\r\n--b0\r\n${HEAD}\r\n\r\nm\r\n--b0--\r\n`],
    ['a line before the first boundary', `\r\n--b0\r\n${HEAD}\r\n\r\nm\r\n--b0--\r\n`],
    ['an epilogue', `--b0\r\n${HEAD}\r\n\r\nm\r\n--b0--\r\nbye`],
    ['a second form', `--b0\r\n${HEAD}\r\n\r\nm\r\n--b0--\r\n--b0\r\n${HEAD}\r\n\r\nx\r\n--b0--`],
    ['line feeds alone', `--b0\n${HEAD}\n\nm\n--b0--\n`],
    ['a boundary after a line feed alone', `--b0\r\n${HEAD}\r\n\r\nm\n--b0--\r\n`],
    ['a boundary inside a part', `--b0\r\n${HEAD}\r\n\r\nm--b0\r\n--b0--\r\n`],
    ['a boundary with more behind it', `--b0\r\n${HEAD}\r\n\r\nm\r\n--b0x\r\n--b0--\r\n`],
    ['spaces behind a boundary', `--b0 \r\n${HEAD}\r\n\r\nm\r\n--b0--\r\n`],
    [
      'a folded header',
      `--b0\r\nContent-Disposition: form-data;\r\n name="model"\r\n\r\nm\r\n--b0--`,
    ],
    ['a header twice', `--b0\r\n${HEAD}\r\n${HEAD}x\r\n\r\nm\r\n--b0--`],
    ['a bare carriage return', `--b0\r\n${HEAD}\rX: y\r\n\r\nm\r\n--b0--`],
    ['a bare line feed', `--b0\r\n${HEAD}\nX: y\r\n\r\nm\r\n--b0--`],
    [
      'a space before the colon',
      `--b0\r\nContent-Disposition : form-data; name="a"\r\n\r\n\r\n--b0--`,
    ],
    ['no name', `--b0\r\nContent-Disposition: form-data\r\n\r\nm\r\n--b0--`],
    ['no disposition', `--b0\r\nContent-Type: text/plain\r\n\r\nm\r\n--b0--`],
    ['no headers', `--b0\r\n\r\nm\r\n--b0--`],
    ['a name twice', `--b0\r\n${HEAD}; name="prompt"\r\n\r\nm\r\n--b0--`],
    [
      'an escaped name',
      `--b0\r\nContent-Disposition: form-data; name="mo\\del"\r\n\r\nm\r\n--b0--`,
    ],
    ['an encoded name', `--b0\r\n${HEAD}; name*=utf-8''prompt\r\n\r\nm\r\n--b0--`],
    ['an open quote', `--b0\r\nContent-Disposition: form-data; name="model\r\n\r\nm\r\n--b0--`],
    ['base64', `--b0\r\n${HEAD}\r\nContent-Transfer-Encoding: base64\r\n\r\nbQ==\r\n--b0--`],
    [
      'parts in a part',
      `--b0\r\n${HEAD}\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\r\n--b0--`,
    ],
    ['no blank line', `--b0\r\n${HEAD}\r\n--b0--\r\n`],
    ['endless headers', `--b0\r\n${HEAD}\r\nX: ${'y'.repeat(9_000)}`],
    ['too many headers', `--b0\r\n${HEAD}${'\r\nX: y'.repeat(20)}\r\n\r\n\r\n--b0--`],
  ])('with %s is refused', (_name, body) => {
    expect(read([text(body)], 'b0')).toHaveProperty('message');
    expect(read(split(text(body), [...Buffer.from(body).keys()]), 'b0')).toHaveProperty('message');
  });

  it('has a bounded number of parts', () => {
    const parts = Array.from({ length: PARTS_MAX + 1 }, () => ({ name: 'a', content: text('') }));
    expect(read([formOf('b0', parts.slice(1))], 'b0')).toHaveProperty('parts.length', PARTS_MAX);
    expect(read([formOf('b0', parts)], 'b0')).toHaveProperty('message');
  });

  it('that is accepted is read in the same way by others, whatever was done to it', async () => {
    const snippets = ['\r\n', '\n', '\r', '--b0', '--b0--', '"', ';', '\\', ' ', 'name="x"', '='];
    const mutation = fc.tuple(fc.nat(1_000), fc.nat(3), fc.constantFrom(...snippets));
    const body = formOf('b0', [
      { name: 'model', content: text('m') },
      { name: 'file', filename: 'a', content: text('xyz\r\n') },
    ]);
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { maxLength: 3 }), async (mutations) => {
        let changed = body;
        for (const [position, removed, added] of mutations) {
          const at = position % (changed.length + 1);
          const rest = changed.subarray(at + removed);
          changed = Buffer.concat([changed.subarray(0, at), text(added), rest]);
        }
        const reading = read([changed], 'b0');
        if (!('parts' in reading)) return;
        accepted += 1;
        const own = reading.parts.map(({ name, content }) => [name, content.toString('latin1')]);
        expect(await byBusboy(changed)).toEqual(own);
        const fetched = await byFetch(changed);
        if (fetched !== null) expect(fetched).toEqual(own);
      }),
      { numRuns: 1_500 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  it('of any bytes is answered, never thrown at', () => {
    const piece = fc.constantFrom(
      '--b0',
      '\r\n',
      '--',
      'Content-Disposition: form-data',
      '; name=',
      '"',
      'a',
    );
    const any = fc.oneof(
      fc.array(piece).map((pieces) => text(pieces.join(''))),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(any, fc.array(fc.nat(200)), (bytes, cuts) => {
        const reading = read(split(bytes, cuts), 'b0');
        expect('parts' in reading || reading.message.length > 0).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

/** By a parser of somebody else's: name and content of each part, in order. */
function byBusboy(body: Buffer): Promise<string[][]> {
  return new Promise((resolve, reject) => {
    const parts: string[][] = [];
    const headers = { 'content-type': 'multipart/form-data; boundary=b0' };
    const busboy = new Busboy({ headers, defCharset: 'latin1' });
    busboy.on('field', (name, value) => parts.push([name, value]));
    busboy.on('file', (name, file) => {
      const part = [name, ''];
      parts.push(part);
      file.on('data', (chunk: Buffer) => {
        part[1] = `${part[1] ?? ''}${chunk.toString('latin1')}`;
      });
    });
    busboy.on('finish', () => {
      resolve(parts);
    });
    busboy.on('error', reject);
    busboy.end(body);
  });
}

/** And by the one behind `fetch`; null where it refuses: nobody is misled then. */
async function byFetch(body: Buffer): Promise<string[][] | null> {
  const headers = { 'content-type': 'multipart/form-data; boundary=b0' };
  const response = new Response(new Uint8Array(body), { headers });
  const form = await response.formData().catch(() => null);
  if (form === null) return null;
  const parts: string[][] = [];
  for (const [name, value] of form) {
    const bytes =
      typeof value === 'string' ? Buffer.from(value) : Buffer.from(await value.arrayBuffer());
    parts.push([name, bytes.toString('latin1')]);
  }
  return parts;
}

describe('the boundary', () => {
  it.each<[string, string | null]>([
    ['multipart/form-data; boundary=abc', 'abc'],
    ['multipart/form-data; boundary="a b:c"', 'a b:c'],
    [
      'multipart/form-data;charset=utf-8; Boundary=----WebKitFormBoundaryX',
      '----WebKitFormBoundaryX',
    ],
    ['multipart/form-data; boundary=abc;', 'abc'],
    ['multipart/form-data', null],
    ['multipart/form-data; boundary=', null],
    ['multipart/form-data; boundary=a; boundary=b', null],
    ['multipart/form-data; boundary="a\\"b"', null],
    ['multipart/form-data; boundary="a b "', null],
    ['multipart/form-data; boundary=a b', null],
    [`multipart/form-data; boundary=${'a'.repeat(71)}`, null],
    ['multipart/form-data; boundary="a\r\nb"', null],
  ])('of %j is %j', (type, boundary) => {
    expect(boundaryOf(type)).toBe(boundary);
  });
});
