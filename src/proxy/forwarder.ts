import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.js';
import type { Config } from '../config/config.js';
import type { Refusal } from '../domain/errors.js';
import type { MetricsService } from '../http/metrics.service.js';
import { refOf, type EventOutcome, type Journal } from '../metering/journal.js';
import type { BufferBudget } from './buffer-budget.js';
import type { Call, RoutedRequest } from './call.js';
import type { CallRegistry } from './call-registry.js';
import { endingOf, NOTHING_READ } from './ending.js';
import { Forwarding } from './forwarding.js';
import type { ServerlessTier } from './serverless/serverless-tier.service.js';
import type { WaitingRoom } from './serverless/waiting-room.js';
import type { Upstreams } from './upstreams.js';

/** What forwarding needs of the rest of the service. */
export interface ForwarderParts {
  readonly config: Config;
  readonly catalog: Catalog;
  readonly journal: Journal;
  readonly metrics: MetricsService;
  readonly logger: Logger;
  readonly upstreams: Upstreams;
  readonly buffers: BufferBudget;
  readonly calls: CallRegistry;
  readonly serverless: ServerlessTier;
  readonly waitingRoom: WaitingRoom;
  /** Before a 503 of a provider is passed on. */
  readonly beforeUnavailable: (call: Call, routed: RoutedRequest) => Promise<void>;
}

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
