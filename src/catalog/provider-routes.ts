import type { Task } from '../domain/tasks.js';

/**
 * What stands at an upstream's address. Two kinds of router, of which only the default upstream is
 * one, and providers that are called directly.
 */
export const DIRECT_KINDS = ['openai_compatible', 'fal', 'replicate'] as const;
export type DirectKind = (typeof DIRECT_KINDS)[number];
export type UpstreamKind = 'huggingface_router' | 'openai_router' | DirectKind;

/** How a key is presented: `Authorization: <scheme> <key>`. */
export type AuthScheme = 'Bearer' | 'Key';

/** A provider's own interface, as its documentation states it (August 2026). */
export interface ProviderRoutes {
  readonly kind: DirectKind;
  /** Without a trailing slash. */
  readonly baseUrl: string;
  /** Where its queue is taken from, for one that has it under a host of its own. */
  readonly queueUrl: string | null;
  /** Of chat, behind the base URL; null: it has no OpenAI-style route. */
  readonly chatPath: string | null;
  /** What else than chat it takes in OpenAI's shape, beside its chat route. */
  readonly tasks: readonly Task[];
}

const HUGGING_FACE_HOST = 'router.huggingface.co';

/** Where the siblings of a chat route stand: in place of its `/chat/completions`. */
const CHAT_SUFFIX = '/chat/completions';
const SIBLINGS: Readonly<Partial<Record<Task, string>>> = {
  chat: CHAT_SUFFIX,
  completion: '/completions',
  responses: '/responses',
  messages: '/messages',
  embedding: '/embeddings',
  image: '/images/generations',
  transcription: '/audio/transcriptions',
  speech: '/audio/speech',
};
/** A server in OpenAI's shape of which nothing else is known. */
const OPENAI_CHAT_PATH = '/v1/chat/completions';

function openAi(host: string, chatPath: string, tasks: readonly Task[]): ProviderRoutes {
  return { kind: 'openai_compatible', baseUrl: `https://${host}`, queueUrl: null, chatPath, tasks };
}

/** Providers that can be called without saying where they are. */
export const KNOWN_PROVIDERS: ReadonlyMap<string, ProviderRoutes> = new Map<string, ProviderRoutes>(
  [
    [
      'together',
      openAi('api.together.xyz', '/v1/chat/completions', [
        'completion',
        'embedding',
        'image',
        'transcription',
        'speech',
      ]),
    ],
    [
      'fireworks-ai',
      openAi('api.fireworks.ai', '/inference/v1/chat/completions', [
        'completion',
        'responses',
        'messages',
        'embedding',
      ]),
    ],
    [
      'groq',
      openAi('api.groq.com', '/openai/v1/chat/completions', [
        'responses',
        'transcription',
        'speech',
      ]),
    ],
    ['cerebras', openAi('api.cerebras.ai', '/v1/chat/completions', ['completion'])],
    [
      'deepinfra',
      openAi('api.deepinfra.com', '/v1/openai/chat/completions', [
        'completion',
        'embedding',
        'image',
        'transcription',
        'speech',
      ]),
    ],
    ['novita', openAi('api.novita.ai', '/v3/openai/chat/completions', ['completion', 'embedding'])],
    ['cohere', openAi('api.cohere.com', '/compatibility/v1/chat/completions', ['embedding'])],
    [
      'scaleway',
      openAi('api.scaleway.ai', '/v1/chat/completions', [
        'completion',
        'embedding',
        'transcription',
      ]),
    ],
    [
      'nscale',
      openAi('inference.api.nscale.com', '/v1/chat/completions', [
        'completion',
        'embedding',
        'image',
      ]),
    ],
    ['zai-org', openAi('api.z.ai', '/api/paas/v4/chat/completions', ['image'])],
    [
      'openrouter',
      openAi('openrouter.ai', '/api/v1/chat/completions', [
        'completion',
        'responses',
        'messages',
        'embedding',
      ]),
    ],
    [
      'fal-ai',
      {
        kind: 'fal',
        baseUrl: 'https://fal.run',
        queueUrl: 'https://queue.fal.run',
        chatPath: null,
        tasks: [],
      },
    ],
    [
      'replicate',
      {
        kind: 'replicate',
        baseUrl: 'https://api.replicate.com',
        queueUrl: null,
        chatPath: null,
        tasks: [],
      },
    ],
  ],
);

/** Whether it forwards to providers of others, and says who served. */
export function isRouter(kind: UpstreamKind): boolean {
  return kind === 'huggingface_router' || kind === 'openai_router';
}

/** Which kind of router stands at the address of the default upstream. */
export function routerKind(baseUrl: string): 'huggingface_router' | 'openai_router' {
  return new URL(baseUrl).hostname === HUGGING_FACE_HOST ? 'huggingface_router' : 'openai_router';
}

/**
 * Where a task is served, relative to the upstream's base URL; null: not there.
 *
 * @param provider who is to serve it: of a direct upstream the provider itself; null: the router
 *   chooses.
 */
export function pathOf(kind: UpstreamKind, provider: string | null, task: Task): string | null {
  switch (kind) {
    case 'openai_router':
      return siblingOf(OPENAI_CHAT_PATH, task);
    case 'huggingface_router':
      return pathAtHuggingFace(provider, task);
    case 'openai_compatible':
      return pathAtProvider(provider, task);
    case 'fal':
    case 'replicate':
      // Their requests have a shape of their own, and come by its own paths.
      return null;
  }
}

/** The list of models of an upstream; null: it has none that can be read. */
export function cataloguePathOf(kind: UpstreamKind, provider: string | null): string | null {
  if (kind === 'huggingface_router' || kind === 'openai_router') return '/v1/models';
  const chatPath = chatPathOf(kind, provider);
  return chatPath === null ? null : `${chatPath.slice(0, -CHAT_SUFFIX.length)}/models`;
}

export function authSchemeOf(kind: UpstreamKind): AuthScheme {
  return kind === 'fal' ? 'Key' : 'Bearer';
}

/**
 * What precedes `/chat/completions` in a provider's chat route, such as `/v1`: programs are often
 * given a base URL that ends with it, which ours does not.
 */
export function clientPrefixOf(kind: DirectKind, provider: string): string | null {
  const chatPath = chatPathOf(kind, provider);
  return chatPath === null ? null : chatPath.slice(0, -CHAT_SUFFIX.length);
}

/** Chat, responses and messages have a route of the router; the rest is passed through as it is. */
function pathAtHuggingFace(provider: string | null, task: Task): string | null {
  if (task === 'chat' || task === 'responses' || task === 'messages') {
    return siblingOf(OPENAI_CHAT_PATH, task);
  }
  const known = provider === null ? undefined : KNOWN_PROVIDERS.get(provider);
  if (known === undefined || known.chatPath === null) return null;
  const own = pathAtProvider(provider, task);
  return own === null ? null : `/${provider ?? ''}${own}`;
}

function pathAtProvider(provider: string | null, task: Task): string | null {
  const known = provider === null ? undefined : KNOWN_PROVIDERS.get(provider);
  // One of another kind was told to be a server in OpenAI's shape: nothing else is known of it.
  if (known === undefined || known.chatPath === null) return siblingOf(OPENAI_CHAT_PATH, task);
  return task === 'chat' || known.tasks.includes(task) ? siblingOf(known.chatPath, task) : null;
}

function chatPathOf(kind: UpstreamKind, provider: string | null): string | null {
  if (kind !== 'openai_compatible') return null;
  const known = provider === null ? undefined : KNOWN_PROVIDERS.get(provider);
  return known?.chatPath ?? OPENAI_CHAT_PATH;
}

function siblingOf(chatPath: string, task: Task): string | null {
  const sibling = SIBLINGS[task];
  return sibling === undefined ? null : chatPath.slice(0, -CHAT_SUFFIX.length) + sibling;
}
