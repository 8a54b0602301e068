import { refusal, type Refusal } from '../domain/errors.js';
import type { Rating } from '../domain/rating.js';
import { refOf, type EventOutcome, type Journal, type Receipt } from '../metering/journal.js';
import type { Call, Served } from './call.js';
import type { AnswerReading } from './dialects/answer-reader.js';
import { endingOf } from './ending.js';
import { within } from './within.js';

/** How a settlement went that a client waits for. */
export type Settled =
  | { readonly kind: 'committed'; readonly receipt: Receipt }
  /** The store did not answer in time; the settlement stays queued until it commits. */
  | { readonly kind: 'timed_out'; readonly withhold: () => void };

/** Hands the end of a call to the journal and waits for its commit, but not for ever. */
export async function settleCall(
  journal: Journal,
  call: Call,
  end: {
    readonly served: Served | null;
    readonly reading: AnswerReading;
    readonly rating: Rating;
    readonly outcome: EventOutcome;
    /** The price condition of the answer. */
    readonly condition: string | null;
  },
  waitMaxMs: number,
): Promise<Settled> {
  const { event } = call;
  if (event === null) throw new Error(`proxy: ${call.id} is settled before it was admitted`);
  const ticket = journal.settle(
    refOf(event),
    endingOf(call, end.served, end.reading, end.rating, end.outcome, end.condition),
  );
  const receipt = await within(ticket.receipt, waitMaxMs);
  if (receipt !== 'timed_out') return { kind: 'committed', receipt };
  return {
    kind: 'timed_out',
    withhold: () => {
      ticket.withhold();
    },
  };
}

/** The answer is ready but cannot be recorded: repeating it would be charged once more. */
export const NOT_RECORDED: Refusal = refusal(
  'store_unavailable',
  'The answer could not be recorded in time and is withheld. You are not charged for it.',
  { shouldRetry: false },
);

export const STREAM_NOT_RECORDED: Refusal = refusal(
  'store_unavailable',
  'The end of this stream could not be recorded in time. Do not repeat the request: what you received is charged.',
  { shouldRetry: false },
);
