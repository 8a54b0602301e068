import { decimalText, priceFromUsdPerMillion, type UnitPrice } from '../domain/money.js';
import { INPUT_TOKEN_UNITS, OUTPUT_TOKEN_UNITS, type Unit } from '../domain/units.js';
import {
  catalogueOf,
  entriesOf,
  finding,
  isModelId,
  isObject,
  isTokenCount,
  PROVIDER_SLUG,
  storable,
  type CatalogueFinding,
  type CatalogueReading,
  type JsonObject,
  type ListedModel,
  type ListedRoute,
} from './catalogue-entry.js';
import { readPlainModel } from './plain-catalogue.js';

/** A figure for one of these is in USD per 1M; other keys of `pricing` are left alone. */
const PRICED_UNITS: readonly Unit[] = [...INPUT_TOKEN_UNITS, ...OUTPUT_TOKEN_UNITS];
const FREE_UNITS: readonly Unit[] = ['input', 'output'];
const FREE: UnitPrice = { picoUsd: 0n, perUnits: 1n };

/**
 * Reads the default upstream's `GET /v1/models`. Prices are read by the decimal text of their JSON
 * number, never as the double that a parser makes of it.
 *
 * A figure that is no number, negative, above $10,000 or not whole is refused and found; so is a
 * text, however numeric: a catalogue that starts to quote its prices may have changed what they are
 * per as well. `is_free` is a price of 0 for input and output, whatever else is stated.
 *
 * @param server who serves the models of a list without any providers: the upstream is no router.
 */
export function readRouterCatalogue(text: string, server: string): CatalogueReading {
  const document = entriesOf(text);
  if (document.kind === 'unreadable') return document;
  const isRouters = document.entries.some(
    ({ entry }) => isObject(entry) && Array.isArray(entry['providers']),
  );
  return catalogueOf(document, (entry, texts, findings) =>
    isRouters ? readModel(entry, texts, findings) : readPlainModel(entry, texts, server, findings),
  );
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
    providerModelId: null,
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
