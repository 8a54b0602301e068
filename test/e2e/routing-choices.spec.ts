import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestService } from '../support/service.js';
import { allEnded, type SimulatedService } from '../support/simulated.js';
import { syncCatalogues } from '../support/upstreams.js';
import { startRouting, type RoutingFixture } from './routing-fixture.js';

/** Listed by the router for several providers. */
const SHARED = 'meta-llama/Llama-3.3-70B-Instruct';

let service: SimulatedService;
let replica: TestService;
let fixture: RoutingFixture;
let organization: RoutingFixture['organization'];
let decide: RoutingFixture['decide'];
let route: RoutingFixture['route'];
let call: RoutingFixture['call'];

beforeAll(async () => {
  fixture = await startRouting();
  ({ service, replica, organization, decide, route, call } = fixture);
});

afterAll(async () => {
  await allEnded(service);
  await fixture.close();
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
