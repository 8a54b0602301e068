import { refusal, type Refusal } from '../../domain/errors.js';

/** The provider of the serverless tier: models there are loaded when they are asked for. */
export const SERVERLESS_PROVIDER = 'hf-inference';

/** What to say when the provider does not say how long. */
const UNKNOWN_S = 20;
/** A provider's figure goes into a `Retry-After` that clients obey: beyond an hour it is taken for one. */
const ESTIMATE_MAX_S = 3600;

/** A model that is not in memory yet. */
export interface ColdStart {
  /** 0 or more; may be a fraction. */
  readonly estimatedTimeS: number;
}

/** Whether an answer says that the model is still being loaded; null: it says something else. */
export function coldStartOf(status: number, bodyText: string): ColdStart | null {
  if (status !== 503) return null;
  const body = parsed(bodyText);
  if (body === null) return null;
  const estimate = body['estimated_time'];
  const isEstimated = typeof estimate === 'number' && estimate >= 0;
  if (!isEstimated && !/\bloading\b/i.test(messageOf(body))) return null;
  return { estimatedTimeS: isEstimated ? Math.min(estimate, ESTIMATE_MAX_S) : UNKNOWN_S };
}

/** Whole seconds, at least one: after them it is worth asking again. */
export function retryAfterOf({ estimatedTimeS }: ColdStart): number {
  return Math.max(1, Math.ceil(estimatedTimeS));
}

/** @param hasWaited the call asked to wait here, and could not wait any longer. */
export function loadingRefusal(model: string, coldStart: ColdStart, hasWaited: boolean): Refusal {
  const retryAfterS = retryAfterOf(coldStart);
  const fix = hasWaited ? '' : ' Or send "x-wait-for-model: true" to have the call wait here.';
  return refusal(
    'model_loading',
    `The model \`${model}\` is being loaded. Try again in about ${retryAfterS} s.${fix}`,
    { retryAfterS, estimatedTimeS: coldStart.estimatedTimeS },
  );
}

/** Whether a caller asks to wait until the model is loaded. */
export function wantsToWait(header: string | readonly string[] | undefined): boolean {
  return typeof header === 'string' && /^(?:true|1)$/i.test(header.trim());
}

function parsed(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

/** `{"error": "..."}`, as the serverless tier writes it, or the newer `{"error": {"message"}}`. */
function messageOf({ error }: Readonly<Record<string, unknown>>): string {
  if (typeof error === 'string') return error;
  if (!isRecord(error)) return '';
  const { message } = error;
  return typeof message === 'string' ? message : '';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
