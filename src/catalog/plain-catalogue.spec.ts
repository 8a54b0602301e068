import { describe, expect, it } from 'vitest';
import type { CatalogueReading } from './catalogue-entry.js';
import { readProviderCatalogue } from './plain-catalogue.js';
import { readRouterCatalogue } from './router-catalogue.js';

type Catalogue = CatalogueReading & { readonly kind: 'catalogue' };

function read(text: string): Catalogue {
  const reading = readProviderCatalogue(text, 'somebody');
  if (reading.kind !== 'catalogue') throw new Error(reading.problem);
  return reading;
}

function pricesOf(entry: string): Readonly<Record<string, string>> {
  const { models } = read(`{"data":[${entry}]}`);
  return Object.fromEntries(
    [...(models[0]?.routes[0]?.prices ?? [])].map(([unit, { picoUsd, perUnits }]) => [
      unit,
      `${picoUsd}/${perUnits}`,
    ]),
  );
}

describe('the list of a server that serves its models itself', () => {
  it("is OpenAI's, without any price", () => {
    const { models, findings } = read(
      '{"object":"list","data":[{"id":"gpt","object":"model","created":7,"owned_by":"me","max_model_len":4096,"permission":[{"id":"x"}]}]}',
    );
    expect(findings).toEqual([]);
    expect(models).toEqual([
      {
        id: 'gpt',
        entry: { object: 'model', created: 7, owned_by: 'me', id: 'gpt' },
        routes: [
          {
            provider: 'somebody',
            status: 'live',
            contextLength: 4096,
            providerModelId: null,
            entry: { provider: 'somebody', status: 'live', context_length: 4096 },
            prices: new Map(),
          },
        ],
      },
    ]);
  });

  it("is Together's bare array, in USD per 1M", () => {
    const { models } = read(
      '[{"id":"org/a","type":"chat","context_length":131072,"pricing":{"hourly":0,"input":0.88,"output":0.90,"base":0,"finetune":0}}]',
    );
    expect([...(models[0]?.routes[0]?.prices ?? [])]).toEqual([
      ['input', { picoUsd: 880_000n, perUnits: 1n }],
      ['output', { picoUsd: 900_000n, perUnits: 1n }],
    ]);
  });

  it("is OpenRouter's, in texts of USD per token", () => {
    expect(
      pricesOf(
        '{"id":"a/b","pricing":{"prompt":"0.0000008","completion":"0.00000200000","request":"0","image":"0","input_cache_read":"0.00000008"}}',
      ),
    ).toEqual({ input: '800000/1', output: '2000000/1', cached_input: '80000/1' });
    expect(pricesOf('{"id":"a/b","pricing":{"prompt":"0","completion":"0"}}')).toEqual({
      input: '0/1',
      output: '0/1',
    });
    expect(pricesOf('{"id":"a/b","pricing":{"prompt":"-1","completion":"-1"}}')).toEqual({});
  });

  it("is DeepInfra's, in its metadata", () => {
    const entry =
      '{"id":"a/b","metadata":{"context_length":8192,"pricing":{"input_tokens":0.13,"output_tokens":0.4,"cache_read_tokens":0.013}}}';
    expect(pricesOf(entry)).toEqual({
      input: '130000/1',
      output: '400000/1',
      cached_input: '13000/1',
    });
    expect(read(`{"data":[${entry}]}`).models[0]?.routes[0]?.contextLength).toBe(8192);
  });

  it("is Novita's, in parts of a ten-thousandth of a USD", () => {
    const entry =
      '{"id":"a/b","context_size":32768,"input_token_price_per_m":3900,"output_token_price_per_m":3901}';
    expect(pricesOf(entry)).toEqual({ input: '390000/1', output: '390100/1' });
    expect(read(`[${entry}]`).models[0]?.routes[0]?.contextLength).toBe(32_768);
    expect(pricesOf('{"id":"a/b","input_token_price_per_m":1e4}')).toEqual({});
  });

  it('may say what its models are called at Hugging Face', () => {
    const { models } = read(
      '[{"id":"a","hugging_face_id":"Org/A"},{"id":"b","link":"https://huggingface.co/Org/B"},{"id":"c","link":"https://example.com/c","hugging_face_id":""}]',
    );
    expect(models.map(({ hubId }) => hubId)).toEqual(['Org/A', 'Org/B', undefined]);
  });

  it.each([
    '{"id":"a/b","pricing":{"hourly":0,"input":0,"output":0}}',
    '{"id":"a/b","metadata":{"pricing":{"input_tokens":0,"output_tokens":0}}}',
    '{"id":"a/b","pricing":{"prompt":"0.000001","completion":"0.000001","request":"0.01"}}',
    '{"id":"a/b","pricing":{"prompt":0.000001,"completion":0.000001}}',
    '{"id":"a/b","pricing":{"input":"0.5","output":"0.5"}}',
    '{"id":"a/b","pricing":{"prompt":"0.011","completion":"1e999"}}',
    '{"id":"a/b","pricing":null,"metadata":null}',
    '{"id":"a/b","metadata":{"pricing":{"per_image":0.01}}}',
  ])('gives no price where it may not be one: %s', (entry) => {
    expect(pricesOf(entry)).toEqual({});
  });

  it('leaves out ids that callers could not write, and says what is malformed', () => {
    const { models, findings } = read(
      '{"data":[{"id":"a/b:free"},{"id":7},null,{"id":"*"},{"id":"a b"},{"id":"a"},{"id":"a"}]}',
    );
    expect(models.map(({ id }) => id)).toEqual(['a']);
    expect(findings.map(({ kind }) => kind)).toEqual([
      'malformed_entry',
      'malformed_entry',
      'malformed_entry',
      'malformed_entry',
      'duplicate_entry',
    ]);
  });

  it.each(['', '[]', '{}', '{"data":{}}', '{"error":"no"}', 'null'])('is not %s', (text) => {
    expect(readProviderCatalogue(text, 'somebody').kind).toBe('unreadable');
  });
});

describe('the default upstream', () => {
  it('is no router where none of its models has providers: it serves them itself', () => {
    const reading = readRouterCatalogue('{"data":[{"id":"tgi"}]}', 'openai-compatible');
    expect(reading).toMatchObject({
      models: [{ id: 'tgi', routes: [{ provider: 'openai-compatible', status: 'live' }] }],
      findings: [],
    });
  });

  it('is a router as soon as one of them has: what lacks them is malformed', () => {
    const reading = readRouterCatalogue(
      '{"data":[{"id":"a"},{"id":"b","providers":[{"provider":"groq","status":"live"}]}]}',
      'openai-compatible',
    );
    expect(reading).toMatchObject({
      models: [
        { id: 'a', routes: [] },
        { id: 'b', routes: [{ provider: 'groq' }] },
      ],
      findings: [{ kind: 'malformed_entry' }],
    });
  });
});
