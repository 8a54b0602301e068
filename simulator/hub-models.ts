import type { Context } from './context.js';
import { jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { sendError } from './interruption.js';

/** Who serves a model, under which id and for which task: as the Hub tells it. */
interface Mapping {
  readonly status: 'live' | 'error' | 'staging';
  readonly providerId: string;
  readonly task: string;
}

/** The Hub's look-up, `GET /api/models/{id}?expand[]=inferenceProviderMapping`. */
export function serveHubModel(context: Context, exchange: Exchange, model: string): void {
  const mapping = mappingOf(context, model);
  const headers = { 'content-type': 'application/json', 'x-request-id': context.ids.unbilled() };
  const [first] = mapping.values();
  if (first === undefined) {
    sendError(exchange, jsonError(404, { error: 'Repository not found' }), headers);
    return;
  }
  const body = {
    _id: model,
    id: model,
    pipeline_tag: first.task === 'conversational' ? 'text-generation' : first.task,
    inferenceProviderMapping: Object.fromEntries(mapping),
  };
  exchange.answer(200, headers, JSON.stringify(body));
}

/** One row per provider; what is priced per unit names its own task, the rest is chat. */
function mappingOf(context: Context, model: string): Map<string, Mapping> {
  const mapping = new Map<string, Mapping>();
  for (const { provider, status, providerModelId } of context.catalogue.offers(model)) {
    mapping.set(provider, { status, providerId: providerModelId, task: 'conversational' });
  }
  for (const { provider, providerModelId, task } of context.unitOffers.of(model)) {
    mapping.set(provider, { status: 'live', providerId: providerModelId, task });
  }
  return mapping;
}
