import type { Task } from '../domain/tasks.js';
import type { MaxOutputField } from './body/chat-request.js';
import type { AnswerFamily } from './dialects/usage-fields.js';

/** In whose words an error of ours is told. */
export type ErrorForm = 'openai' | 'responses' | 'anthropic';

/** How a maximum of output tokens is bounded where the caller gives none. */
export type OutputBound =
  /** By a maximum of ours, written into the field that the provider takes. */
  | { readonly kind: 'written'; readonly field: MaxOutputField | 'provider' }
  /** By nothing that could be sent: so many tokens are held. */
  | { readonly kind: 'fixed'; readonly tokens: number };

/** One kind of request that the proxy takes, as data: what differs between them. */
export interface Endpoint {
  /** In metrics and logs. */
  readonly name: string;
  readonly task: Task;
  /** The wire format of its answers. */
  readonly family: AnswerFamily;
  readonly errorForm: ErrorForm;
  readonly body: 'json' | 'upload';
  readonly output: OutputBound;
  /** A stream of it may be asked for its usage (`stream_options`). */
  readonly takesStreamOptions: boolean;
  /** Its answers are rated by the tokens they report, or by whatever units their rows are in. */
  readonly isMeteredInTokens: boolean;
  /** False: relayed without hold or charge. */
  readonly isCharged: boolean;
  /** The caller's query string goes to the provider too. */
  readonly keepsQuery: boolean;
  /** Behind the task's own path at the upstream. */
  readonly pathSuffix: string;
}

/** The tokens of media that a provider counts in tokens: nothing in the request bounds them. */
const MEDIA_OUTPUT_TOKENS = 16_384;

const TEXT = {
  family: 'chat',
  errorForm: 'openai',
  body: 'json',
  takesStreamOptions: false,
  isMeteredInTokens: true,
  isCharged: true,
  keepsQuery: false,
  pathSuffix: '',
} as const;

const MEDIA = {
  ...TEXT,
  output: { kind: 'fixed', tokens: MEDIA_OUTPUT_TOKENS },
  isMeteredInTokens: false,
} as const;

const MESSAGES: Endpoint = {
  ...TEXT,
  name: 'messages',
  task: 'messages',
  family: 'messages',
  errorForm: 'anthropic',
  output: { kind: 'written', field: 'max_tokens' },
  keepsQuery: true,
};

export const CHAT_COMPLETIONS: Endpoint = {
  ...TEXT,
  name: 'chat_completions',
  task: 'chat',
  output: { kind: 'written', field: 'provider' },
  takesStreamOptions: true,
};

/** The routes of the OpenAI-compatible API, each at one path, all of them POST. */
export const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  '/v1/chat/completions': CHAT_COMPLETIONS,
  '/v1/completions': {
    ...TEXT,
    name: 'completions',
    task: 'completion',
    output: { kind: 'written', field: 'max_tokens' },
    takesStreamOptions: true,
  },
  '/v1/responses': {
    ...TEXT,
    name: 'responses',
    task: 'responses',
    family: 'responses',
    errorForm: 'responses',
    output: { kind: 'written', field: 'max_output_tokens' },
  },
  '/v1/messages': MESSAGES,
  '/v1/messages/count_tokens': {
    ...MESSAGES,
    name: 'count_tokens',
    output: { kind: 'fixed', tokens: 0 },
    isCharged: false,
    pathSuffix: '/count_tokens',
  },
  '/v1/embeddings': {
    ...TEXT,
    name: 'embeddings',
    task: 'embedding',
    family: 'embeddings',
    output: { kind: 'fixed', tokens: 0 },
    isMeteredInTokens: false,
  },
  '/v1/images/generations': { ...MEDIA, name: 'image_generations', task: 'image' },
  '/v1/audio/transcriptions': {
    ...MEDIA,
    name: 'audio_transcriptions',
    task: 'transcription',
    body: 'upload',
  },
  '/v1/audio/speech': { ...MEDIA, name: 'audio_speech', task: 'speech' },
};
