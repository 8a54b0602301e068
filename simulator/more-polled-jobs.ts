/** More providers whose jobs are asked after at one address; `polled-jobs.ts` has the others. */
import { filesOf, type JobAnswer, type JobAsk, type JobProtocol } from './job-protocol.js';
import { isObject, type JsonObject } from './json.js';
import type { Job, JobState } from './jobs.js';

type Words = Readonly<Record<JobState, string>>;

const minimaxWords: Words = {
  queued: 'queued',
  running: 'running',
  done: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
  lost: 'failed',
};
const MINIMAX = '/v3/minimax/v2';
const MINIMAX_JOB = /^\/v3\/minimax\/v2\/query\/video_generation\/([\w-]+)$/;

/** Novita's films of MiniMax: `POST /v3/minimax/v2/video_generation`, `GET .../query/...`. */
export const novitaMinimax: JobProtocol = {
  provider: 'novita',
  idStyle: 'digits',
  read({ method, path }) {
    if (method === 'POST') {
      const isSubmit = path === `${MINIMAX}/video_generation`;
      return isSubmit ? { kind: 'submit', model: null, waits: 'not' } : null;
    }
    const id = MINIMAX_JOB.exec(path)?.[1];
    return id === undefined ? null : { kind: 'look', id };
  },
  input: minimaxInput,
  submitted: (job) => ({ status: 200, body: { task_id: job.id } }),
  looked: minimaxTask,
  fetched: minimaxTask,
  cancelled: (job, _hadEnded, ask) => minimaxTask(job, ask),
};

/** The prompt is one of several parts of the content. */
function minimaxInput(body: JsonObject): JsonObject {
  const parts: unknown[] = Array.isArray(body['content']) ? body['content'] : [];
  const prompt = parts.find((part) => isObject(part) && part['type'] === 'text');
  return { ...body, prompt: isObject(prompt) ? prompt['text'] : '' };
}

function minimaxTask(job: Job, ask: JobAsk): JobAnswer {
  const { state, order } = job;
  const task: JsonObject = {
    id: job.id,
    model: order.offer.providerModelId,
    status: minimaxWords[state],
    duration: order.quantity / 1_000,
  };
  if (state === 'done') {
    task['content'] = { url: filesOf(job, ask)[0]?.url };
  }
  if (state === 'failed') task['error'] = { message: 'The model failed' };
  return { status: 200, body: { task } };
}

const blackForestWords: Words = {
  queued: 'Pending',
  running: 'Pending',
  done: 'Ready',
  failed: 'Error',
  cancelled: 'Error',
  lost: 'Task not found',
};

/** Black Forest Labs: `POST /v1/{model}`, `GET /v1/get_result?id=`. */
export const blackForest: JobProtocol = {
  provider: 'black-forest-labs',
  idStyle: 'uuid',
  read({ method, path, query }) {
    if (method === 'POST') {
      const model = /^\/v1\/([\w.-]+)$/.exec(path)?.[1];
      return model === undefined ? null : { kind: 'submit', model, waits: 'not' };
    }
    const id = query.get('id');
    return path === '/v1/get_result' && id !== null ? { kind: 'look', id } : null;
  },
  input: (body) => body,
  submitted: (job) => {
    const url = `https://api.bfl.ai/v1/get_result?id=${job.id}`;
    return { status: 200, body: { id: job.id, polling_url: url } };
  },
  looked: blackForestResult,
  fetched: blackForestResult,
  cancelled: (job) => ({ status: 200, body: { id: job.id } }),
};

function blackForestResult(job: Job, ask: JobAsk): JobAnswer {
  const { state, order, id } = job;
  const result =
    state === 'done'
      ? { sample: filesOf(job, ask)[0]?.url, prompt: order.input['prompt'], seed: order.hash }
      : null;
  return { status: 200, body: { id, status: blackForestWords[state], result } };
}
