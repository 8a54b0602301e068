import { type PicoUsd } from './money.js';

/** Percent of a limit at which people are told unless they chose others. */
export const DEFAULT_ALERT_THRESHOLDS: readonly number[] = [50, 80, 100];
export const ALERT_THRESHOLDS_MAX = 10;

/** What an alert measures: credit and pay-as-you-go of an account are two limits. */
export type AlertBasis = 'pay_as_you_go' | 'credit' | 'limit';

/** A budget in one period. */
export type BudgetUse =
  | {
      readonly scope: 'account';
      readonly isPayAsYouGo: boolean;
      /** Of pay-as-you-go; null: none. */
      readonly limitPicoUsd: PicoUsd | null;
      /** Pay-as-you-go, past credit. */
      readonly usedPicoUsd: PicoUsd;
      /** What the period's cost has burned, and that plus what it could still burn. */
      readonly credit: { readonly usedPicoUsd: PicoUsd; readonly grantedPicoUsd: PicoUsd };
    }
  | {
      readonly scope: 'member' | 'token';
      readonly limitPicoUsd: PicoUsd | null;
      readonly usedPicoUsd: PicoUsd;
    };

export interface UsageRatio {
  readonly basis: AlertBasis;
  readonly usedPicoUsd: PicoUsd;
  readonly limitPicoUsd: PicoUsd;
}

/**
 * Where a budget ends and how far it is: with pay-as-you-go at its limit, without it at the end of
 * the credit. Null: it ends nowhere.
 */
export function usageRatio(use: BudgetUse): UsageRatio | null {
  if (use.scope === 'account' && !use.isPayAsYouGo) {
    const { usedPicoUsd, grantedPicoUsd } = use.credit;
    return { basis: 'credit', usedPicoUsd, limitPicoUsd: grantedPicoUsd };
  }
  const { limitPicoUsd, usedPicoUsd } = use;
  if (limitPicoUsd === null) return null;
  return { basis: use.scope === 'account' ? 'pay_as_you_go' : 'limit', usedPicoUsd, limitPicoUsd };
}

/**
 * The thresholds (percent) that the use has reached, ascending. Reached is exact: used x 100 >=
 * limit x threshold in whole pico-dollars. Nothing used reaches nothing, a limit of 0 included.
 */
export function reachedThresholds(
  { usedPicoUsd, limitPicoUsd }: UsageRatio,
  thresholds: readonly number[],
): readonly number[] {
  if (usedPicoUsd <= 0n) return [];
  return thresholds
    .filter((threshold) => usedPicoUsd * 100n >= limitPicoUsd * BigInt(threshold))
    .sort((one, other) => one - other);
}

/** An alert that was told in the period and stands. */
export interface StandingAlert {
  readonly id: string;
  readonly basis: AlertBasis;
  readonly threshold: number;
  /** The limit of which it was told. */
  readonly limitPicoUsd: PicoUsd;
}

export interface AlertChanges {
  /** Thresholds that people are to be told, ascending. */
  readonly due: readonly number[];
  /** Ids of alerts that no longer stand: once they are reached again, they are told again. */
  readonly rearmed: readonly string[];
}

/**
 * What a look at a budget changes. An alert stands while its threshold is reached, and lies within
 * the limit that it was told of: past that it was reached anew, however late somebody looks. What is
 * of another basis is left as it is.
 */
export function alertChanges(
  ratio: UsageRatio,
  thresholds: readonly number[],
  told: readonly StandingAlert[],
): AlertChanges {
  const own = told.filter(({ basis }) => basis === ratio.basis);
  const standing = own.filter(
    ({ threshold, limitPicoUsd }) =>
      reachedThresholds(ratio, [threshold]).length > 0 &&
      ratio.limitPicoUsd * BigInt(threshold) <= limitPicoUsd * 100n,
  );
  const standingThresholds = standing.map(({ threshold }) => threshold);
  return {
    due: reachedThresholds(ratio, thresholds).filter((one) => !standingThresholds.includes(one)),
    rearmed: own.filter((alert) => !standing.includes(alert)).map(({ id }) => id),
  };
}

const RETRY_FIRST_MS = 30_000;
const RETRY_MAX_MS = 6 * 3_600_000;
/** The last attempt follows the first one after about 20 hours. */
export const DELIVERY_ATTEMPTS_MAX = 13;

/** How long to wait after so many attempts that failed; null: no further one. */
export function deliveryRetryAfterMs(attempts: number): number | null {
  if (attempts >= DELIVERY_ATTEMPTS_MAX) return null;
  return Math.min(RETRY_FIRST_MS * 2 ** Math.max(0, attempts - 1), RETRY_MAX_MS);
}
