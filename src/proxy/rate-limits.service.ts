import { Injectable } from '@nestjs/common';
import { Clock } from '../config/clock.js';
import type { Refusal } from '../domain/errors.js';
import { MetricsService } from '../http/metrics.service.js';
import type { Identity } from '../identity/identity.js';
import type { Call } from './call.js';
import { RateLimiter } from './rate-limiter.js';
import { rateLimitsOf, rateRefusal, type RateState } from './rate-limits.js';
import { RateStanding } from './rate-standing.js';

/** Limits of requests, of tokens and of the accounts that pay. Only for those that have one. */
@Injectable()
export class RateLimitsService {
  constructor(
    private readonly limiter: RateLimiter,
    private readonly clock: Clock,
    private readonly metrics: MetricsService,
  ) {}

  /** Counts a request in every window, or refuses it and counts it in none. */
  async take(call: Call, identity: Identity): Promise<Refusal | null> {
    const nowMs = this.clock.now().getTime();
    const { refusedBy, states } = await this.limiter.take(rateLimitsOf(identity), nowMs);
    this.showStates(call, states);
    if (refusedBy === null) return null;
    const { window, scope } = refusedBy.limit;
    this.metrics.rateLimitRefusals.inc({ window, scope });
    return rateRefusal(refusedBy, nowMs);
  }

  /** For an answer before the request was counted. */
  async show(call: Call, identity: Identity): Promise<void> {
    this.showStates(
      call,
      await this.limiter.peek(rateLimitsOf(identity), this.clock.now().getTime()),
    );
  }

  private showStates(call: Call, states: readonly RateState[]): void {
    call.rates = new RateStanding(states, this.clock);
    call.rates.writeTo(call.response);
  }
}
