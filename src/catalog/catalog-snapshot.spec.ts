import { describe, expect, it } from 'vitest';
import type { CallResult } from '../domain/health.js';
import type { PriceRow } from '../domain/pricing.js';
import type { AccountRouting } from '../domain/routing-offers.js';
import type { Resolution, RouteAsk } from '../domain/routing-ask.js';
import type { Task } from '../domain/tasks.js';
import type { Unit } from '../domain/units.js';
import { CatalogSnapshot } from './catalog-snapshot.js';
import { Health, type RouteHealth } from './health.js';
import type { UpstreamKind } from './provider-routes.js';
import type { StoredCatalog, StoredRoute, StoredUpstream } from './stored-catalog.js';

const AT = new Date('2026-11-21T08:00:00Z');
const MODEL = 'org/name';

/** Health as a test says it is. */
class SetHealth extends Health {
  version = 0;
  readonly unwell = new Map<string, RouteHealth>();
  readonly speeds = new Map<string, number>();

  set(way: string, health: RouteHealth): void {
    this.unwell.set(way, health);
    this.version += 1;
  }

  override versionAt(): number {
    return this.version;
  }

  override note(_route: object, _result: CallResult): void {
    throw new Error('nothing is called here');
  }

  override healthOf(upstream: string, provider: string | null): RouteHealth {
    return this.unwell.get(`${upstream}/${provider ?? ''}`) ?? 'healthy';
  }

  override measured(
    upstream: string,
    provider: string,
  ): { readonly firstByteMs: null; readonly throughput: number | null } {
    return { firstByteMs: null, throughput: this.speeds.get(`${upstream}/${provider}`) ?? null };
  }
}

function upstream(
  name: string,
  kind: UpstreamKind,
  more: Partial<StoredUpstream> = {},
): StoredUpstream {
  const provider = name === 'default' ? null : name;
  return { name, kind, isEnabled: true, provider, hasKey: true, ...more };
}

function route(way: string, more: Partial<StoredRoute> = {}): StoredRoute {
  const [at = '', provider = ''] = way.split('/');
  return {
    upstream: at,
    model: MODEL,
    provider,
    providerModelId: null,
    status: 'live',
    contextLength: null,
    entry: {},
    isListed: true,
    isPriceStale: false,
    ...more,
  };
}

let lastId = 0n;

function prices(
  way: string,
  model = MODEL,
  units: readonly Unit[] = ['input', 'output'],
): readonly PriceRow[] {
  const [at = '', provider = ''] = way.split('/');
  return units.map((unit) => ({
    id: (lastId += 1n),
    upstream: at,
    provider,
    model,
    unit,
    condition: null,
    picoUsd: 1_000n,
    perUnits: 1n,
    effectiveFrom: new Date(0),
    effectiveTo: null,
    source: 'manual',
  }));
}

interface Under {
  readonly snapshot: CatalogSnapshot;
  readonly health: SetHealth;
}

async function snapshotOf(
  stored: Partial<StoredCatalog> & Pick<StoredCatalog, 'upstreams' | 'routes' | 'prices'>,
): Promise<Under> {
  const health = new SetHealth();
  const listedBy = new Set(stored.routes.map((one) => `${one.upstream} ${one.model}`));
  const models = [...listedBy].map((key) => {
    const [at = '', id = ''] = key.split(' ');
    return { upstream: at, id, entry: { of: at }, isListed: true };
  });
  const snapshot = await CatalogSnapshot.build(
    { models, providers: [], ...stored },
    {
      unpricedModels: 'reject',
      admitWaitMaxMs: 1_000,
      neverAsked: new Set(),
      cheapestBy: 'total',
      health,
    },
  );
  return { snapshot, health };
}

const NOTHING: AccountRouting = {
  default: null,
  preferred: [],
  disabled: new Set(),
  ownKeys: new Set(),
};

function ask(modelText = MODEL, task: Task = 'chat', more: Partial<RouteAsk> = {}): RouteAsk {
  return { modelText, task, at: AT, account: null, stickyKey: null, estimate: null, ...more };
}

function of(routing: Partial<AccountRouting>): Pick<RouteAsk, 'account'> {
  return { account: { id: 'account', routing: { ...NOTHING, ...routing } } };
}

/** `upstream/provider model path` of each route. */
function shown(resolution: Resolution): readonly string[] {
  if (resolution.kind === 'not_supported') return [resolution.reason];
  return resolution.routes.map(
    (one) =>
      `${one.upstream}/${one.provider ?? ''}${one.isExternal ? '!' : ''} ${one.modelSent} ${one.path}`,
  );
}

describe('several upstreams', () => {
  const known = { providerModelId: 'lab/model-7' };

  it('sends a provider called directly its own id by its own path, and ours through the router', async () => {
    const { snapshot } = await snapshotOf({
      upstreams: [upstream('default', 'huggingface_router'), upstream('groq', 'openai_compatible')],
      routes: [route('default/groq', known), route('groq/groq', known)],
      prices: [...prices('default/groq'), ...prices('groq/groq')],
    });
    expect(shown(snapshot.resolve(ask()))).toEqual([
      'groq/groq lab/model-7 /openai/v1/chat/completions',
      'default/groq org/name:groq /v1/chat/completions',
    ]);
    expect(shown(snapshot.resolve(ask(`${MODEL}:groq`)))).toHaveLength(2);
  });

  it('takes only what has a price at its own upstream, a key and nobody against it', async () => {
    const routes = [route('default/groq'), route('together/together')];
    const router = upstream('default', 'openai_router');
    const only = async (
      together: Partial<StoredUpstream>,
      priced: readonly PriceRow[],
    ): Promise<readonly string[]> => {
      const upstreams = [router, upstream('together', 'openai_compatible', together)];
      const { snapshot } = await snapshotOf({ upstreams, routes, prices: priced });
      return shown(snapshot.resolve(ask(`${MODEL}:together`)));
    };
    const all = [...prices('default/groq'), ...prices('together/together')];
    expect(await only({}, all)).toEqual(['together/together org/name /v1/chat/completions']);
    expect(await only({}, prices('default/together'))).toEqual(['unpriced']);
    expect(await only({ hasKey: false }, all)).toEqual(['provider']);
    expect(await only({ isEnabled: false }, all)).toEqual(['provider']);
  });

  it('knows a model that only a provider lists, and shows each with its prices', async () => {
    const { snapshot } = await snapshotOf({
      upstreams: [upstream('default', 'openai_router'), upstream('my-vllm', 'openai_compatible')],
      routes: [
        route('my-vllm/my-vllm', { model: 'mine' }),
        route('default/groq'),
        route('my-vllm/my-vllm'),
      ],
      prices: [...prices('my-vllm/my-vllm', 'mine'), ...prices('default/groq')],
    });
    expect(shown(snapshot.resolve(ask('mine')))).toEqual([
      'my-vllm/my-vllm mine /v1/chat/completions',
    ]);
    const served = [...snapshot.served(AT)];
    expect(served.map(({ model }) => `${model.upstream} ${model.id}`).sort()).toEqual([
      `default ${MODEL}`,
      'my-vllm mine',
    ]);
    const both = snapshot.servedModel(AT, MODEL)?.routes ?? [];
    expect(both.map((one) => `${one.upstream} ${one.prices.size}`).sort()).toEqual([
      'default 2',
      'my-vllm 0',
    ]);
  });

  it('asks a server that is no router for its own models by their names', async () => {
    const { snapshot } = await snapshotOf({
      upstreams: [upstream('default', 'openai_router')],
      routes: [route('default/openai-compatible', { model: 'llama' })],
      prices: prices('default/openai-compatible', 'llama'),
    });
    for (const text of ['llama', 'llama:fastest', 'llama:openai-compatible']) {
      expect(shown(snapshot.resolve(ask(text)))).toEqual([
        'default/openai-compatible llama /v1/chat/completions',
      ]);
    }
  });
});

describe('tasks', () => {
  it('passes what the Hugging Face router has no route for through to a provider that is pinned', async () => {
    const { snapshot } = await snapshotOf({
      upstreams: [upstream('default', 'huggingface_router')],
      routes: [
        route('default/together', { providerModelId: 'lab/embed' }),
        route('default/hidden'),
      ],
      prices: [...prices('default/together'), ...prices('default/hidden')],
    });
    expect(shown(snapshot.resolve(ask(MODEL, 'embedding')))).toEqual([
      'default/together lab/embed /together/v1/embeddings',
    ]);
    expect(shown(snapshot.resolve(ask(`${MODEL}:hidden`, 'embedding')))).toEqual(['provider']);
    expect(shown(snapshot.resolve(ask(MODEL, 'responses')))[0]).toBe(
      'default/ org/name /v1/responses',
    );
    expect(shown(snapshot.resolve(ask(MODEL, 'video')))).toEqual(['provider']);
  });

  it('lets any other router choose at the path of each task', async () => {
    const { snapshot } = await snapshotOf({
      upstreams: [upstream('default', 'openai_router')],
      routes: [route('default/together')],
      prices: prices('default/together'),
    });
    expect(shown(snapshot.resolve(ask(MODEL, 'embedding')))[0]).toBe(
      'default/ org/name /v1/embeddings',
    );
    expect(shown(snapshot.resolve(ask(MODEL, 'chat')))[0]).toBe(
      'default/ org/name /v1/chat/completions',
    );
  });

  it('wants both prices for text, and any for the rest', async () => {
    const { snapshot } = await snapshotOf({
      upstreams: [upstream('default', 'openai_router')],
      routes: [],
      prices: prices('default/together', 'embed', ['input']),
    });
    // Known from the price book alone: the router is told who is to serve.
    expect(shown(snapshot.resolve(ask('embed', 'embedding')))).toEqual([
      'default/together embed:together /v1/embeddings',
    ]);
    expect(shown(snapshot.resolve(ask('embed', 'chat')))).toEqual(['unpriced']);
  });
});

describe("an organization's settings", () => {
  it('opens a provider with its own key, whether or not we have one or know its list', async () => {
    const { snapshot } = await snapshotOf({
      upstreams: [
        upstream('default', 'openai_router'),
        upstream('groq', 'openai_compatible', { hasKey: false }),
      ],
      routes: [route('default/groq', { providerModelId: 'lab/x' }), route('default/novita')],
      prices: [...prices('default/groq'), ...prices('default/novita')],
    });
    const own = of({ ownKeys: new Set(['groq']) });
    expect(shown(snapshot.resolve(ask(`${MODEL}:groq`, 'chat', own)))).toEqual([
      'groq/groq! lab/x /openai/v1/chat/completions',
    ]);
    expect(shown(snapshot.resolve(ask(`${MODEL}:groq`)))).toEqual([
      'default/groq org/name:groq /v1/chat/completions',
    ]);
    const off = of({ disabled: new Set(['groq']) });
    expect(shown(snapshot.resolve(ask(`${MODEL}:groq`, 'chat', off)))).toEqual([
      'provider_disabled',
    ]);
    expect(shown(snapshot.resolve(ask(MODEL, 'chat', off)))).toEqual([
      'default/novita org/name:novita /v1/chat/completions',
    ]);
  });

  it('is remembered for as long as the settings are the same, and none is as nobody', async () => {
    const { snapshot } = await snapshotOf({
      upstreams: [upstream('default', 'openai_router')],
      routes: [route('default/a'), route('default/b')],
      prices: [...prices('default/a'), ...prices('default/b')],
    });
    const plain = snapshot.resolve(ask());
    expect(snapshot.resolve(ask(MODEL, 'chat', of({})))).toBe(plain);
    const without = of({ disabled: new Set(['a']) });
    expect(snapshot.resolve(ask(MODEL, 'chat', without))).toBe(
      snapshot.resolve(ask(MODEL, 'chat', without)),
    );
    expect(snapshot.resolve(ask(MODEL, 'chat', without))).not.toBe(plain);
    expect(snapshot.resolve(ask())).toBe(plain);
  });
});

describe('health and sessions', () => {
  const stored = {
    upstreams: [upstream('default', 'openai_router')],
    routes: [
      ...['a', 'b', 'c'].map((provider, index) =>
        route(`default/${provider}`, { entry: { throughput: 30 - index } }),
      ),
      route('default/x'),
    ],
    prices: ['a', 'b', 'c'].flatMap((provider) => prices(`default/${provider}`)),
  };
  const order = (resolution: Resolution): string =>
    resolution.kind === 'routes' ? resolution.routes.map(({ provider }) => provider).join('') : '';

  it('answers anew when health changes, and the same as long as it does not', async () => {
    const { snapshot, health } = await snapshotOf(stored);
    const before = snapshot.resolve(ask());
    expect(order(before)).toBe('abc');
    expect(snapshot.resolve(ask())).toBe(before);
    health.set('default/a', 'unhealthy');
    expect(order(snapshot.resolve(ask()))).toBe('bca');
    health.speeds.set('default/c', 99);
    health.version += 1;
    expect(order(snapshot.resolve(ask()))).toBe('cba');
  });

  it('lets one request a second find out whether a provider serves again', async () => {
    const { snapshot, health } = await snapshotOf(stored);
    health.set('default/a', 'trial');
    const at = (ms: number): string =>
      order(snapshot.resolve(ask(MODEL, 'chat', { at: new Date(AT.getTime() + ms) })));
    expect([at(0), at(1), at(999), at(1_000), at(1_001)]).toEqual([
      'abc',
      'bca',
      'bca',
      'abc',
      'bca',
    ]);
  });

  it('keeps a session with one provider, and other sessions with others', async () => {
    const { snapshot, health } = await snapshotOf(stored);
    const session = (stickyKey: string, id = 'account'): string =>
      order(snapshot.resolve(ask(MODEL, 'chat', { stickyKey, account: { id, routing: null } })));
    const keys = Array.from({ length: 50 }, (_, index) => `session-${index}`);
    const chosen = keys.map((key) => session(key));
    expect(new Set(chosen)).toEqual(new Set(['abc', 'bac', 'cab']));
    expect(keys.map((key) => session(key))).toEqual(chosen);
    // Sessions of another account are others.
    expect(keys.map((key) => session(key, 'another'))).not.toEqual(chosen);
    health.set('default/a', 'unhealthy');
    for (const [index, key] of keys.entries()) {
      const now = session(key);
      expect(now.endsWith('a')).toBe(true);
      if (chosen[index]?.startsWith('a') !== true) expect(now[0]).toBe(chosen[index]?.[0]);
    }
  });

  it('weighs the cost of each request for the cheapest', async () => {
    const [inputA, outputA, inputB, outputB] = [...prices('default/a'), ...prices('default/b')];
    if (!inputA || !outputA || !inputB || !outputB) throw new Error('four rows');
    const { snapshot } = await snapshotOf({
      ...stored,
      prices: [
        { ...inputA, picoUsd: 1n },
        { ...outputA, picoUsd: 100n },
        { ...inputB, picoUsd: 10n },
        { ...outputB, picoUsd: 1n },
      ],
    });
    const cheapest = (inputTokens: number, outputTokens: number): string => {
      const estimate = { inputTokens, outputTokens };
      return order(snapshot.resolve(ask(`${MODEL}:cheapest`, 'chat', { estimate })));
    };
    expect([cheapest(1_000, 10), cheapest(10, 1_000)]).toEqual(['ab', 'ba']);
  });
});
