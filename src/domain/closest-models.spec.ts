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
  ])('guesses that %s meant %s', (text, meant) => {
    expect(closestModels(text, known)[0]).toBe(meant);
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
