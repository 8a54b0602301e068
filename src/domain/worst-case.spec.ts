import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { costOf } from './pricing.js';
import { type Unit } from './units.js';
import {
  HOLD_CONSTANTS,
  holdAt,
  type InputFacts,
  inputBoundOf,
  largestOutputWithin,
  outputCost,
  type PricedRoute,
  worstCaseOf,
} from './worst-case.js';

const NOTHING: InputFacts = {
  stringBytes: 0,
  messages: 0,
  hasTools: false,
  imageParts: 0,
  audioBytes: 0,
  tokenIds: 0,
  isInputElsewhere: false,
};

function route(
  prices: Partial<Record<Unit, bigint>>,
  contextLength: number | null = null,
): PricedRoute {
  const entries = Object.entries(prices).map(
    ([unit, picoUsd]) => [unit as Unit, { picoUsd, perUnits: 1n }] as const,
  );
  return { contextLength, prices: new Map(entries) };
}

const CHAT = { outputs: 1, callerMaxOutputTokens: null };

describe('the input bound', () => {
  it('counts every part by its constant', () => {
    const facts = {
      stringBytes: 1_000,
      messages: 3,
      hasTools: true,
      imageParts: 2,
      audioBytes: 17,
      tokenIds: 5,
      isInputElsewhere: false,
    };
    expect(inputBoundOf(facts, null)).toBe(1_000 + 48 + 1_024 + 32_768 + 2 + 5);
    expect(inputBoundOf(facts, 4_096)).toBe(4_096);
  });

  it('is the context length where the input is not in the body', () => {
    expect(inputBoundOf({ ...NOTHING, isInputElsewhere: true }, 8_192)).toBe(8_192);
  });
});

describe('the worst case', () => {
  it('is input bound x dearest input + outputs x M x output', () => {
    const worst = worstCaseOf({
      facts: { ...NOTHING, stringBytes: 100 },
      outputs: 3,
      callerMaxOutputTokens: 50,
      routes: [route({ input: 2n, cached_input: 1n, cache_write_1h: 4n, output: 10n })],
    });
    expect(worst).toMatchObject({ inputBound: 100, outputs: 3, maxOutputTokens: 50 });
    expect(worst.worstCasePicoUsd).toBe(100n * 4n + 3n * 50n * 10n);
  });

  it('is the dearest over the routes at each M', () => {
    const routes = [route({ input: 100n, output: 1n }), route({ input: 1n, output: 10n })];
    const facts = { ...NOTHING, stringBytes: 10 };
    const { curve } = worstCaseOf({ ...CHAT, facts, routes });
    expect(holdAt(curve, 1)).toBe(1_001n);
    expect(holdAt(curve, 1_000)).toBe(10_010n);
    expect(outputCost(curve, 16)).toBe(160n);
  });

  it('takes the default M, or what the shortest context leaves', () => {
    const facts = { ...NOTHING, stringBytes: 1_000 };
    const prices = { input: 1n, output: 1n };
    const maxOf = (...contexts: (number | null)[]) =>
      worstCaseOf({ ...CHAT, facts, routes: contexts.map((each) => route(prices, each)) })
        .maxOutputTokens;
    expect(maxOf(null)).toBe(16_384);
    expect(maxOf(131_072)).toBe(16_384);
    expect(maxOf(131_072, 8_000)).toBe(7_000);
    expect(maxOf(1_000)).toBe(256);
  });

  it('never changes a maximum of the caller', () => {
    const routes = [route({ input: 1n, output: 1n }, 1_000)];
    const worst = worstCaseOf({ ...CHAT, facts: NOTHING, callerMaxOutputTokens: 5_000, routes });
    expect(worst.maxOutputTokens).toBe(5_000);
    const none = worstCaseOf({ ...CHAT, facts: NOTHING, callerMaxOutputTokens: 0, routes });
    expect(none.maxOutputTokens).toBe(0);
  });

  it('bounds other units by their constants, by what is stated, else by the unknown hold', () => {
    const worst = (prices: Partial<Record<Unit, bigint>>, stated = {}) =>
      worstCaseOf({
        facts: { ...NOTHING, audioBytes: 1_000, stringBytes: 7 },
        outputs: 2,
        callerMaxOutputTokens: null,
        routes: [route(prices)],
        stated,
      }).worstCasePicoUsd;
    expect(worst({ compute_ms: 120_000n })).toBe(60_000n * 120_000n);
    expect(worst({ pixel: 1n })).toBe(2n * 4_194_304n);
    expect(worst({ pixel: 1n }, { pixel: 9n })).toBe(9n);
    expect(worst({ audio_ms: 3n })).toBe(1_500n);
    expect(worst({ video_ms: 1n })).toBe(40_000n);
    expect(worst({ character: 2n })).toBe(14n);
    expect(worst({ image: 5n, request: 1n })).toBe(11n);
    expect(worst({ gpu_ms: 1n })).toBe(HOLD_CONSTANTS.unknownPicoUsd);
    expect(worst({})).toBe(HOLD_CONSTANTS.unpricedPicoUsd);
  });

  it('covers every usage within its bounds, on every route', () => {
    const price = fc.record({
      picoUsd: fc.bigInt(0n, 10n ** 7n),
      perUnits: fc.constantFrom(1n, 3n, 1_000_000n),
    });
    const prices = fc.record({ input: price, cached_input: price, output: price });
    const fraction = fc.integer({ min: 0, max: 100 });
    fc.assert(
      fc.property(
        fc.array(prices, { minLength: 1, maxLength: 4 }),
        fc.nat(10_000),
        fc.nat(3_000),
        fc.integer({ min: 1, max: 4 }),
        fraction,
        fc.nat(3),
        (routePrices, stringBytes, callerMaxOutputTokens, outputs, cachedPercent, which) => {
          const routes = routePrices.map((each) => ({
            contextLength: null,
            prices: new Map(Object.entries(each) as [Unit, typeof each.input][]),
          }));
          const facts = { ...NOTHING, stringBytes };
          const worst = worstCaseOf({ facts, outputs, callerMaxOutputTokens, routes });
          const serving = routePrices[which % routePrices.length]!;
          const cached = BigInt(Math.floor((stringBytes * cachedPercent) / 100));
          const cost =
            costOf(BigInt(stringBytes) - cached, serving.input) +
            costOf(cached, serving.cached_input) +
            costOf(BigInt(outputs * callerMaxOutputTokens), serving.output);
          return cost <= worst.worstCasePicoUsd;
        },
      ),
    );
  });

  it('finds the largest M that an amount buys', () => {
    const line = fc.record({
      fixedPicoUsd: fc.bigInt(0n, 1_000n),
      outputPrice: fc.record({ picoUsd: fc.bigInt(0n, 50n), perUnits: fc.constantFrom(1n, 7n) }),
    });
    const lines = fc.array(line, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(lines, fc.bigInt(-10n, 5_000n), fc.bigInt(1n, 3n), (parts, amount, outputs) => {
        const curve = { lines: parts.map((part) => ({ ...part, outputs })) };
        const largest = largestOutputWithin(curve, amount);
        if (largest === Number.MAX_SAFE_INTEGER) {
          expect(holdAt(curve, 10 ** 9)).toBe(holdAt(curve, 0));
        } else {
          expect(holdAt(curve, largest + 1) > amount).toBe(true);
          if (largest >= 0) expect(holdAt(curve, largest) <= amount).toBe(true);
        }
      }),
    );
  });
});
