import type { ServerResponse } from 'node:http';
import type { Clock } from '../config/clock.js';
import { rateHeaders, type RateState } from './rate-limits.js';

/** Where the limits of a call stand, for the headers of its answer. */
export class RateStanding {
  constructor(
    private readonly states: readonly RateState[],
    private readonly clock: Clock,
  ) {}

  /**
   * Puts the headers on an answer, whoever writes its head: what is set is sent with it. Again just
   * before the head, since the seconds left are those from then on.
   */
  writeTo(response: ServerResponse): void {
    if (response.headersSent) return;
    const { rateLimit, policy } = rateHeaders(this.states, this.clock.now().getTime());
    response.setHeader('RateLimit', rateLimit);
    response.setHeader('RateLimit-Policy', policy);
  }
}
