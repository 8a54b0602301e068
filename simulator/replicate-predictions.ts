import {
  filesOf,
  type JobAnswer,
  type JobAsk,
  type JobProtocol,
  type JobRequest,
  productOfJob,
} from './job-protocol.js';
import { isObject, type JsonObject } from './json.js';
import type { Job, JobState } from './jobs.js';

const API = 'https://api.replicate.com/v1/predictions';
const OF_MODEL = /^\/v1\/models\/([\w.-]+\/[\w.-]+)\/predictions$/;
const OF_JOB = /^\/v1\/predictions\/([\w-]+)(\/cancel)?$/;

const statusWords: Readonly<Record<JobState, string>> = {
  queued: 'starting',
  running: 'processing',
  done: 'succeeded',
  failed: 'failed',
  cancelled: 'canceled',
  lost: 'failed',
};

/** `https://api.replicate.com`: a prediction, awaited with `Prefer: wait` or asked after. */
export const replicatePredictions: JobProtocol = {
  provider: 'replicate',
  idStyle: 'base36',
  read,
  input: (body) => (isObject(body['input']) ? body['input'] : {}),
  submitted: (job, ask) => {
    // 202: it did not end while the caller waited.
    const isLate = prefersWait(ask) && !job.hasEnded;
    return prediction(job, ask, isLate ? 202 : 201);
  },
  looked: (job, ask) => prediction(job, ask, 200),
  fetched: (job, ask) => prediction(job, ask, 200),
  cancelled: (job, _hadEnded, ask) => prediction(job, ask, 200),
};

function read(ask: JobAsk): JobRequest | null {
  const model = OF_MODEL.exec(ask.path)?.[1];
  if (ask.method === 'POST' && (model !== undefined || ask.path === '/v1/predictions')) {
    const waits = prefersWait(ask) ? 'a_while' : 'not';
    return { kind: 'submit', model: model ?? null, waits };
  }
  const [, id, cancel] = OF_JOB.exec(ask.path) ?? [];
  if (id === undefined) return null;
  if (cancel !== undefined) return ask.method === 'POST' ? { kind: 'cancel', id } : null;
  return ask.method === 'GET' ? { kind: 'look', id } : null;
}

function prefersWait(ask: JobAsk): boolean {
  return /^wait(=\d+)?$/.test(String(ask.req.headers['prefer'] ?? ''));
}

function prediction(job: Job, ask: JobAsk, status: number): JobAnswer {
  const { order, createdAt, endedAt, state } = job;
  const predictMs = predictTimeMs(job);
  const body: JsonObject = {
    id: job.id,
    model: order.offer.providerModelId,
    version: 'hidden',
    input: order.input,
    logs: '',
    output: state === 'done' ? output(job, ask) : null,
    data_removed: false,
    error: state === 'failed' ? 'The model failed' : null,
    status: statusWords[state],
    created_at: createdAt.toISOString(),
    urls: { cancel: `${API}/${job.id}/cancel`, get: `${API}/${job.id}` },
  };
  if (endedAt !== null) {
    body['started_at'] = createdAt.toISOString();
    body['completed_at'] = endedAt.toISOString();
    body['metrics'] = metrics(job, predictMs);
  }
  return { status, body };
}

/** GPU time is what a model priced by it is billed for; elsewhere it is only told. */
function predictTimeMs({ order }: Job): number {
  return order.offer.price.unit === 'gpu_ms' ? order.quantity : 300 + (order.hash % 2_000);
}

function metrics({ order, state }: Job, predictMs: number): JsonObject {
  if (order.asked.faults.includes('missing-usage')) return {};
  const metrics: JsonObject = {
    predict_time: predictMs / 1000,
    total_time: predictMs / 1000 + 0.1,
  };
  if (state !== 'done') return metrics;
  if (order.offer.price.unit === 'image') metrics['image_count'] = order.quantity;
  if (order.offer.price.unit === 'video_ms') {
    metrics['video_output_duration_seconds'] = order.quantity / 1000;
  }
  return metrics;
}

/** Pictures come as a list, a film as one address, text as text. */
function output(job: Job, ask: JobAsk): unknown {
  const addresses = filesOf(job, ask).map(({ url }) => url);
  switch (productOfJob(job)) {
    case 'image':
      return addresses;
    case 'video':
    case 'audio':
      return addresses[0];
    case 'text':
      return { transcription: 'The toll is paid.', detected_language: 'english' };
  }
}
