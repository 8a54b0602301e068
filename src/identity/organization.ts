export const PLANS = ['free', 'pro', 'team'] as const;
export type Plan = (typeof PLANS)[number];

export const ROLES = ['owner', 'admin', 'billing', 'member'] as const;
export type Role = (typeof ROLES)[number];

const SLUG = /^[a-z0-9-]{2,40}$/;

/** Text that can be a slug at all; whatever else a path holds never reaches a query. */
export function isSlug(text: string): boolean {
  return SLUG.test(text);
}

/** An account that several people spend from. */
export interface Organization {
  readonly kind: 'organization';
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly plan: Plan;
  readonly seats: number;
  readonly createdAt: Date;
  readonly scheduled: ScheduledPlan | null;
  readonly limits: AccountLimits;
}

/** What a later period begins with. */
export interface ScheduledPlan {
  readonly plan: Plan;
  readonly seats: number;
  readonly effectiveAt: Date;
}

/** Amounts in pico-USD; null: no limit. */
export interface AccountLimits {
  /** Of pay-as-you-go, a month. */
  readonly monthlySpendLimitPicoUsd: bigint | null;
  readonly isPayAsYouGo: boolean;
  /** Only the operator goes past it. */
  readonly maxSpendLimitPicoUsd: bigint | null;
  readonly requestsPerMinute: number | null;
  readonly requestsPerDay: number | null;
}

/** What is left out stays as it is. */
export interface OrganizationChange {
  readonly name?: string;
  readonly plan?: Plan;
  readonly seats?: number;
}
