import type { JobProtocol } from './job-protocol.js';
import { falQueue, falRun } from './fal-queue.js';
import { novitaTasks, togetherVideos, wavespeedPredictions, zaiTasks } from './polled-jobs.js';
import { providers } from './providers.js';
import { replicatePredictions } from './replicate-predictions.js';

/** How a provider lists its models. `none`: not at this host. */
export type CatalogueShape =
  | 'openai'
  | 'groq'
  | 'fireworks'
  | 'vllm'
  | 'together'
  | 'deepinfra'
  | 'novita'
  | 'openrouter'
  | 'none';

/** A provider called without the router: everything under `/_direct/{host}` is that host. */
export interface DirectHost {
  readonly provider: string;
  /** What precedes `/chat/completions`, `/models` and their siblings; null: none of them. */
  readonly base: string | null;
  readonly catalogue: CatalogueShape;
  /** Whether the catalogue is shown without a key. */
  readonly isCataloguePublic: boolean;
  /** What may stand before the key. */
  readonly schemes: readonly string[];
  readonly jobs: JobProtocol | null;
}

function host(provider: string, base: string | null, more: Partial<DirectHost> = {}): DirectHost {
  return {
    provider,
    base,
    catalogue: base === null ? 'none' : 'openai',
    isCataloguePublic: false,
    schemes: ['Bearer'],
    jobs: null,
    ...more,
  };
}

const hosts: ReadonlyMap<string, DirectHost> = new Map([
  ['together', host('together', '/v1', { catalogue: 'together', jobs: togetherVideos })],
  ['fireworks-ai', host('fireworks-ai', '/inference/v1', { catalogue: 'fireworks' })],
  ['groq', host('groq', '/openai/v1', { catalogue: 'groq' })],
  ['cerebras', host('cerebras', '/v1')],
  [
    'deepinfra',
    host('deepinfra', '/v1/openai', { catalogue: 'deepinfra', isCataloguePublic: true }),
  ],
  ['novita', host('novita', '/v3/openai', { catalogue: 'novita', jobs: novitaTasks })],
  ['cohere', host('cohere', '/compatibility/v1')],
  ['scaleway', host('scaleway', '/v1')],
  ['nscale', host('nscale', '/v1')],
  ['zai-org', host('zai-org', '/api/paas/v4', { jobs: zaiTasks })],
  ['fal-run', host('fal-ai', null, { schemes: ['Key'], jobs: falRun })],
  ['fal-queue', host('fal-ai', null, { schemes: ['Key'], jobs: falQueue })],
  [
    'replicate',
    host('replicate', null, { schemes: ['Bearer', 'Token'], jobs: replicatePredictions }),
  ],
  ['wavespeed', host('wavespeed', null, { jobs: wavespeedPredictions })],
  [
    'openrouter',
    host('openrouter', '/api/v1', { catalogue: 'openrouter', isCataloguePublic: true }),
  ],
  ['openai-compatible', host('openai-compatible', '/v1', { catalogue: 'vllm' })],
]);

/** The host of that name; a provider that has no row of its own speaks plain OpenAI. Null: unknown. */
export function directHost(name: string): DirectHost | null {
  return hosts.get(name) ?? (providers.has(name) ? host(name, '/v1') : null);
}
