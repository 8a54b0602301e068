import { type ReportedUsage } from '../../domain/usage.js';
import { type SseEvent } from './sse-splitter.js';

/** What the relay needs to know about one event. */
export type EventKind =
  /** Carries the end marker: held back until the settlement is stored. */
  | 'end'
  /** An error inside the stream. */
  | 'error'
  /** `choices` is an empty array and `usage` an object: the event that `include_usage` adds. */
  | 'usage_only'
  /** Any other event that carries a usage object. */
  | 'usage'
  | 'other';

/** The first error that an answer carried. Texts are bounded. */
export interface AnswerError {
  readonly message: string;
  readonly type: string | null;
  readonly code: string | null;
}

/** Everything the journal needs from one answer. */
export interface AnswerReading {
  readonly usage: ReportedUsage;
  /** UTF-8 bytes of content, reasoning and tool calls of all choices; none of error frames. */
  readonly contentBytes: number;
  readonly hasContent: boolean;
  /** The provider's own name for the model: never a key to a price. */
  readonly providerModel: string | null;
  readonly serviceTier: string | null;
  readonly firstError: AnswerError | null;
  /** An end marker was seen (streams); the body was one complete JSON value (plain answers). */
  readonly hasEnd: boolean;
  /** Events with data that was not JSON, or too long to be read. */
  readonly unreadableEvents: number;
}

/** One per answer: `readEvent` for each event of a stream, or `readBody` once. */
export declare class AnswerReader {
  /** A finish reason was seen: a usage in this or a later event is the final one. */
  get hasFinished(): boolean;
  readEvent(event: SseEvent): EventKind;
  readBody(body: Buffer): EventKind;
  /** May be asked at any time; costs nothing until then. */
  reading(): AnswerReading;
}
