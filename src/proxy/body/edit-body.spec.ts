import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ChatRequestFacts, readChatRequest } from './chat-request.js';
import { type BodyEdits, editBody } from './edit-body.js';

function factsOf(body: Buffer): ChatRequestFacts {
  const result = readChatRequest(body);
  if (!result.ok) throw new Error(result.message);
  return result.facts;
}

function edited(text: string, edits: BodyEdits): string {
  const body = Buffer.from(text);
  return editBody(body, factsOf(body), edits).toString();
}

describe('an edit', () => {
  it.each<[string, string, BodyEdits, string]>([
    [
      'replaces the model',
      '{ "model" : "a" , "x":1 }',
      { model: 'b/"c"' },
      '{ "model" : "b/\\"c\\"" , "x":1 }',
    ],
    [
      'keeps a model that is the same',
      '{"model":"\\u0061"}',
      { model: 'a' },
      '{"model":"\\u0061"}',
    ],
    [
      'appends a maximum',
      '{"model":"a"\n}\n',
      { maxOutput: { field: 'max_tokens', value: 9 } },
      '{"model":"a","max_tokens":9\n}\n',
    ],
    [
      'fills in a maximum of null',
      '{"max_tokens": null,"model":"a"}',
      { maxOutput: { field: 'max_tokens', value: 9 } },
      '{"max_tokens": 9,"model":"a"}',
    ],
    [
      'adds stream_options',
      '{"model":"a"}',
      { includeUsage: true },
      '{"model":"a","stream_options":{"include_usage":true}}',
    ],
    [
      'replaces stream_options of null',
      '{"stream_options":null,"model":"a"}',
      { includeUsage: true },
      '{"stream_options":{"include_usage":true},"model":"a"}',
    ],
    [
      'turns include_usage on',
      '{"model":"a","stream_options":{ "include_usage" : false , "x":{}}}',
      { includeUsage: true },
      '{"model":"a","stream_options":{ "include_usage" : true , "x":{}}}',
    ],
    [
      'merges into stream_options',
      '{"model":"a","stream_options":{ "x":{"y":[]}}}',
      { includeUsage: true },
      '{"model":"a","stream_options":{"include_usage":true, "x":{"y":[]}}}',
    ],
    [
      'fills empty stream_options',
      '{"model":"a","stream_options":{ }}',
      { includeUsage: true },
      '{"model":"a","stream_options":{"include_usage":true }}',
    ],
    ['drops the first', '{ "x": 1 , "model":"a"}', { drop: ['x'] }, '{ "model":"a"}'],
    ['drops the last', '{"model":"a" , "x": {"y":1} }', { drop: ['x'] }, '{"model":"a" }'],
    [
      'drops several',
      '{"x":1,"y":2,"model":"a","z":3,"w":4}',
      { drop: ['x', 'y', 'z', 'w', 'no'] },
      '{"model":"a"}',
    ],
    [
      'drops all but what it adds',
      '{"x":1,"model":"a"}',
      { drop: ['x', 'model'], maxOutput: { field: 'max_tokens', value: 1 } },
      '{"max_tokens":1}',
    ],
  ])('%s', (_name, text, edits, expected) => {
    expect(edited(text, edits)).toBe(expected);
  });

  it('that changes nothing gives the same buffer back', () => {
    const body = Buffer.from('{"model":"a","stream_options":{"include_usage":true}}');
    expect(editBody(body, factsOf(body), { model: 'a', includeUsage: true, drop: ['x'] })).toBe(
      body,
    );
  });

  it('never overwrites a maximum of the caller, nor sets what it drops', () => {
    const value = { maxOutput: { field: 'max_tokens', value: 9 } } as const;
    expect(() => edited('{"model":"a","max_tokens":5}', value)).toThrow(/caller/);
    expect(() => edited('{"model":"a"}', { model: 'b', drop: ['model'] })).toThrow(/dropped/);
  });
});

const space = fc.constantFrom('', ' ', '\n', '\t \r\n');
const json = fc.json({ stringUnit: 'binary', maxDepth: 2 });
const name = fc.oneof(
  fc.constantFrom('a', 'store', 'é', '__proto__', 'max_completion_tokens2', '"', '\\'),
  fc.string({ maxLength: 5 }),
);
const options = fc.oneof(
  fc.constantFrom('null', '{}', '{ }', '{"include_usage":true}', '{"include_usage":null}'),
  fc.constantFrom('{"include_usage":false}', '{"x":{"include_usage":5}}'),
  json.map((text) => `{"x":${text},"include_usage" : false,"y":[${text}]}`),
);
/** A body as pieces, with odd spacing, so that the test knows every member's own bytes. */
const bodyParts = fc
  .tuple(
    fc.uniqueArray(fc.tuple(name, json), { selector: ([each]) => each, maxLength: 5 }),
    fc.option(options),
    fc.constantFrom(null, 'null', '7'),
    fc.string({ minLength: 1, maxLength: 8 }),
    space,
    fc.nat(),
  )
  .map(([extra, streamOptions, maximum, model, gap, turn]) => {
    const members: [string, string][] = extra.filter(
      ([each]) => !['n', 'model', 'stream_options', 'max_tokens'].includes(each),
    );
    members.push(['model', JSON.stringify(model)]);
    if (streamOptions !== null) members.push(['stream_options', streamOptions]);
    if (maximum !== null) members.push(['max_tokens', maximum]);
    const turned = [
      ...members.slice(turn % members.length),
      ...members.slice(0, turn % members.length),
    ];
    return { members: turned, gap, maximum };
  });

function textOf(members: readonly [string, string][], gap: string): string {
  const each = members.map(([key, value]) => `${JSON.stringify(key)}${gap}:${gap}${value}`);
  return `${gap}{${gap}${each.join(`${gap},${gap}`)}${gap}}${gap}`;
}

describe('edits of any body', () => {
  it('change the members that they name and no other byte of any other', () => {
    const edits = fc.tuple(
      fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
      fc.boolean(),
      fc.boolean(),
      fc.array(name, { maxLength: 3 }),
    );
    fc.assert(
      fc.property(
        bodyParts,
        edits,
        ({ members, gap, maximum }, [model, isAsked, isUsage, drop]) => {
          const body = Buffer.from(textOf(members, gap));
          const facts = factsOf(body);
          const isMaxWritten = isAsked && maximum !== '7';
          const result = editBody(body, facts, {
            ...(model === undefined ? {} : { model }),
            ...(isMaxWritten ? { maxOutput: { field: 'max_tokens', value: 55 } } : {}),
            ...(isUsage ? { includeUsage: true } : {}),
            drop,
          });
          const after = factsOf(result);
          const before = new Map(members);
          const now = new Map(
            after.layout.members.map((each) => [
              each.name,
              result.toString('utf8', each.valueStart, each.valueEnd),
            ]),
          );
          const kept = members.map(([key]) => key).filter((key) => !drop.includes(key));
          expect([...now.keys()].slice(0, kept.length)).toEqual(kept);
          const changed = new Set<string>();
          if (model !== undefined) {
            changed.add('model');
            expect(after.model).toBe(model);
          }
          if (isMaxWritten) {
            changed.add('max_tokens');
            expect(after.maxOutput.max_tokens).toBe(55);
          }
          if (isUsage) {
            changed.add('stream_options');
            const given = JSON.parse(before.get('stream_options') ?? 'null') as object | null;
            const expected = { ...given, include_usage: true };
            expect(JSON.parse(now.get('stream_options') ?? 'null')).toEqual(expected);
          }
          for (const key of kept) if (!changed.has(key)) expect(now.get(key)).toBe(before.get(key));
          const extra = [...now.keys()].slice(kept.length);
          for (const key of extra) expect(changed.has(key)).toBe(true);
          JSON.parse(result.toString());
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('keep every byte of the text where only values are replaced', () => {
    fc.assert(
      fc.property(bodyParts, fc.string({ minLength: 1 }), ({ members, gap }, model) => {
        const body = Buffer.from(textOf(members, gap));
        const replaced = members.map(([key, value]): [string, string] =>
          key === 'model' && JSON.parse(value) !== model
            ? [key, JSON.stringify(model)]
            : [key, value],
        );
        const result = editBody(body, factsOf(body), { model });
        expect(result.toString()).toBe(textOf(replaced, gap));
      }),
    );
  });
});
