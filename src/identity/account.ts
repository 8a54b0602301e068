import type { Organization, AccountLimits, Plan, ScheduledPlan } from './organization.js';

/** Who pays: an organization or a user's own account. */
export type Account = Organization | UserAccount;

/** What a user may choose of the plans: seats, and so Team, are for organizations. */
export const USER_PLANS = ['free', 'pro'] as const satisfies readonly Plan[];
export type UserPlan = (typeof USER_PLANS)[number];

/** A person and his own account: one id names both. */
export interface UserAccount {
  readonly kind: 'user';
  readonly id: string;
  /** `userSlug(id)`. */
  readonly slug: string;
  readonly email: string;
  readonly name: string;
  readonly plan: Plan;
  readonly seats: 1;
  readonly createdAt: Date;
  readonly scheduled: ScheduledPlan | null;
  readonly limits: AccountLimits;
}

/** Where an account's slug stands: the colon keeps a user's apart from that of any organization. */
export function userSlug(userId: string): string {
  return `user:${userId}`;
}
