import type { AccountLimits } from './organization.js';

/** What is asked for; a part that is left out stays as it is. */
export interface LimitsRequest {
  readonly monthlySpendLimitPicoUsd: bigint | null;
  readonly isPayAsYouGo: boolean;
  readonly maxSpendLimitPicoUsd?: bigint | null;
  readonly requestsPerMinute?: number | null;
  readonly requestsPerDay?: number | null;
}

export interface LimitsRefused {
  readonly kind: 'operator_only';
  readonly reason: 'max_spend_limit' | 'above_max' | 'no_limit';
}

export type LimitsDecision =
  { readonly kind: 'changed'; readonly limits: AccountLimits } | LimitsRefused;

/**
 * The limits after a request. Only the operator sets the maximum, raises the spend limit above it
 * or takes the limit away; what he allowed before may be kept or lowered by anyone who may change
 * limits, but not switched on with pay-as-you-go.
 */
export function decideLimits(
  current: AccountLimits,
  request: LimitsRequest,
  isOperator: boolean,
): LimitsDecision {
  const { maxSpendLimitPicoUsd: max = current.maxSpendLimitPicoUsd } = request;
  if (!isOperator) {
    if (max !== current.maxSpendLimitPicoUsd)
      return { kind: 'operator_only', reason: 'max_spend_limit' };
    const next = request.monthlySpendLimitPicoUsd;
    const isPastMax = next === null || (max !== null && next > max);
    if (isPastMax && raises(current, request)) {
      return { kind: 'operator_only', reason: next === null ? 'no_limit' : 'above_max' };
    }
  }
  const {
    requestsPerMinute = current.requestsPerMinute,
    requestsPerDay = current.requestsPerDay,
    monthlySpendLimitPicoUsd,
    isPayAsYouGo,
  } = request;
  return {
    kind: 'changed',
    limits: {
      monthlySpendLimitPicoUsd,
      isPayAsYouGo,
      maxSpendLimitPicoUsd: max,
      requestsPerMinute,
      requestsPerDay,
    },
  };
}

function raises(current: AccountLimits, request: LimitsRequest): boolean {
  if (request.isPayAsYouGo && !current.isPayAsYouGo) return true;
  const before = current.monthlySpendLimitPicoUsd;
  const next = request.monthlySpendLimitPicoUsd;
  if (before === null) return false;
  return next === null || next > before;
}
