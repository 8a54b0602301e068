/**
 * The providers as data: how each reports usage in a stream, what it refuses, and whether it stops
 * billing when its client hangs up.
 */

/**
 * Where the usage of a stream is.
 * - `extra-chunk`: only with include_usage, one chunk with empty `choices`, `usage: null` elsewhere
 * - `last-choice`: always, on the chunk with the finish_reason
 * - `every-chunk`: always, cumulative on every chunk
 * - `vllm`: as extra-chunk; on every chunk too with `stream_options.continuous_usage_stats`
 * - `groq`: `x_groq.usage` in the last chunk, and with include_usage once more in a usage chunk
 * - `xai`: on the second-to-last chunk, then an empty one
 * - `in-choice`: inside the last choice
 * - `after-finish`: on a chunk of its own that still has a choice
 */
export type UsagePlace =
  | 'extra-chunk'
  | 'last-choice'
  | 'every-chunk'
  | 'vllm'
  | 'groq'
  | 'xai'
  | 'in-choice'
  | 'after-finish';

/** What a provider adds to its usage object beside the token counts. */
export type UsageExtra = 'none' | 'timings' | 'estimated_cost' | 'cost' | 'num_sources_used';

export interface Dialect {
  readonly usage: UsagePlace;
  readonly extra: UsageExtra;
  /** Whether the stream ends in `data: [DONE]`. */
  readonly sendsDone: boolean;
  /** Whether `: OPENROUTER PROCESSING` comments precede and interleave the events. */
  readonly comments: boolean;
  readonly streamOptions: 'accepts' | 'rejects' | 'rejects-unless-streaming';
  /** Body fields answered with 400. */
  readonly rejects: readonly string[];
}

export interface Provider {
  readonly slug: string;
  readonly dialect: Dialect;
  /** False: an aborted request is billed as if it had been served to the end. */
  readonly stopsBillingAtAbort: boolean;
  /** Whether answers carry `Inference-Id`, the key of the partner cost API. */
  readonly sendsInferenceId: boolean;
}

const plain: Dialect = {
  usage: 'extra-chunk',
  extra: 'none',
  sendsDone: true,
  comments: false,
  streamOptions: 'accepts',
  rejects: [],
};
const dialect = (differences: Partial<Dialect>): Dialect => ({ ...plain, ...differences });

const stops = true;
const billsOn = false;

function provider(
  slug: string,
  row: Dialect,
  stopsBillingAtAbort: boolean,
  sendsInferenceId = false,
): [string, Provider] {
  return [slug, { slug, dialect: row, stopsBillingAtAbort, sendsInferenceId }];
}

/** Fireworks' newer models report only when asked; older ones always, on the last choice. */
export const fireworksNewer: Dialect = dialect({});

/** Every provider with a dialect of its own. Slugs not listed here behave as `openai-compatible`. */
export const providers: ReadonlyMap<string, Provider> = new Map([
  provider('openai', dialect({ streamOptions: 'rejects-unless-streaming' }), stops),
  provider('openai-compatible', plain, billsOn),
  provider('hf-inference', plain, billsOn),
  provider('together', dialect({ usage: 'last-choice' }), stops),
  provider('fireworks-ai', dialect({ usage: 'last-choice' }), stops),
  provider('fireworks-newer', fireworksNewer, stops),
  provider('mistral', dialect({ usage: 'last-choice', streamOptions: 'rejects' }), billsOn),
  provider('cohere', dialect({ usage: 'last-choice' }), stops),
  provider(
    'cerebras',
    dialect({ usage: 'last-choice', sendsDone: false, rejects: ['store'] }),
    billsOn,
    true,
  ),
  provider('novita', dialect({ usage: 'every-chunk' }), stops, true),
  provider('perplexity', dialect({ usage: 'every-chunk' }), billsOn),
  provider('gemini', dialect({ usage: 'every-chunk' }), billsOn),
  provider('vllm', dialect({ usage: 'vllm' }), billsOn),
  provider('groq', dialect({ usage: 'groq' }), billsOn),
  provider('xai', dialect({ usage: 'xai', extra: 'num_sources_used' }), stops),
  provider('moonshot', dialect({ usage: 'in-choice' }), billsOn),
  provider('sambanova', dialect({ extra: 'timings' }), billsOn),
  provider('deepinfra', dialect({ extra: 'estimated_cost' }), stops),
  provider(
    'openrouter',
    dialect({ usage: 'after-finish', extra: 'cost', comments: true }),
    billsOn,
  ),
  provider('nscale', plain, billsOn, true),
  provider('ovhcloud', plain, billsOn),
  provider('scaleway', plain, billsOn, true),
  provider('zai-org', plain, billsOn),
  provider('nebius', plain, billsOn),
  provider('featherless-ai', plain, billsOn),
]);

/** The provider's row; an unknown slug speaks plain OpenAI and bills on after an abort. */
export function providerOf(slug: string): Provider {
  return providers.get(slug) ?? provider(slug, plain, billsOn)[1];
}

/** The provider's own id for a model: never the id that was asked for. */
export function providerModelId(slug: string, model: string): string {
  const name = model.slice(model.indexOf('/') + 1);
  const lower = name.toLowerCase();
  switch (slug) {
    case 'fireworks-ai':
    case 'fireworks-newer':
      return `accounts/fireworks/models/${lower.replaceAll('.', 'p')}`;
    case 'together':
      return `${model}-Turbo`;
    case 'groq':
      return `${lower}-versatile`;
    case 'openrouter':
      return `${model.toLowerCase()}-20260101`;
    default:
      return lower;
  }
}
