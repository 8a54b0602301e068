import type { Task } from '../../domain/tasks.js';
import { ENDPOINTS, type Endpoint } from '../endpoints.js';
import type { MatchedRoute } from './match.js';

/** What a task is called by in the OpenAI-compatible API, whose wire format a provider's route has too. */
const ALIKE: Readonly<Record<Task, string>> = {
  chat: '/v1/chat/completions',
  completion: '/v1/completions',
  responses: '/v1/responses',
  messages: '/v1/messages',
  embedding: '/v1/embeddings',
  image: '/v1/images/generations',
  transcription: '/v1/audio/transcriptions',
  speech: '/v1/audio/speech',
  video: '/v1/images/generations',
  inference: '/v1/images/generations',
};

/** Whatever it serves is priced by the time it computes. */
const SERVERLESS = 'hf-inference';

const made = new Map<string, Endpoint>();

/** A provider's own route as the proxy takes any other. */
export function endpointOf({ provider, route, task }: MatchedRoute): Endpoint {
  const isJob = route.role !== 'call' && route.role !== 'submit';
  const name = isJob ? 'passthrough_job' : `passthrough_${task}`;
  const isMeteredInTokens =
    provider !== SERVERLESS && (ENDPOINTS[ALIKE[task]]?.isMeteredInTokens ?? false);
  const key = `${name} ${route.body} ${String(isMeteredInTokens)}`;
  let endpoint = made.get(key);
  if (endpoint === undefined) {
    const alike = ENDPOINTS[ALIKE[task]];
    if (alike === undefined) throw new Error(`proxy: no endpoint for ${task}`);
    endpoint = {
      ...alike,
      name,
      task,
      family: route.family,
      body: route.body === 'upload' ? 'upload' : 'json',
      keepsQuery: false,
      isMeteredInTokens,
      isCharged: !isJob,
    };
    made.set(key, endpoint);
  }
  return endpoint;
}
