import type { Context } from './context.js';
import { type ErrorAnswer, jsonError } from './error-answers.js';
import { countOrNull, type JsonObject } from './json.js';
import type { Job } from './jobs.js';
import { isPublishedUnit, unitPrice } from './unit-money.js';

/**
 * The admin routes of jobs, the serverless tier and providers called directly; null for any other.
 * - `GET|PUT|DELETE /_sim/cold`: models that are not loaded
 * - `GET /_sim/jobs`, `POST /_sim/jobs`: ends a job now, or calls it off
 * - `GET|PUT /_sim/unit-prices`
 * - `GET|PUT|DELETE /_sim/provider-keys`
 *
 * Throws Error on a body that is not what the route takes.
 */
export function answerUpstreamAdmin(
  context: Context,
  route: string,
  query: URLSearchParams,
  body: () => JsonObject,
): ErrorAnswer | null {
  const { coldStarts, jobs, unitOffers, providerKeys } = context;
  switch (route) {
    case 'GET /_sim/cold':
      return jsonError(200, { data: coldStarts.list() });
    case 'PUT /_sim/cold':
      makeCold(context, body());
      return done;
    case 'DELETE /_sim/cold':
      if (query.has('model')) coldStarts.warm(query.get('model') ?? '');
      else coldStarts.reset();
      return done;
    case 'GET /_sim/jobs':
      return jsonError(200, { data: jobs.all().map(jobJson) });
    case 'POST /_sim/jobs':
      endJob(context, body());
      return done;
    case 'GET /_sim/unit-prices':
      return jsonError(200, {
        data: unitOffers.all().map(({ price, ...offer }) => ({
          ...offer,
          unit: price.published,
          usdPerUnit: price.usdPerUnit,
        })),
      });
    case 'PUT /_sim/unit-prices':
      setUnitPrice(context, body());
      return done;
    case 'GET /_sim/provider-keys':
      return jsonError(200, { data: Object.fromEntries(providerKeys) });
    case 'PUT /_sim/provider-keys':
      setKey(context, body());
      return done;
    case 'DELETE /_sim/provider-keys':
      providerKeys.delete(query.get('provider') ?? '');
      return done;
    default:
      return null;
  }
}

const done = jsonError(200, { ok: true });

/** `{model, calls?, ms?, estimatedS?}` */
function makeCold({ coldStarts }: Context, body: JsonObject): void {
  const calls = countOrNull(body['calls']);
  const ms = countOrNull(body['ms']);
  const estimatedS = countOrNull(body['estimatedS']);
  coldStarts.makeCold(text(body, 'model'), {
    ...(calls !== null && { calls }),
    ...(ms !== null && { ms }),
    ...(estimatedS !== null && { estimatedS }),
  });
}

/** `{id, cancel?}`: a job that was told to run for ever is done. */
function endJob({ jobs }: Context, body: JsonObject): void {
  const job = jobs.byId(text(body, 'id'));
  if (job === null) throw new Error('no job has that id');
  if (body['cancel'] === true) job.cancel();
  else job.finish();
}

/** `{provider, model, providerModelId?, task?, unit, usdPerUnit}`: a known offer keeps what is left out. */
function setUnitPrice({ unitOffers }: Context, body: JsonObject): void {
  const provider = text(body, 'provider');
  const model = text(body, 'model');
  const unit = text(body, 'unit');
  if (!isPublishedUnit(unit)) throw new Error(`no price is published per ${unit}`);
  const known = unitOffers.of(model).find((offer) => offer.provider === provider);
  const id = body['providerModelId'] ?? known?.providerModelId ?? model;
  const task = body['task'] ?? known?.task;
  if (typeof id !== 'string' || typeof task !== 'string') throw new Error('task is text');
  const price = unitPrice(unit, text(body, 'usdPerUnit'));
  unitOffers.set({ provider, model, providerModelId: id, task, price });
}

/** `{provider, key}` */
function setKey({ providerKeys }: Context, body: JsonObject): void {
  providerKeys.set(text(body, 'provider'), text(body, 'key'));
}

function jobJson(job: Job): JsonObject {
  const { offer, quantity, asked } = job.order;
  return {
    id: job.id,
    provider: offer.provider,
    model: offer.model,
    state: job.state,
    unit: offer.price.unit,
    quantity,
    tag: asked.tag,
    createdAt: job.createdAt.toISOString(),
    endedAt: job.endedAt?.toISOString() ?? null,
  };
}

function text(body: JsonObject, key: string): string {
  const value = body[key];
  if (typeof value !== 'string' || value === '') throw new Error(`${key} is text`);
  return value;
}
