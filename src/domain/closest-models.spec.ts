import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closestModels, editDistance, knownModel } from './closest-models.js';

describe('closestModels', () => {
  const known = [
    'deepseek-ai/DeepSeek-V3.1',
    'meta-llama/Llama-3.1-8B-Instruct',
    'meta-llama/Llama-3.3-70B-Instruct',
    'openai/gpt-oss-120b',
    'openai/gpt-oss-20b',
  ].map(knownModel);

  it.each([
    ['meta-llama/llama-3.3-70b-instruct', 'meta-llama/Llama-3.3-70B-Instruct'],
    ['Llama-3.3-70B-Instruct', 'meta-llama/Llama-3.3-70B-Instruct'],
    ['meta/Llama-3.3-70B-Instrct', 'meta-llama/Llama-3.3-70B-Instruct'],
    ['openai/gpt-oss-12b', 'openai/gpt-oss-120b'],
    ['deepseek/DeepSeek-V3.1', 'deepseek-ai/DeepSeek-V3.1'],
    ['meta-llama/Llama-3.3-70B', 'meta-llama/Llama-3.3-70B-Instruct'],
    ['llama-3.3-70b-instruct-versatile', 'meta-llama/Llama-3.3-70B-Instruct'],
    ['Llama 3.3 70B', 'meta-llama/Llama-3.3-70B-Instruct'],
    ['meta-llama-Llama-3.3-70B', 'meta-llama/Llama-3.3-70B-Instruct'],
    ['deepseek-v3', 'deepseek-ai/DeepSeek-V3.1'],
    ['gpt-oss', 'openai/gpt-oss-20b'],
  ])('guesses that %s meant %s', (text, meant) => {
    expect(closestModels(text, known)[0]).toBe(meant);
  });

  it('names first what lacks least, and of two alike the one of the organization asked for', () => {
    const alike = [
      'a-team/Llama-3.3-70B-Instruct-Turbo',
      'b-team/Llama-3.3-70B-Instruct',
      'meta-llama/Llama-3.1-70B-Instruct',
      'meta-llama/Llama-3.3-70B-Instruct',
      'meta-llama/Llama-3.3-70B-Instruct-Turbo-Free',
    ].map(knownModel);
    expect(closestModels('meta-llama/Llama-3.3-70B', alike)).toEqual([
      'meta-llama/Llama-3.3-70B-Instruct',
      'b-team/Llama-3.3-70B-Instruct',
      'meta-llama/Llama-3.3-70B-Instruct-Turbo-Free',
      'a-team/Llama-3.3-70B-Instruct-Turbo',
    ]);
  });

  it('takes no two numbers for one, and no short piece for a name', () => {
    const versions = ['org/llama-3.1-1b', 'org/llama-3-11b', 'org/v3', 'org/!!!'].map(knownModel);
    expect(closestModels('llama-3.1-1b-instruct', versions)[0]).toBe('org/llama-3.1-1b');
    expect(closestModels('llama-3-11b-instruct', versions)[0]).toBe('org/llama-3-11b');
    expect(closestModels('something-with-v3-in-its-name', versions)).toEqual([]);
    expect(closestModels('???', versions)).toEqual([]);
  });

  it('guesses a model from any longer part of its name, and at most five, for any text', () => {
    fc.assert(
      fc.property(fc.constantFrom(...known), fc.nat(), fc.nat(), ({ id, base }, from, length) => {
        const start = from % (base.length - 7);
        const part = base.slice(start, start + 8 + (length % base.length));
        // Cut within a number it is another number.
        fc.pre(!/^\d|^[^\da-z]/.test(part));
        expect(closestModels(part, [knownModel(id)])).toEqual([id]);
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const found = closestModels(text, known);
        expect(found.length).toBeLessThanOrEqual(5);
        expect(new Set(found).size).toBe(found.length);
      }),
    );
  });

  it('guesses nothing where nothing is near, and at most five', () => {
    expect(closestModels('claude', known)).toEqual([]);
    expect(closestModels('', known)).toEqual([]);
    expect(closestModels('x'.repeat(1_000_000), known)).toEqual([]);
    const many = Array.from({ length: 20 }, (_, index) => knownModel(`org/model-${index}`));
    expect(closestModels('org/model-1', many)).toHaveLength(5);
  });

  it('measures the edit distance, or that it is above the limit', () => {
    const slow = (one: string, other: string): number => {
      if (one === '' || other === '') return one.length + other.length;
      const [a, b] = [one.slice(1), other.slice(1)];
      if (one[0] === other[0]) return slow(a, b);
      return 1 + Math.min(slow(a, other), slow(one, b), slow(a, b));
    };
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 });
    fc.assert(
      fc.property(word, word, fc.nat({ max: 6 }), (one, other, limit) => {
        const distance = slow(one, other);
        expect(editDistance(one, other, limit)).toBe(distance <= limit ? distance : Infinity);
      }),
    );
  });
});
