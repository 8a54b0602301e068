import {
  decimalText,
  PICO_USD_PER_USD,
  PRICE_MAX_USD,
  priceFromUsdPerMillion,
  priceFromUsdPerUnit,
  type PriceQuote,
  type UnitPrice,
} from '../domain/money.js';
import { INPUT_TOKEN_UNITS, OUTPUT_TOKEN_UNITS, type Unit } from '../domain/units.js';
import {
  catalogueOf,
  entriesOf,
  finding,
  isModelId,
  isObject,
  isTokenCount,
  storable,
  type CatalogueFinding,
  type CatalogueReading,
  type JsonObject,
  type ListedModel,
} from './catalogue-entry.js';

/** How one kind of list states its prices. */
interface PriceForm {
  readonly per: 'million' | 'token';
  /** Power of ten that a figure is to be multiplied by to be USD. */
  readonly exponent: 0 | -4;
  /** Figures as texts (`"0.0000008"`) or as numbers; the other is refused. */
  readonly type: 'string' | 'number';
  readonly units: Readonly<Record<string, Unit>>;
  /** Figures beside those of tokens: above 0 they make the others half a price. */
  readonly notTaken: readonly string[];
}

/** `pricing: {prompt, completion}`: OpenRouter. */
const PER_TOKEN: PriceForm = {
  per: 'token',
  exponent: 0,
  type: 'string',
  units: {
    prompt: 'input',
    completion: 'output',
    input_cache_read: 'cached_input',
    input_cache_write: 'cache_write_5m',
    audio: 'audio_input',
  },
  notTaken: ['request'],
};

/** `pricing: {input, output}`: Together, and routers. */
const PER_MILLION: PriceForm = {
  per: 'million',
  exponent: 0,
  type: 'number',
  units: Object.fromEntries([...INPUT_TOKEN_UNITS, ...OUTPUT_TOKEN_UNITS].map((one) => [one, one])),
  notTaken: [],
};

/** `metadata: {pricing: {input_tokens, output_tokens}}`: DeepInfra. */
const IN_METADATA: PriceForm = {
  per: 'million',
  exponent: 0,
  type: 'number',
  units: {
    input_tokens: 'input',
    output_tokens: 'output',
    cache_read_tokens: 'cached_input',
  },
  notTaken: [],
};

/** `input_token_price_per_m`, in parts of 1/10,000 USD: Novita. */
const IN_PARTS: PriceForm = {
  per: 'million',
  exponent: -4,
  type: 'number',
  units: { input_token_price_per_m: 'input', output_token_price_per_m: 'output' },
  notTaken: [],
};

/** "It depends": the price of a model that chooses among others. */
const VARIES = '-1';
const TOKENS_PER_MILLION = 1_000_000n;

/** What of an entry is shown to everybody. */
const SHOWN = ['object', 'created', 'owned_by', 'name', 'display_name', 'type', 'architecture'];
const HUB = 'https://huggingface.co/';
const CONTEXT_FIELDS = [
  'context_length',
  'context_window',
  'max_model_len',
  'max_context_length',
  'context_size',
];

/**
 * Reads the list of models of a server that serves them itself: OpenAI's list, or a bare array.
 * Prices by the text of their figures, in the three forms that are known; a list that states none
 * has models without a price.
 */
export function readProviderCatalogue(text: string, provider: string): CatalogueReading {
  const document = entriesOf(text);
  if (document.kind === 'unreadable') return document;
  return catalogueOf(document, (entry, texts, findings) =>
    readPlainModel(entry, texts, provider, findings),
  );
}

/** One model and its one route. Ids with a colon are left out: to callers it starts a suffix. */
export function readPlainModel(
  entry: unknown,
  texts: unknown,
  provider: string,
  findings: CatalogueFinding[],
): ListedModel | null {
  const id = isObject(entry) ? entry['id'] : undefined;
  if (typeof id === 'string' && id.includes(':')) return null;
  if (!isObject(entry) || !isObject(texts) || typeof id !== 'string' || !isModelId(id)) {
    findings.push(finding('malformed_entry', 'a model without a usable id', null, provider));
    return null;
  }
  const contextLength = contextLengthOf(entry);
  const shown = Object.fromEntries(
    SHOWN.flatMap((name) => (name in entry ? [[name, entry[name]]] : [])),
  );
  const hubId = hubIdOf(entry);
  return {
    id,
    ...(hubId !== null && { hubId }),
    entry: storable({ object: 'model', ...shown, id }) as JsonObject,
    routes: [
      {
        provider,
        status: 'live',
        contextLength,
        providerModelId: null,
        entry: {
          provider,
          status: 'live',
          ...(contextLength !== null && { context_length: contextLength }),
          ...featuresOf(entry),
        },
        prices: readPrices(entry, texts, (unit, problem) => {
          findings.push({ kind: 'price_refused', model: id, provider, unit, problem });
        }),
      },
    ],
  };
}

/** OpenRouter says it; Together links to it. */
function hubIdOf({ hugging_face_id: id, link }: JsonObject): string | null {
  if (typeof id === 'string') return id === '' ? null : id;
  return typeof link === 'string' && link.startsWith(HUB) ? link.slice(HUB.length) : null;
}

function contextLengthOf(entry: JsonObject): number | null {
  const { metadata } = entry;
  const found = [
    ...CONTEXT_FIELDS.map((name) => entry[name]),
    isObject(metadata) ? metadata['context_length'] : null,
  ].find(isTokenCount);
  return found ?? null;
}

function featuresOf({ supported_parameters: supported }: JsonObject): JsonObject {
  if (!Array.isArray(supported)) return {};
  return {
    supports_tools: supported.includes('tools'),
    supports_structured_output: supported.includes('structured_outputs'),
  };
}

function readPrices(
  entry: JsonObject,
  texts: JsonObject,
  refuse: (unit: Unit | null, problem: string) => void,
): ReadonlyMap<Unit, UnitPrice> {
  const none = new Map<Unit, UnitPrice>();
  const stated = figuresOf(entry, texts);
  if (stated === null) return none;
  const { form, figures, figureTexts } = stated;
  const priced = form.notTaken.filter((name) => Number(figures[name] ?? 0) !== 0);
  if (priced.length > 0) {
    refuse(null, `it has a price per ${priced.join(', ')} too, which is not taken over`);
    return none;
  }
  const prices = new Map<Unit, UnitPrice>();
  for (const [name, unit] of Object.entries(form.units)) {
    const figure = figures[name] ?? null;
    if (figure === null || figure === VARIES) continue;
    const text = figureTexts[name];
    if (typeof figure !== form.type || typeof text !== 'string') {
      refuse(unit, `the figure is a ${typeof figure}, not a ${form.type}`);
      continue;
    }
    const quote = quoteOf(text, form);
    if (quote.kind === 'price') {
      prices.set(unit, { picoUsd: quote.picoUsd, perUnits: quote.perUnits });
    } else refuse(unit, `${text.slice(0, 64)} USD per ${form.per} is ${quote.reason}`);
  }
  // A list of numbers has 0 for what is free and for what has no price of this kind (images,
  // dedicated machines): nothing that may cost is taken to be free.
  const isAllZero = [...prices.values()].every(({ picoUsd }) => picoUsd === 0n);
  return form.type === 'number' && isAllZero ? none : prices;
}

function figuresOf(
  entry: JsonObject,
  texts: JsonObject,
): {
  readonly form: PriceForm;
  readonly figures: JsonObject;
  readonly figureTexts: JsonObject;
} | null {
  const { pricing, metadata } = entry;
  const { pricing: pricingTexts, metadata: metadataTexts } = texts;
  if (isObject(pricing) && isObject(pricingTexts)) {
    const form = 'prompt' in pricing || 'completion' in pricing ? PER_TOKEN : PER_MILLION;
    return { form, figures: pricing, figureTexts: pricingTexts };
  }
  if ('input_token_price_per_m' in entry) {
    return { form: IN_PARTS, figures: entry, figureTexts: texts };
  }
  const figures = isObject(metadata) ? metadata['pricing'] : null;
  const figureTexts = isObject(metadataTexts) ? metadataTexts['pricing'] : null;
  return isObject(figures) && isObject(figureTexts)
    ? { form: IN_METADATA, figures, figureTexts }
    : null;
}

/** At most what any price may be, whatever it is quoted per. */
function quoteOf(text: string, { per, exponent }: PriceForm): PriceQuote {
  // A figure that has an exponent already is none that such a list is known for.
  const plain = decimalText(exponent === 0 ? text : `${text}e${exponent}`) ?? '';
  if (per === 'million') return priceFromUsdPerMillion(plain);
  const quote = priceFromUsdPerUnit(plain, 'input');
  if (quote.kind === 'refused') return quote;
  const { picoUsd, perUnits } = quote;
  return picoUsd * TOKENS_PER_MILLION > PRICE_MAX_USD * PICO_USD_PER_USD * perUnits
    ? { kind: 'refused', reason: 'too_large' }
    : { kind: 'price', picoUsd, perUnits };
}
