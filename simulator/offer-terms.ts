/** How the catalogue shows an offer's price: as figures, as `is_free`, or not at all. */
export type PriceDisplay = 'published' | 'free' | 'hidden';

/** What a caller states about an offer; the rest is derived from seed, model and provider. */
export interface OfferTerms {
  readonly provider: string;
  readonly inputUsdPerMillion: string;
  readonly outputUsdPerMillion: string;
  readonly cachedInputUsdPerMillion?: string | null;
  readonly display?: PriceDisplay;
  readonly status?: 'live' | 'error';
  readonly contextLength?: number;
  readonly tokensPerSecond?: number;
}
