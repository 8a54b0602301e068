import type { HubNames } from './hub-names.js';

/** What the Hub said of one model, or why it said nothing. */
export type HubAnswer =
  | { readonly kind: 'named'; readonly names: HubNames }
  | { readonly kind: 'failed'; readonly problem: string };

/** Knows what providers call the models of Hugging Face. */
export abstract class Hub {
  /** Never rejects. */
  abstract namesOf(model: string, signal: AbortSignal): Promise<HubAnswer>;
}
