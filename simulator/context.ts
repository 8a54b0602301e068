import type { Books } from './books.js';
import type { Catalogue } from './catalogue.js';
import type { ColdStarts } from './cold-starts.js';
import type { FaultRules } from './fault-rules.js';
import type { Jobs } from './jobs.js';
import type { ResultCache } from './result-cache.js';
import type { UnitOffers } from './unit-offers.js';

/** What every route of one simulator shares. */
export interface Context {
  readonly seed: number;
  /** The key that callers must present; null = any or none. */
  readonly apiKey: string | null;
  /** Whether the router bills an aborted answer whole whatever the provider behind it does. */
  readonly routerBillsAborted: boolean;
  readonly catalogue: Catalogue;
  readonly books: Books;
  readonly faults: FaultRules;
  readonly ids: Ids;
  /** What is priced per unit: jobs and the serverless tier. */
  readonly unitOffers: UnitOffers;
  readonly jobs: Jobs;
  /** Models of the serverless tier that are not loaded. */
  readonly coldStarts: ColdStarts;
  /** Results of the serverless tier. */
  readonly results: ResultCache;
  /** The keys of providers called directly; one that is not here takes any key of its own form. */
  readonly providerKeys: Map<string, string>;
  /** The clock of books and answers. */
  readonly now: () => Date;
}

/** Gives every answer ids that never repeat, across restarts too: a proxy refuses to bill one twice. */
export class Ids {
  private count = 0;
  private lastRequestId = '';

  constructor(private readonly prefix: string) {}

  /** The number of the next request, as text that sorts. */
  next(): string {
    this.count += 1;
    return `${this.prefix}-${this.count.toString(36).padStart(6, '0')}`;
  }

  /** A request id for an answer that no provider bills. */
  unbilled(): string {
    return `req-${this.next()}`;
  }

  /** `x-request-id` of a provider's answer: `wanted` if the tester chose one, the previous one if `repeat`. */
  requestId(serial: string, wanted: string | null, repeat: boolean): string {
    const fresh = wanted ?? `req-${serial}`;
    const id = repeat && this.lastRequestId !== '' ? this.lastRequestId : fresh;
    this.lastRequestId = id;
    return id;
  }
}
