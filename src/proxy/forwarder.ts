import type { Refusal } from '../domain/errors.js';
import { refOf, type EventOutcome } from '../metering/journal.js';
import type { Call, RoutedRequest } from './call.js';
import { endingOf, NOTHING_READ } from './ending.js';
import type { ForwarderParts } from './forwarder-parts.js';
import { Forwarding } from './forwarding.js';

/**
 * Steps 5 to 7: calls providers in the order of the routes, relays the first answer that stands, and
 * settles. Fails over only before the first byte has been passed on.
 */
export class Forwarder {
  constructor(private readonly parts: ForwarderParts) {}

  /** Null when the client was answered (or has left); else what to answer. */
  async forward(call: Call, routed: RoutedRequest): Promise<Refusal | null> {
    return new Forwarding(this.parts, call, routed).run();
  }

  /** Ends an admitted call of which nothing was used. */
  release(call: Call, outcome: EventOutcome = 'aborted'): void {
    if (call.event === null || call.exchange !== null) return;
    this.parts.journal.settle(
      refOf(call.event),
      endingOf(call, null, NOTHING_READ, { state: 'released' }, outcome),
    );
  }
}
