import type { OfferTerms } from './offer-terms.js';
import { providers } from './providers.js';

/** Served by every provider with a dialect of its own: pin one with `:provider`. */
export const EVERY_DIALECT = 'tollgate-sim/every-dialect';
/** Its only provider is live and bills, but publishes no price. */
export const UNPRICED = 'tollgate-sim/unpriced';
/** The fastest provider (groq) publishes no price, the slower one (together) does. */
export const PARTLY_PRICED = 'tollgate-sim/partly-priced';
/** `is_free: true` and no figures: the price is 0. */
export const FREE = 'tollgate-sim/free';
/** The fastest provider (groq) has status `error` and answers 503 when pinned; together serves. */
export const ONE_PROVIDER_DOWN = 'tollgate-sim/one-provider-down';
/** Round figures for sums by hand: USD 1.00 input, 2.00 output, 0.50 cached per million, at together. */
export const ROUND_PRICES = 'tollgate-sim/round-prices';
/** A context of 4,096 tokens, at together. */
export const SHORT_CONTEXT = 'tollgate-sim/short-context';
/** Listed like any, but with prices for writing into the cache: USD 3 in, 0.30 cached, 3.75 and 6 written, 15 out. */
export const CACHE_WRITES = 'tollgate-sim/cache-writes';

const together = { provider: 'together', inputUsdPerMillion: '0.50', outputUsdPerMillion: '1.50' };
const groq = {
  provider: 'groq',
  inputUsdPerMillion: '0.10',
  outputUsdPerMillion: '0.30',
  tokensPerSecond: 500,
};

/** Models that exist for tests, with their offers. */
export const specialModels: readonly { model: string; offers: readonly OfferTerms[] }[] = [
  { model: EVERY_DIALECT, offers: [...providers.keys()].map(everyDialectOffer) },
  { model: UNPRICED, offers: [{ ...together, display: 'hidden' }] },
  { model: PARTLY_PRICED, offers: [{ ...groq, display: 'hidden' }, together] },
  {
    model: FREE,
    offers: [
      {
        provider: 'together',
        inputUsdPerMillion: '0',
        outputUsdPerMillion: '0',
        display: 'free',
      },
    ],
  },
  { model: ONE_PROVIDER_DOWN, offers: [{ ...groq, status: 'error' }, together] },
  {
    model: ROUND_PRICES,
    offers: [
      {
        provider: 'together',
        inputUsdPerMillion: '1.00',
        outputUsdPerMillion: '2.00',
        cachedInputUsdPerMillion: '0.50',
      },
    ],
  },
  {
    model: CACHE_WRITES,
    offers: [
      {
        provider: 'together',
        inputUsdPerMillion: '3',
        outputUsdPerMillion: '15',
        cachedInputUsdPerMillion: '0.30',
        cacheWrite5mUsdPerMillion: '3.75',
        cacheWrite1hUsdPerMillion: '6',
      },
    ],
  },
  { model: SHORT_CONTEXT, offers: [{ ...together, contextLength: 4096 }] },
];

/** Every provider gets a price of its own, so an event priced by the wrong one shows. */
function everyDialectOffer(provider: string, index: number): OfferTerms {
  return {
    provider,
    inputUsdPerMillion: `0.${String(100 + index)}`,
    outputUsdPerMillion: `0.${String(400 + 2 * index)}`,
    cachedInputUsdPerMillion: index % 3 === 0 ? '0.05' : null,
  };
}
