import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RouteAsk } from '../../src/catalog/catalog.js';
import { CatalogService } from '../../src/catalog/catalog.service.js';
import { Clock } from '../../src/config/clock.js';
import { PriceSyncService, type SyncReport } from '../../src/catalog/price-sync.service.js';
import { MetricsService } from '../../src/http/metrics.service.js';
import { ApiClient } from '../support/api-client.js';
import type { TestDatabase } from '../support/database.js';
import { startService, type TestService } from '../support/service.js';

/** The service with its catalogue at hand, and a clock that tests can set. */
export interface CatalogUnderTest extends TestService {
  readonly catalog: CatalogService;
  readonly sync: PriceSyncService;
  readonly api: ApiClient;
  /** Syncs, which must succeed. */
  syncNow(): Promise<SyncReport>;
  /** Sets the price book's clock; it then stands still. */
  setTime(at: Date): void;
  /** Gives the price book another clock. */
  setClock(now: () => Date): void;
  alarms(kind: string): Promise<number>;
  prices(where?: string): Promise<readonly StoredPrice[]>;
}

/** A row of `prices`; times in ms. */
export interface StoredPrice {
  readonly id: string;
  readonly provider: string;
  readonly model: string;
  readonly unit: string;
  readonly pico_usd: string;
  readonly per_units: string;
  readonly from_ms: number;
  readonly to_ms: number | null;
  readonly source: string;
}

export async function startCatalog(
  upstreamUrl: string,
  environment: Readonly<Record<string, string>> = {},
  database?: TestDatabase,
): Promise<CatalogUnderTest> {
  const service = await startService(
    { UPSTREAM_BASE_URL: upstreamUrl, LOG_LEVEL: 'silent', ...environment },
    database,
  );
  const clock = service.app.get(Clock, { strict: false });
  const sync = service.app.get(PriceSyncService, { strict: false });
  const metrics = service.app.get(MetricsService, { strict: false });
  return {
    ...service,
    catalog: service.app.get(CatalogService, { strict: false }),
    sync,
    api: new ApiClient(service.url),
    syncNow: async () => {
      const result = await sync.syncNow();
      if (result.kind !== 'synced') throw new Error(JSON.stringify(result));
      return result.report;
    },
    setTime: (at) => {
      clock.now = () => at;
    },
    setClock: (now) => {
      clock.now = now;
    },
    alarms: async (kind) => {
      const { values } = await metrics.alarms.get();
      return values.find(({ labels }) => labels.kind === kind)?.value ?? 0;
    },
    prices: (where = 'true') =>
      service.database.query<StoredPrice & Record<string, unknown>>(
        `SELECT id::text, provider, model, unit, pico_usd::text, per_units::text, source,
           (extract(epoch FROM effective_from) * 1000)::float8 AS from_ms,
           (extract(epoch FROM effective_to) * 1000)::float8 AS to_ms
         FROM prices WHERE ${where} ORDER BY prices.id`,
      ),
  };
}

/** A server that answers every request with what it was told last. */
export interface ScriptedUpstream {
  readonly url: string;
  readonly calls: number;
  answer(body: string | Buffer, status?: number): void;
  /** A catalogue of one model `org/name`. */
  answerProviders(...providers: readonly Readonly<Record<string, unknown>>[]): void;
  /** Before each answer. */
  beforeAnswer: (() => Promise<void>) | null;
  close(): Promise<void>;
}

export const MODEL = 'org/name';

/** A chat request of nobody in particular. */
export function asked(modelText: string, at: Date): RouteAsk {
  return { modelText, task: 'chat', at, account: null, stickyKey: null, estimate: null };
}

export async function startScriptedUpstream(): Promise<ScriptedUpstream> {
  let body: string | Buffer = '{}';
  let status = 200;
  let calls = 0;
  const upstream: ScriptedUpstream = {
    get url() {
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    get calls() {
      return calls;
    },
    beforeAnswer: null,
    answer: (next, nextStatus = 200) => {
      body = next;
      status = nextStatus;
    },
    answerProviders: (...providers) => {
      body = JSON.stringify({ object: 'list', data: [{ id: MODEL, object: 'model', providers }] });
      status = 200;
    },
    close: () => closed(server),
  };
  const server = createServer((request, response) => {
    calls += 1;
    request.resume();
    void (upstream.beforeAnswer?.() ?? Promise.resolve()).then(() => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return upstream;
}

async function closed(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
    server.closeAllConnections();
  });
}

/** A live provider as the catalogue lists it. */
export function listed(
  provider: string,
  pricing: Readonly<Record<string, unknown>> | null | undefined,
  more: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return {
    provider,
    status: 'live',
    context_length: 131_072,
    ...(pricing !== undefined && { pricing }),
    throughput: 100,
    ...more,
  };
}
