import { NO_CREDIT, type CreditState, type Entitlement } from './credits.js';
import { nextPeriod, periodBounds, periodOf } from './periods.js';
import { entitlementIn, type PlanChange } from './plans.js';

/**
 * The credit of an account after a change of its plan: this period is entitled to the most it has
 * reached by `at`, the next ones to what the plan will be then. What earlier periods were entitled
 * to stays.
 */
export function withEntitlements(
  state: CreditState,
  changes: readonly PlanChange[],
  at: Date,
): CreditState {
  const period = periodOf(at);
  const next = nextPeriod(period);
  const entitlements: readonly Entitlement[] = [
    ...state.entitlements.filter(({ from }) => from < period),
    { from: period, amountPicoUsd: entitlementIn(changes, period, at) },
    { from: next, amountPicoUsd: entitlementIn(changes, next, periodBounds(next).start) },
  ];
  return { ...state, entitlements };
}

/** The credit of a new account: nothing granted yet, entitled to what its plan grants. */
export function creditOfNew(start: PlanChange): CreditState {
  return withEntitlements(NO_CREDIT, [start], start.effectiveAt);
}
