import type { Context } from './context.js';
import { jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { sendError } from './interruption.js';
import type { Task } from './tasks.js';

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

/** The Hub's word for what a model at an OpenAI-style route does. */
const hubTasks: Readonly<Partial<Record<Task, string>>> = {
  embedding: 'feature-extraction',
  image: 'text-to-image',
  transcription: 'automatic-speech-recognition',
  speech: 'text-to-speech',
};

/** One row per provider; what is priced per unit names its own task. */
function mappingOf(context: Context, model: string): Map<string, Mapping> {
  const mapping = new Map<string, Mapping>();
  for (const { provider, status, providerModelId, tasks } of context.catalogue.offers(model)) {
    const task = hubTasks[tasks[0] ?? 'chat'] ?? 'conversational';
    mapping.set(provider, { status, providerId: providerModelId, task });
  }
  for (const { provider, providerModelId, task } of context.unitOffers.of(model)) {
    mapping.set(provider, { status: 'live', providerId: providerModelId, task });
  }
  return mapping;
}
