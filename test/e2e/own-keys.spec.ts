import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import { KNOWN_PROVIDERS, type ProviderRoutes } from '../../src/catalog/provider-routes.js';
import type { TestService } from '../support/service.js';
import { allEnded, type SimulatedService } from '../support/simulated.js';
import {
  alarmsOf,
  callDirectly,
  expectBilled,
  heldPicoUsd,
  owedTo,
  postPrice,
  syncCatalogues,
} from '../support/upstreams.js';
import { startRouting, type RoutingFixture } from './routing-fixture.js';

const OURS = 'sk-of-the-operator-0123456789';
const THEIRS = 'sk-of-the-organization-9876543210';
/** What groq itself calls it. */
const GROQS = 'every-dialect-versatile';

let service: SimulatedService;
let replica: TestService;
let fixture: RoutingFixture;
let organization: RoutingFixture['organization'];
let decide: RoutingFixture['decide'];
let route: RoutingFixture['route'];
let call: RoutingFixture['call'];
const knownProviders = KNOWN_PROVIDERS as Map<string, ProviderRoutes>;
const knownCerebras = KNOWN_PROVIDERS.get('cerebras');

beforeAll(async () => {
  fixture = await startRouting({ groq: OURS, cerebras: THEIRS, openrouter: THEIRS });
  ({ service, replica, organization, decide, route, call } = fixture);
  // The operator never says a word about cerebras: here, where it is known to be is the simulator.
  if (knownCerebras === undefined) throw new Error('cerebras is not known');
  const baseUrl = `${service.simulator.url}/_direct/cerebras`;
  knownProviders.set('cerebras', { ...knownCerebras, baseUrl });
  await callDirectly(service, 'groq', { apiKey: OURS });
  await callDirectly(service, 'openrouter', { apiKey: OURS });
  await syncCatalogues(service);
  const terms = service.simulator.catalogue.offer(EVERY_DIALECT, 'groq')?.terms;
  const { inputUsdPerMillion = '', outputUsdPerMillion = '' } = terms ?? {};
  const key = { upstream: 'groq', provider: 'groq', model: GROQS };
  await postPrice(service, { ...key, unit: 'input', usdPerMillion: inputUsdPerMillion });
  await postPrice(service, { ...key, unit: 'output', usdPerMillion: outputUsdPerMillion });
});

afterAll(async () => {
  if (knownCerebras !== undefined) knownProviders.set('cerebras', knownCerebras);
  await allEnded(service);
  await fixture.close();
});

afterEach(() => {
  service.simulator.faults.clear();
  service.simulator.providerKeys.set('groq', OURS);
});

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
    await decide(own, 'openrouter', { apiKey: THEIRS });
    await route(own, { default: 'preferred', preferred: ['openrouter'] });
    // The router serves the model too, by openrouter and by many others: with our key.
    for (const model of [EVERY_DIALECT, `${EVERY_DIALECT}:openrouter`]) {
      for (const stream of [false, true]) {
        service.simulator.faults.add({
          match: { provider: 'openrouter' },
          times: 1,
          directives: { faults: ['503'] },
        });
        const answer = await call(own, model, { directives: 'tag=never', more: { stream } });
        expect([model, answer.status, answer.provider]).toEqual([model, 503, 'openrouter']);
        const event = await answer.event();
        expect(event).toMatchObject({ external: true, upstream: 'openrouter', state: 'released' });
        expect(event.attempts).toHaveLength(1);
      }
    }
    const lines = service.simulator.books.tagged('never');
    expect(lines.filter(({ billed }) => billed)).toEqual([]);
    expect((await call(own, EVERY_DIALECT)).status).toBe(200);
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

async function transfers(): Promise<number> {
  const rows = await service.database.query(
    `SELECT 1 FROM ledger_transfers WHERE debit || credit LIKE '%provider_payable%'`,
  );
  return rows.length;
}
