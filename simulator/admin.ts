import { answerUpstreamAdmin } from './admin-upstreams.js';
import { bookEntryJson } from './books.js';
import type { OfferTerms, PriceDisplay } from './offer-terms.js';
import type { Context } from './context.js';
import { directivesInJson } from './directives.js';
import { type ErrorAnswer, jsonError, notFound } from './error-answers.js';
import { type FaultMatch, type FaultRoute, faultRoutes } from './fault-rules.js';
import { sendError } from './interruption.js';
import { countOrNull, isObject, type JsonObject } from './json.js';
import { isRateUnit, type RateUnit, usdPerMillion } from './money.js';
import type { Route } from './routes.js';
import { unlistedPrices } from './unlisted-prices.js';

/** A mistake in an admin call: answered with 400. */
class AdminError extends Error {}

/**
 * The routes under `/_sim/`; they need no key.
 * - `GET /_sim/books?since=&tag=`, `DELETE /_sim/books`
 * - `GET|POST|DELETE /_sim/faults`
 * - `GET|PUT|DELETE /_sim/prices`, `GET /_sim/unlisted-prices`
 * - `POST /_sim/reset`: books, faults, catalogue, unit prices, jobs, cold starts and cached results
 * - those of `admin-upstreams.ts`
 */
export const adminRoutes: readonly Route[] = [
  {
    method: '*',
    pattern: /^\/_sim\//,
    serve: async (request) => {
      const { context, exchange, url } = request;
      const where = `${exchange.req.method ?? ''} ${url.pathname}`;
      const bytes = await request.bytes();
      sendError(exchange, answerAdmin(context, where, url.searchParams, bytes) ?? notFound, {});
    },
  },
];

function answerAdmin(
  context: Context,
  where: string,
  query: URLSearchParams,
  bytes: Buffer,
): ErrorAnswer | null {
  try {
    return route(context, where, query, bytes);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return jsonError(400, { error: `simulator: ${error.message}` });
  }
}

function route(
  context: Context,
  route: string,
  query: URLSearchParams,
  bytes: Buffer,
): ErrorAnswer | null {
  const { books, faults, catalogue } = context;
  switch (route) {
    case 'GET /_sim/books':
      return jsonError(200, readBooks(context, query));
    case 'DELETE /_sim/books':
      books.reset();
      return done;
    case 'GET /_sim/faults':
      return jsonError(200, { data: faults.list() });
    case 'POST /_sim/faults':
      addFault(context, objectOf(bytes));
      return done;
    case 'DELETE /_sim/faults':
      faults.clear();
      return done;
    case 'GET /_sim/prices':
      return jsonError(200, { data: readPrices(context) });
    case 'GET /_sim/unlisted-prices':
      return jsonError(200, { data: unlistedPrices(context) });
    case 'PUT /_sim/prices':
      setPrice(context, objectOf(bytes));
      return done;
    case 'DELETE /_sim/prices':
      catalogue.remove(query.get('model') ?? '', query.get('provider') ?? undefined);
      return done;
    case 'POST /_sim/reset':
      books.reset();
      faults.clear();
      catalogue.reset();
      context.unitOffers.reset();
      context.jobs.reset();
      context.coldStarts.reset();
      context.results.reset();
      return done;
    default:
      return answerUpstreamAdmin(context, route, query, () => objectOf(bytes));
  }
}

const done = jsonError(200, { ok: true });

function readBooks({ books }: Context, query: URLSearchParams): JsonObject {
  const since = Number(query.get('since') ?? '0');
  if (!Number.isSafeInteger(since) || since < 0) throw new AdminError('since is a line number');
  const tag = query.get('tag');
  const lines = books.since(since).filter((line) => tag === null || line.tag === tag);
  return {
    seq: books.seq,
    totalPicoUsd: lines.reduce((sum, line) => sum + line.costPicoUsd, 0n).toString(),
    entries: lines.map(bookEntryJson),
  };
}

/** `{match: {provider?, model?, stream?, route?}, times?, ...directives}` */
function addFault({ faults }: Context, body: JsonObject): void {
  const { match = {}, times = 1, ...directives } = body;
  const count = countOrNull(times);
  if (!isObject(match)) throw new AdminError('match is an object');
  if (count === null || count === 0) throw new AdminError('times is a count above 0');
  faults.add({ match: faultMatch(match), times: count, directives: directivesInJson(directives) });
}

function faultMatch(match: JsonObject): FaultMatch {
  const { provider, model, stream, route: where } = match;
  return {
    ...(typeof provider === 'string' && { provider }),
    ...(typeof model === 'string' && { model }),
    ...(typeof stream === 'boolean' && { stream }),
    ...(isFaultRoute(where) && { route: where }),
  };
}

function isFaultRoute(where: unknown): where is FaultRoute {
  return faultRoutes.some((known) => known === where);
}

function readPrices({ catalogue }: Context): JsonObject[] {
  return catalogue.modelIds().flatMap((model) =>
    catalogue.offers(model).map(({ provider, price, display, status }) => ({
      model,
      provider,
      inputUsdPerMillion: usdPerMillion(price.input),
      outputUsdPerMillion: usdPerMillion(price.output),
      cachedInputUsdPerMillion:
        price.cachedInput === null ? null : usdPerMillion(price.cachedInput),
      display,
      status,
    })),
  );
}

/** `{model, provider, inputUsdPerMillion, outputUsdPerMillion, cachedInputUsdPerMillion?, rates?, ...}` */
function setPrice({ catalogue }: Context, body: JsonObject): void {
  const cached = body['cachedInputUsdPerMillion'];
  const contextLength = countOrNull(body['contextLength']);
  const tokensPerSecond = countOrNull(body['tokensPerSecond']);
  const model = text(body, 'model');
  // What a model does is its own and not the price's: a known one keeps it.
  const task = catalogue.offers(model)[0]?.terms.task;
  const terms: OfferTerms = {
    provider: text(body, 'provider'),
    inputUsdPerMillion: text(body, 'inputUsdPerMillion'),
    outputUsdPerMillion: text(body, 'outputUsdPerMillion'),
    ...(typeof cached === 'string' && { cachedInputUsdPerMillion: cached }),
    display: priceDisplay(body['display']),
    status: body['status'] === 'error' ? 'error' : 'live',
    ...(contextLength !== null && { contextLength }),
    ...(tokensPerSecond !== null && { tokensPerSecond }),
    ...(task !== undefined && { task }),
    ...(isObject(body['rates']) && { rates: ratesOf(body['rates']) }),
  };
  catalogue.setOffer(model, terms);
}

/** `{megapixel: "0.025"}` */
function ratesOf(rates: JsonObject): [unit: RateUnit, usd: string][] {
  return Object.keys(rates).map((unit) => {
    if (!isRateUnit(unit)) throw new AdminError(`no price is published per ${unit}`);
    return [unit, text(rates, unit)];
  });
}

function priceDisplay(value: unknown): PriceDisplay {
  if (value === undefined) return 'published';
  if (value === 'published' || value === 'free' || value === 'hidden') return value;
  throw new AdminError('display is published, free or hidden');
}

function text(body: JsonObject, key: string): string {
  const value = body[key];
  if (typeof value !== 'string' || value === '') throw new AdminError(`${key} is text`);
  return value;
}

function objectOf(bytes: Buffer): JsonObject {
  const body: unknown = JSON.parse(bytes.toString());
  if (!isObject(body)) throw new AdminError('the body is a JSON object');
  return body;
}
