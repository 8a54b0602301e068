/** The providers whose jobs are asked after at one address until they have ended. */
import {
  filesOf,
  jobCostUsd,
  type JobAnswer,
  type JobAsk,
  type JobProtocol,
  type JobRequest,
  productOfJob,
  unixSeconds,
} from './job-protocol.js';
import { imageSize } from './job-quantity.js';
import type { JsonObject } from './json.js';
import type { Job, JobState } from './jobs.js';
import { decimalText } from './unit-money.js';

/** Nobody can call these jobs off. */
const uncancellable = (): JobAnswer => ({ status: 404, body: {} });

const inBody: JobRequest = { kind: 'submit', model: null, waits: 'not' };

function named(model: string | undefined): JobRequest | null {
  return model === undefined ? null : { kind: 'submit', model, waits: 'not' };
}

function look(id: string | null | undefined): JobRequest | null {
  return id === null || id === undefined || id === '' ? null : { kind: 'look', id };
}

type Words = Readonly<Record<JobState, string>>;

const togetherWords: Words = {
  queued: 'queued',
  running: 'in_progress',
  done: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  lost: 'failed',
};

/** Together: `POST /v2/videos`, `GET /v2/videos/{id}`. */
export const togetherVideos: JobProtocol = {
  provider: 'together',
  idStyle: 'uuid',
  read({ method, path }) {
    if (method === 'POST') return path === '/v2/videos' ? inBody : null;
    return method === 'GET' ? look(/^\/v2\/videos\/([\w-]+)$/.exec(path)?.[1]) : null;
  },
  input: (body) => body,
  submitted: togetherVideo,
  looked: togetherVideo,
  fetched: togetherVideo,
  cancelled: uncancellable,
};

function togetherVideo(job: Job, ask: JobAsk): JobAnswer {
  const { order, state } = job;
  const { width, height } = imageSize(order.input);
  const body: JsonObject = {
    id: job.id,
    object: 'video',
    model: order.offer.providerModelId,
    status: togetherWords[state],
    created_at: unixSeconds(job.createdAt),
    size: `${width}x${height}`,
  };
  if (!order.asked.faults.includes('missing-usage')) {
    body['seconds'] = decimalText(order.quantity, 1_000);
  }
  if (job.endedAt !== null) body['completed_at'] = unixSeconds(job.endedAt);
  if (state === 'failed') body['error'] = { message: 'The model failed', code: 'internal_error' };
  if (state === 'done') {
    body['outputs'] = { cost: jobCostUsd(job), video_url: filesOf(job, ask)[0]?.url };
  }
  return { status: 200, body };
}

const novitaWords: Words = {
  queued: 'TASK_STATUS_QUEUED',
  running: 'TASK_STATUS_PROCESSING',
  done: 'TASK_STATUS_SUCCEED',
  failed: 'TASK_STATUS_FAILED',
  cancelled: 'TASK_STATUS_FAILED',
  lost: 'TASK_STATUS_FAILED',
};

/** Novita: `POST /v3/async/{model}`, `GET /v3/async/task-result?task_id=`. */
export const novitaTasks: JobProtocol = {
  provider: 'novita',
  idStyle: 'uuid',
  read({ method, path, query }) {
    if (method === 'POST') return named(/^\/v3\/async\/([\w.-]+)$/.exec(path)?.[1]);
    return path === '/v3/async/task-result' ? look(query.get('task_id')) : null;
  },
  input: (body) => body,
  submitted: (job) => ({ status: 200, body: { task_id: job.id } }),
  looked: novitaTask,
  fetched: novitaTask,
  cancelled: uncancellable,
};

function novitaTask(job: Job, ask: JobAsk): JobAnswer {
  const { state, order } = job;
  const files = state === 'done' ? filesOf(job, ask) : [];
  const isVideo = productOfJob(job) === 'video';
  const task = {
    task_id: job.id,
    task_type: isVideo ? 'WAN_TXT_TO_VIDEO' : 'FLUX_TXT_TO_IMG',
    status: novitaWords[state],
    reason: state === 'failed' ? 'The model failed' : '',
    eta: 0,
    progress_percent: job.hasEnded ? 100 : 50,
  };
  const images = files.map(({ url }) => ({
    image_url: url,
    image_url_ttl: '3600',
    image_type: 'png',
  }));
  const videos = files.map(({ url }) => ({
    video_url: url,
    video_url_ttl: '3600',
    video_type: 'mp4',
    ...(!order.asked.faults.includes('missing-usage') && { duration: order.quantity / 1_000 }),
  }));
  const extra = { seed: String(order.hash), enable_nsfw_detection: false };
  const results = { images: isVideo ? [] : images, videos: isVideo ? videos : [], audios: [] };
  return { status: 200, body: { extra, task, ...results } };
}

const zaiWords: Words = {
  queued: 'PROCESSING',
  running: 'PROCESSING',
  done: 'SUCCESS',
  failed: 'FAIL',
  cancelled: 'FAIL',
  lost: 'FAIL',
};
const ZAI_SUBMIT = /^\/api\/paas\/v4\/(?:async\/images|videos)\/generations$/;

/** Z.ai: images and films in the background, `GET /api/paas/v4/async-result/{id}`. */
export const zaiTasks: JobProtocol = {
  provider: 'zai-org',
  idStyle: 'digits',
  read({ method, path }) {
    if (method === 'POST') return ZAI_SUBMIT.test(path) ? inBody : null;
    return look(/^\/api\/paas\/v4\/async-result\/([\w-]+)$/.exec(path)?.[1]);
  },
  input: (body) => body,
  submitted: (job) => ({ status: 200, body: zaiTask(job) }),
  looked: zaiResult,
  fetched: zaiResult,
  cancelled: uncancellable,
};

function zaiTask(job: Job): JsonObject {
  const { providerModelId } = job.order.offer;
  return {
    id: job.id,
    request_id: job.id,
    model: providerModelId,
    task_status: zaiWords[job.state],
  };
}

function zaiResult(job: Job, ask: JobAsk): JobAnswer {
  const body = zaiTask(job);
  if (job.state === 'done') {
    const addresses = filesOf(job, ask).map(({ url }) => url);
    if (productOfJob(job) === 'video') {
      body['video_result'] = addresses.map((url) => ({ url, cover_image_url: url }));
    } else {
      body['image_result'] = addresses.map((url) => ({ url }));
    }
  }
  return { status: 200, body };
}

const wavespeedWords: Words = {
  queued: 'created',
  running: 'processing',
  done: 'completed',
  failed: 'failed',
  cancelled: 'failed',
  lost: 'failed',
};
const WAVESPEED_JOB = /^\/api\/v3\/predictions\/([\w-]+)(?:\/result)?$/;
const WAVESPEED_MODEL = /^\/api\/v3\/([\w.-]+(?:\/[\w.-]+)+)$/;

/** WaveSpeed: `POST /api/v3/{model}`, `GET /api/v3/predictions/{id}/result`. */
export const wavespeedPredictions: JobProtocol = {
  provider: 'wavespeed',
  idStyle: 'base36',
  read({ method, path }) {
    if (method === 'GET') return look(WAVESPEED_JOB.exec(path)?.[1]);
    return method === 'POST' ? named(WAVESPEED_MODEL.exec(path)?.[1]) : null;
  },
  input: (body) => body,
  submitted: wavespeedPrediction,
  looked: wavespeedPrediction,
  fetched: wavespeedPrediction,
  cancelled: uncancellable,
};

function wavespeedPrediction(job: Job, ask: JobAsk): JobAnswer {
  const { state, order } = job;
  const outputs = state === 'done' ? filesOf(job, ask).map(({ url }) => url) : [];
  const data = {
    id: job.id,
    model: order.offer.providerModelId,
    outputs,
    urls: { get: `https://api.wavespeed.ai/api/v3/predictions/${job.id}/result` },
    has_nsfw_contents: outputs.map(() => false),
    status: wavespeedWords[state],
    created_at: job.createdAt.toISOString(),
    error: state === 'failed' ? 'The model failed' : '',
    timings: { inference: state === 'done' ? 300 + (order.hash % 2_000) : 0 },
  };
  return { status: 200, body: { code: 200, message: 'success', data } };
}
