import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PriceRow, RowsByUnit } from './pricing.js';
import {
  closestModels,
  editDistance,
  isPriced,
  knownModel,
  parseAskedModel,
  routesFor,
  type AskedModel,
  type ModelOffers,
  type Offer,
  type ProviderBehaviour,
  type Resolution,
  type RoutingPolicy,
} from './routing.js';
import type { Unit } from './units.js';

const behaviour: ProviderBehaviour = {
  onClientGone: 'drain',
  streamUsage: 'ask',
  maxOutputField: 'max_tokens',
  rejects: [],
};
const reject: RoutingPolicy = { unpricedModels: 'reject', routerBehaviour: behaviour };
const allow: RoutingPolicy = { unpricedModels: 'allow', routerBehaviour: behaviour };

function offer(provider: string, overrides: Partial<Offer> = {}): Offer {
  return {
    provider,
    isLive: true,
    isEnabled: true,
    isPriced: true,
    contextLength: 131_072,
    throughput: 100,
    outputPrice: { picoUsd: 900_000n, perUnits: 1n },
    prices: [new Map()],
    behaviour,
    ...overrides,
  };
}

function model(offers: readonly Offer[], isListed = true): ModelOffers {
  return { upstream: 'default', model: 'org/name', isListed, offers };
}

function resolve(text: string, offers: readonly Offer[], policy = reject): Resolution {
  return routesFor(parseAskedModel(text), model(offers), policy);
}

function sent(resolution: Resolution): readonly string[] {
  return resolution.kind === 'routes' ? resolution.routes.map(({ modelSent }) => modelSent) : [];
}

const unpriced = { isPriced: false, outputPrice: null } as const;

describe('parseAskedModel', () => {
  it.each([
    ['org/name', 'org/name', 'fastest'],
    ['org/name:fastest', 'org/name', 'fastest'],
    ['org/name:cheapest', 'org/name', 'cheapest'],
    ['org/name:preferred', 'org/name', 'preferred'],
  ])('reads the policy of %s', (text, id, policy) => {
    expect(parseAskedModel(text)).toEqual({ text, model: id, suffix: { kind: 'policy', policy } });
  });

  it.each([
    ['org/name:groq', 'groq'],
    ['org/name:', ''],
    ['org/name:a:b', 'a:b'],
    ['org/name:FASTEST', 'FASTEST'],
  ])('takes anything else behind the colon of %j as a provider', (text, provider) => {
    expect(parseAskedModel(text).suffix).toEqual({ kind: 'provider', provider });
  });
});

describe('routesFor', () => {
  it.each(['org/name', 'org/name:fastest', 'org/name:cheapest', 'org/name:preferred'])(
    'leaves %s to the router as it was written where every live provider is priced',
    (text) => {
      const down = offer('down', { isLive: false, ...unpriced });
      const resolution = resolve(text, [offer('a'), offer('b'), down]);
      expect(resolution).toMatchObject({ kind: 'routes', model: 'org/name' });
      if (resolution.kind !== 'routes') return;
      expect(resolution.routes).toHaveLength(1);
      expect(resolution.routes[0]).toMatchObject({ provider: null, modelSent: text });
      expect(resolution.routes[0]?.candidates.map(({ provider }) => provider)).toEqual(['a', 'b']);
    },
  );

  it('pins the priced providers, fastest first, where a live one has no price', () => {
    const offers = [
      offer('slow', { throughput: 10 }),
      offer('fastest', { throughput: 900, ...unpriced }),
      offer('unknown', { throughput: null }),
      offer('fast', { throughput: 300 }),
    ];
    for (const text of ['org/name', 'org/name:fastest', 'org/name:preferred']) {
      expect(sent(resolve(text, offers))).toEqual([
        'org/name:fast',
        'org/name:slow',
        'org/name:unknown',
      ]);
    }
  });

  it('pins the cheapest output first, compared exactly across denominators', () => {
    const offers = [
      offer('third', { outputPrice: { picoUsd: 1_000_000n, perUnits: 3n } }),
      offer('dear', { outputPrice: { picoUsd: 333_334n, perUnits: 1n } }),
      offer('cheap', { outputPrice: { picoUsd: 333_333n, perUnits: 1n } }),
      offer('hidden', unpriced),
    ];
    expect(sent(resolve('org/name:cheapest', offers))).toEqual([
      'org/name:cheap',
      'org/name:third',
      'org/name:dear',
    ]);
  });

  it('pins around a provider that the operator switched off', () => {
    const offers = [offer('off', { isEnabled: false }), offer('on')];
    expect(sent(resolve('org/name', offers))).toEqual(['org/name:on']);
  });

  it('names why a model is not served', () => {
    const priced = offer('priced');
    const hidden = offer('hidden', unpriced);
    const down = offer('down', { isLive: false });
    expect(resolve('org/name:groq', [priced, hidden])).toMatchObject({
      reason: 'provider',
      pinned: 'groq',
      servedBy: ['priced'],
    });
    expect(resolve('org/name:down', [priced, down])).toMatchObject({ reason: 'provider' });
    expect(resolve('org/name:hidden', [priced, hidden])).toMatchObject({
      reason: 'unpriced',
      pinned: 'hidden',
      servedBy: ['priced'],
    });
    expect(resolve('org/name', [hidden])).toMatchObject({
      reason: 'unpriced',
      pinned: null,
      servedBy: ['hidden'],
    });
    expect(resolve('org/name', [down])).toMatchObject({ reason: 'provider', servedBy: [] });
  });

  it('takes unpriced providers where they are allowed', () => {
    const hidden = offer('hidden', unpriced);
    expect(sent(resolve('org/name:hidden', [hidden], allow))).toEqual(['org/name:hidden']);
    expect(sent(resolve('org/name', [hidden, offer('b')], allow))).toEqual(['org/name']);
  });

  it('tells the router whom to ask for a model that it does not list', () => {
    const resolution = routesFor(parseAskedModel('org/name'), model([offer('a')], false), reject);
    expect(sent(resolution)).toEqual(['org/name:a']);
  });

  it('asks a left choice for its usage unless no candidate may be asked', () => {
    const never = { behaviour: { ...behaviour, streamUsage: 'never' } } as const;
    const one = resolve('org/name', [offer('a', never), offer('b')]);
    const all = resolve('org/name', [offer('a', never), offer('b', never)]);
    expect(one).toMatchObject({ routes: [{ behaviour: { streamUsage: 'ask' } }] });
    expect(all).toMatchObject({ routes: [{ behaviour: { streamUsage: 'never' } }] });
  });

  const offers = fc.uniqueArray(
    fc.record({
      provider: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      isLive: fc.boolean(),
      isEnabled: fc.boolean(),
      isPriced: fc.boolean(),
      throughput: fc.option(fc.integer({ min: 0, max: 500 })),
      picoUsd: fc.bigInt({ min: 0n, max: 10n }),
    }),
    { selector: ({ provider }) => provider },
  );
  const asked = fc.constantFrom(
    ...['', ':fastest', ':cheapest', ':preferred', ':a', ':b', ':zz'].map(
      (end) => `org/name${end}`,
    ),
  );

  it('never lets a request go where it could meet a provider that is down, off or unpriced', () => {
    fc.assert(
      fc.property(offers, asked, fc.boolean(), (drawn, text, isAllowed) => {
        const all = drawn.map(({ provider, picoUsd, isPriced: priced, ...rest }) =>
          offer(provider, {
            ...rest,
            isPriced: priced,
            outputPrice: priced ? { picoUsd, perUnits: 1n } : null,
          }),
        );
        const resolution = resolve(text, all, isAllowed ? allow : reject);
        const usable = all.filter(
          (one) => one.isLive && one.isEnabled && (one.isPriced || isAllowed),
        );
        const usableNames = usable.map(({ provider }) => provider);
        const { suffix } = parseAskedModel(text);
        if (resolution.kind === 'not_supported') {
          // Refused only when nobody who may serve it can.
          if (suffix.kind === 'provider') expect(usableNames).not.toContain(suffix.provider);
          else expect(usable).toHaveLength(0);
          return;
        }
        expect(resolution.routes.length).toBeGreaterThan(0);
        const tried = resolution.routes.flatMap(({ candidates }) =>
          candidates.map(({ provider }) => provider),
        );
        expect(new Set(tried).size).toBe(tried.length);
        for (const name of tried) expect(usableNames).toContain(name);
        if (suffix.kind === 'policy') expect(new Set(tried)).toEqual(new Set(usableNames));
        for (const route of resolution.routes) {
          if (route.provider === null) {
            // The router picks among the live: each of them must be usable.
            expect(all.filter(({ isLive }) => isLive).every((one) => usable.includes(one))).toBe(
              true,
            );
            expect(route.modelSent).toBe(text);
          } else {
            expect(route.candidates.map(({ provider }) => provider)).toEqual([route.provider]);
            expect(route.modelSent).toBe(`org/name:${route.provider}`);
          }
        }
      }),
    );
  });
});

describe('isPriced', () => {
  const rows = (...units: Unit[]): RowsByUnit =>
    new Map(units.map((unit) => [unit, { unit } as PriceRow]));

  it.each<[Unit[], boolean, boolean]>([
    [[], false, false],
    [['input'], false, true],
    [['output'], false, true],
    [['input', 'output'], true, true],
    [['cached_input', 'compute_ms'], false, true],
    [['compute_ms'], true, true],
  ])('%j: of a chat model %s, of another %s', (units, chat, other) => {
    expect(isPriced(rows(...units), true)).toBe(chat);
    expect(isPriced(rows(...units), false)).toBe(other);
  });
});

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

it('keeps what the caller wrote', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const asked: AskedModel = parseAskedModel(text);
      expect(asked.text).toBe(text);
      expect(text.startsWith(asked.model)).toBe(true);
      expect(asked.model).not.toContain(':');
    }),
  );
});
