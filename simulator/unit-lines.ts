import type { BookEntry, Books, Outcome } from './books.js';
import type { Job, JobState } from './jobs.js';
import type { PicoUsd } from './money.js';
import { providerOf } from './providers.js';
import type { Task } from './tasks.js';
import { unitCostPicoUsd } from './unit-money.js';
import type { UnitOffer } from './unit-offers.js';

/** What a line about something priced per unit says. */
export interface UnitFacts {
  readonly offer: UnitOffer;
  readonly requestId: string;
  readonly requestIdSent: boolean;
  readonly time: Date;
  readonly status: number;
  readonly outcome: Outcome;
  readonly billed: boolean;
  /** In the base unit of the price; 0 in the line when not billed. */
  readonly quantity: number;
  readonly tag: string | null;
  readonly stream: boolean;
}

/** The line of a call that is priced per unit and counts no tokens. */
export function unitLine(facts: UnitFacts): Omit<BookEntry, 'seq'> {
  const { offer, requestId, requestIdSent, time, status, outcome, billed, tag, stream } = facts;
  const { provider, model, providerModelId, price } = offer;
  const quantity = billed ? facts.quantity : 0;
  const cost: PicoUsd = unitCostPicoUsd(price, quantity);
  return {
    requestId,
    requestIdSent,
    inferenceId: inferenceId(provider, requestId),
    time,
    provider,
    model,
    providerModelId,
    task: bookTask(offer),
    units: quantity === 0 ? {} : { [price.unit]: BigInt(quantity) },
    stream,
    promptTokens: 0,
    cachedTokens: 0,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: 0,
    completionTokens: 0,
    reasoningTokens: 0,
    costPicoUsd: cost,
    status,
    outcome,
    billed,
    tag,
  };
}

/** `Inference-Id` of an answer, the key of the partner cost API; null where the provider has none. */
export function inferenceId(provider: string, requestId: string): string | null {
  return providerOf(provider).sendsInferenceId ? `inf-${requestId}` : null;
}

const endings: Readonly<Record<JobState, { status: number; outcome: Outcome }>> = {
  queued: { status: 0, outcome: 'faulted' },
  running: { status: 0, outcome: 'faulted' },
  done: { status: 200, outcome: 'complete' },
  failed: { status: 500, outcome: 'faulted' },
  cancelled: { status: 499, outcome: 'client_aborted' },
  lost: { status: 404, outcome: 'faulted' },
};

/** Writes the one line of a job that has ended; only success is billed. Returns its time. */
export function recordJob(books: Books, time: Date, job: Job): Date {
  const { offer, asked, quantity } = job.order;
  const { status, outcome } = endings[job.state];
  books.append(
    unitLine({
      offer,
      requestId: job.id,
      requestIdSent: !asked.faults.includes('no-request-id'),
      time,
      status,
      outcome,
      billed: asked.bill ?? job.state === 'done',
      quantity,
      tag: asked.tag,
      stream: false,
    }),
  );
  return time;
}

/** What kind of work the line is about: the serverless tier counts its compute time whatever it does. */
function bookTask({ provider, task }: UnitOffer): Task {
  if (provider === 'hf-inference') return 'inference';
  if (task.endsWith('-to-image')) return 'image';
  if (task.endsWith('-to-video')) return 'video';
  if (task === 'automatic-speech-recognition') return 'transcription';
  return task === 'text-to-speech' ? 'speech' : 'inference';
}
