import { Injectable } from '@nestjs/common';
import type { Route } from '../../catalog/catalog.js';
import { Clock } from '../../config/clock.js';
import type { Allowance } from '../../domain/allowance.js';
import { refusal, type Refusal } from '../../domain/errors.js';
import { MetricsService } from '../../http/metrics.service.js';
import type { Identity } from '../../identity/identity.js';
import { ProcessLoadsService } from '../../identity/process-loads.service.js';
import {
  ServerlessAllowanceService,
  type CountedCall,
} from '../../identity/serverless-allowance.service.js';
import type { Call, RoutedRequest } from '../call.js';
import { rateRefusal, type RateState } from '../rate-limits.js';
import { RateStanding } from '../rate-standing.js';
import { STORE_UNAVAILABLE } from '../refusals.js';
import { SERVERLESS_PROVIDER } from './cold-start.js';

const NOT_INSTEAD: Refusal = refusal(
  'upstream_error',
  'The provider failed, and the allowance of the serverless tier, which would have been asked instead, is used up.',
);
/** Load may fall and the day may end: an allowance that was used up is asked about again. */
const BELIEVED_MS = 10_000;
const REMEMBERED_MAX = 10_000;

/** Whether a call over this route goes to the serverless tier for certain, and under a key of ours. */
export function isServerless({ provider, candidates, isExternal }: Route): boolean {
  if (isExternal) return false;
  if (provider !== null) return provider === SERVERLESS_PROVIDER;
  return (
    candidates.length > 0 &&
    candidates.every((candidate) => candidate.provider === SERVERLESS_PROVIDER)
  );
}

/** Whether a call over this route cannot end at the tier under a key of ours. */
function isElsewhere({ provider, candidates, isExternal }: Route): boolean {
  if (isExternal) return true;
  if (provider !== null) return provider !== SERVERLESS_PROVIDER;
  return !candidates.some((candidate) => candidate.provider === SERVERLESS_PROVIDER);
}

/**
 * The allowance of the serverless tier for the calls of the proxy: one database statement for each
 * that goes there, none for any other.
 */
@Injectable()
export class ServerlessTier {
  private readonly counted = new WeakMap<Call, CountedCall>();
  /** Accounts that were found past their allowance lately, until when that is believed. */
  private readonly usedUp = new Map<string, number>();

  constructor(
    private readonly allowances: ServerlessAllowanceService,
    private readonly loads: ProcessLoadsService,
    private readonly clock: Clock,
    private readonly metrics: MetricsService,
  ) {}

  /** Who counts the calls in flight here: the allowance follows their number. */
  watchLoad(inFlight: () => number): void {
    this.loads.watch(inFlight);
  }

  /**
   * Before admission: counts a call whose first route goes to the tier. Past the allowance its other
   * routes are left, where it has any. A choice left to the router is counted when it falls on the
   * tier (`countChosen`), and no longer left to it once the allowance is known to be used up.
   *
   * @returns the routes to try; or the refusal.
   */
  async place(
    call: Call,
    { identity, routes }: Pick<RoutedRequest, 'identity' | 'routes'>,
  ): Promise<readonly Route[] | Refusal> {
    const [first] = routes;
    if (first === undefined) return routes;
    if (!isServerless(first)) {
      if (!this.isKnownUsedUp(identity) || isElsewhere(first)) return routes;
      const others = routes.filter(isElsewhere);
      if (others.length > 0) return others;
    }
    const refused = await this.take(call, identity);
    if (refused === null) return routes;
    const others = routes.filter(isElsewhere);
    return refused.code === 'rate_limit_exceeded' && others.length > 0 ? others : refused;
  }

  /** Counts a call for which the router chose the tier by itself: it was made, whatever is left. */
  async countChosen(call: Call, { accountId, plan }: Identity): Promise<void> {
    if (this.counted.has(call)) return;
    const counted = await this.allowances.count(accountId, plan);
    if (counted.kind === 'unavailable') return;
    this.counted.set(call, counted.call);
    this.show(call, accountId, counted.allowance);
  }

  /** Counts a call in the allowance of the account that pays, once; or says why it may not go there. */
  async take(call: Call, { accountId, plan }: Identity): Promise<Refusal | null> {
    if (this.counted.has(call)) return null;
    const taken = await this.allowances.take(accountId, plan);
    switch (taken.kind) {
      case 'unavailable':
        return STORE_UNAVAILABLE;
      case 'counted':
        this.counted.set(call, taken.call);
        this.show(call, accountId, taken.allowance);
        return null;
      case 'used_up': {
        const state = this.show(call, accountId, taken.allowance);
        this.metrics.rateLimitRefusals.inc({ window: 'day', scope: 'serverless' });
        return usedUp(state, this.clock.now().getTime());
      }
    }
  }

  /**
   * As `take`, for a call that another provider has failed: what failed may be well in a moment,
   * long before the allowance is a new one.
   */
  async takeInstead(call: Call, identity: Identity): Promise<Refusal | null> {
    const refused = await this.take(call, identity);
    return refused?.code === 'rate_limit_exceeded' ? NOT_INSTEAD : refused;
  }

  /** For a call that was counted and then not sent to a provider. */
  async giveBack(call: Call): Promise<void> {
    const counted = this.counted.get(call);
    if (counted === undefined) return;
    this.counted.delete(call);
    const allowance = await this.allowances.giveBack(counted);
    if (allowance !== null) this.show(call, counted.accountId, allowance);
  }

  private show(call: Call, accountId: string, allowance: Allowance): RateState {
    const state = stateOf(accountId, allowance);
    if (allowance.remaining === 0) this.rememberUsedUp(accountId);
    call.rates ??= new RateStanding([], this.clock);
    call.rates.showServerless(state);
    call.rates.writeTo(call.response);
    return state;
  }

  private rememberUsedUp(accountId: string): void {
    if (this.usedUp.size >= REMEMBERED_MAX) this.usedUp.clear();
    this.usedUp.set(accountId, this.clock.now().getTime() + BELIEVED_MS);
  }

  /** Asked for every call: nothing is looked up while nobody is past his allowance. */
  private isKnownUsedUp({ accountId }: Identity): boolean {
    if (this.usedUp.size === 0) return false;
    const until = this.usedUp.get(accountId);
    if (until === undefined) return false;
    if (this.clock.now().getTime() < until) return true;
    this.usedUp.delete(accountId);
    return false;
  }
}

function stateOf(id: string, { limit, remaining, resetsAt }: Allowance): RateState {
  return {
    limit: { scope: 'account', id, window: 'day', max: limit },
    share: limit,
    remaining,
    endsAtMs: resetsAt.getTime(),
  };
}

/** As past any limit of requests; said in the words of this one, which follows load. */
function usedUp(state: RateState, nowMs: number): Refusal {
  const { retryAfterS, details } = rateRefusal(state, nowMs);
  return refusal(
    'rate_limit_exceeded',
    `The account has used up the ${state.limit.max} calls a day that the serverless tier allows at its present load. ` +
      `Try again in ${retryAfterS ?? 0} s, or name another provider behind the model: "model:provider".`,
    { retryAfterS, details },
  );
}
