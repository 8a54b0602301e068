import { type PicoUsd } from './money.js';

/** What an account can still pay in one period. Amounts are pico-USD. */
export interface AccountBudget {
  readonly scope: 'account';
  /** Credit still usable in this period. */
  readonly creditUsablePicoUsd: PicoUsd;
  readonly payAsYouGo: {
    readonly isOn: boolean;
    /** The monthly spend limit; null: none. */
    readonly limitPicoUsd: PicoUsd | null;
    /** Pay-as-you-go of this period so far. */
    readonly usedPicoUsd: PicoUsd;
  };
  /** Open holds of the account, in every period. */
  readonly heldPicoUsd: PicoUsd;
}

/** The limit of a member or a token. Fees, carry and corrections never count. */
export interface LimitBudget {
  readonly scope: 'member' | 'token';
  /** Null: no limit. */
  readonly limitPicoUsd: PicoUsd | null;
  /** Cost settled this period. */
  readonly usedPicoUsd: PicoUsd;
  readonly heldPicoUsd: PicoUsd;
}

export type Budget = AccountBudget | LimitBudget;

/** A budget as a caller reads it: `limit - used = left`, `left - held = available`. */
export interface BudgetRoom {
  readonly limitPicoUsd: PicoUsd;
  readonly usedPicoUsd: PicoUsd;
  readonly heldPicoUsd: PicoUsd;
  /** Open holds ignored; negative when a limit was lowered below what was used. */
  readonly leftPicoUsd: PicoUsd;
  readonly availablePicoUsd: PicoUsd;
}

/**
 * The room of a budget; null when it is unlimited. An account's limit is its usable credit plus,
 * where pay-as-you-go is on, the monthly spend limit; pay-as-you-go past its limit takes nothing
 * off the credit: what is left of it is max(0, limit - used).
 */
export function roomOf(budget: Budget): BudgetRoom | null {
  if (budget.scope !== 'account') {
    if (budget.limitPicoUsd === null) return null;
    return room(budget.limitPicoUsd, budget.usedPicoUsd, budget.heldPicoUsd);
  }
  const { isOn, limitPicoUsd, usedPicoUsd } = budget.payAsYouGo;
  if (!isOn) return room(budget.creditUsablePicoUsd, 0n, budget.heldPicoUsd);
  if (limitPicoUsd === null) return null;
  const used = usedPicoUsd < limitPicoUsd ? usedPicoUsd : limitPicoUsd;
  return room(budget.creditUsablePicoUsd + limitPicoUsd, used, budget.heldPicoUsd);
}

/** True when the budget can refuse anything at all. */
export function isFiniteBudget(budget: Budget): boolean {
  return budget.scope === 'account'
    ? !budget.payAsYouGo.isOn || budget.payAsYouGo.limitPicoUsd !== null
    : budget.limitPicoUsd !== null;
}

/** The budget with a hold more. */
export function withHold<Kind extends Budget>(budget: Kind, holdPicoUsd: PicoUsd): Kind {
  return { ...budget, heldPicoUsd: budget.heldPicoUsd + holdPicoUsd };
}

export interface SettlementCharge {
  /** What the account pays (`costUsd`). */
  readonly chargedPicoUsd: PicoUsd;
  /** What we bear. Charged + absorbed is exactly the cost. */
  readonly absorbedPicoUsd: PicoUsd;
  /** Part of the cost is ours because neither the hold nor the budget covered it. */
  readonly isOverrun: boolean;
}

/**
 * Who bears a cost; settlement always succeeds. The account pays up to its hold, and beyond it only
 * what credit and pay-as-you-go still cover next to the other holds; the rest is absorbed. The
 * budget is the account's in the event's own period with this hold still in it. Member and token
 * limits stop admissions; they never move a cost to us, so they are no argument.
 */
export function settlementCharge(
  costPicoUsd: PicoUsd,
  holdPicoUsd: PicoUsd,
  account: AccountBudget,
): SettlementCharge {
  let chargedPicoUsd = costPicoUsd;
  if (costPicoUsd > holdPicoUsd) {
    const available = roomOf(account)?.availablePicoUsd ?? null;
    if (available !== null) {
      const payable = holdPicoUsd + (available > 0n ? available : 0n);
      if (payable < costPicoUsd) chargedPicoUsd = payable;
    }
  }
  const absorbedPicoUsd = costPicoUsd - chargedPicoUsd;
  return { chargedPicoUsd, absorbedPicoUsd, isOverrun: absorbedPicoUsd > 0n };
}

function room(limitPicoUsd: PicoUsd, usedPicoUsd: PicoUsd, heldPicoUsd: PicoUsd): BudgetRoom {
  const leftPicoUsd = limitPicoUsd - usedPicoUsd;
  const availablePicoUsd = leftPicoUsd - heldPicoUsd;
  return { limitPicoUsd, usedPicoUsd, heldPicoUsd, leftPicoUsd, availablePicoUsd };
}
