import type { Directives } from './directives.js';
import type { JsonObject } from './json.js';
import { hashText } from './random.js';
import type { UnitOffer } from './unit-offers.js';

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled' | 'lost';

/** What was ordered. */
export interface JobOrder {
  readonly offer: UnitOffer;
  readonly input: JsonObject;
  readonly asked: Directives;
  /** In the base unit of the offer's price. */
  readonly quantity: number;
  readonly hash: number;
  /** The `authorization` that ordered it: to any other the job does not exist. */
  readonly owner: string | null;
}

const DEFAULT_POLLS = 2;

/** One job at a provider: it takes a number of looks, or a time, and then ends as it was told to. */
export class Job {
  private current: JobState = 'queued';
  private looksLeft: number;
  private wasSeen = false;
  private endTime: Date | null = null;

  constructor(
    readonly id: string,
    readonly order: JobOrder,
    readonly createdAt: Date,
    private readonly ended: (job: Job) => Date,
  ) {
    const { polls, runMs, end } = order.asked;
    // A job that was given a time ends then and not by being looked at.
    const endless = end === 'never' || (runMs !== null && polls === null);
    this.looksLeft = endless ? Number.POSITIVE_INFINITY : (polls ?? DEFAULT_POLLS);
  }

  get state(): JobState {
    return this.current;
  }

  /** When it ended; null while it runs. */
  get endedAt(): Date | null {
    return this.endTime;
  }

  get hasEnded(): boolean {
    return this.current !== 'queued' && this.current !== 'running';
  }

  /** The owner asks how far it is: one step nearer to its end. */
  look(): JobState {
    if (this.hasEnded) return this.current;
    if (this.looksLeft <= 0) {
      this.finish();
    } else {
      this.looksLeft -= 1;
      this.current = this.wasSeen ? 'running' : 'queued';
      this.wasSeen = true;
    }
    return this.current;
  }

  /** The owner fetches the result: that ends only a job whose looks are used up. */
  fetch(): JobState {
    if (!this.hasEnded && this.looksLeft <= 0) this.finish();
    return this.current;
  }

  /** Ends it as ordered; a job ordered to run for ever is done. Does nothing to an ended one. */
  finish(): void {
    const { end } = this.order.asked;
    this.close(end === null || end === 'never' ? 'done' : end);
  }

  /** The owner calls it off. False when it had ended. */
  cancel(): boolean {
    if (this.hasEnded) return false;
    this.close('cancelled');
    return true;
  }

  private close(state: JobState): void {
    if (this.hasEnded) return;
    this.current = state;
    this.endTime = this.ended(this);
  }
}

/** How a provider writes its job ids. */
export type IdStyle = 'uuid' | 'base36' | 'digits';

/** Every job of one simulator. */
export class Jobs {
  private known = new Map<string, Job>();
  private timers = new Set<NodeJS.Timeout>();

  /** `ended` writes the job's line in the books and returns the time. */
  constructor(
    private readonly now: () => Date,
    private readonly ended: (job: Job) => Date,
  ) {}

  /** Takes a job on. `serial` never repeats; the id is made of it. */
  submit(order: JobOrder, style: IdStyle, serial: string): Job {
    const id = order.asked.requestId ?? jobId(style, serial);
    const job = new Job(id, order, this.now(), this.ended);
    this.known.set(id, job);
    const { runMs, end } = order.asked;
    if (runMs !== null && end !== 'never') this.endAfter(job, runMs);
    return job;
  }

  /** A caller's job by its id, or null: unknown, another provider's or caller's, or lost. */
  find(provider: string, id: string, owner: string | null): Job | null {
    const job = this.known.get(id);
    if (job?.order.offer.provider !== provider || job.order.owner !== owner) return null;
    return job.state === 'lost' ? null : job;
  }

  /** Any job by its id, or null. */
  byId(id: string): Job | null {
    return this.known.get(id) ?? null;
  }

  /** Every job, oldest first. */
  all(): Job[] {
    return [...this.known.values()];
  }

  /** Forgets every job, without a line in the books. */
  reset(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    this.known = new Map();
  }

  private endAfter(job: Job, ms: number): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      job.finish();
    }, ms);
    // A job under way does not keep the process alive.
    timer.unref();
    this.timers.add(timer);
  }
}

function jobId(style: IdStyle, serial: string): string {
  const words = [1, 2, 3, 4].map((seed) => hashText(serial, seed));
  switch (style) {
    case 'uuid': {
      const hex = words.map((word) => word.toString(16).padStart(8, '0')).join('');
      return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-8$4-$5');
    }
    case 'base36':
      return words
        .map((word) => word.toString(36).padStart(7, '0'))
        .join('')
        .slice(0, 26);
    case 'digits':
      return words
        .map((word) => String(word).padStart(10, '0'))
        .join('')
        .slice(0, 32);
  }
}
