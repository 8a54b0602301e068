import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import { KNOWN_PROVIDERS, type ProviderRoutes } from '../../src/catalog/provider-routes.js';
import type { AccountRouting } from '../../src/domain/routing.js';
import { IdentityService } from '../../src/identity/identity.service.js';
import { startService, type TestService } from '../support/service.js';
import {
  allEnded,
  ask,
  chat,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';
import {
  alarmsOf,
  callDirectly,
  endedEvent,
  expectBilled,
  heldPicoUsd,
  owedTo,
  postPrice,
  syncCatalogues,
  type RoutedEvent,
} from '../support/upstreams.js';

const OURS = 'sk-of-the-operator-0123456789';
const THEIRS = 'sk-of-the-organization-9876543210';
/** What groq itself calls it. */
const GROQS = 'every-dialect-versatile';
/** Listed by the router for several providers. */
const SHARED = 'meta-llama/Llama-3.3-70B-Instruct';
const SCOPES = ['inference', 'usage.read', 'limits.write'];

interface Organization {
  readonly slug: string;
  readonly token: string;
}

let service: SimulatedService;
let replica: TestService;
const environment = { ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1' };
const knownProviders = KNOWN_PROVIDERS as Map<string, ProviderRoutes>;
const knownCerebras = KNOWN_PROVIDERS.get('cerebras');

beforeAll(async () => {
  service = await startSimulated({ environment, simulator: { providerKeys: { groq: OURS } } });
  // The operator never says a word about cerebras: here, where it is known to be is the simulator.
  if (knownCerebras === undefined) throw new Error('cerebras is not known');
  const baseUrl = `${service.simulator.url}/_direct/cerebras`;
  knownProviders.set('cerebras', { ...knownCerebras, baseUrl });
  service.simulator.providerKeys.set('cerebras', THEIRS);
  await callDirectly(service, 'groq', { apiKey: OURS });
  await syncCatalogues(service);
  const terms = service.simulator.catalogue.offer(EVERY_DIALECT, 'groq')?.terms;
  const key = { upstream: 'groq', provider: 'groq', model: GROQS };
  await postPrice(service, {
    ...key,
    unit: 'input',
    usdPerMillion: terms?.inputUsdPerMillion ?? '',
  });
  await postPrice(service, {
    ...key,
    unit: 'output',
    usdPerMillion: terms?.outputUsdPerMillion ?? '',
  });
  replica = await startService(
    { UPSTREAM_BASE_URL: service.simulator.url, ...environment },
    service.database,
  );
});

afterAll(async () => {
  if (knownCerebras !== undefined) knownProviders.set('cerebras', knownCerebras);
  await allEnded(service);
  await replica.close();
  await service.close();
});

afterEach(() => {
  service.simulator.faults.clear();
  service.simulator.providerKeys.set('groq', OURS);
});

const NOTHING_DECIDED: AccountRouting = {
  default: null,
  preferred: [],
  disabled: new Set(),
  ownKeys: new Set(),
};
let made = 0;
async function organization(): Promise<Organization> {
  made += 1;
  const slug = `owner-${made}`;
  await service.api('/organizations', { method: 'POST', body: { name: slug, slug, plan: 'pro' } });
  const { body } = await service.api<{ token: string }>(`/organizations/${slug}/tokens`, {
    method: 'POST',
    body: { name: 'own', scopes: SCOPES },
  });
  return { slug, token: body.token };
}

/** What an organization decides about a provider, with a token of its own. */
async function decide(
  of: Organization,
  provider: string,
  body: { enabled?: boolean; apiKey?: string | null },
): Promise<void> {
  const path = `/organizations/${of.slug}/providers/${provider}`;
  const answer = await service.api(path, { method: 'PUT', body, token: of.token });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  expect(JSON.stringify(answer.body)).not.toContain(THEIRS);
  await known(of, ({ disabled, ownKeys }) => {
    const isOff = body.enabled === undefined || disabled.has(provider) === !body.enabled;
    const isOwn = body.apiKey === undefined || ownKeys.has(provider) === (body.apiKey !== null);
    return isOff && isOwn;
  });
}

async function route(of: Organization, body: Partial<AccountRouting>): Promise<void> {
  const path = `/organizations/${of.slug}/routing`;
  expect((await service.api(path, { method: 'PUT', body, token: of.token })).status).toBe(200);
  await known(of, (routing) =>
    Object.entries(body).every(
      ([name, value]) => String(routing[name as keyof AccountRouting]) === String(value),
    ),
  );
}

/** What was decided counts at every replica within a second. */
async function known(of: Organization, isSo: (routing: AccountRouting) => boolean): Promise<void> {
  const identities = [service, replica].map(({ app }) =>
    app.get(IdentityService, { strict: false }),
  );
  await within(1_000, async () => {
    const found = await Promise.all(identities.map((one) => one.identify(of.token, '127.0.0.1')));
    return found.every((one) => isSo(one?.routing ?? NOTHING_DECIDED));
  });
}

async function call(
  of: Organization,
  model: string,
  {
    directives = 'output=5',
    more = {},
    headers = {},
    at = service.url,
  }: { directives?: string; more?: object; headers?: Record<string, string>; at?: string } = {},
): Promise<{
  status: number;
  text: string;
  provider: string | null;
  event: () => Promise<RoutedEvent>;
}> {
  const response = await chat({ url: at, token: of.token }, ask(model, directives, { ...more }), {
    headers,
  });
  const id = response.headers.get('x-request-id') ?? '';
  return {
    status: response.status,
    text: await response.text(),
    provider: response.headers.get('x-inference-provider'),
    event: () => endedEvent(service, id),
  };
}

describe('a call under an organization’s own key', () => {
  it.each([false, true])('is rated, shown and free (stream: %s)', async (stream) => {
    const own = await organization();
    // Nothing is left to spend: it is not our money.
    await service.api(`/organizations/${own.slug}/limits`, {
      method: 'PUT',
      body: { monthlySpendLimitUsd: '0', payAsYouGo: false },
    });
    await decide(own, 'groq', { apiKey: THEIRS });
    service.simulator.providerKeys.set('groq', THEIRS);
    const [before, owed] = [await transfers(), await owedTo(service, 'groq', 'groq')];
    for (const model of [GROQS, `${GROQS}:groq`]) {
      const answer = await call(own, model, { more: { stream } });
      expect(answer.status, answer.text).toBe(200);
      const event = await answer.event();
      expect(event).toMatchObject({ external: true, upstream: 'groq', provider: 'groq' });
      expect([Number(event.costUsd), Number(event.holdUsd)]).toEqual([0, 0]);
      expect(Number(event.ratedCostUsd)).toBeGreaterThan(0);
      await expectBilled(service, event);
    }
    expect([await transfers(), await owedTo(service, 'groq', 'groq')]).toEqual([before, owed]);
    expect(await heldPicoUsd(service)).toBe('0');
    const { body } = await service.api<{ totals: { requests: number; costUsd: string } }>(
      `/organizations/${own.slug}/usage?groupBy=provider`,
      { token: own.token },
    );
    expect([body.totals.requests, Number(body.totals.costUsd)]).toEqual([2, 0]);
  });

  it('has the provider’s refusal of that key relayed, without alarm, and nobody else is asked', async () => {
    const own = await organization();
    await decide(own, 'groq', { apiKey: THEIRS });
    const before = await alarmsOf(service, 'upstream_key');
    for (const stream of [false, true]) {
      const answer = await call(own, GROQS, { directives: 'tag=refused', more: { stream } });
      expect(answer.status).toBe(401);
      expect(answer.text).toContain('Invalid API Key');
      expect(await answer.event()).toMatchObject({
        state: 'released',
        external: true,
        attempts: [{ provider: 'groq', status: 401 }],
      });
    }
    expect(await alarmsOf(service, 'upstream_key')).toBe(before);
    expect(service.simulator.books.tagged('refused')).toEqual([]);
  });

  it('is never repeated under a key of ours', async () => {
    const own = await organization();
    await decide(own, 'groq', { apiKey: THEIRS });
    service.simulator.providerKeys.set('groq', THEIRS);
    await route(own, { default: 'preferred', preferred: ['groq'] });
    // The router serves the model too, by groq and by others: with our key.
    for (const model of [SHARED, `${SHARED}:groq`, GROQS]) {
      service.simulator.faults.add({
        match: { provider: 'groq' },
        times: 1,
        directives: { faults: new Set(['503']) },
      });
      const answer = await call(own, model, { directives: 'tag=never' });
      // By the router's name for it groq does not know the model at all.
      expect([model, answer.status]).toEqual([model, model === GROQS ? 503 : 404]);
      expect(await answer.event()).toMatchObject({
        external: true,
        state: 'released',
        attempts: [{ provider: 'groq' }],
      });
      service.simulator.faults.clear();
    }
    expect(service.simulator.books.tagged('never')).toEqual([]);
  });

  it('needs nothing of the operator: neither the provider nor the model has to be known here', async () => {
    const [own, other] = [await organization(), await organization()];
    const before = await service.api<{ takesKey: boolean }>(
      `/organizations/${own.slug}/providers/cerebras`,
      { token: own.token },
    );
    expect(before.body).toMatchObject({ takesKey: true, hasKey: false });
    await decide(own, 'cerebras', { apiKey: THEIRS });
    for (const stream of [false, true]) {
      const answer = await call(own, 'llama-3.1-8b-instruct:cerebras', { more: { stream } });
      expect(answer.status, answer.text).toBe(200);
      expect(await answer.event()).toMatchObject({
        external: true,
        state: 'settled',
        upstream: 'cerebras',
        outputTokens: 5,
      });
    }
    const denied = await call(other, 'llama-3.1-8b-instruct:cerebras', { directives: 'tag=other' });
    expect(denied.status).toBe(400);
    expect(service.simulator.books.tagged('other')).toEqual([]);
    // Without the key it is as if there never was such an upstream.
    await decide(own, 'cerebras', { apiKey: null });
    expect((await call(own, 'llama-3.1-8b-instruct:cerebras')).status).toBe(400);
  });

  it('is that organization’s alone', async () => {
    const [own, other] = [await organization(), await organization()];
    await decide(own, 'groq', { apiKey: THEIRS });
    service.simulator.providerKeys.set('groq', THEIRS);
    const mine = await call(own, `${GROQS}:groq`);
    expect([mine.status, (await mine.event()).external]).toEqual([200, true]);
    // Ours is sent for the other one, which groq does not take just now.
    const theirs = await call(other, `${GROQS}:groq`);
    expect(theirs.status).toBe(502);
    expect(await theirs.event()).toMatchObject({ external: false, state: 'released' });
  });

  it('is ours again within a second of the key’s removal, at every replica', async () => {
    const own = await organization();
    await decide(own, 'groq', { apiKey: THEIRS });
    service.simulator.providerKeys.set('groq', THEIRS);
    for (const at of [service.url, replica.url]) {
      expect(await (await call(own, GROQS, { at })).event()).toMatchObject({ external: true });
    }
    await decide(own, 'groq', { apiKey: null });
    service.simulator.providerKeys.set('groq', OURS);
    for (const at of [service.url, replica.url]) {
      const answer = await call(own, GROQS, { at });
      expect(answer.status, answer.text).toBe(200);
      const event = await answer.event();
      expect(event).toMatchObject({ external: false });
      await expectBilled(service, event);
    }
  });
});

describe('what an organization decides about providers', () => {
  it('a switched-off one is 403 where it is pinned, and avoided where it is not', async () => {
    const own = await organization();
    const usual = await call(own, SHARED);
    expect(usual.provider).not.toBeNull();
    await decide(own, usual.provider ?? '', { enabled: false });
    const pinned = await call(own, `${SHARED}:${usual.provider ?? ''}`);
    expect(pinned.status).toBe(403);
    expect(JSON.parse(pinned.text)).toMatchObject({ error: { code: 'provider_disabled' } });
    for (const suffix of ['', ':fastest', ':cheapest', ':preferred']) {
      const { status, provider } = await call(own, SHARED + suffix);
      expect(status).toBe(200);
      expect(provider).not.toBe(usual.provider);
    }
  });

  it('its default and its order are honoured, and a suffix wins over both', async () => {
    const own = await organization();
    await route(own, { default: 'preferred', preferred: ['nscale', 'novita'] });
    expect((await call(own, SHARED)).provider).toBe('nscale');
    await route(own, { preferred: ['novita', 'nscale'] });
    expect((await call(own, SHARED)).provider).toBe('novita');
    expect((await call(own, `${SHARED}:together`)).provider).toBe('together');
    const fastest = (await call(await organization(), SHARED)).provider;
    expect((await call(own, `${SHARED}:fastest`)).provider).toBe(fastest);
    await route(own, { default: null });
    expect((await call(own, SHARED)).provider).toBe(fastest);
  });

  it(':cheapest is the one at which this very request costs least', async () => {
    const model = 'tollgate-sim/balance';
    for (const [provider, input, output] of [
      ['together', '10', '1'],
      ['novita', '1', '2'],
    ] as const) {
      const price = { model, provider, inputUsdPerMillion: input, outputUsdPerMillion: output };
      const answer = await fetch(`${service.simulator.url}/_sim/prices`, {
        method: 'PUT',
        body: JSON.stringify(price),
      });
      expect(answer.status).toBe(200);
    }
    await syncCatalogues(service);
    const own = await organization();
    // It has a wish that the router does not know: the choice is ours.
    await decide(own, 'nebius', { enabled: false });
    const long = { messages: [{ role: 'user', content: 'x'.repeat(40_000) }], max_tokens: 16 };
    const short = { messages: [{ role: 'user', content: 'x' }], max_tokens: 4_000 };
    expect((await call(own, `${model}:cheapest`, { more: long })).provider).toBe('novita');
    expect((await call(own, `${model}:cheapest`, { more: short })).provider).toBe('together');
  });
});

describe('a session', () => {
  it('stays with its provider over twenty calls, at any replica', async () => {
    const own = await organization();
    const chosen = new Set<string | null>();
    for (const session of ['a', 'b', 'c', 'd', 'e']) {
      const providers = new Set<string | null>();
      for (let calls = 0; calls < 20; calls += 1) {
        const at = calls % 2 === 0 ? service.url : replica.url;
        const { status, provider } = await call(own, SHARED, {
          at,
          headers: { 'x-hf-session-id': `session-${session}` },
        });
        expect(status).toBe(200);
        providers.add(provider);
      }
      expect([session, providers.size]).toEqual([session, 1]);
      for (const provider of providers) chosen.add(provider);
    }
    expect(chosen.size).toBeGreaterThan(1);
  });
});

async function transfers(): Promise<number> {
  const rows = await service.database.query(
    `SELECT 1 FROM ledger_transfers WHERE debit || credit LIKE '%provider_payable%'`,
  );
  return rows.length;
}

async function within(ms: number, isSo: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + ms;
  while (!(await isSo())) {
    if (performance.now() > until) throw new Error(`not so within ${ms} ms`);
  }
}
