/** A place in a JSON answer: the names from the outside in. */
export type FieldPath = readonly string[];

/** How a provider tells of its jobs: data. */
export interface JobShape {
  readonly name: string;
  /** The job's id in the answer to the submit. */
  readonly id: FieldPath;
  /** A URL in that answer whose path is the job's own; null: the path is the same for every job. */
  readonly url: FieldPath | null;
  /** Where the status stands, in the answers to submit and poll; the first that is there counts. */
  readonly status: readonly FieldPath[];
  readonly done: readonly string[];
  /** It will not come to a result and costs nothing. */
  readonly failed: readonly string[];
  /**
   * Paths of one job, with `{job}`, or with `{url}` for the path that its answer names. `poll` and
   * `result` are the same where one answer tells both.
   */
  readonly poll: string;
  readonly result: string;
  readonly cancel: { readonly method: 'POST' | 'PUT'; readonly path: string } | null;
  /** Query parameters of all of them. */
  readonly query: Readonly<Record<string, string>>;
  /** The query parameter that carries the job's id. */
  readonly jobQuery: string | null;
  readonly made: MadeFields;
}

/** Where a result tells how much was made, as far as the provider does it in a way of its own. */
export interface MadeFields {
  /** Arrays of which each element is one that was made. */
  readonly counted: readonly FieldPath[];
  /** Seconds of film or sound; in an array the name is looked for in each element, and added up. */
  readonly seconds: readonly FieldPath[];
  /** What the provider says that it costs, in USD; null: it does not say. */
  readonly costUsd: FieldPath | null;
}

const PLAIN = {
  url: null,
  cancel: null,
  query: {},
  jobQuery: null,
  made: { counted: [], seconds: [], costUsd: null },
} as const;

/** fal's queue: the status first, the result apart, at a path that leaves out parts of the model. */
export const FAL_QUEUE: JobShape = {
  name: 'fal',
  id: ['request_id'],
  url: ['response_url'],
  status: [['status']],
  done: ['COMPLETED'],
  failed: ['FAILED', 'CANCELLED', 'CANCELED', 'ERROR'],
  poll: '{url}/status',
  result: '{url}',
  cancel: { method: 'PUT', path: '{url}/cancel' },
  query: { _subdomain: 'queue' },
  jobQuery: null,
  // In `x-fal-billable-units`.
  made: { counted: [], seconds: [], costUsd: null },
};

export const TOGETHER_VIDEO: JobShape = {
  ...PLAIN,
  name: 'together',
  id: ['id'],
  status: [['status']],
  done: ['completed'],
  failed: ['failed', 'cancelled', 'canceled', 'expired'],
  poll: '/v2/videos/{job}',
  result: '/v2/videos/{job}',
  made: { ...PLAIN.made, costUsd: ['outputs', 'cost'] },
};

export const REPLICATE_PREDICTION: JobShape = {
  ...PLAIN,
  name: 'replicate',
  id: ['id'],
  status: [['status']],
  done: ['succeeded', 'successful'],
  failed: ['failed', 'canceled', 'cancelled', 'aborted'],
  poll: '/v1/predictions/{job}',
  result: '/v1/predictions/{job}',
  cancel: { method: 'POST', path: '/v1/predictions/{job}/cancel' },
  made: {
    counted: [['output']],
    seconds: [['metrics', 'video_output_duration_seconds']],
    costUsd: null,
  },
};

export const NOVITA_ASYNC: JobShape = {
  ...PLAIN,
  name: 'novita',
  id: ['task_id'],
  status: [['task', 'status']],
  done: ['TASK_STATUS_SUCCEED'],
  failed: ['TASK_STATUS_FAILED', 'TASK_STATUS_CANCELED'],
  poll: '/v3/async/task-result',
  result: '/v3/async/task-result',
  jobQuery: 'task_id',
  made: { counted: [['images']], seconds: [['videos', 'duration']], costUsd: null },
};

export const NOVITA_MINIMAX: JobShape = {
  ...PLAIN,
  name: 'novita-minimax',
  id: ['task_id'],
  status: [['task', 'status']],
  done: ['succeeded'],
  failed: ['failed', 'cancelled', 'canceled'],
  poll: '/v3/minimax/v2/query/video_generation/{job}',
  result: '/v3/minimax/v2/query/video_generation/{job}',
  made: {
    counted: [],
    seconds: [
      ['task', 'content', 'duration'],
      ['task', 'duration'],
    ],
    costUsd: null,
  },
};

export const ZAI_ASYNC: JobShape = {
  ...PLAIN,
  name: 'zai',
  id: ['id'],
  status: [['task_status']],
  done: ['SUCCESS'],
  failed: ['FAIL', 'FAILED'],
  poll: '/api/paas/v4/async-result/{job}',
  result: '/api/paas/v4/async-result/{job}',
  made: { counted: [['image_result']], seconds: [['video_result', 'duration']], costUsd: null },
};

export const WAVESPEED_PREDICTION: JobShape = {
  ...PLAIN,
  name: 'wavespeed',
  id: ['data', 'id'],
  status: [['data', 'status']],
  done: ['completed'],
  failed: ['failed', 'cancelled', 'canceled'],
  poll: '/api/v3/predictions/{job}/result',
  result: '/api/v3/predictions/{job}/result',
  made: { counted: [['data', 'outputs']], seconds: [['data', 'duration']], costUsd: null },
};

export const BLACK_FOREST: JobShape = {
  ...PLAIN,
  name: 'black-forest-labs',
  id: ['id'],
  status: [['status']],
  done: ['Ready'],
  failed: ['Error', 'Request Moderated', 'Content Moderated', 'Task not found'],
  poll: '/v1/get_result',
  result: '/v1/get_result',
  jobQuery: 'id',
};

export const JOB_SHAPES: ReadonlyMap<string, JobShape> = new Map(
  [
    FAL_QUEUE,
    TOGETHER_VIDEO,
    REPLICATE_PREDICTION,
    NOVITA_ASYNC,
    NOVITA_MINIMAX,
    ZAI_ASYNC,
    WAVESPEED_PREDICTION,
    BLACK_FOREST,
  ].map((shape) => [shape.name, shape]),
);
