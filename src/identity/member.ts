import type { Role } from './organization.js';

/** A person in an organization. */
export interface Member {
  readonly id: string;
  readonly accountId: string;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly createdAt: Date;
  /** Null: no limit of his own. */
  readonly monthlyLimitPicoUsd: bigint | null;
}

/** What is left out stays as it is. */
export interface MemberChange {
  readonly name?: string;
  readonly role?: Role;
  readonly monthlyLimitPicoUsd?: bigint | null;
}
