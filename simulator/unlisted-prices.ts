import type { Catalogue } from './catalogue.js';
import { isTokenUnit } from './money.js';
import type { OfferTerms } from './offer-terms.js';
import type { UnitOffers } from './unit-offers.js';

/** One price that `GET /v1/models` does not state, as a price book takes it. */
export interface UnlistedPrice {
  readonly provider: string;
  readonly model: string;
  readonly unit: string;
  readonly usdPerMillion?: string;
  readonly usdPerUnit?: string;
}

/**
 * Every price that the list of models does not show: all of models that do not chat, cached input and
 * cache writes of those that do, and what jobs and the serverless tier cost.
 */
export function unlistedPrices(simulator: {
  readonly catalogue: Catalogue;
  readonly unitOffers: UnitOffers;
}): UnlistedPrice[] {
  return [...unlistedOffers(simulator.catalogue), ...unitPrices(simulator.unitOffers)];
}

/** Those of the models served at OpenAI-style routes. */
export function unlistedOffers(catalogue: Catalogue): UnlistedPrice[] {
  return catalogue.everyOffer().flatMap(({ model, offer }) => {
    const { provider, price, rates, terms, tasks } = offer;
    const key = { provider, model };
    const perMillion: readonly (readonly [unit: string, usd: string | null | undefined])[] = [
      ['cached_input', price.cachedInput === null ? null : terms.cachedInputUsdPerMillion],
      ['cache_write_5m', terms.cacheWrite5mUsdPerMillion],
      ['cache_write_1h', terms.cacheWrite1hUsdPerMillion],
      ...(tasks.includes('chat') ? [] : tokenPrices(terms)),
    ];
    return [
      ...perMillion.flatMap(([unit, usd]) =>
        typeof usd === 'string' ? [{ ...key, unit, usdPerMillion: usd }] : [],
      ),
      ...rates.map(({ published, usd }) =>
        isTokenUnit(published)
          ? { ...key, unit: published, usdPerMillion: usd }
          : { ...key, unit: published, usdPerUnit: usd },
      ),
    ];
  });
}

/** A model that is not priced by text tokens states them as 0: that is no price. */
function tokenPrices(terms: OfferTerms): (readonly [unit: string, usd: string])[] {
  const { inputUsdPerMillion: input, outputUsdPerMillion: output } = terms;
  return [
    ...(input === '0' ? [] : [['input', input] as const]),
    ...(output === '0' ? [] : [['output', output] as const]),
  ];
}

function unitPrices(offers: UnitOffers): UnlistedPrice[] {
  return offers.all().map(({ provider, model, price }) => ({
    provider,
    model,
    unit: price.published,
    usdPerUnit: price.usdPerUnit,
  }));
}
