import { addDays, startOfUtcDay } from './periods.js';

/**
 * How many calls of the serverless tier (`hf-inference`) an account may make in a UTC day. It limits
 * how many, never what one costs.
 *
 * The limit follows load: it is what the load says at the moment of asking, and so may fall or rise
 * within a day, also below what was used. What counts is always the limit of now: `remaining` is
 * never negative, and no call that was let pass is taken back.
 */
export interface Allowance {
  readonly limit: number;
  /** Calls of the day so far. */
  readonly used: number;
  readonly remaining: number;
  /** The next UTC midnight. */
  readonly resetsAt: Date;
}

const FREE_AT_LOW_LOAD = 1000;
const FREE_AT_HIGH_LOAD = 300;
/** The limit moves in whole steps: headers do not change with every call that comes and goes. */
const STEP = 10;
const STEPS = (FREE_AT_LOW_LOAD - FREE_AT_HIGH_LOAD) / STEP;
/** Up to here there is room for everybody; from `HIGH_LOAD` on the limit is at its lowest. */
const LOW_LOAD = 0.5;
const HIGH_LOAD = 0.9;
/** Of Pro, and of Team as a whole: seats pool credit, not calls. */
const PAID_FACTOR = 20;
const PAID_PLANS: ReadonlySet<string> = new Set(['pro', 'team']);
/** How fast a measured load is believed: half of what changed at each measurement. */
const BELIEVED = 0.5;

/** Whether calls of this plan go first where the tier is short of room. */
export function isPaidPlan(plan: string): boolean {
  return PAID_PLANS.has(plan);
}

/**
 * Calls a UTC day: 1,000 at low load, falling in a straight line (in steps of 10) to 300 at high
 * load; 20 times that on a paid plan. A plan that is not known is a free one.
 *
 * @param load in [0, 1]; what is not a number counts as high.
 */
export function allowanceOf(plan: string, load: number): number {
  const isKnown = !Number.isNaN(load);
  const above = isKnown ? (load - LOW_LOAD) / (HIGH_LOAD - LOW_LOAD) : 1;
  const strain = Math.min(1, Math.max(0, above));
  const free = FREE_AT_HIGH_LOAD + STEP * Math.floor(STEPS * (1 - strain));
  return isPaidPlan(plan) ? free * PAID_FACTOR : free;
}

/** Where an account stands that has made `used` calls in the UTC day of `at`. */
export function allowanceAt(limit: number, used: number, at: Date): Allowance {
  return {
    limit,
    used,
    remaining: Math.max(0, limit - used),
    resetsAt: addDays(startOfUtcDay(at), 1),
  };
}

/** What a process has in flight, of what it takes at most. */
export interface ProcessLoad {
  readonly inFlight: number;
  readonly capacity: number;
}

/** In [0, 1]: how full the processes are together; full where they take nothing. */
export function loadOf(processes: readonly ProcessLoad[]): number {
  let inFlight = 0;
  let capacity = 0;
  for (const process of processes) {
    inFlight += Math.max(0, process.inFlight);
    capacity += Math.max(0, process.capacity);
  }
  return capacity === 0 ? 1 : Math.min(1, inFlight / capacity);
}

/** The next believed figure, between the one before and the measured one: a burst is not a load. */
export function smoothed(before: number, measured: number): number {
  return before + (measured - before) * BELIEVED;
}
