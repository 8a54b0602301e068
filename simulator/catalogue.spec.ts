import { describe, expect, it } from 'vitest';
import { Catalogue } from './catalogue.js';
import { readListPrices } from './list-prices.js';
import { providers } from './providers.js';
import {
  EVERY_DIALECT,
  FREE,
  ONE_PROVIDER_DOWN,
  PARTLY_PRICED,
  UNPRICED,
} from './special-models.js';

interface Entry {
  id: string;
  providers: { provider: string; status: string; pricing?: unknown; is_free?: boolean }[];
}

const LLAMA = 'meta-llama/Llama-3.3-70B-Instruct';

function entry(catalogue: Catalogue, model: string): Entry {
  return JSON.parse(catalogue.entryJson(model) ?? '{}') as Entry;
}

function provider(catalogue: Catalogue, asked: string): string | null {
  const picked = catalogue.pick(asked);
  return picked.ok ? picked.offer.provider : null;
}

describe('the catalogue', () => {
  it('lists every list price', () => {
    const catalogue = new Catalogue(1, true);
    for (const price of readListPrices()) {
      const shown = entry(catalogue, price.model).providers.find(
        (row) => row.provider === price.provider,
      );
      const pricing = {
        input: Number(price.inputUsdPerMillion),
        output: Number(price.outputUsdPerMillion),
      };
      expect(shown).toMatchObject({ status: 'live', pricing });
    }
  });

  it('is the same for the same seed and differs for another', () => {
    expect(new Catalogue(5, true).listJson()).toBe(new Catalogue(5, true).listJson());
    expect(new Catalogue(5, true).listJson()).not.toBe(new Catalogue(6, true).listJson());
  });

  it('has the special models', () => {
    const catalogue = new Catalogue(1, true);
    expect(entry(catalogue, EVERY_DIALECT).providers).toHaveLength(providers.size);
    const [unpriced] = entry(catalogue, UNPRICED).providers;
    expect(unpriced?.status).toBe('live');
    expect(unpriced).not.toHaveProperty('pricing');
    const [free] = entry(catalogue, FREE).providers;
    expect(free).toMatchObject({ is_free: true });
    expect(free).not.toHaveProperty('pricing');
    const states = entry(catalogue, ONE_PROVIDER_DOWN).providers.map((row) => row.status);
    expect(states).toEqual(['error', 'live']);
  });
});

describe('picking a provider', () => {
  const catalogue = new Catalogue(1, true);

  it('takes the fastest without a suffix, the lowest output price with :cheapest', () => {
    expect(provider(catalogue, LLAMA)).toBe('groq');
    expect(provider(catalogue, `${LLAMA}:fastest`)).toBe('groq');
    // 0.40 at novita and nscale: the first listed.
    expect(provider(catalogue, `${LLAMA}:cheapest`)).toBe('novita');
    expect(provider(catalogue, `${LLAMA}:preferred`)).toBe('fireworks-ai');
    expect(provider(catalogue, `${LLAMA}:nscale`)).toBe('nscale');
  });

  it('takes an unpriced provider when it is the fastest, never one in error', () => {
    expect(provider(catalogue, PARTLY_PRICED)).toBe('groq');
    expect(provider(catalogue, `${PARTLY_PRICED}:cheapest`)).toBe('together');
    expect(provider(catalogue, ONE_PROVIDER_DOWN)).toBe('together');
  });

  it('says why nobody serves', () => {
    expect(catalogue.pick('a/b')).toEqual({ ok: false, reason: 'unknown_model' });
    expect(catalogue.pick(`${LLAMA}:cohere`)).toMatchObject({ reason: 'provider_does_not_serve' });
  });

  it('changes a price for the next pick and shows it', () => {
    const changed = new Catalogue(1, true);
    const before = changed.offer(LLAMA, 'groq');
    changed.setOffer(LLAMA, {
      provider: 'groq',
      inputUsdPerMillion: '1.25',
      outputUsdPerMillion: '3',
    });
    expect(before?.price.input).toBe(590_000n);
    expect(changed.offer(LLAMA, 'groq')?.price.input).toBe(1_250_000n);
    const shown = entry(changed, LLAMA).providers.find((row) => row.provider === 'groq');
    expect(shown?.pricing).toEqual({ input: 1.25, output: 3 });
    expect(changed.remove(LLAMA, 'groq')).toBe(true);
    expect(provider(changed, `${LLAMA}:groq`)).toBeNull();
  });
});
