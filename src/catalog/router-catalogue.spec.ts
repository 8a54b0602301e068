import { describe, expect, it } from 'vitest';
import type { CatalogueReading } from './catalogue-entry.js';
import { readRouterCatalogue } from './router-catalogue.js';

const SERVER = 'openai-compatible';

function read(provider: string): CatalogueReading & { readonly kind: 'catalogue' } {
  const reading = readRouterCatalogue(
    `{"object":"list","data":[{"id":"org/name","object":"model","providers":[${provider}]}]}`,
    SERVER,
  );
  if (reading.kind !== 'catalogue') throw new Error(reading.problem);
  return reading;
}

function pricesOf(pricing: string): Readonly<Record<string, string>> {
  const { models } = read(`{"provider":"groq","status":"live","pricing":${pricing}}`);
  return Object.fromEntries(
    [...(models[0]?.routes[0]?.prices ?? [])].map(([unit, { picoUsd, perUnits }]) => [
      unit,
      `${picoUsd}/${perUnits}`,
    ]),
  );
}

describe('readRouterCatalogue', () => {
  it('reads prices by their decimal text', () => {
    expect(pricesOf('{"input":0.10,"output":3.0e-1}')).toEqual({
      input: '100000/1',
      output: '300000/1',
    });
    expect(pricesOf('{"input":0.003625,"output":0.0000005}')).toEqual({
      input: '3625/1',
      output: '500000/1000000',
    });
    // As a double this is 0.1 too; its text is finer than 10^-12 USD.
    expect(pricesOf('{"input":0.1000000000000000055511151231257827}')).toEqual({});
    expect(pricesOf('{"input":1,"cached_input":0.25,"per_request":3}')).toEqual({
      input: '1000000/1',
      cached_input: '250000/1',
    });
  });

  it('takes null for missing, and is_free for 0 of input and output', () => {
    expect(pricesOf('null')).toEqual({});
    expect(pricesOf('{"input":null,"output":1}')).toEqual({ output: '1000000/1' });
    expect(pricesOf('{"input":0,"output":0}')).toEqual({ input: '0/1', output: '0/1' });
    const free = read('{"provider":"groq","status":"live","is_free":true,"pricing":{"input":5}}');
    expect([...(free.models[0]?.routes[0]?.prices ?? [])]).toEqual([
      ['input', { picoUsd: 0n, perUnits: 1n }],
      ['output', { picoUsd: 0n, perUnits: 1n }],
    ]);
  });

  it.each([
    ['-0.5', 'negative'],
    ['10000.01', 'too_large'],
    ['1e999', 'invalid'],
    ['"0.5"', 'a string'],
    ['true', 'a boolean'],
    ['[1]', 'a object'],
    ['1e-20', 'not_whole'],
  ])('refuses the figure %s and says so', (figure, problem) => {
    const { models, findings } = read(
      `{"provider":"groq","status":"live","pricing":{"input":${figure},"output":2}}`,
    );
    expect([...(models[0]?.routes[0]?.prices.keys() ?? [])]).toEqual(['output']);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ kind: 'price_refused', provider: 'groq', unit: 'input' });
    expect(findings[0]?.problem).toContain(problem);
  });

  it.each([
    '<html>502</html>',
    '',
    '{"data":[{"id":"a"',
    '{"data":[{"id":"org/a","providers":[{"provider":"groq","pricing":{"input":NaN}}]}]}',
    '[]',
    'null',
    '{"data":{}}',
    '"x"',
    '['.repeat(100_000),
  ])('takes nothing of %s', (text) => {
    expect(readRouterCatalogue(text, SERVER).kind).toBe('unreadable');
  });

  it('passes over what has no usable name, and what comes twice', () => {
    const reading = readRouterCatalogue(
      JSON.stringify({
        data: [
          { id: '*', providers: [] },
          { id: 'org/a:b', providers: [] },
          { id: 7, providers: [] },
          null,
          { id: 'org/none' },
          {
            id: 'org/a',
            note: 'a\0b\ud800',
            providers: [
              { provider: 'groq', status: 'live', pricing: { input: 1, output: 1 } },
              { provider: 'groq', status: 'live', pricing: { input: 9, output: 9 } },
              { provider: 'Not A Slug' },
              { provider: 'novita', status: 'staging', context_length: -1 },
            ],
          },
          { id: 'org/a', providers: [] },
        ],
      }),
      SERVER,
    );
    if (reading.kind !== 'catalogue') throw new Error(reading.problem);
    expect(reading.models.map(({ id }) => id)).toEqual(['org/none', 'org/a']);
    expect(reading.models[1]?.entry).toEqual({ id: 'org/a', note: 'ab\u{fffd}' });
    expect(reading.models[1]?.routes).toMatchObject([
      { provider: 'groq', status: 'live' },
      { provider: 'novita', status: 'error', contextLength: null },
    ]);
    expect(reading.models[1]?.routes[0]?.prices.get('input')?.picoUsd).toBe(1_000_000n);
    expect(reading.findings.map(({ kind }) => kind).sort()).toEqual([
      'duplicate_entry',
      'duplicate_entry',
      'malformed_entry',
      'malformed_entry',
      'malformed_entry',
      'malformed_entry',
      'malformed_entry',
      'malformed_entry',
    ]);
  });
});
