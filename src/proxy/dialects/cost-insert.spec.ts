import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { insertCostIntoBody, insertCostIntoEvent } from './cost-insert.js';
import { SseSplitter } from './sse-splitter.js';

const COST = { costUsd: '0.00012', detailsJson: '{"currency":"usd"}' };
const MEMBERS = '"cost":0.00012,"cost_details":{"currency":"usd"}';

function intoEvent(text: string): string | null {
  const [event] = new SseSplitter().push(Buffer.from(text));
  return insertCostIntoEvent(event!, COST)?.toString() ?? null;
}

function intoBody(text: string): string | null {
  return insertCostIntoBody(Buffer.from(text), COST)?.toString() ?? null;
}

describe('the cost inside the final usage', () => {
  it.each([
    ['{"usage":{"a":1},"b":"}"}', `{"usage":{"a":1,${MEMBERS}},"b":"}"}`],
    ['{"usage":{}}', `{"usage":{${MEMBERS}}}`],
    ['{"usage": { } }', `{"usage": { ${MEMBERS}} }`],
    ['{\n "usage": {\n  "a": 1\n }\n}', `{\n "usage": {\n  "a": 1,${MEMBERS}\n }\n}`],
    ['{"us\\u0061ge":{"a":1}}', `{"us\\u0061ge":{"a":1,${MEMBERS}}}`],
    [
      '{"usage":null,"x_groq":{"usage":{"a":1}}}',
      `{"usage":null,"x_groq":{"usage":{"a":1,${MEMBERS}}}}`,
    ],
    ['{"response":{"usage":{"a":1}}}', `{"response":{"usage":{"a":1,${MEMBERS}}}}`],
    ['{"message":{"usage":{"a":1}}}', `{"message":{"usage":{"a":1,${MEMBERS}}}}`],
    ['{"choices":[{},{"usage":{"a":1}}]}', `{"choices":[{},{"usage":{"a":1,${MEMBERS}}}]}`],
    [
      '{"a":"\\"usage\\":{}","usage":{"a":"é"}}',
      `{"a":"\\"usage\\":{}","usage":{"a":"é",${MEMBERS}}}`,
    ],
    [
      '{"usage":{"cost":9.5,"a":1}}',
      '{"usage":{"cost":0.00012,"a":1,"cost_details":{"currency":"usd"}}}',
    ],
    [
      '{"usage":{"a":1,"cost_details":{"b":[2]}}}',
      '{"usage":{"a":1,"cost_details":{"currency":"usd"},"cost":0.00012}}',
    ],
    ['{"usage":{"a":1,"cost":null}}', `{"usage":{"a":1,${MEMBERS}}}`],
  ])('changes %j nowhere else', (before, after) => {
    expect(intoBody(before)).toBe(after);
    expect(intoBody(`\uFEFF${before}`)).toBe(`\uFEFF${after}`);
    const isOneLine = !before.includes('\n');
    const lines = (text: string): string =>
      isOneLine ? `data: ${text}` : text.replace(/^/gm, 'data: ');
    expect(intoEvent(`id: 7\r\n${lines(before)}\r\n\r\n`)).toBe(`id: 7\r\n${lines(after)}\r\n\r\n`);
  });

  it('replaces a value that spans two data lines', () => {
    const event = intoEvent('data: {"usage":{"cost":\ndata: {"x":\ndata: 1}}}\n\n');
    const inserted = new SseSplitter().push(Buffer.from(event!))[0];
    expect(JSON.parse(inserted!.dataText())).toEqual({
      usage: { cost: 0.00012, cost_details: { currency: 'usd' } },
    });
  });

  it.each([
    '',
    '{',
    '[]',
    '7',
    '{"usage":null}',
    '{"usage":[1]}',
    '{"usage":{"a":1',
    '{"usage"',
    'x',
  ])('leaves %j alone', (text) => {
    expect(intoBody(text)).toBeNull();
    expect(intoEvent(`data: ${text}\n\n`)).toBeNull();
  });

  it('refuses a cost that is no plain decimal and details that are no line', () => {
    const body = Buffer.from('{"usage":{}}');
    for (const costUsd of ['', '-1', '1e-7', '.5', '1.', '01', 'NaN', '1,5']) {
      expect(() => insertCostIntoBody(body, { ...COST, costUsd })).toThrow(RangeError);
    }
    for (const detailsJson of ['', '[]', '{\n}', 'null']) {
      expect(() => insertCostIntoBody(body, { ...COST, detailsJson })).toThrow(RangeError);
    }
  });

  it('parses to the same value with the two members added, for any JSON', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue(), (usage, rest) => {
        const value = { rest, usage };
        for (const indent of [0, 2]) {
          const inserted = intoBody(JSON.stringify(value, null, indent));
          expect(JSON.parse(inserted!)).toEqual(
            JSON.parse(
              JSON.stringify({
                rest,
                usage: { ...usage, cost: 0.00012, cost_details: { currency: 'usd' } },
              }),
            ),
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  it('never throws on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (random) => {
        insertCostIntoBody(Buffer.from(random), COST);
        insertCostIntoBody(Buffer.concat([Buffer.from('{"usage":{'), random]), COST);
      }),
      { numRuns: 1000 },
    );
  });
});
