import type { Attempt, OpenEventRef } from './journal.js';

/** Where a job stands; the last four are the states of its event. */
export type MediaJobState = 'running' | 'settled' | 'released' | 'unpriced' | 'quarantined';

/** What is known of a job when its provider has taken it. */
export interface NewMediaJob {
  readonly event: OpenEventRef;
  readonly admittedAt: Date;
  readonly upstream: string;
  /** The account whose own key took it; null: the operator's. */
  readonly keyAccountId: string | null;
  readonly provider: string;
  /** The provider's id of the job. */
  readonly providerJobId: string;
  /** How the provider tells of its jobs: a name of the route tables. */
  readonly shape: string;
  /** Paths with their query, relative to the upstream's base URL. */
  readonly pollPath: string;
  readonly resultPath: string;
  readonly cancelPath: string | null;
  readonly task: string;
  readonly model: string;
  /** What the request said that prices its result, as JSON text. */
  readonly factsJson: string;
  readonly attempts: readonly Attempt[];
  readonly submittedAt: Date;
  readonly expiresAt: Date;
  readonly firstPollAt: Date;
}

export interface MediaJob extends Omit<NewMediaJob, 'firstPollAt'> {
  readonly state: MediaJobState;
  /** The caller was not told of it in time: its cost is ours. */
  readonly isWithheld: boolean;
  /** How often it was claimed to be polled, this time included. */
  readonly polls: number;
}

export type HandOver =
  /** The hold is the job's now. */
  | 'handed_over'
  /** The event had ended: this process was taken for dead. */
  | 'lost'
  /** The provider named a job that another event has already. */
  | 'duplicate';
