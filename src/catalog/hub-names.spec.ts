import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changedNames, readHubNames, type RouteName } from './hub-names.js';

const groq = { status: 'live', providerId: 'llama-versatile', task: 'conversational' };

function read(inferenceProviderMapping: unknown): unknown {
  const names = readHubNames(JSON.stringify({ id: 'org/name', inferenceProviderMapping }));
  return names === null ? null : Object.fromEntries(names);
}

describe("the Hub's answer about a model", () => {
  it('is read as an object by provider, and as a list', () => {
    const together = { ...groq, providerId: 'org/name-Turbo' };
    const names = { groq: 'llama-versatile', together: 'org/name-Turbo' };
    expect(read({ groq, together })).toEqual(names);
    const list = [
      { provider: 'groq', ...groq },
      { provider: 'together', ...together },
    ];
    expect(read(list)).toEqual(names);
    expect(read({})).toEqual({});
    expect(read([])).toEqual({});
  });

  it('counts the first of a provider that comes twice', () => {
    const list = [
      { provider: 'groq', ...groq },
      { provider: 'groq', ...groq, providerId: 'other' },
    ];
    expect(read(list)).toEqual({ groq: 'llama-versatile' });
  });

  it.each([
    ['no id', {}],
    ['a number', { providerId: 7 }],
    ['nothing', { providerId: '' }],
    ['a space', { providerId: 'a b' }],
    ['a control character', { providerId: 'a\nb' }],
    ['a letter that is not ASCII', { providerId: 'modèle' }],
    ['257 characters', { providerId: 'x'.repeat(257) }],
    ['an adapter', { ...groq, adapter: 'lora' }],
    ['a text', 'llama-versatile'],
    ['null', null],
  ])('passes over a provider with %s', (_what, entry) => {
    expect(read({ together: entry, groq })).toEqual({ groq: 'llama-versatile' });
    expect(read([entry, { provider: 'groq', ...groq }])).toEqual({ groq: 'llama-versatile' });
  });

  it('passes over what is no name of a provider', () => {
    expect(read({ 'A B': groq, __proto__: groq, '': groq, 'x/y': groq })).toEqual({});
    expect(read([{ provider: 7, ...groq }])).toEqual({});
  });

  it.each(['', 'no JSON', 'null', '[]', '{}', '{"inferenceProviderMapping":"groq"}'])(
    'is none: %s',
    (text) => {
      expect(readHubNames(text)).toBeNull();
    },
  );
});

type Stored = RouteName & { readonly isListed: boolean };

function route(model: string, providerModelId: string | null = null, isListed = true): Stored {
  return { model, provider: 'groq', providerModelId, isListed };
}

function said(names: Readonly<Record<string, string | null>>): Map<string, Map<string, string>> {
  return new Map(
    Object.entries(names).map(([model, ownId]) => [
      model,
      new Map(ownId === null ? [] : [['groq', ownId]]),
    ]),
  );
}

function after(
  routes: readonly Stored[],
  names: Readonly<Record<string, string | null>>,
): readonly Stored[] {
  const changes = changedNames(routes, said(names));
  return routes.map((one) => {
    const change = changes.find(({ model }) => model === one.model);
    return change === undefined ? one : { ...one, providerModelId: change.providerModelId };
  });
}

describe('what is stored of it', () => {
  it('is the name at each provider that the router lists', () => {
    const other: Stored = { ...route('org/a'), provider: 'novita' };
    expect(changedNames([route('org/a'), other], said({ 'org/a': 'a' }))).toEqual([
      { model: 'org/a', provider: 'groq', providerModelId: 'a' },
    ]);
  });

  it('stays where nothing was said, and goes where the provider is named no more', () => {
    expect(changedNames([route('org/a', 'a')], new Map())).toEqual([]);
    expect(after([route('org/a', 'a')], { 'org/a': null })).toEqual([route('org/a')]);
  });

  it('is a name for neither of two models that claim it, also where one was known before', () => {
    const both = { 'org/a': 'x', 'org/b': 'x' };
    expect(after([route('org/a'), route('org/b')], both)).toEqual([route('org/a'), route('org/b')]);
    const later = after([route('org/a', 'x'), route('org/b')], { 'org/b': 'x' });
    expect(later).toEqual([route('org/a'), route('org/b')]);
  });

  it('is taken from a model that is listed no more, and kept by it while nobody claims it', () => {
    const gone = route('org/a', 'x', false);
    expect(after([gone, route('org/b')], { 'org/b': 'x' })).toEqual([
      route('org/a', null, false),
      route('org/b', 'x'),
    ]);
    expect(after([gone, route('org/b')], { 'org/b': 'y' })[0]).toEqual(gone);
  });

  it('never gives two models one name, and settles once every model was looked up', () => {
    const ids = ['m1', 'm2', 'm3', 'm4'];
    const name = fc.option(fc.constantFrom('x', 'y', 'z'), { nil: null });
    const routes = fc.tuple(...ids.map((id) => fc.tuple(fc.constant(id), fc.boolean())));
    const rounds = fc.array(fc.dictionary(fc.constantFrom(...ids), name), { maxLength: 5 });
    fc.assert(
      fc.property(routes, rounds, (listed, answers) => {
        let stored: readonly Stored[] = listed.map(([id, isListed]) => route(id, null, isListed));
        for (const names of answers) {
          stored = after(stored, names);
          const taken = stored.flatMap(({ providerModelId }) => providerModelId ?? []);
          expect(new Set(taken).size).toBe(taken.length);
          for (const { model, isListed, providerModelId } of stored) {
            const one = names[model];
            if (isListed && one === null) expect(providerModelId).toBeNull();
            if (isListed && one != null) expect([one, null]).toContain(providerModelId);
          }
        }
        const all = Object.fromEntries(ids.map((id) => [id, answers[0]?.[id] ?? null]));
        const settled = after(stored, all);
        expect(after(settled, all)).toEqual(settled);
      }),
    );
  });
});
