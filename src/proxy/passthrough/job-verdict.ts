import type { JobAnswer } from './job-client.js';
import { jobProgressIn, jsonOf } from './job-reading.js';
import type { JobShape } from './job-shapes.js';

/** What an answer about a job means for its event. */
export type JobVerdict =
  /** It goes on, or the answer does not tell. */
  | 'running'
  /** It has succeeded; its result is to be fetched elsewhere. */
  | 'succeeded'
  /** It has succeeded, and this is the result. */
  | 'result'
  /** It has failed or was cancelled: it costs nothing. */
  | 'failed'
  /** The provider does not know it (any more). */
  | 'unknown';

/** Statuses that say nothing about the job: about our key, about load. */
const NOT_ABOUT_THE_JOB: ReadonlySet<number> = new Set([401, 402, 403, 407, 408, 425, 429]);

/** Of an answer to a question for the status. */
export function verdictOfPoll(answer: JobAnswer, shape: JobShape): JobVerdict {
  if (answer.status === 404 || answer.status === 410) return 'unknown';
  if (!isSuccess(answer)) return 'running';
  switch (jobProgressIn(jsonOf(answer.body), shape)) {
    case 'done':
      return shape.poll === shape.result ? 'result' : 'succeeded';
    case 'failed':
      return 'failed';
    case 'running':
    case 'unclear':
      return 'running';
  }
}

/**
 * Of the fetch of a result.
 *
 * @param hasSucceeded the provider has said that the job is at its end: then a refusal to give the
 *   result is how it tells of a failure.
 */
export function verdictOfResult(
  answer: JobAnswer,
  shape: JobShape,
  hasSucceeded: boolean,
): JobVerdict {
  if (shape.poll === shape.result) return verdictOfPoll(answer, shape);
  if (isSuccess(answer)) return 'result';
  if (!hasSucceeded) return 'running';
  const isRefusal =
    answer.status >= 400 && answer.status < 500 && !NOT_ABOUT_THE_JOB.has(answer.status);
  return isRefusal ? 'failed' : 'running';
}

function isSuccess({ status }: JobAnswer): boolean {
  return status >= 200 && status < 300;
}
