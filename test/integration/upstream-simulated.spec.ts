import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSimulator, type Simulator } from '../../simulator/server.js';
import { Health } from '../../src/catalog/health.js';
import { eventually } from '../support/api-client.js';
import { startCatalog, type CatalogUnderTest } from './catalog-fixture.js';

interface ShownModel {
  readonly id: string;
  readonly providers: readonly {
    readonly provider: string;
    readonly pricing?: Readonly<Record<string, number>>;
    readonly first_token_latency_ms?: number;
    readonly throughput?: number;
  }[];
}

/** Whose lists state prices, each in its own form. */
const PRICED = ['together', 'deepinfra', 'novita', 'openrouter'] as const;
/** Whose lists do not. */
const UNPRICED = ['groq', 'fireworks-ai', 'cerebras', 'openai-compatible'] as const;
const MODEL = 'meta-llama/Llama-3.3-70B-Instruct';

describe('providers called directly, beside the router', () => {
  let simulator: Simulator;
  let service: CatalogUnderTest;

  const models = async (): Promise<readonly ShownModel[]> => {
    const answer = await fetch(`${service.url}/v1/models`);
    return ((await answer.json()) as { data: ShownModel[] }).data;
  };

  beforeAll(async () => {
    simulator = await startSimulator({
      apiKey: 'sim-key',
      providerKeys: { together: 'tk', deepinfra: 'dk', novita: 'nk', openrouter: 'ok', groq: 'gk' },
    });
    service = await startCatalog(simulator.url, {
      PRICE_SYNC_INTERVAL_S: '86400',
      ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1',
    });
    for (const slug of [...PRICED, ...UNPRICED]) {
      const { status, text } = await service.api.put(`/api/providers/${slug}`, {
        baseUrl: `${simulator.url}/_direct/${slug}`,
        apiKey: simulator.providerKeys.get(slug) ?? 'any',
      });
      if (status !== 200) throw new Error(text);
    }
    await service.syncNow();
  });
  afterAll(async () => {
    await service.close();
    await simulator.close();
  });

  it('have their catalogues taken over, all of them', async () => {
    expect((await service.syncNow()).failures).toEqual([]);
    const counts = await service.database.query<{ upstream: string }>(
      'SELECT DISTINCT upstream FROM model_routes WHERE is_listed',
    );
    const upstreams = new Set(counts.map(({ upstream }) => upstream));
    for (const slug of [...PRICED, 'groq', 'fireworks-ai', 'cerebras']) {
      expect(upstreams).toContain(slug);
    }
  });

  it.each(PRICED)('are priced as %s prices them, exactly', async (provider) => {
    const rows = await service.prices(`upstream = '${provider}'`);
    const offers = simulator.catalogue
      .everyOffer()
      .filter(({ offer }) => offer.provider === provider && offer.tasks.includes('chat'))
      .filter(({ offer }) => offer.display !== 'hidden' && offer.status === 'live')
      // All figures 0: nothing that may cost is taken to be free, but where it is said per token.
      .filter(
        ({ offer: { price } }) =>
          provider === 'openrouter' || price.input > 0n || price.output > 0n,
      );
    expect(offers.length + (provider === 'openrouter' ? 1 : 0)).toBeGreaterThan(0);
    for (const { model, offer } of offers) {
      for (const unit of ['input', 'output'] as const) {
        const row = rows.find(
          (one) => one.unit === unit && [model, offer.providerModelId].includes(one.model),
        );
        expect([model, unit, row?.pico_usd]).toEqual([model, unit, offer.price[unit].toString()]);
        expect(row).toMatchObject({ provider, per_units: '1', source: 'provider_catalogue' });
      }
    }
    expect(rows.length).toBeGreaterThanOrEqual(offers.length * 2);
  });

  it.each(UNPRICED)('have no price where %s states none', async (provider) => {
    expect(await service.prices(`upstream = '${provider}'`)).toEqual([]);
  });

  it('are one entry each in the models, their providers joined, and none twice', async () => {
    const all = await models();
    const ids = all.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { id, providers } of all) {
      const slugs = providers.map(({ provider }) => provider);
      expect([id, [...new Set(slugs)]]).toEqual([id, slugs]);
    }
    expect(JSON.stringify(all)).not.toContain('"upstream"');
    const found = await fetch(`${service.url}/v1/models/${MODEL}`);
    expect(await found.json()).toEqual(all.find(({ id }) => id === MODEL));
  });

  it("are called with the operator's key, and with an organization's own where it has one", async () => {
    const { secret } = await service.api.addOrganization('direct', 'pro', [
      'inference',
      'usage.read',
      'limits.write',
    ]);
    const owner = service.api.as(secret);
    const ask = async (): Promise<Record<string, unknown>> => {
      const answer = await fetch(`${service.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          model: `${MODEL}:together`,
          messages: [{ role: 'user', content: 'Say something.' }],
          max_tokens: 20,
        }),
      });
      expect([answer.status, await answer.text()]).toEqual([200, expect.any(String)]);
      const event = await owner.get(`/api/requests/${answer.headers.get('x-request-id') ?? ''}`);
      return event.body;
    };
    expect(await ask()).toMatchObject({
      state: 'settled',
      upstream: 'together',
      provider: 'together',
      external: false,
      costUsd: expect.stringMatching(/[1-9]/) as unknown,
    });
    // The provider lets in whoever has its key: the organization's is the same one here.
    await owner.put('/api/organizations/direct/providers/together', { apiKey: 'tk' });
    await service.api.put('/api/providers/together', { apiKey: null });
    await eventually(async () => (await ask())['external'] === true);
    expect(await ask()).toMatchObject({
      state: 'settled',
      upstream: 'together',
      external: true,
      costUsd: '0',
    });
    await service.api.put('/api/providers/together', { apiKey: 'tk' });
  });

  it('show what was measured here in place of what the catalogue says', async () => {
    const health = service.app.get(Health, { strict: false });
    const groq = async (): Promise<ShownModel['providers'][number] | undefined> => {
      const answer = await fetch(`${service.url}/v1/models/${MODEL}`);
      const { providers } = (await answer.json()) as ShownModel;
      return providers.find(({ provider }) => provider === 'groq');
    };
    const before = await groq();
    expect(before?.throughput).toBeGreaterThan(0);
    for (let call = 0; call < 50; call += 1) {
      health.note(
        { upstream: 'default', provider: 'groq', model: MODEL },
        { kind: 'ok', firstByteMs: 123, outputTokens: 1000, durationMs: 2123 },
        new Date(),
      );
    }
    await eventually(
      async () => (await groq())?.first_token_latency_ms !== before?.first_token_latency_ms,
    );
    const after = await groq();
    expect(after?.first_token_latency_ms).toBe(123);
    expect(after?.throughput).not.toBe(before?.throughput);
  });
});
