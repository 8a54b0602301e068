import { type HoldRequest, type Refused } from '../domain/admission.js';
import { type PicoUsd } from '../domain/money.js';
import { type Quantities } from '../domain/usage.js';

/** Who a request belongs to: the payer and the budgets in scope. */
export interface EventScope {
  readonly accountId: string;
  readonly memberId: string | null;
  readonly tokenId: string;
}

/** What is known of a request before any provider is called; texts are bounded and free of NUL. */
export interface AdmissionRequest extends EventScope {
  /** UUIDv7, the `x-request-id` of the answer. */
  readonly id: string;
  readonly createdAt: Date;
  readonly upstream: string;
  readonly model: string;
  readonly task: string;
  readonly isStream: boolean;
  readonly tags: Readonly<Record<string, string>> | null;
  readonly sessionId: string | null;
  readonly clientRequestId: string | null;
  readonly hold: HoldRequest;
  readonly idempotency: IdempotencyClaim | null;
}

/** `Idempotency-Key` with an HMAC of the body: equal bodies compare equal, nothing of them is kept. */
export interface IdempotencyClaim {
  readonly key: string;
  readonly bodyMac: Buffer;
}

/** An open event: admitted, its hold counted, not yet ended. */
export interface AdmittedEvent {
  readonly request: AdmissionRequest;
  /** Read once in the admitting commit; fixes period, prices and limits. */
  readonly admittedAt: Date;
  readonly period: string;
  readonly holdPicoUsd: PicoUsd;
  /** The maximum of output tokens to send upstream; null: none of ours. */
  readonly maxOutputTokensWritten: number | null;
}

export type AdmissionResult =
  | { readonly kind: 'admitted'; readonly event: AdmittedEvent }
  | { readonly kind: 'refused'; readonly refused: Refused; readonly resetsAt: Date }
  /** The token was revoked or deleted since it was looked up. */
  | { readonly kind: 'token_closed' }
  /** The member was removed from the payer since the token was looked up. */
  | { readonly kind: 'member_closed' }
  | {
      readonly kind: 'replayed';
      readonly of: string;
      readonly is: 'in_progress' | 'processed' | 'other_body';
    }
  /** Not recorded in time; nothing may be forwarded. */
  | { readonly kind: 'unavailable' }
  /** This request cannot be recorded at all. */
  | { readonly kind: 'failed'; readonly problem: string };

export type EventOutcome = 'complete' | 'client_gone' | 'upstream_error' | 'aborted';

/** One call to a provider. */
export interface Attempt {
  readonly upstream: string;
  readonly provider: string | null;
  readonly providerRequestId: string | null;
  readonly status: number | null;
  readonly error: string | null;
  readonly durationMs: number;
}

/** How an event ends. Amounts in pico-USD; null is unknown, never 0. */
export interface Ending {
  readonly state: 'settled' | 'released' | 'unpriced' | 'quarantined';
  readonly outcome: EventOutcome;
  readonly servedAt: Date | null;
  /** Who was called in the end; absent: whom the event was admitted for. */
  readonly upstream?: string;
  readonly provider: string | null;
  readonly providerModelId: string | null;
  readonly providerRequestId: string | null;
  readonly status: number | null;
  readonly quantities: Quantities | null;
  readonly reasoningTokens: bigint | null;
  readonly usageSource: 'provider' | 'estimated' | 'none';
  readonly isPriceAssumed: boolean;
  /** Served under the organization's own key: shown, and nobody is charged. */
  readonly isExternal?: boolean;
  /** Quantities x price rows; required when settled, unless it is external. */
  readonly ratedCostPicoUsd: PicoUsd | null;
  readonly priceRowIds: readonly bigint[];
  readonly providerReportedPicoUsd: PicoUsd | null;
  readonly firstByteMs: number | null;
  readonly durationMs: number | null;
  readonly attempts: readonly Attempt[];
  /** The usage as the provider wrote it, kept where it could not be used. */
  readonly rawUsage: string | null;
  /** Gives an `Idempotency-Key` back: no provider was called, or it answered with an error. */
  readonly givesKeyBack: boolean;
}

/** What became of a settlement. */
export type Receipt =
  | {
      readonly kind: 'settled';
      /** What the account pays. */
      readonly costPicoUsd: PicoUsd;
      readonly absorbedPicoUsd: PicoUsd;
      readonly isLate: boolean;
    }
  | { readonly kind: 'released' | 'unpriced' | 'quarantined' }
  /** It had ended before; nothing was changed. */
  | { readonly kind: 'already_ended' }
  /** Its period is closed: it is for a person to decide; nothing was changed. */
  | { readonly kind: 'period_closed' };

/** A settlement under way. */
export interface SettlementTicket {
  /** Resolves with its commit, however long the store is away. Never rejects. */
  readonly receipt: Promise<Receipt>;
  /** The answer was withheld from the caller: the account pays nothing, we bear the cost. */
  withhold(): void;
}

/** The open event as a settlement needs it: from memory, or read back by the sweeper. */
export interface OpenEventRef extends EventScope {
  readonly id: string;
  readonly upstream: string;
  readonly period: string;
  readonly holdPicoUsd: PicoUsd;
  readonly idempotencyKey: string | null;
}

/**
 * The journal: the durable record of requests and the holds on budgets. A port, so that another
 * store can stand behind the proxy; the default groups commits into PostgreSQL.
 */
export abstract class Journal {
  /**
   * Records the request and holds its worst case in every budget in scope, or refuses it. Resolves
   * after the commit, at the latest after `ADMIT_WAIT_MAX_MS` (`unavailable`). Never rejects.
   */
  abstract admit(request: AdmissionRequest): Promise<AdmissionResult>;
  /** Ends an open event: exactly once, never refused, retried until it commits. */
  abstract settle(event: OpenEventRef, ending: Ending): SettlementTicket;
  /**
   * Ends an event that waited for a price or for a person, while its period is open. `isAbsorbed`:
   * the account pays nothing of it.
   */
  abstract settleWaiting(
    event: OpenEventRef,
    ending: Ending,
    from: 'unpriced' | 'quarantined',
    isAbsorbed?: boolean,
  ): Promise<Receipt>;
  /** Resolves once nothing waits for a commit. */
  abstract idle(): Promise<void>;
}

/** The upstream that an event ended at. */
export function upstreamOf(event: OpenEventRef, ending: Ending): string {
  return ending.upstream ?? event.upstream;
}

export function refOf(event: AdmittedEvent): OpenEventRef {
  const { request } = event;
  return {
    id: request.id,
    accountId: request.accountId,
    memberId: request.memberId,
    tokenId: request.tokenId,
    upstream: request.upstream,
    period: event.period,
    holdPicoUsd: event.holdPicoUsd,
    idempotencyKey: request.idempotency?.key ?? null,
  };
}
