import type { Context } from './context.js';
import { noDirectives } from './directives.js';
import { jsonError } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { interrupt, sendError } from './interruption.js';
import { SeededRandom } from './random.js';

/** `GET /v1/models` (`model` null) and `GET /v1/models/{org}/{model}`. Standing orders may strike here. */
export async function serveModels(
  context: Context,
  exchange: Exchange,
  model: string | null,
): Promise<void> {
  const headers = {
    'content-type': 'application/json',
    'x-request-id': context.ids.unbilled(),
  };
  const target = { route: 'models', provider: null, model, stream: false } as const;
  const standing = context.faults.take(target);
  if (standing !== null) {
    const asked = { ...noDirectives, ...standing };
    const random = new SeededRandom(context.seed);
    const { kind } = await interrupt(exchange, asked, random, model ?? '', headers);
    if (kind !== 'none') return;
  }
  const { catalogue } = context;
  const body = model === null ? catalogue.listJson() : catalogue.entryJson(model);
  if (body !== null) exchange.answer(200, headers, body);
  else sendError(exchange, modelNotFound(model ?? ''), headers);
}

function modelNotFound(model: string): ReturnType<typeof jsonError> {
  return jsonError(404, {
    error: {
      message: `The model '${model}' does not exist`,
      type: 'invalid_request_error',
      param: 'model',
      code: 'model_not_found',
    },
  });
}
