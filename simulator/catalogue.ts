import { readListPrices } from './list-prices.js';
import {
  picoUsdPerToken,
  type TokenPrice,
  type UnitRate,
  unitRate,
  usdPerMillion,
} from './money.js';
import type { OfferTerms, PriceDisplay } from './offer-terms.js';
import { type Dialect, fireworksNewer, providerModelId, providerOf } from './providers.js';
import { hashText } from './random.js';
import { specialModels } from './special-models.js';
import { type Task, TEXT_TASKS } from './tasks.js';
import { unlistedModels } from './unlisted-models.js';

/** One provider serving one model. */
export interface Offer {
  readonly provider: string;
  readonly price: TokenPrice;
  /** Prices beyond text tokens. */
  readonly rates: readonly UnitRate[];
  readonly tasks: readonly Task[];
  /** The prices as they were stated, to be told to others. */
  readonly terms: OfferTerms;
  readonly display: PriceDisplay;
  readonly status: 'live' | 'error';
  readonly contextLength: number;
  readonly latencyMs: number;
  readonly tokensPerSecond: number;
  readonly providerModelId: string;
  readonly dialect: Dialect;
}

/** Which provider serves a request, or why none does. */
export type Pick =
  | { readonly ok: true; readonly model: string; readonly offer: Offer }
  | { readonly ok: false; readonly reason: 'unknown_model' }
  | { readonly ok: false; readonly reason: 'provider_does_not_serve'; readonly provider: string };

const CREATED = 1_767_225_600;
const CONTEXT_LENGTH = 131_072;
const FAST = new Set(['groq', 'cerebras', 'sambanova']);
/** Fireworks reports the usage of these as its newer models do: only when asked. */
const FIREWORKS_NEWER = /gpt-oss|DeepSeek-V4|Kimi|GLM/;

/** The models on offer and their prices, changeable while running. */
export class Catalogue {
  private models = new Map<string, Map<string, Offer>>();
  private json: string | null = null;

  /** `seed` decides latency and throughput; `cachedPrices` false: nobody prices cached input apart. */
  constructor(
    private readonly seed: number,
    private readonly cachedPrices: boolean,
  ) {
    this.reset();
  }

  /** Back to the list prices and the special models. */
  reset(): void {
    this.models = new Map();
    for (const price of readListPrices()) this.setOffer(price.model, price);
    for (const { model, offers } of [...specialModels, ...unlistedModels]) {
      for (const terms of offers) this.setOffer(model, terms);
    }
  }

  /**
   * Adds an offer or replaces its terms from the next request on; requests in flight keep theirs.
   * Throws RangeError on a price that is not a decimal with at most six places.
   */
  setOffer(model: string, terms: OfferTerms): Offer {
    const offer = this.offerOf(model, terms);
    const offers = this.models.get(model) ?? new Map<string, Offer>();
    this.models.set(model, offers.set(terms.provider, offer));
    this.json = null;
    return offer;
  }

  /** Takes an offer away, or the whole model when no provider is named. False when there was none. */
  remove(model: string, provider?: string): boolean {
    this.json = null;
    if (provider === undefined) return this.models.delete(model);
    const offers = this.models.get(model);
    const existed = offers?.delete(provider) ?? false;
    if (offers?.size === 0) this.models.delete(model);
    return existed;
  }

  /** The ids of the models in the list: those that chat. */
  modelIds(): string[] {
    return [...this.models.keys()].filter((model) => this.isListed(model));
  }

  /** Every offer of every model, listed or not. */
  everyOffer(): { readonly model: string; readonly offer: Offer }[] {
    return [...this.models].flatMap(([model, offers]) =>
      [...offers.values()].map((offer) => ({ model, offer })),
    );
  }

  /** The offers for a model in catalogue order; empty when unknown. */
  offers(model: string): Offer[] {
    return [...(this.models.get(model)?.values() ?? [])];
  }

  /** The terms on which `provider` serves `model` now, or null. */
  offer(model: string, provider: string): Offer | null {
    return this.models.get(model)?.get(provider) ?? null;
  }

  /**
   * Resolves `org/name[:suffix]` as the router does: fastest without a suffix, a provider pins. A
   * model is not known for what it does not do.
   */
  pick(asked: string, task: Task = 'chat'): Pick {
    const colon = asked.indexOf(':');
    const model = colon < 0 ? asked : asked.slice(0, colon);
    const suffix = colon < 0 ? 'fastest' : asked.slice(colon + 1);
    const offers = this.models.get(model);
    if (offers === undefined || !this.does(model, task)) {
      return { ok: false, reason: 'unknown_model' };
    }
    if (suffix !== 'fastest' && suffix !== 'cheapest' && suffix !== 'preferred') {
      const pinned = offers.get(suffix);
      if (pinned !== undefined) return { ok: true, model, offer: pinned };
      return { ok: false, reason: 'provider_does_not_serve', provider: suffix };
    }
    let best: Offer | null = null;
    for (const offer of offers.values()) {
      if (offer.status === 'live' && (best === null || isBetter(offer, best, suffix))) best = offer;
    }
    if (best === null) return { ok: false, reason: 'unknown_model' };
    return { ok: true, model, offer: best };
  }

  /** What a provider itself resolves: its own id for a model, or the public one. */
  pickAt(provider: string, asked: string, task: Task = 'chat'): Pick {
    for (const [model, offers] of this.models) {
      const offer = offers.get(provider);
      if (offer?.tasks.includes(task) !== true) continue;
      if (model === asked || offer.providerModelId === asked) {
        return { ok: true, model, offer };
      }
    }
    return { ok: false, reason: 'provider_does_not_serve', provider };
  }

  /** The body of `GET /v1/models`. */
  listJson(): string {
    this.json ??= JSON.stringify({ object: 'list', data: this.modelIds().map(this.entry) });
    return this.json;
  }

  /** One entry of `GET /v1/models`, or null. */
  entryJson(model: string): string | null {
    return this.isListed(model) ? JSON.stringify(this.entry(model)) : null;
  }

  private isListed(model: string): boolean {
    return this.does(model, 'chat');
  }

  private does(model: string, task: Task): boolean {
    const [first] = this.models.get(model)?.values() ?? [];
    return first?.tasks.includes(task) ?? false;
  }

  private readonly entry = (model: string): Record<string, unknown> => ({
    id: model,
    object: 'model',
    created: CREATED + (hashText(model, 0) % 15_552_000),
    owned_by: model.slice(0, model.indexOf('/')),
    architecture: { input_modalities: ['text'], output_modalities: ['text'] },
    providers: this.offers(model).map((offer) => ({
      provider: offer.provider,
      status: offer.status,
      context_length: offer.contextLength,
      ...(offer.display === 'published' && {
        pricing: {
          input: usdPerMillion(offer.price.input),
          output: usdPerMillion(offer.price.output),
        },
      }),
      ...(offer.display === 'free' && { is_free: true }),
      supports_tools: true,
      supports_structured_output: hashText(offer.provider, this.seed) % 3 !== 0,
      first_token_latency_ms: offer.latencyMs,
      throughput: offer.tokensPerSecond,
      is_model_author: offer.provider === model.slice(0, model.indexOf('/')),
    })),
  });

  private offerOf(model: string, terms: OfferTerms): Offer {
    const drawn = hashText(`${model} ${terms.provider}`, this.seed);
    const fast = FAST.has(terms.provider);
    const cached = this.cachedPrices ? (terms.cachedInputUsdPerMillion ?? null) : null;
    const display = terms.display ?? 'published';
    return {
      provider: terms.provider,
      price: {
        input: picoUsdPerToken(terms.inputUsdPerMillion),
        output: picoUsdPerToken(terms.outputUsdPerMillion),
        cachedInput: cached === null ? null : picoUsdPerToken(cached),
        cacheWrite5m: priceOrNull(terms.cacheWrite5mUsdPerMillion),
        cacheWrite1h: priceOrNull(terms.cacheWrite1hUsdPerMillion),
      },
      rates: (terms.rates ?? []).map(([unit, usd]) => unitRate(unit, usd)),
      tasks: terms.task === undefined ? TEXT_TASKS : [terms.task],
      terms,
      display,
      status: terms.status ?? 'live',
      contextLength: terms.contextLength ?? CONTEXT_LENGTH,
      latencyMs: (fast ? 60 : 180) + (drawn % 600),
      tokensPerSecond: terms.tokensPerSecond ?? (fast ? 300 : 30) + ((drawn >>> 12) % 100),
      providerModelId: providerModelId(terms.provider, model),
      dialect:
        terms.provider === 'fireworks-ai' && FIREWORKS_NEWER.test(model)
          ? fireworksNewer
          : providerOf(terms.provider).dialect,
    };
  }
}

function priceOrNull(usdPerMillion: string | undefined): TokenPrice['input'] | null {
  return usdPerMillion === undefined ? null : picoUsdPerToken(usdPerMillion);
}

function isBetter(offer: Offer, best: Offer, by: 'fastest' | 'cheapest' | 'preferred'): boolean {
  if (by === 'fastest') return offer.tokensPerSecond > best.tokensPerSecond;
  if (by === 'preferred') return false;
  // The router compares published output prices; what is not published cannot be the cheapest.
  if (offer.display === 'hidden') return false;
  return best.display === 'hidden' || offer.price.output < best.price.output;
}
