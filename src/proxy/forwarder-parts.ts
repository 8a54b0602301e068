import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.js';
import type { Health } from '../catalog/health.js';
import type { Config } from '../config/config.js';
import type { MetricsService } from '../http/metrics.service.js';
import type { Journal } from '../metering/journal.js';
import type { MediaJobsService } from '../metering/media-jobs.service.js';
import type { BufferBudget } from './buffer-budget.js';
import type { Call, RoutedRequest } from './call.js';
import type { CallRegistry } from './call-registry.js';
import type { ServerlessTier } from './serverless/serverless-tier.service.js';
import type { WaitingRoom } from './serverless/waiting-room.js';
import type { Upstreams } from './upstreams.js';

/** What forwarding needs of the rest of the service. */
export interface ForwarderParts {
  readonly config: Config;
  readonly catalog: Catalog;
  readonly health: Health;
  readonly journal: Journal;
  readonly metrics: MetricsService;
  readonly logger: Logger;
  readonly upstreams: Upstreams;
  readonly jobs: MediaJobsService;
  readonly buffers: BufferBudget;
  readonly calls: CallRegistry;
  readonly serverless: ServerlessTier;
  readonly waitingRoom: WaitingRoom;
  /** Before a 503 of a provider is passed on. */
  readonly beforeUnavailable: (call: Call, routed: RoutedRequest) => Promise<void>;
}
