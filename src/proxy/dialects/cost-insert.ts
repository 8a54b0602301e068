import { type SseEvent } from './sse-splitter.js';

/** What is written into the final usage object. */
export interface InsertedCost {
  /** USD as plain decimal text, e.g. `0.00012`; becomes a JSON number with exactly these digits. */
  readonly costUsd: string;
  /** The value of `cost_details`: JSON text of an object, without newlines. */
  readonly detailsJson: string;
}

/** The event's bytes with the cost in its usage object; null where it carries no usage object. */
export declare function insertCostIntoEvent(event: SseEvent, cost: InsertedCost): Buffer | null;

/** The plain body's bytes with the cost in its usage object; null where it carries none. */
export declare function insertCostIntoBody(body: Buffer, cost: InsertedCost): Buffer | null;
