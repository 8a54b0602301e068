import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Fault } from './faults.js';
import type { JsonObject } from './json.js';
import type { IdStyle, Job } from './jobs.js';
import { type MediaFile, mediaFile, type Product } from './media-files.js';
import { imageCount, productOf } from './job-quantity.js';
import { publishedQuantity, unitCostPicoUsd } from './unit-money.js';
import { type PicoUsd, usdNumber } from './money.js';

/** A request as a provider reads it: `path` begins behind the host (or behind the router's slug). */
export interface JobAsk {
  readonly req: IncomingMessage;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

/**
 * What is asked of a provider's queue.
 * - `submit`: `model` null = it is in the body; `waits`: answer when the job has ended, or after a while
 * - `look`: how far is it · `fetch`: its result · `cancel`
 */
export type JobRequest =
  | {
      readonly kind: 'submit';
      readonly model: string | null;
      readonly waits: 'not' | 'a_while' | 'until_the_end';
    }
  | { readonly kind: 'look' | 'fetch' | 'cancel'; readonly id: string };

export interface JobAnswer {
  readonly status: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body: JsonObject;
}

/** How one provider takes jobs on and speaks of them. */
export interface JobProtocol {
  readonly provider: string;
  readonly idStyle: IdStyle;
  /** Null: not a route of this provider's queue. */
  read(ask: JobAsk): JobRequest | null;
  /** The part of the body that says what to make. */
  input(body: JsonObject): JsonObject;
  submitted(job: Job, ask: JobAsk): JobAnswer;
  looked(job: Job, ask: JobAsk): JobAnswer;
  fetched(job: Job, ask: JobAsk): JobAnswer;
  /** `hadEnded`: too late, nothing was called off. */
  cancelled(job: Job, hadEnded: boolean, ask: JobAsk): JobAnswer;
}

/** What the job's model makes. */
export function productOfJob(job: Job): Product {
  return productOf(job.order.offer.task);
}

/** The files of a finished job. */
export function filesOf(job: Job, ask: JobAsk): MediaFile[] {
  const product = productOfJob(job);
  if (product === 'text') return [];
  const count = product === 'image' ? imageCount(job.order.input) : 1;
  return Array.from({ length: count }, (_, n) => mediaFile(ask.req, product, job.id, n));
}

/** The quantity as the provider reports it, in the unit of its published price. */
export function reportedQuantity(job: Job): string | null {
  const { offer, quantity, asked } = job.order;
  const told = asked.quantity ?? publishedQuantity(offer.price, quantity);
  return alteredQuantity(asked.faults, told);
}

/** The quantity after the faults on usage; null: not reported. */
export function alteredQuantity(faults: readonly Fault[], text: string): string | null {
  if (faults.includes('missing-usage')) return null;
  if (faults.includes('usage-negative')) return '-5';
  if (faults.includes('usage-string')) return 'twelve';
  return faults.includes('usage-huge') ? '1e21' : text;
}

/** What the job costs when it succeeds. */
export function jobCostPicoUsd(job: Job): PicoUsd {
  return unitCostPicoUsd(job.order.offer.price, job.order.quantity);
}

/** The same as a JSON number of USD. */
export function jobCostUsd(job: Job): number {
  return usdNumber(jobCostPicoUsd(job));
}

/** Seconds since 1970. */
export function unixSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
