import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PriceRow, RowsByUnit } from './pricing.js';
import {
  ALL_HEALTHY,
  type AccountRouting,
  type HealthView,
  type ModelOffers,
  type Offer,
  type ProviderBehaviour,
} from './routing-offers.js';
import { rendezvous } from './routing-order.js';
import { isPriced, routesFor, stickyProviders } from './routing.js';
import {
  parseAskedModel,
  type AskedModel,
  type Resolution,
  type Route,
  type RoutingContext,
} from './routing-ask.js';
import type { Task } from './tasks.js';
import type { Unit } from './units.js';

const behaviour: ProviderBehaviour = {
  onClientGone: 'drain',
  streamUsage: 'ask',
  maxOutputField: 'max_tokens',
  rejects: [],
};
const reject: RoutingContext = {
  policy: { unpricedModels: 'reject', routerBehaviour: behaviour, cheapestBy: 'total' },
  account: null,
  health: ALL_HEALTHY,
  estimate: null,
  first: null,
};
const allow: RoutingContext = { ...reject, policy: { ...reject.policy, unpricedModels: 'allow' } };
const undecided: AccountRouting = {
  default: null,
  preferred: [],
  disabled: new Set(),
  ownKeys: new Set(),
};

function under(account: Partial<AccountRouting>, context = reject): RoutingContext {
  return { ...context, account: { ...undecided, ...account } };
}

function down(...ways: readonly string[]): HealthView {
  return {
    ...ALL_HEALTHY,
    isHealthy: (upstream, provider) => !ways.includes(`${upstream}/${provider ?? ''}`),
  };
}

function price(picoUsd: bigint, perUnits = 1n): { picoUsd: bigint; perUnits: bigint } {
  return { picoUsd, perUnits };
}

/** Through the router. */
function offer(provider: string, overrides: Partial<Offer> = {}): Offer {
  return {
    upstream: 'default',
    provider,
    isDirect: false,
    needsOwnKey: false,
    isLive: true,
    isEnabled: true,
    isPriced: true,
    contextLength: 131_072,
    throughput: 100,
    inputPrice: price(100_000n),
    outputPrice: price(900_000n),
    prices: [new Map()],
    behaviour,
    modelSent: `org/name:${provider}`,
    path: '/v1/chat/completions',
    ...overrides,
  };
}

function direct(provider: string, overrides: Partial<Offer> = {}): Offer {
  return offer(provider, {
    upstream: provider,
    isDirect: true,
    modelSent: `${provider}-name`,
    path: `/${provider}/chat`,
    ...overrides,
  });
}

const router = { upstream: 'default', path: '/v1/chat/completions' };

function model(offers: readonly Offer[], isListed = true): ModelOffers {
  return { model: 'org/name', router: isListed ? router : null, offers };
}

function resolve(text: string, offers: readonly Offer[], context = reject): Resolution {
  return routesFor(parseAskedModel(text), model(offers), context);
}

function routesOf(resolution: Resolution): readonly Route[] {
  return resolution.kind === 'routes' ? resolution.routes : [];
}

function sent(resolution: Resolution): readonly string[] {
  return routesOf(resolution).map(({ modelSent }) => modelSent);
}

/** `upstream/provider`, with `!` under the organization's own key. */
function ways(resolution: Resolution): readonly string[] {
  return routesOf(resolution).map(
    ({ upstream, provider, isExternal }) => `${upstream}/${provider ?? ''}${isExternal ? '!' : ''}`,
  );
}

const unpriced = { isPriced: false, inputPrice: null, outputPrice: null } as const;

describe('parseAskedModel', () => {
  it('reads no suffix as none', () => {
    expect(parseAskedModel('org/name')).toEqual({
      text: 'org/name',
      model: 'org/name',
      suffix: { kind: 'none' },
    });
  });

  it.each([
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

describe('routesFor, where the router may choose', () => {
  it.each(['org/name', 'org/name:fastest', 'org/name:preferred'])(
    'leaves %s to it as it was written where every live provider is priced',
    (text) => {
      const off = offer('down', { isLive: false, ...unpriced });
      const resolution = resolve(text, [offer('a'), offer('b'), off]);
      expect(resolution).toMatchObject({ kind: 'routes', model: 'org/name' });
      const [left] = routesOf(resolution);
      expect(left).toMatchObject({ provider: null, modelSent: text });
      expect(left?.candidates.map(({ provider }) => provider)).toEqual(['a', 'b']);
    },
  );

  it('leaves :cheapest to it only where it compares what we would', () => {
    const by = (cheapestBy: 'total' | 'output') =>
      resolve('org/name:cheapest', [offer('a')], {
        ...reject,
        policy: { ...reject.policy, cheapestBy },
      });
    expect(sent(by('output'))).toEqual(['org/name:cheapest', 'org/name:a']);
    expect(sent(by('total'))).toEqual(['org/name:a']);
  });

  it('falls back to each provider pinned, with the same candidates', () => {
    const routes = routesOf(resolve('org/name', [offer('a', { throughput: 1 }), offer('b')]));
    expect(routes.map(({ provider }) => provider)).toEqual([null, 'b', 'a']);
    expect(routes[0]?.candidates).toEqual(routes.slice(1).map(({ candidates }) => candidates[0]));
    // The same objects: what is worked out for one is worked out for all.
    expect(routes[0]?.candidates[0]).toBe(routes[1]?.candidates[0]);
  });

  it('pins instead where it is told who is to serve, has no route or does not list the model', () => {
    const resolution = routesFor(parseAskedModel('org/name'), model([offer('a')], false), reject);
    expect(sent(resolution)).toEqual(['org/name:a']);
  });

  it('pins instead where a provider is called directly, settings decide or a session does', () => {
    const offers = [offer('a'), offer('b')];
    const isLeft = (more: readonly Offer[], context = reject): boolean =>
      routesOf(resolve('org/name', [...offers, ...more], context))[0]?.provider === null;
    expect(isLeft([])).toBe(true);
    expect(isLeft([direct('a')])).toBe(false);
    expect(isLeft([direct('a', { needsOwnKey: true })])).toBe(true);
    expect(isLeft([direct('a', { isEnabled: false })])).toBe(true);
    expect(isLeft([], under({ disabled: new Set(['zz']) }))).toBe(false);
    expect(isLeft([], under({ ownKeys: new Set(['zz']) }))).toBe(false);
    expect(isLeft([], under({ default: 'preferred', preferred: ['b'] }))).toBe(false);
    expect(isLeft([], under({ preferred: ['b'] }))).toBe(true);
    expect(isLeft([], under({ default: 'preferred' }))).toBe(true);
    expect(isLeft([], { ...reject, first: 'b' })).toBe(false);
  });

  it("tells it the account's own default, unless the caller wrote a suffix", () => {
    const of = (text: string): string | undefined =>
      sent(resolve(text, [offer('a')], under({ default: 'preferred' })))[0];
    expect(of('org/name')).toBe('org/name:preferred');
    expect(of('org/name:fastest')).toBe('org/name:fastest');
  });

  it('goes to what is healthy first when its own choice fails', () => {
    const offers = [offer('a', { throughput: 2 }), offer('b', { throughput: 1 })];
    const context = { ...reject, health: down('default/', 'default/a') };
    expect(ways(resolve('org/name', offers, context))).toEqual([
      'default/b',
      'default/',
      'default/a',
    ]);
  });

  it('asks a left choice for its usage unless no candidate may be asked', () => {
    const never = { behaviour: { ...behaviour, streamUsage: 'never' } } as const;
    const one = resolve('org/name', [offer('a', never), offer('b')]);
    const all = resolve('org/name', [offer('a', never), offer('b', never)]);
    expect(routesOf(one)[0]).toMatchObject({ behaviour: { streamUsage: 'ask' } });
    expect(routesOf(all)[0]).toMatchObject({ behaviour: { streamUsage: 'never' } });
  });
});

describe('routesFor, where we choose', () => {
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

  it('believes what was measured before what is stated', () => {
    const throughput = (_: string, provider: string): number | null =>
      provider === 'stated-fast' ? 5 : null;
    const offers = [
      offer('stated-fast', { throughput: 900 }),
      offer('b', { throughput: 30 }),
      offer('x', unpriced),
    ];
    const context = { ...reject, health: { ...ALL_HEALTHY, throughput } };
    expect(sent(resolve('org/name', offers, context))).toEqual([
      'org/name:b',
      'org/name:stated-fast',
    ]);
  });

  it('pins the cheapest output first where nothing is known of the request, compared exactly', () => {
    const offers = [
      offer('third', { outputPrice: price(1_000_000n, 3n) }),
      offer('dear', { outputPrice: price(333_334n) }),
      offer('cheap', { outputPrice: price(333_333n) }),
      offer('hidden', unpriced),
    ];
    expect(sent(resolve('org/name:cheapest', offers))).toEqual([
      'org/name:cheap',
      'org/name:third',
      'org/name:dear',
    ]);
  });

  it('pins the lowest whole cost of this request first, or by the output as routers do', () => {
    const offers = [
      offer('in', { inputPrice: price(1n), outputPrice: price(100n) }),
      offer('out', { inputPrice: price(10n), outputPrice: price(1n) }),
      offer('hidden', unpriced),
    ];
    const of = (
      inputTokens: number,
      outputTokens: number,
      cheapestBy: 'total' | 'output',
    ): string =>
      sent(
        resolve('org/name:cheapest', offers, {
          ...reject,
          policy: { ...reject.policy, cheapestBy },
          estimate: { inputTokens, outputTokens },
        }),
      ).join(' ');
    expect(of(1_000, 10, 'total')).toBe('org/name:in org/name:out');
    expect(of(1_000, 1_000, 'total')).toBe('org/name:out org/name:in');
    expect(of(1_000, 10, 'output')).toBe('org/name:out org/name:in');
    // 11 x 10 - 11 x 1 = 99 = 1 x 100 - 1 x 1: one token more of input decides.
    expect(of(11, 1, 'total')).toBe('org/name:in org/name:out');
    expect(of(12, 1, 'total')).toBe('org/name:in org/name:out');
    expect(of(10, 1, 'total')).toBe('org/name:out org/name:in');
  });

  it("follows the account's order, the rest after it by speed", () => {
    const offers = [
      offer('a', { throughput: 1 }),
      offer('b', { throughput: 2 }),
      offer('c', { throughput: 3 }),
      offer('d', { throughput: 4 }),
    ];
    const account = under({ preferred: ['b', 'zz', 'a'] });
    const order = ['default/b', 'default/a', 'default/d', 'default/c'];
    expect(ways(resolve('org/name:preferred', offers, account))).toEqual(order);
    const byDefault = under({ preferred: ['b', 'zz', 'a'], default: 'preferred' });
    expect(ways(resolve('org/name', offers, byDefault))).toEqual(order);
    expect(ways(resolve('org/name:fastest', offers, byDefault))[0]).toBe('default/');
  });

  it('calls a provider directly before it does through the router, with the name it has there', () => {
    const offers = [offer('a'), direct('a'), offer('b', { throughput: 1 })];
    expect(ways(resolve('org/name', offers))).toEqual(['a/a', 'default/a', 'default/b']);
    expect(routesOf(resolve('org/name', offers))[0]).toMatchObject({
      modelSent: 'a-name',
      path: '/a/chat',
    });
    expect(ways(resolve('org/name:a', offers))).toEqual(['a/a', 'default/a']);
    const context = { ...reject, health: down('a/a') };
    expect(ways(resolve('org/name:a', offers, context))).toEqual(['default/a', 'a/a']);
    expect(ways(resolve('org/name', offers, context))).toEqual(['default/a', 'default/b', 'a/a']);
  });

  it('pins around a provider that the operator switched off', () => {
    const offers = [offer('off', { isEnabled: false }), offer('on')];
    expect(sent(resolve('org/name', offers))).toEqual(['org/name:on']);
  });

  it('names why a model is not served', () => {
    const priced = offer('priced');
    const hidden = offer('hidden', unpriced);
    const off = offer('down', { isLive: false });
    expect(resolve('org/name:groq', [priced, hidden])).toMatchObject({
      reason: 'provider',
      pinned: 'groq',
      servedBy: ['priced'],
    });
    expect(resolve('org/name:down', [priced, off])).toMatchObject({ reason: 'provider' });
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
    expect(resolve('org/name', [off])).toMatchObject({ reason: 'provider', servedBy: [] });
    const without = under({ disabled: new Set(['priced']) });
    expect(resolve('org/name:priced', [priced], without)).toMatchObject({
      reason: 'provider_disabled',
      pinned: 'priced',
      servedBy: [],
    });
    expect(resolve('org/name', [priced], without)).toMatchObject({
      reason: 'provider_disabled',
      pinned: null,
      servedBy: ['priced'],
    });
    expect(resolve('org/name', [priced, hidden], without)).toMatchObject({
      reason: 'unpriced',
      servedBy: ['hidden'],
    });
  });

  it('takes unpriced providers where they are allowed', () => {
    const hidden = offer('hidden', unpriced);
    expect(sent(resolve('org/name:hidden', [hidden], allow))).toEqual(['org/name:hidden']);
    expect(sent(resolve('org/name', [hidden, offer('b')], allow))[0]).toBe('org/name');
  });

  it("uses an organization's own key instead of ours, without a price and without a hold", () => {
    const keyless = direct('a', { needsOwnKey: true, ...unpriced });
    const own = under({ ownKeys: new Set(['a']) });
    expect(ways(resolve('org/name:a', [keyless]))).toEqual([]);
    const resolution = resolve('org/name:a', [offer('a'), keyless], own);
    expect(ways(resolution)).toEqual(['a/a!']);
    const [held] = routesOf(resolution)[0]?.candidates[0]?.prices ?? [];
    expect([...(held?.values() ?? [])].map(({ picoUsd }) => picoUsd)).toEqual([0n]);
    // A key that opens nothing: the provider is not paid for by us behind the account's back.
    expect(resolve('org/name:a', [offer('a')], own)).toMatchObject({ reason: 'provider' });
  });

  it('never goes on under a key of ours after a call under theirs', () => {
    const offers = [
      offer('a', { throughput: 3 }),
      direct('b', { throughput: 2 }),
      offer('c', { throughput: 1 }),
      direct('d', { throughput: 0 }),
    ];
    const own = under({ ownKeys: new Set(['b', 'd']) });
    expect(ways(resolve('org/name', offers, own))).toEqual(['default/a', 'b/b!', 'd/d!']);
  });
});

describe('routesFor, whatever there is', () => {
  const names = ['a', 'b', 'c', 'd', 'e'] as const;
  const slug = fc.constantFrom(...names);
  // Where every second one were down or off, most drawn requests would be refused.
  const mostly = fc.constantFrom(true, true, true, true, true, false);
  const drawnOffer = fc
    .record({
      provider: slug,
      isDirect: fc.boolean(),
      needsOwnKey: fc.boolean(),
      isLive: mostly,
      isEnabled: mostly,
      isPriced: mostly,
      throughput: fc.option(fc.integer({ min: 0, max: 3 })),
      inputPico: fc.bigInt({ min: 0n, max: 5n }),
      outputPico: fc.bigInt({ min: 0n, max: 5n }),
      inputPer: fc.constantFrom(1n, 3n),
      outputPer: fc.constantFrom(1n, 4n),
    })
    .map(
      ({ provider, isDirect, needsOwnKey, inputPico, outputPico, inputPer, outputPer, ...rest }) =>
        (isDirect ? direct : offer)(provider, {
          ...rest,
          needsOwnKey: isDirect && needsOwnKey,
          inputPrice: rest.isPriced ? price(inputPico, inputPer) : null,
          outputPrice: rest.isPriced ? price(outputPico, outputPer) : null,
        }),
    );
  const offers = fc.uniqueArray(drawnOffer, {
    selector: ({ upstream, provider }) => `${upstream}/${provider}`,
  });
  const asked = fc.constantFrom(
    ...['', ':fastest', ':cheapest', ':preferred', ':a', ':b', ':zz'].map(
      (end) => `org/name${end}`,
    ),
  );
  const slugs = fc.uniqueArray(slug, { maxLength: 3 });
  const account = fc.option(
    fc.record({
      default: fc.constantFrom(null, 'fastest', 'cheapest', 'preferred'),
      preferred: slugs,
      disabled: slugs.map((list) => new Set<string>(list)),
      ownKeys: slugs.map((list) => new Set<string>(list)),
    }),
  );
  const context = fc
    .record({
      unpricedModels: fc.constantFrom('reject', 'allow'),
      cheapestBy: fc.constantFrom('total', 'output'),
      account,
      unhealthy: fc.uniqueArray(
        fc.constantFrom('default/', ...names.flatMap((one) => [`default/${one}`, `${one}/${one}`])),
      ),
      estimate: fc.option(fc.record({ inputTokens: fc.nat(9), outputTokens: fc.nat(9) })),
      first: fc.option(slug),
    })
    .map(({ unpricedModels, cheapestBy, unhealthy, ...rest }): RoutingContext => ({
      ...rest,
      policy: { unpricedModels, cheapestBy, routerBehaviour: behaviour },
      health: down(...unhealthy),
    }));

  it('is the same in whatever order the offers come', () => {
    const shuffled = offers.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(shuffled, asked, context, ([one, other], text, around) => {
        const [left, right] = [resolve(text, one, around), resolve(text, other, around)];
        expect(ways(right)).toEqual(ways(left));
        expect(sent(right)).toEqual(sent(left));
        if (left.kind === 'not_supported') expect(right).toEqual(left);
      }),
    );
  });

  it('never goes where it could meet somebody who is down, off, unpriced or switched off', () => {
    fc.assert(
      fc.property(offers, asked, context, (all, text, around) => {
        const resolution = resolve(text, all, around);
        const isAllowed = (one: Offer, isExternal: boolean): boolean =>
          one.isLive &&
          one.isEnabled &&
          around.account?.disabled.has(one.provider) !== true &&
          (around.account?.ownKeys.has(one.provider) === true) === isExternal &&
          (isExternal
            ? one.isDirect
            : !one.needsOwnKey && (one.isPriced || around.policy.unpricedModels === 'allow'));
        const isUsable = (one: Offer): boolean => isAllowed(one, true) || isAllowed(one, false);
        const { suffix } = parseAskedModel(text);
        const wanted = all.filter(
          (one) =>
            isUsable(one) && (suffix.kind !== 'provider' || one.provider === suffix.provider),
        );
        expect(resolution.kind).toBe(wanted.length > 0 ? 'routes' : 'not_supported');
        for (const route of routesOf(resolution)) {
          if (route.provider === null) {
            // The router picks among the live: each of them must be usable, and ours to pay.
            const live = all.filter((one) => one.isLive && !one.isDirect);
            expect(live.every((one) => isAllowed(one, false))).toBe(true);
            expect(new Set(route.candidates.map(({ provider }) => provider))).toEqual(
              new Set(live.map(({ provider }) => provider)),
            );
            continue;
          }
          const found = all.find(
            (one) => one.upstream === route.upstream && one.provider === route.provider,
          );
          expect(found !== undefined && isAllowed(found, route.isExternal)).toBe(true);
        }
      }),
    );
  });

  it('tries what this request would cost least at first, exactly', () => {
    const twelfths = ({ inputPrice, outputPrice }: Offer, input: number, output: number): bigint =>
      (12n * BigInt(input) * (inputPrice?.picoUsd ?? 0n)) / (inputPrice?.perUnits ?? 1n) +
      (12n * BigInt(output) * (outputPrice?.picoUsd ?? 0n)) / (outputPrice?.perUnits ?? 1n);
    fc.assert(
      fc.property(offers, fc.nat(50), fc.nat(50), (all, inputTokens, outputTokens) => {
        const priced = all.filter((one) => !one.isDirect && one.isPriced);
        const around = { ...reject, estimate: { inputTokens, outputTokens } };
        const entry = model(priced, false);
        const costs = routesOf(routesFor(parseAskedModel('org/name:cheapest'), entry, around)).map(
          ({ provider }) => {
            const found = priced.find((one) => one.provider === provider);
            return found === undefined ? -1n : twelfths(found, inputTokens, outputTokens);
          },
        );
        const sorted = costs.toSorted((one, other) => (one < other ? -1 : one > other ? 1 : 0));
        expect(costs).toEqual(sorted);
      }),
    );
  });

  it('stays with a provider that the caller pinned', () => {
    fc.assert(
      fc.property(offers, fc.constantFrom('a', 'b'), context, (all, provider, around) => {
        for (const route of routesOf(resolve(`org/name:${provider}`, all, around))) {
          expect(route.provider).toBe(provider);
          expect(route.candidates.map((one) => one.provider)).toEqual([provider]);
        }
      }),
    );
  });

  it("never puts a key of ours behind an organization's own, and leaves nobody else away", () => {
    fc.assert(
      fc.property(offers, asked, context, (all, text, around) => {
        const resolution = resolve(text, all, around);
        const list = routesOf(resolution);
        const firstOwn = list.findIndex(({ isExternal }) => isExternal);
        if (firstOwn >= 0) {
          expect(list.slice(firstOwn).every(({ isExternal }) => isExternal)).toBe(true);
          return;
        }
        // Whatever their health.
        const well = resolve(text, all, { ...around, health: ALL_HEALTHY });
        if (routesOf(well).every(({ isExternal }) => !isExternal)) {
          expect(new Set(ways(resolution))).toEqual(new Set(ways(well)));
        }
      }),
    );
  });

  it('tries what is healthy before what is not', () => {
    fc.assert(
      fc.property(offers, asked, context, (all, text, around) => {
        const health = routesOf(resolve(text, all, around)).map(({ upstream, provider }) =>
          around.health.isHealthy(upstream, provider),
        );
        expect(health).toEqual([...health].sort((one, other) => Number(other) - Number(one)));
      }),
    );
  });
});

describe('a sticky key', () => {
  const providers = fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{2,8}$/), {
    minLength: 1,
    maxLength: 12,
  });

  it('chooses the same provider whatever the order they are known in', () => {
    const shuffled = providers.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(fc.string(), shuffled, (key, [one, other]) => {
        expect(rendezvous(key, other)).toBe(rendezvous(key, one));
        expect(one).toContain(rendezvous(key, one));
      }),
    );
    expect(rendezvous('key', [])).toBeNull();
  });

  it('stays when another provider comes or goes, unless that one wins it or had won it', () => {
    fc.assert(
      fc.property(fc.string(), providers, fc.nat(), (key, list, index) => {
        const other = list[index % list.length] ?? '';
        const without = list.filter((one) => one !== other);
        const before = rendezvous(key, list);
        if (before !== other) expect(rendezvous(key, without)).toBe(before);
      }),
    );
  });

  it.each([
    { list: ['groq', 'together', 'novita', 'fireworks-ai', 'cerebras', 'nscale'] },
    // Names that differ in their last character alone.
    { list: ['my-vllm-1', 'my-vllm-2', 'my-vllm-3', 'my-vllm-4', 'my-vllm-5', 'my-vllm-6'] },
  ])('moves about one session in n when a provider is added to n - 1: $list', ({ list }) => {
    const sessions = Array.from(
      { length: 12_000 },
      (_, index) => `account\nsession-${index}\norg/name`,
    );
    for (const added of list) {
      const rest = list.filter((one) => one !== added);
      const moved = sessions.filter((key) => rendezvous(key, rest) !== rendezvous(key, list));
      expect(moved.length).toBeGreaterThan(2_000 * 0.9);
      expect(moved.length).toBeLessThan(2_000 * 1.1);
    }
  });

  it('chooses among the healthy and usable, and has no say where it is told or ordered otherwise', () => {
    const entry = model([offer('a'), offer('b'), direct('b'), offer('c', { isLive: false })]);
    const among = (text: string, context = reject): readonly string[] =>
      [...stickyProviders(parseAskedModel(text), entry, context)].sort();
    expect(among('org/name')).toEqual(['a', 'b']);
    expect(among('org/name', { ...reject, health: down('default/b') })).toEqual(['a', 'b']);
    expect(among('org/name', { ...reject, health: down('default/b', 'b/b') })).toEqual(['a']);
    expect(among('org/name', { ...reject, health: down('default/a', 'default/b', 'b/b') })).toEqual(
      ['a', 'b'],
    );
    expect(among('org/name', under({ disabled: new Set(['a']) }))).toEqual(['b']);
    expect(among('org/name:a')).toEqual([]);
    expect(among('org/name:cheapest')).toEqual([]);
    expect(among('org/name:preferred')).toEqual([]);
  });

  it('puts its provider first, and the others behind it by the policy', () => {
    const offers = [
      offer('a', { throughput: 3 }),
      offer('b', { throughput: 2 }),
      offer('c', { throughput: 1 }),
    ];
    expect(ways(resolve('org/name', offers, { ...reject, first: 'c' }))).toEqual([
      'default/c',
      'default/a',
      'default/b',
    ]);
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
  ])('%j: for text %s, for anything else %s', (units, text, other) => {
    for (const task of ['chat', 'completion', 'responses', 'messages'] satisfies Task[]) {
      expect(isPriced(rows(...units), task)).toBe(text);
    }
    for (const task of ['embedding', 'image', 'speech', 'inference'] satisfies Task[]) {
      expect(isPriced(rows(...units), task)).toBe(other);
    }
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
