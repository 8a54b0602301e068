import {
  filesOf,
  type JobAnswer,
  type JobAsk,
  type JobProtocol,
  type JobRequest,
  productOfJob,
  reportedQuantity,
} from './job-protocol.js';
import { imageSize } from './job-quantity.js';
import type { JsonObject } from './json.js';
import type { Job, JobState } from './jobs.js';
import { textOfInput } from './job-quantity.js';

/** What answers call the queue: a host of fal's own, whichever way the caller came. */
const QUEUE_HOST = 'https://queue.fal.run';
const OF_JOB = /^\/[\w.-]+\/[\w.-]+\/requests\/([\w-]+)(\/status|\/cancel)?$/;
const MODEL = /^\/([\w.-]+(?:\/[\w.-]+)+)$/;

const statusWords: Readonly<Record<JobState, string>> = {
  queued: 'IN_QUEUE',
  running: 'IN_PROGRESS',
  done: 'COMPLETED',
  failed: 'COMPLETED',
  cancelled: 'COMPLETED',
  lost: 'COMPLETED',
};

/** `https://queue.fal.run`, and through the router with `?_subdomain=queue`: jobs to be asked after. */
export const falQueue: JobProtocol = protocol((ask) => {
  const [, id, what] = OF_JOB.exec(ask.path) ?? [];
  if (id !== undefined) return requestOfJob(ask.method, id, what);
  return submission(ask, 'not');
});

/** `https://fal.run`: the answer is the result. */
export const falRun: JobProtocol = protocol((ask) => submission(ask, 'until_the_end'));

/** fal behind the router, where the query says which host is meant. */
export const falAtRouter: JobProtocol = protocol((ask) =>
  (ask.query.get('_subdomain') === 'queue' ? falQueue : falRun).read(ask),
);

function protocol(read: (ask: JobAsk) => JobRequest | null): JobProtocol {
  return {
    provider: 'fal-ai',
    idStyle: 'uuid',
    read,
    input: (body) => body,
    submitted: (job, ask) => (job.hasEnded ? result(job, ask) : accepted(job)),
    looked: status,
    fetched: result,
    cancelled: (_job, hadEnded) =>
      hadEnded
        ? { status: 400, body: { status: 'ALREADY_COMPLETED' } }
        : { status: 202, body: { status: 'CANCELLATION_REQUESTED' } },
  };
}

function submission(ask: JobAsk, waits: 'not' | 'until_the_end'): JobRequest | null {
  const model = MODEL.exec(ask.path)?.[1];
  return ask.method === 'POST' && model !== undefined ? { kind: 'submit', model, waits } : null;
}

function requestOfJob(method: string, id: string, what: string | undefined): JobRequest | null {
  if (what === '/cancel') return method === 'PUT' ? { kind: 'cancel', id } : null;
  if (method !== 'GET') return null;
  return { kind: what === '/status' ? 'look' : 'fetch', id };
}

/** Only owner and application stand in these addresses, not the endpoint below them. */
function urls(job: Job): JsonObject {
  const application = job.order.offer.providerModelId.split('/').slice(0, 2).join('/');
  const url = `${QUEUE_HOST}/${application}/requests/${job.id}`;
  return { response_url: url, status_url: `${url}/status`, cancel_url: `${url}/cancel` };
}

function idHeader(job: Job): Record<string, string> {
  return { 'x-fal-request-id': job.id };
}

function accepted(job: Job): JobAnswer {
  const body = { status: 'IN_QUEUE', request_id: job.id, ...urls(job), queue_position: 0 };
  return { status: 200, headers: idHeader(job), body };
}

function status(job: Job): JobAnswer {
  const body: JsonObject = { status: statusWords[job.state], request_id: job.id, ...urls(job) };
  if (job.state === 'queued') body['queue_position'] = 0;
  if (job.state !== 'queued') body['logs'] = null;
  if (job.state === 'done') body['metrics'] = { inference_time: inferenceSeconds(job) };
  const error = problem(job.state);
  if (error !== null) Object.assign(body, { error: error.message, error_type: error.type });
  return { status: job.hasEnded ? 200 : 202, headers: idHeader(job), body };
}

function result(job: Job, ask: JobAsk): JobAnswer {
  if (!job.hasEnded) {
    const body = { detail: 'Request is still in progress' };
    return { status: 400, headers: idHeader(job), body };
  }
  const error = problem(job.state);
  if (error !== null) {
    const detail = [{ loc: ['body'], msg: error.message, type: error.type }];
    return { status: error.status, headers: idHeader(job), body: { detail } };
  }
  const units = reportedQuantity(job);
  const headers = { ...idHeader(job), ...(units !== null && { 'x-fal-billable-units': units }) };
  return { status: 200, headers, body: output(job, ask) };
}

/** How a job that did not succeed is spoken of; it is not charged. */
function problem(state: JobState): { status: number; message: string; type: string } | null {
  switch (state) {
    case 'failed':
      return { status: 422, message: 'The model failed', type: 'runner_server_error' };
    case 'cancelled':
      return { status: 499, message: 'Request was cancelled', type: 'client_cancelled' };
    default:
      return null;
  }
}

function output(job: Job, ask: JobAsk): JsonObject {
  const { input, hash } = job.order;
  const files = filesOf(job, ask).map(({ url, contentType, name, size }) => ({
    url,
    content_type: contentType,
    file_name: name,
    file_size: size,
  }));
  switch (productOfJob(job)) {
    case 'image':
      return {
        images: files.map(({ url, content_type }) => ({ url, content_type, ...imageSize(input) })),
        timings: { inference: inferenceSeconds(job) },
        seed: hash,
        has_nsfw_concepts: files.map(() => false),
        prompt: textOfInput(input),
      };
    case 'video':
      return { video: files[0], seed: hash };
    case 'audio':
      return { audio: files[0] };
    case 'text':
      return {
        text: 'The toll is paid.',
        chunks: [{ timestamp: [0, 1.5], text: 'The toll is paid.' }],
        inferred_languages: ['en'],
      };
  }
}

function inferenceSeconds(job: Job): number {
  return (200 + (job.order.hash % 3_000)) / 1000;
}
