import { type Budget, type BudgetRoom, isFiniteBudget, roomOf, withHold } from './budgets.js';
import { PICO_USD_MAX, type PicoUsd } from './money.js';
import {
  holdAt,
  type HoldCurve,
  largestOutputWithin,
  outputCost,
  type WorstCase,
} from './worst-case.js';

/** What a request would hold. */
export type HoldRequest =
  /** A quantity that nobody can lower (images, speech, an own provider key: 0). */
  | { readonly kind: 'fixed'; readonly holdPicoUsd: PicoUsd }
  /** Output tokens: the curve at M; an M of ours may be lowered to what fits. */
  | {
      readonly kind: 'tokens';
      readonly curve: HoldCurve;
      readonly maxOutputTokens: number;
      /** True when the caller gave no maximum. */
      readonly isMaxOurs: boolean;
      readonly minimumOutputTokens: number;
    };

export interface AdmissionRequest {
  /** The budgets in scope (payer, member, token), each a key of the book. */
  readonly budgetKeys: readonly string[];
  readonly hold: HoldRequest;
}

/** Budgets by a key of the journal's choosing. */
export type BudgetBook = ReadonlyMap<string, Budget>;

export interface Admitted {
  readonly kind: 'admitted';
  readonly holdPicoUsd: PicoUsd;
  /** The maximum to send upstream and to report; null: none of ours (nothing is written). */
  readonly maxOutputTokensWritten: number | null;
}

export interface Refused {
  readonly kind: 'refused';
  readonly code: 'credit_exhausted' | 'spend_limit_reached' | 'insufficient_funds';
  readonly scope: Budget['scope'];
  readonly limitPicoUsd: PicoUsd;
  readonly usedPicoUsd: PicoUsd;
  readonly heldPicoUsd: PicoUsd;
  /** limit - used - held, at least 0. */
  readonly remainingPicoUsd: PicoUsd;
  /** The least hold with which this request would be admitted. */
  readonly requiredPicoUsd: PicoUsd;
  /** The largest maximum that would fit every budget now; null where the cost is not tokens. */
  readonly affordableMaxTokens: number | null;
  /** Without the open holds it would have been admitted: worth another try in a moment. */
  readonly isCausedByOpenHolds: boolean;
}

export type Admission = Admitted | Refused;

export interface AdmittedBatch {
  /** One per request, in their order. */
  readonly admissions: readonly Admission[];
  /** The book with the holds of the admitted added. */
  readonly budgets: BudgetBook;
}

/** Output tokens that a budget must still buy not to be called exhausted. */
export const EXHAUSTED_BELOW_OUTPUT_TOKENS = 16;

/** The hold request of a worst case in output tokens. */
export function holdRequestOf(worstCase: WorstCase): HoldRequest {
  return {
    kind: 'tokens',
    curve: worstCase.curve,
    maxOutputTokens: worstCase.maxOutputTokens,
    isMaxOurs: worstCase.callerMaxOutputTokens === null,
    minimumOutputTokens: worstCase.minimumOutputTokens,
  };
}

/**
 * Admits a batch in its order, each request against the budgets as the ones before it left them, so
 * splitting a batch anywhere gives what the whole gives. All or nothing: a request holds its whole
 * worst case in every budget in scope, or nothing. Afterwards no finite budget in the scope of an
 * admitted request with a hold above 0 is below 0; a hold of 0 always fits.
 *
 * The argument is not changed. Throws an Error when a budget in scope is not in the book: taking it
 * for unlimited would spend past a limit.
 */
export function admitBatch(
  requests: readonly AdmissionRequest[],
  budgets: BudgetBook,
): AdmittedBatch {
  const book = new Map(budgets);
  const admissions = requests.map((request) => {
    const inScope = request.budgetKeys.map((key) => budgetOf(book, key));
    const admission = admit(request.hold, inScope);
    if (admission.kind === 'admitted' && admission.holdPicoUsd > 0n) {
      for (const key of request.budgetKeys) {
        book.set(key, withHold(budgetOf(book, key), admission.holdPicoUsd));
      }
    }
    return admission;
  });
  return { admissions, budgets: book };
}

/**
 * Admits one request against the budgets in scope. Without a caller's maximum the M of ours is
 * lowered to what fits, not below its minimum, and whenever a budget in scope is finite it is
 * written: a maximum that was not sent is no worst case. A hold past what can be stored, possible
 * only where every budget is unlimited, is held as `PICO_USD_MAX`.
 */
export function admit(hold: HoldRequest, budgets: readonly Budget[]): Admission {
  let least: PicoUsd | null = null;
  for (const budget of budgets) {
    const available = roomOf(budget)?.availablePicoUsd ?? null;
    if (available !== null && (least === null || available < least)) least = available;
  }
  if (hold.kind === 'fixed') {
    if (fits(hold.holdPicoUsd, least)) return admitted(hold.holdPicoUsd, null);
    return refuse(hold, budgets);
  }
  const isWritten = hold.isMaxOurs && budgets.some(isFiniteBudget);
  const whole = holdAt(hold.curve, hold.maxOutputTokens);
  if (fits(whole, least)) return admitted(whole, isWritten ? hold.maxOutputTokens : null);
  if (hold.isMaxOurs && least !== null) {
    const lowered = Math.min(largestOutputWithin(hold.curve, least), hold.maxOutputTokens);
    if (lowered >= hold.minimumOutputTokens) return admitted(holdAt(hold.curve, lowered), lowered);
  }
  return refuse(hold, budgets);
}

function admitted(amount: PicoUsd, maxOutputTokensWritten: number | null): Admitted {
  const holdPicoUsd = amount < PICO_USD_MAX ? amount : PICO_USD_MAX;
  return { kind: 'admitted', holdPicoUsd, maxOutputTokensWritten };
}

function fits(amount: PicoUsd, available: PicoUsd | null): boolean {
  return amount === 0n || available === null || amount <= available;
}

interface Shortage {
  readonly budget: Budget;
  readonly room: BudgetRoom;
  readonly isExhausted: boolean;
}

/**
 * Names the budget that refuses. One that is exhausted (what is left of it, open holds ignored,
 * does not buy 16 output tokens of this model, or is nothing) goes before one that is only short
 * now, because no wait opens it; among equals the one with least remaining, then the first given.
 */
function refuse(hold: HoldRequest, budgets: readonly Budget[]): Refused {
  const requiredPicoUsd = requiredOf(hold);
  const least = hold.kind === 'tokens' ? outputCost(hold.curve, EXHAUSTED_BELOW_OUTPUT_TOKENS) : 0n;
  let found: Shortage | null = null;
  let fitsWithoutHolds = true;
  let affordable: number | null = null;
  for (const budget of budgets) {
    const room = roomOf(budget);
    if (room === null) continue;
    if (room.leftPicoUsd < requiredPicoUsd) fitsWithoutHolds = false;
    if (hold.kind === 'tokens') {
      const tokens = Math.max(0, largestOutputWithin(hold.curve, room.availablePicoUsd));
      affordable = affordable === null ? tokens : Math.min(affordable, tokens);
    }
    if (room.availablePicoUsd >= requiredPicoUsd) continue;
    const isExhausted = room.leftPicoUsd <= 0n || room.leftPicoUsd < least;
    const shortage = { budget, room, isExhausted };
    if (found === null || isWorse(shortage, found)) found = shortage;
  }
  if (found === null) throw new Error('admission: refused without a budget that refuses');
  const { budget, room, isExhausted } = found;
  return {
    kind: 'refused',
    code: isExhausted ? exhaustedCode(budget) : 'insufficient_funds',
    scope: budget.scope,
    limitPicoUsd: room.limitPicoUsd,
    usedPicoUsd: room.usedPicoUsd,
    heldPicoUsd: room.heldPicoUsd,
    remainingPicoUsd: room.availablePicoUsd > 0n ? room.availablePicoUsd : 0n,
    requiredPicoUsd,
    affordableMaxTokens: affordable,
    isCausedByOpenHolds: fitsWithoutHolds,
  };
}

function requiredOf(hold: HoldRequest): PicoUsd {
  if (hold.kind === 'fixed') return hold.holdPicoUsd;
  return holdAt(hold.curve, hold.isMaxOurs ? hold.minimumOutputTokens : hold.maxOutputTokens);
}

function isWorse(one: Shortage, other: Shortage): boolean {
  if (one.isExhausted !== other.isExhausted) return one.isExhausted;
  return one.room.availablePicoUsd < other.room.availablePicoUsd;
}

function exhaustedCode(budget: Budget): 'credit_exhausted' | 'spend_limit_reached' {
  return budget.scope === 'account' && !budget.payAsYouGo.isOn
    ? 'credit_exhausted'
    : 'spend_limit_reached';
}

function budgetOf(book: BudgetBook, key: string): Budget {
  const budget = book.get(key);
  if (budget === undefined) throw new Error(`admission: budget ${key} is not in the book`);
  return budget;
}
