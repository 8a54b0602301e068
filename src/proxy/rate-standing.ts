import type { ServerResponse } from 'node:http';
import type { Clock } from '../config/clock.js';
import { rateHeaders, type RateState } from './rate-limits.js';

/** Where the limits of a call stand, for the headers of its answer. */
export class RateStanding {
  private serverless: RateState | null = null;

  constructor(
    private readonly states: readonly RateState[],
    private readonly clock: Clock,
  ) {}

  /** The allowance of the serverless tier, of a call that counts in it. */
  showServerless(state: RateState): void {
    this.serverless = state;
  }

  /**
   * Puts the headers on an answer, whoever writes its head: what is set is sent with it. Again just
   * before the head, since the seconds left are those from then on.
   */
  writeTo(response: ServerResponse): void {
    if (response.headersSent) return;
    const nowMs = this.clock.now().getTime();
    const { rateLimit, policy } = rateHeaders(this.states, nowMs, this.serverless);
    response.setHeader('RateLimit', rateLimit);
    response.setHeader('RateLimit-Policy', policy);
  }
}
