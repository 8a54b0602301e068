import { rateMedia } from '../../domain/media-rating.js';
import type { RowsByUnit } from '../../domain/pricing.js';
import type { Rating } from '../../domain/rating.js';
import { TASKS, type Task } from '../../domain/tasks.js';
import type { Attempt, Ending } from '../../metering/journal.js';
import type { MediaJob } from '../../metering/media-job.js';
import { clean, picoUsdFloored } from '../ending.js';
import { assumedPixelsOf } from '../media/answer-meter.js';
import type { JobAnswer } from './job-client.js';
import { jobFactsOf } from './job-facts.js';
import { reportOf, statedCostOf } from './job-report.js';
import { JOB_SHAPES } from './job-shapes.js';

const RAW_MAX_CHARS = 2048;

/** How the event of a job ends whose result is there: by the units that the result states. */
export function endingOfResult(
  job: MediaJob,
  answer: JobAnswer,
  rows: RowsByUnit,
  at: Date,
): Ending {
  const facts = jobFactsOf(job.factsJson);
  const task = taskOf(job);
  const shape = JOB_SHAPES.get(job.shape);
  if (shape === undefined) throw new Error(`media jobs: no shape ${job.shape}`);
  const report = reportOf(answer, shape, task);
  const rated = rateMedia({
    task,
    report,
    request: facts.request,
    assumedPixels: assumedPixelsOf(job.provider),
    hasContent: true,
    inputTextBytes: facts.inputTextBytes,
    holdPicoUsd: job.event.holdPicoUsd,
    rows,
  });
  const rating = job.keyAccountId === null ? rated : asExternal(rated);
  const isUsed = rating.state === 'settled' || rating.state === 'unpriced';
  const statedUsd = statedCostOf(answer, shape);
  return {
    ...bareEnding(job, at),
    state: rating.state,
    outcome: 'complete',
    status: answer.status,
    quantities: isUsed ? rating.quantities : null,
    reasoningTokens: isUsed ? rating.reasoningTokens : null,
    usageSource: isUsed ? rating.usageSource : 'none',
    isPriceAssumed: rating.state === 'settled' && rating.isPriceAssumed,
    ratedCostPicoUsd: rating.state === 'settled' ? rating.costPicoUsd : null,
    priceRowIds: rating.state === 'settled' ? rating.priceRowIds : [],
    providerReportedPicoUsd: statedUsd === null ? null : picoUsdFloored(statedUsd),
    rawUsage: rating.state === 'quarantined' ? rawOf(rating) : null,
  };
}

/** How it ends without a result: nobody pays. */
export function endingWithoutResult(job: MediaJob, problem: string, at: Date): Ending {
  const attempts = job.attempts.map((attempt, index): Attempt =>
    index === job.attempts.length - 1 ? { ...attempt, error: clean(problem) } : attempt,
  );
  return { ...bareEnding(job, at), attempts };
}

function bareEnding(job: MediaJob, at: Date): Ending {
  return {
    state: 'released',
    outcome: 'upstream_error',
    servedAt: at,
    upstream: job.upstream,
    isExternal: job.keyAccountId !== null,
    provider: job.provider,
    providerModelId: null,
    // The job's own id, however often its result is fetched: it is charged once.
    providerRequestId: clean(job.providerJobId),
    status: null,
    quantities: null,
    reasoningTokens: null,
    usageSource: 'none',
    isPriceAssumed: false,
    ratedCostPicoUsd: null,
    priceRowIds: [],
    providerReportedPicoUsd: null,
    firstByteMs: null,
    durationMs: Math.max(0, at.getTime() - job.submittedAt.getTime()),
    attempts: job.attempts,
    rawUsage: null,
    givesKeyBack: true,
  };
}

/** Nobody is charged for it: a price that is missing keeps nothing waiting. */
function asExternal(rating: Rating): Rating {
  return rating.state === 'unpriced'
    ? { ...rating, state: 'settled', costPicoUsd: 0n, priceRowIds: [], isPriceAssumed: false }
    : rating;
}

function rawOf(rating: Rating): string | null {
  return clean(JSON.stringify(rating), RAW_MAX_CHARS);
}

function taskOf({ task }: MediaJob): Task {
  return TASKS.find((one) => one === task) ?? 'inference';
}
