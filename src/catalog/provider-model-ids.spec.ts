import { describe, expect, it } from 'vitest';
import { isModelIds, ModelIds } from './provider-model-ids.js';

describe('the ids of a model', () => {
  const ids = ModelIds.of({
    providers: [
      { slug: 'groq', modelIds: { 'Org/Said': 'said', 'Org/Listed': 'newer' } },
      { slug: 'together', modelIds: null },
    ],
    routes: [
      { provider: 'groq', model: 'Org/Listed', providerModelId: 'listed' },
      { provider: 'together', model: 'Org/Listed', providerModelId: 'l-turbo' },
      { provider: 'together', model: 'Org/Same', providerModelId: null },
    ],
  });

  it('are, for sending, what the operator said', () => {
    expect(ids.ownIdOf('groq', 'Org/Said')).toBe('said');
    expect(ids.ownIdOf('groq', 'Org/Listed')).toBe('newer');
    expect(ids.ownIdOf('together', 'Org/Said')).toBeUndefined();
  });

  it('are, for pricing, ours where anybody said what is meant', () => {
    expect(ids.idOf('groq', 'said')).toBe('Org/Said');
    expect(ids.idOf('groq', 'listed')).toBe('Org/Listed');
    expect(ids.idOf('together', 'l-turbo')).toBe('Org/Listed');
    expect(ids.idOf('together', 'said')).toBe('said');
    expect(ids.idOf('nobody', 'Org/Said')).toBe('Org/Said');
  });
});

it.each<[unknown, boolean]>([
  [{}, true],
  [{ 'Org/A': 'accounts/x/models/a', 'Org/B': 'b:free' }, true],
  [{ 'Org/A:fastest': 'a' }, false],
  [{ '': 'a' }, false],
  [{ 'Org A': 'a' }, false],
  [{ 'Org/A': 'a b' }, false],
  [{ 'Org/A': 'a', 'Org/B': 'a' }, false],
  [{ 'Org/A': null }, false],
  [Object.fromEntries(Array.from({ length: 1_001 }, (_, at) => [`m${at}`, `o${at}`])), false],
  [[], false],
  ['Org/A', false],
  [null, false],
])('%j as what a provider calls models: %s', (value, isTaken) => {
  expect(isModelIds(value)).toBe(isTaken);
});
