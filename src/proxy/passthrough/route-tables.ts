import type { Task } from '../../domain/tasks.js';
import type { AnswerFamily } from '../dialects/usage-fields.js';
import {
  BLACK_FOREST,
  FAL_QUEUE,
  type JobShape,
  NOVITA_ASYNC,
  NOVITA_MINIMAX,
  REPLICATE_PREDICTION,
  TOGETHER_VIDEO,
  WAVESPEED_PREDICTION,
  ZAI_ASYNC,
} from './job-shapes.js';
import type { ModelRule, PassRoute, RouteMethod, RouteRole } from './pass-route.js';

/*
 * The routes of providers that are passed through: a list, not a prefix. What is not here never
 * leaves us: behind the same key are the account's files, fine-tunes, keys and other tenants' jobs.
 */

const NO_QUERY = { required: {}, optional: [] } as const;
const NO_MODEL: ModelRule = {
  segmentsMin: 1,
  segmentsMax: 1,
  reserved: new Set(),
  prefix: '',
};

const PLAIN = {
  method: 'POST',
  family: 'chat',
  body: 'json',
  query: NO_QUERY,
  jobQuery: null,
  job: null,
  models: NO_MODEL,
} as const;

type OpenAiTask = 'chat' | 'completion' | 'responses' | 'messages' | 'embedding' | MediaTask;
type MediaTask = 'image' | 'transcription' | 'speech';

const OPENAI_PATHS: Readonly<Record<OpenAiTask, string>> = {
  chat: '/chat/completions',
  completion: '/completions',
  responses: '/responses',
  messages: '/messages',
  embedding: '/embeddings',
  image: '/images/generations',
  transcription: '/audio/transcriptions',
  speech: '/audio/speech',
};
const FAMILIES: Readonly<Partial<Record<Task, AnswerFamily>>> = {
  responses: 'responses',
  messages: 'messages',
  embedding: 'embeddings',
};

/** Routes in OpenAI's shape under a prefix of the provider's. */
function openAi(prefix: string, ...tasks: readonly OpenAiTask[]): readonly PassRoute[] {
  return tasks.map((task) => ({
    ...PLAIN,
    pattern: prefix + OPENAI_PATHS[task],
    role: 'call',
    task,
    family: FAMILIES[task] ?? 'chat',
    model: 'body',
    body: task === 'transcription' ? 'upload' : 'json',
  }));
}

/** The routes of a job whose path is the same for every job: one answer tells status and result. */
function followed(
  job: JobShape,
  task: Task | null,
  pattern: string,
  role: RouteRole = 'result',
  method: RouteMethod = 'GET',
): PassRoute {
  return {
    ...PLAIN,
    method,
    pattern,
    role,
    task,
    model: null,
    body: 'none',
    query: job.jobQuery === null ? NO_QUERY : { required: {}, optional: [job.jobQuery] },
    jobQuery: job.jobQuery,
    job,
  };
}

function submitted(
  job: JobShape,
  task: Task | null,
  pattern: string,
  model: 'path' | 'body',
  models: ModelRule = NO_MODEL,
): PassRoute {
  return { ...PLAIN, pattern, role: 'submit', task, model, job, models };
}

/** Of fal every path is a model, but for the requests below it. */
const FAL_MODELS: ModelRule = {
  segmentsMin: 2,
  segmentsMax: 7,
  reserved: new Set(['requests', 'storage', 'tokens', 'keys', 'billing', 'workflows', 'comfy']),
  prefix: '',
};
const FAL_QUEUED = { required: { _subdomain: 'queue' }, optional: ['logs'] } as const;

const FAL: readonly PassRoute[] = [
  {
    ...PLAIN,
    pattern: '/{model+}',
    role: 'submit',
    task: null,
    model: 'path',
    query: { required: { _subdomain: 'queue' }, optional: [] },
    job: FAL_QUEUE,
    models: FAL_MODELS,
  },
  {
    ...PLAIN,
    pattern: '/{model+}',
    role: 'call',
    task: null,
    model: 'path',
    models: FAL_MODELS,
  },
  ...(
    [
      ['GET', '/{model+}/requests/{job}/status', 'poll'],
      ['GET', '/{model+}/requests/{job}', 'result'],
      ['PUT', '/{model+}/requests/{job}/cancel', 'cancel'],
    ] as const
  ).map(([method, pattern, role]): PassRoute => ({
    ...PLAIN,
    method,
    pattern,
    role,
    task: null,
    model: null,
    body: 'none',
    query: FAL_QUEUED,
    job: FAL_QUEUE,
    models: FAL_MODELS,
  })),
];

/** `gpt2` or `org/name`. */
const HUB_MODELS: ModelRule = {
  segmentsMin: 1,
  segmentsMax: 2,
  reserved: new Set(),
  prefix: '',
};

const HF_INFERENCE: readonly PassRoute[] = [
  {
    ...PLAIN,
    pattern: '/models/{model+}/v1/chat/completions',
    role: 'call',
    task: 'chat',
    model: 'path',
    models: HUB_MODELS,
  },
  {
    ...PLAIN,
    pattern: '/models/{model+}/v1/completions',
    role: 'call',
    task: 'completion',
    model: 'path',
    models: HUB_MODELS,
  },
  {
    ...PLAIN,
    pattern: '/models/{model+}/pipeline/{task}',
    role: 'call',
    task: 'inference',
    model: 'path',
    body: 'upload',
    models: HUB_MODELS,
  },
  {
    ...PLAIN,
    pattern: '/models/{model+}',
    role: 'call',
    task: 'inference',
    model: 'path',
    body: 'upload',
    models: HUB_MODELS,
  },
  ...openAi('/v1', 'chat'),
];

/** Pipelines that are called by name; elsewhere the model has one. */
export const PIPELINES: ReadonlySet<string> = new Set([
  'feature-extraction',
  'sentence-similarity',
]);

const WAVESPEED_MODELS: ModelRule = {
  segmentsMin: 2,
  segmentsMax: 6,
  reserved: new Set(['predictions', 'media', 'balance', 'models', 'user', 'users', 'webhook']),
  prefix: '',
};
const NOVITA_MODELS: ModelRule = {
  segmentsMin: 1,
  segmentsMax: 1,
  reserved: new Set(['task-result', 'training']),
  prefix: '',
};
const BLACK_FOREST_MODELS: ModelRule = {
  segmentsMin: 1,
  segmentsMax: 1,
  reserved: new Set(),
  prefix: 'flux-',
};
/** `{owner}/{name}`: a deployment or a bare version would run on what is the account's own. */
const REPLICATE_MODELS: ModelRule = {
  segmentsMin: 2,
  segmentsMax: 2,
  reserved: new Set(['predictions', 'versions']),
  prefix: '',
};

export const ROUTE_TABLES: ReadonlyMap<string, readonly PassRoute[]> = new Map<
  string,
  readonly PassRoute[]
>([
  ['hf-inference', HF_INFERENCE],
  ['fal-ai', FAL],
  [
    'together',
    [
      ...openAi('/v1', 'chat', 'completion', 'embedding', 'image', 'transcription', 'speech'),
      submitted(TOGETHER_VIDEO, 'video', '/v2/videos', 'body'),
      followed(TOGETHER_VIDEO, 'video', '/v2/videos/{job}'),
    ],
  ],
  [
    'replicate',
    [
      submitted(
        REPLICATE_PREDICTION,
        null,
        '/v1/models/{model+}/predictions',
        'path',
        REPLICATE_MODELS,
      ),
      followed(REPLICATE_PREDICTION, null, '/v1/predictions/{job}'),
      followed(REPLICATE_PREDICTION, null, '/v1/predictions/{job}/cancel', 'cancel', 'POST'),
    ],
  ],
  [
    'novita',
    [
      ...openAi('/v3/openai', 'chat', 'completion', 'embedding'),
      followed(NOVITA_ASYNC, 'video', '/v3/async/task-result'),
      submitted(NOVITA_ASYNC, 'video', '/v3/async/{model+}', 'path', NOVITA_MODELS),
      submitted(NOVITA_MINIMAX, 'video', '/v3/minimax/v2/video_generation', 'body'),
      followed(NOVITA_MINIMAX, 'video', '/v3/minimax/v2/query/video_generation/{job}'),
    ],
  ],
  [
    'zai-org',
    [
      ...openAi('/api/paas/v4', 'chat', 'image'),
      {
        ...PLAIN,
        pattern: '/api/paas/v4/layout_parsing',
        role: 'call',
        task: 'inference',
        model: 'body',
      },
      submitted(ZAI_ASYNC, 'image', '/api/paas/v4/async/images/generations', 'body'),
      submitted(ZAI_ASYNC, 'video', '/api/paas/v4/videos/generations', 'body'),
      followed(ZAI_ASYNC, null, '/api/paas/v4/async-result/{job}'),
    ],
  ],
  [
    'wavespeed',
    [
      followed(WAVESPEED_PREDICTION, null, '/api/v3/predictions/{job}/result'),
      submitted(WAVESPEED_PREDICTION, null, '/api/v3/{model+}', 'path', WAVESPEED_MODELS),
    ],
  ],
  [
    'black-forest-labs',
    [
      submitted(BLACK_FOREST, 'image', '/v1/{model+}', 'path', BLACK_FOREST_MODELS),
      followed(BLACK_FOREST, 'image', '/v1/get_result'),
    ],
  ],
  [
    'fireworks-ai',
    openAi('/inference/v1', 'chat', 'completion', 'responses', 'messages', 'embedding'),
  ],
  ['groq', openAi('/openai/v1', 'chat', 'responses', 'transcription', 'speech')],
  ['cerebras', openAi('/v1', 'chat', 'completion')],
  [
    'deepinfra',
    openAi('/v1/openai', 'chat', 'completion', 'embedding', 'image', 'transcription', 'speech'),
  ],
  ['cohere', openAi('/compatibility/v1', 'chat', 'embedding')],
  ['scaleway', openAi('/v1', 'chat', 'completion', 'embedding', 'transcription')],
  ['nscale', openAi('/v1', 'chat', 'completion', 'embedding', 'image')],
  ['openrouter', openAi('/api/v1', 'chat', 'completion', 'responses', 'messages', 'embedding')],
  [
    'openai',
    openAi(
      '/v1',
      'chat',
      'completion',
      'responses',
      'embedding',
      'image',
      'transcription',
      'speech',
    ),
  ],
  [
    'openai-compatible',
    openAi(
      '/v1',
      'chat',
      'completion',
      'responses',
      'messages',
      'embedding',
      'image',
      'transcription',
      'speech',
    ),
  ],
  ['sambanova', openAi('/v1', 'chat', 'embedding')],
  ['nebius', openAi('/v1', 'chat', 'completion', 'embedding', 'image')],
  ['hyperbolic', openAi('/v1', 'chat', 'completion', 'image')],
  ['featherless-ai', openAi('/v1', 'chat', 'completion')],
  ['ovhcloud', openAi('/v1', 'chat', 'completion', 'embedding')],
  ['baseten', openAi('/v1', 'chat')],
  ['publicai', openAi('/v1', 'chat')],
]);
