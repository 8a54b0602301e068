import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { adminRoutes } from './admin.js';
import { Books } from './books.js';
import { catalogueRoutes } from './catalogue-routes.js';
import { Catalogue } from './catalogue.js';
import { atProviderRoutes, routerRoutes } from './openai-routes.js';
import { ColdStarts } from './cold-starts.js';
import { type Context, Ids } from './context.js';
import { notFound } from './error-answers.js';
import { Exchange } from './exchange.js';
import { FaultRules } from './fault-rules.js';
import { sendError } from './interruption.js';
import { Jobs } from './jobs.js';
import { providerRoutes } from './provider-routes.js';
import { readBody, type Route } from './routes.js';
import { ResultCache } from './result-cache.js';
import { recordJob } from './unit-lines.js';
import { UnitOffers } from './unit-offers.js';

export interface SimulatorOptions {
  /** 0 (default) takes a free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Decides latencies, throughputs, token counts and random faults. Default 1. */
  readonly seed?: number;
  /** The key callers must send as `Authorization: Bearer`; null (default) takes any. */
  readonly apiKey?: string | null;
  /** False: cached input costs what input costs, everywhere. Default true. */
  readonly cachedPrices?: boolean;
  /**
   * True: whoever hangs up on the router pays the whole answer, whichever provider serves it, as
   * Hugging Face bills. Default false: each provider's own rule counts through the router too.
   */
  readonly routerBillsAborted?: boolean;
  /** False: the books number their lines but keep none, for long benchmarks. Default true. */
  readonly keepBooks?: boolean;
  /** The key each provider wants when called directly, by slug. Default: any. */
  readonly providerKeys?: Readonly<Record<string, string>>;
  /** Start of every request id. Default: new on every start, so ids never repeat. */
  readonly idPrefix?: string;
  /** The clock of books and answers. Default: the system's. */
  readonly now?: () => Date;
}

/** A running stand-in for the router and the providers behind it. */
export interface Simulator {
  /** `http://host:port`, without a path: the router's base URL is `${url}/v1`. */
  readonly url: string;
  readonly port: number;
  /** What was billed. */
  readonly books: Books;
  /** Models and prices; changes count from the next request on. */
  readonly catalogue: Catalogue;
  /** Standing orders to fail. */
  readonly faults: FaultRules;
  /** Jobs under way and ended. */
  readonly jobs: Jobs;
  /** What is priced per unit, not per token. */
  readonly unitOffers: UnitOffers;
  /** Models of the serverless tier that are not loaded. */
  readonly coldStarts: ColdStarts;
  /** The keys of providers called directly. */
  readonly providerKeys: Map<string, string>;
  /** Requests whose handling has not ended: 0 when nothing leaks. */
  openRequests(): number;
  /** Breaks every connection and ends every wait. Resolves when the port is free. */
  close(): Promise<void>;
}

/** Starts a simulator. Rejects when the port is taken. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { port = 0, host = '127.0.0.1', seed = 1 } = options;
  const now = options.now ?? (() => new Date());
  const books = new Books(options.keepBooks ?? true);
  const context: Context = {
    seed,
    apiKey: options.apiKey ?? null,
    routerBillsAborted: options.routerBillsAborted ?? false,
    catalogue: new Catalogue(seed, options.cachedPrices ?? true),
    books,
    faults: new FaultRules(),
    ids: new Ids(options.idPrefix ?? randomUUID().slice(0, 8)),
    unitOffers: new UnitOffers(),
    jobs: new Jobs(now, (job) => recordJob(books, now(), job)),
    coldStarts: new ColdStarts(now),
    results: new ResultCache(),
    providerKeys: new Map(Object.entries(options.providerKeys ?? {})),
    now,
  };
  let open = 0;
  const server = createServer((req, res) => {
    open += 1;
    void handle(context, req, res).finally(() => {
      open -= 1;
    });
  });
  // A proxy keeps its upstream connections: an idle one must not be closed under a request.
  server.keepAliveTimeout = 65_000;
  server.requestTimeout = 0;
  await listen(server, port, host);
  const address = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    port: address.port,
    books: context.books,
    catalogue: context.catalogue,
    faults: context.faults,
    jobs: context.jobs,
    unitOffers: context.unitOffers,
    coldStarts: context.coldStarts,
    providerKeys: context.providerKeys,
    openRequests: () => open,
    close: () => {
      context.jobs.reset();
      return close(server);
    },
  };
}

/** The first route that fits serves: narrow patterns stand before the wide ones that contain them. */
const routes: readonly Route[] = [
  ...routerRoutes,
  ...adminRoutes,
  ...catalogueRoutes,
  ...providerRoutes,
  ...atProviderRoutes,
];

async function handle(context: Context, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const exchange = new Exchange(req, res);
  try {
    await dispatch(context, exchange);
  } catch (error) {
    // Also a client that left in the middle of its own body: then nobody reads this.
    if (res.headersSent) exchange.reset();
    else
      exchange.answer(
        error instanceof URIError ? 400 : 500,
        {},
        JSON.stringify({ error: String(error) }),
      );
  }
}

async function dispatch(context: Context, exchange: Exchange): Promise<void> {
  const { req } = exchange;
  const target = req.url ?? '/';
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  for (const route of routes) {
    if (route.method !== '*' && route.method !== req.method) continue;
    const match = route.pattern.exec(path);
    if (match === null) continue;
    await route.serve({
      context,
      exchange,
      url: new URL(target, 'http://simulator'),
      groups: match.slice(1).map((group: string | undefined) => decodeURIComponent(group ?? '')),
      bytes: () => readBody(req),
    });
    return;
  }
  await readBody(req);
  sendError(exchange, notFound, {});
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
    server.closeAllConnections();
  });
}
