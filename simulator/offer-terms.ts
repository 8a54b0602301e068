import type { RateUnit } from './money.js';
import type { Task } from './tasks.js';

/** How the catalogue shows an offer's price: as figures, as `is_free`, or not at all. */
export type PriceDisplay = 'published' | 'free' | 'hidden';

/** What a caller states about an offer; the rest is derived from seed, model and provider. */
export interface OfferTerms {
  readonly provider: string;
  readonly inputUsdPerMillion: string;
  readonly outputUsdPerMillion: string;
  readonly cachedInputUsdPerMillion?: string | null;
  readonly cacheWrite5mUsdPerMillion?: string;
  readonly cacheWrite1hUsdPerMillion?: string;
  /** Prices beyond text tokens, in USD per published unit (of tokens: per million). */
  readonly rates?: readonly (readonly [unit: RateUnit, usd: string])[];
  /** What the model does. Default: chat and its sister routes; the list shows no others. */
  readonly task?: Task;
  readonly display?: PriceDisplay;
  readonly status?: 'live' | 'error';
  readonly contextLength?: number;
  readonly tokensPerSecond?: number;
}
