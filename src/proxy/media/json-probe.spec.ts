import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonProbe } from './json-probe.js';

function probe(chunks: readonly Buffer[]): JsonProbe {
  const reader = new JsonProbe();
  for (const chunk of chunks) reader.push(chunk);
  return reader;
}

/** Cut where the numbers say. */
function split(body: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (body.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  return [...at, body.length].map((to) => {
    const chunk = body.subarray(from, to);
    from = to;
    return chunk;
  });
}

const name = fc.oneof(fc.constantFrom('data', 'usage', 'a"b', '\\', '\\"', 'ü'), fc.string());
const value = fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' });
const documents = fc.dictionary(name, fc.oneof(value, fc.array(value)), { noNullPrototype: true });

describe('a document read in passing', () => {
  it('tells its members and counts its arrays as JSON.parse does, however it is cut', () => {
    const cuts = fc.array(fc.nat(5_000), { maxLength: 40 });
    fc.assert(
      fc.property(documents, cuts, fc.constantFrom(0, 2), (document, at, indent) => {
        const body = Buffer.from(JSON.stringify(document, null, indent));
        const { members, isComplete, rootElements } = probe(split(body, at));
        expect(isComplete).toBe(true);
        expect(rootElements).toBeNull();
        const read = members.map(({ key, kind, json, elements, elementTexts }) => {
          if (kind === 'other') return [key, JSON.parse(json ?? '?')] as const;
          const items = elementTexts.map((text) => JSON.parse(text ?? '?') as unknown);
          expect(items).toHaveLength(elements);
          return [key, items] as const;
        });
        const parsed = JSON.parse(body.toString()) as object;
        expect(read).toEqual(Object.entries(parsed));
      }),
      { numRuns: 1_000 },
    );
  });

  it('is the same cut at every byte, and byte by byte', () => {
    const text =
      '{ "d\\u0061ta" : [ {"b64":"A\\"]}\\\\"} , "x" , 1.5 ] , "usage":{"n":[1,2]},"e":[ ] }';
    const body = Buffer.from(text);
    const whole = probe([body]);
    expect(whole.members.map(({ elements }) => elements)).toEqual([3, 0, 0]);
    for (let at = 0; at <= body.length; at += 1) {
      expect(probe([body.subarray(0, at), body.subarray(at)]).members).toEqual(whole.members);
    }
    expect(probe(split(body, [...body.keys()])).members).toEqual(whole.members);
  });

  it.each([
    ['numbers', (): unknown => [[...Array(200).keys()], [...Array(200).keys()]]],
    ['short texts', (): unknown => Array.from({ length: 40_000 }, (_, at) => `word ${at}`)],
    ['objects', (): unknown => Array.from({ length: 9_000 }, (_, at) => ({ word: 'w', at }))],
    [
      'rows of numbers',
      (): unknown => Array.from({ length: 400 }, () => Array<number>(64).fill(-0.01234)),
    ],
  ])('tells what stands behind an array of many small elements: %s', (_, made) => {
    const document = { data: made(), model: 'm', usage: { prompt_tokens: 7 }, duration: 2.5 };
    const { members, isComplete } = probe([Buffer.from(JSON.stringify(document))]);
    expect(isComplete).toBe(true);
    expect(members.map(({ key, json }) => [key, json])).toEqual([
      ['data', null],
      ['model', '"m"'],
      ['usage', '{"prompt_tokens":7}'],
      ['duration', '2.5'],
    ]);
    expect(members[0]?.elements).toBe((document.data as unknown[]).length);
    expect(members[0]?.elementTexts.length).toBeLessThanOrEqual(512);
  });

  it('tells the usage behind more members than are kept', () => {
    const many = Array.from({ length: 2_000 }, (_, at) => [`m${at}`, 'x'.repeat(1_000)] as const);
    const document = { ...Object.fromEntries(many), usage: { seconds: 3 } };
    const { members } = probe([Buffer.from(JSON.stringify(document))]);
    expect(members.at(-1)).toMatchObject({ key: 'usage', json: '{"seconds":3}' });
    const keptChars = members.reduce((sum, { json }) => sum + (json?.length ?? 0), 0);
    expect(keptChars).toBeLessThan(300 * 1024);
  });

  it('knows whether it is all there', () => {
    const body = Buffer.from('{"data":[{"a":"b"}],"c":1}');
    for (let at = 0; at < body.length; at += 1) {
      expect(probe([body.subarray(0, at)]).isComplete).toBe(false);
    }
    expect(probe([body, Buffer.from(' \r\n')]).isComplete).toBe(true);
    for (const more of ['x', '{}', '}', '"']) {
      expect(probe([body, Buffer.from(more)]).isComplete).toBe(false);
    }
  });

  it('that is an array is counted', () => {
    const list = fc.array(value);
    fc.assert(
      fc.property(list, fc.array(fc.nat(500)), (items, cuts) => {
        const read = probe(split(Buffer.from(JSON.stringify(items)), cuts));
        expect(read.rootElements).toBe(items.length);
        expect(read.isComplete).toBe(true);
      }),
    );
  });

  it('of any size is read in flat memory', () => {
    const reader = new JsonProbe();
    const block = Buffer.alloc(64 * 1024, 'QUJD\\/');
    reader.push(Buffer.from('{"created":1,"data":[{"b64_json":"'));
    const before = process.memoryUsage().arrayBuffers;
    for (let blocks = 0; blocks < 480; blocks += 1) reader.push(block);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
    reader.push(Buffer.from('"},{"url":"https://x"}],"usage":{"input_tokens":5}}'));
    expect(reader.isComplete).toBe(true);
    expect(reader.members).toEqual([
      { key: 'created', kind: 'other', json: '1', elements: 0, elementTexts: [] },
      {
        key: 'data',
        kind: 'array',
        json: null,
        elements: 2,
        elementTexts: [null, '{"url":"https://x"}'],
      },
      { key: 'usage', kind: 'other', json: '{"input_tokens":5}', elements: 0, elementTexts: [] },
    ]);
  });

  it('with endless members and names keeps a bounded part of them', () => {
    const members = Array.from({ length: 5_000 }, (_, at) => `"k${at}":"${'v'.repeat(1_000)}"`);
    const { members: kept } = probe([Buffer.from(`{${members.join(',')}}`)]);
    const bytes = kept.reduce((sum, { json }) => sum + (json?.length ?? 0), 0);
    expect(kept.length).toBeLessThanOrEqual(512);
    expect(bytes).toBeLessThan(400 * 1024);
  });

  it('of any bytes is answered, never thrown at', () => {
    const piece = fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '\\', 'a', '1', ' ', '"k":');
    const any = fc.oneof(
      fc.array(piece).map((pieces) => Buffer.from(pieces.join(''))),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(any, fc.array(fc.nat(200)), (bytes, cuts) => {
        expect(typeof probe(split(bytes, cuts)).isComplete).toBe('boolean');
        expect(probe(split(bytes, cuts)).members).toEqual(probe([bytes]).members);
      }),
      { numRuns: 2_000 },
    );
  });
});
