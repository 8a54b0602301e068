import { decimalText, priceFromUsdPerMillion, type UnitPrice } from '../domain/money.js';
import { ANY_MODEL } from '../domain/pricing.js';
import { INPUT_TOKEN_UNITS, OUTPUT_TOKEN_UNITS, type Unit } from '../domain/units.js';
import { numbersAsText } from './number-text.js';

type JsonObject = Readonly<Record<string, unknown>>;

/** A provider of a model as the catalogue states it. */
export interface ListedRoute {
  readonly provider: string;
  readonly status: 'live' | 'error';
  readonly contextLength: number | null;
  /** The upstream's own provider entry. */
  readonly entry: JsonObject;
  /** What can be taken over, by unit; a unit that is missing, null or refused is not in it. */
  readonly prices: ReadonlyMap<Unit, UnitPrice>;
}

export interface ListedModel {
  readonly id: string;
  /** The upstream's own entry without its providers. */
  readonly entry: JsonObject;
  readonly routes: readonly ListedRoute[];
}

/** Something in the document that was passed over and that an operator should know. */
export interface CatalogueFinding {
  readonly kind: 'malformed_entry' | 'duplicate_entry' | 'price_refused';
  readonly model: string | null;
  readonly provider: string | null;
  readonly unit: Unit | null;
  readonly problem: string;
}

export type CatalogueReading =
  | {
      readonly kind: 'catalogue';
      readonly models: readonly ListedModel[];
      readonly findings: readonly CatalogueFinding[];
    }
  /** Not a catalogue at all: nothing of it is taken over. */
  | { readonly kind: 'unreadable'; readonly problem: string };

const MODELS_MAX = 20_000;
const ID_MAX_CHARS = 256;
/** What a provider is called in paths, headers and `org/name:provider`. */
export const PROVIDER_SLUG = /^[a-z0-9-]{2,40}$/;
const TOKENS_MAX = 2_147_483_647;

/** A figure for one of these is in USD per 1M; other keys of `pricing` are left alone. */
const PRICED_UNITS: readonly Unit[] = [...INPUT_TOKEN_UNITS, ...OUTPUT_TOKEN_UNITS];
const FREE_UNITS: readonly Unit[] = ['input', 'output'];
const FREE: UnitPrice = { picoUsd: 0n, perUnits: 1n };

/**
 * Reads the router's `GET /v1/models`. Prices are read by the decimal text of their JSON number,
 * never as the double that a parser makes of it.
 *
 * A figure that is no number, negative, above $10,000 or not whole is refused and found; so is a
 * text, however numeric: a catalogue that starts to quote its prices may have changed what they are
 * per as well. `is_free` is a price of 0 for input and output, whatever else is stated.
 */
export function readRouterCatalogue(text: string): CatalogueReading {
  let document: unknown;
  let texts: unknown;
  try {
    document = JSON.parse(text);
    texts = JSON.parse(numbersAsText(text));
  } catch (error) {
    return { kind: 'unreadable', problem: error instanceof Error ? error.message : String(error) };
  }
  const entries = isObject(document) ? document['data'] : undefined;
  const entryTexts = isObject(texts) ? texts['data'] : undefined;
  if (!Array.isArray(entries) || !Array.isArray(entryTexts)) {
    return { kind: 'unreadable', problem: 'there is no list of models under "data"' };
  }
  if (entries.length > MODELS_MAX) {
    return { kind: 'unreadable', problem: `there are more than ${MODELS_MAX} models` };
  }
  const findings: CatalogueFinding[] = [];
  const models = new Map<string, ListedModel>();
  entries.forEach((entry: unknown, index) => {
    const model = readModel(entry, entryTexts[index], findings);
    if (model === null) return;
    if (models.has(model.id)) {
      findings.push(finding('duplicate_entry', 'the model is listed twice', model.id));
    } else {
      models.set(model.id, model);
    }
  });
  return { kind: 'catalogue', models: [...models.values()], findings };
}

function readModel(
  entry: unknown,
  texts: unknown,
  findings: CatalogueFinding[],
): ListedModel | null {
  const id = isObject(entry) ? entry['id'] : undefined;
  if (!isObject(entry) || !isObject(texts) || typeof id !== 'string' || !isModelId(id)) {
    findings.push(finding('malformed_entry', 'a model without a usable id'));
    return null;
  }
  const { providers, ...own } = entry;
  const routes = new Map<string, ListedRoute>();
  const providerTexts = texts['providers'];
  if (Array.isArray(providers) && Array.isArray(providerTexts)) {
    providers.forEach((provider: unknown, index) => {
      const route = readRoute(id, provider, providerTexts[index], findings);
      if (route === null) return;
      if (routes.has(route.provider)) {
        findings.push(
          finding('duplicate_entry', 'the provider is listed twice', id, route.provider),
        );
      } else {
        routes.set(route.provider, route);
      }
    });
  } else {
    findings.push(finding('malformed_entry', 'a model without a list of providers', id));
  }
  return { id, entry: storable(own) as JsonObject, routes: [...routes.values()] };
}

function readRoute(
  model: string,
  entry: unknown,
  texts: unknown,
  findings: CatalogueFinding[],
): ListedRoute | null {
  const provider = isObject(entry) ? entry['provider'] : undefined;
  if (
    !isObject(entry) ||
    !isObject(texts) ||
    typeof provider !== 'string' ||
    !PROVIDER_SLUG.test(provider)
  ) {
    findings.push(finding('malformed_entry', 'a provider without a usable name', model));
    return null;
  }
  const contextLength = entry['context_length'];
  return {
    provider,
    status: entry['status'] === 'live' ? 'live' : 'error',
    contextLength: isTokenCount(contextLength) ? contextLength : null,
    entry: storable(entry) as JsonObject,
    prices: readPrices({ model, provider }, entry, texts, findings),
  };
}

function readPrices(
  { model, provider }: { readonly model: string; readonly provider: string },
  entry: JsonObject,
  texts: JsonObject,
  findings: CatalogueFinding[],
): ReadonlyMap<Unit, UnitPrice> {
  if (entry['is_free'] === true) return new Map(FREE_UNITS.map((unit) => [unit, FREE]));
  const prices = new Map<Unit, UnitPrice>();
  const refuse = (unit: Unit | null, problem: string): void => {
    findings.push({ kind: 'price_refused', model, provider, unit, problem });
  };
  const figures = entry['pricing'] ?? null;
  if (figures === null) return prices;
  const figureTexts = texts['pricing'];
  if (!isObject(figures) || !isObject(figureTexts)) {
    refuse(null, 'pricing is no object');
    return prices;
  }
  for (const unit of PRICED_UNITS) {
    const figure = figures[unit] ?? null;
    const figureText = figureTexts[unit];
    if (figure === null) continue;
    if (typeof figure !== 'number' || typeof figureText !== 'string') {
      refuse(unit, `the figure is a ${typeof figure}, not a number`);
      continue;
    }
    const quote = priceFromUsdPerMillion(decimalText(figureText) ?? '');
    if (quote.kind === 'price') {
      prices.set(unit, { picoUsd: quote.picoUsd, perUnits: quote.perUnits });
    } else {
      refuse(unit, `${figureText.slice(0, 64)} USD per 1M is ${quote.reason}`);
    }
  }
  return prices;
}

/** A colon would be read as a suffix, and `*` stands for every model. */
function isModelId(id: string): boolean {
  return (
    id !== '' &&
    id !== ANY_MODEL &&
    id.length <= ID_MAX_CHARS &&
    !id.includes(':') &&
    !/[\p{Cc}\p{Cs}\s]/u.test(id)
  );
}

function isTokenCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= TOKENS_MAX;
}

function finding(
  kind: CatalogueFinding['kind'],
  problem: string,
  model: string | null = null,
  provider: string | null = null,
): CatalogueFinding {
  return { kind, model, provider, unit: null, problem };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Without NUL and half surrogate pairs, which PostgreSQL's jsonb refuses. */
function storable(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  if (Array.isArray(value)) return value.map(storable);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [storableText(key), storable(one)]),
  );
}

function storableText(text: string): string {
  return text.replaceAll('\0', '').replace(/\p{Cs}/gu, '\u{fffd}');
}
