import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerAdmin } from './admin.js';
import { Books } from './books.js';
import { Catalogue } from './catalogue.js';
import { serveChat } from './chat.js';
import { type Context, Ids } from './context.js';
import { invalidCredentials, jsonError } from './error-answers.js';
import { Exchange } from './exchange.js';
import { FaultRules } from './fault-rules.js';
import { sendError } from './interruption.js';
import { serveHubModel, serveModels } from './models.js';

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
  /** Requests whose handling has not ended: 0 when nothing leaks. */
  openRequests(): number;
  /** Breaks every connection and ends every wait. Resolves when the port is free. */
  close(): Promise<void>;
}

const CHAT_AT_PROVIDER = /^\/([a-z0-9-]{2,40})\/(?:[\w.%-]+\/)*chat\/completions$/;

/** Starts a simulator. Rejects when the port is taken. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { port = 0, host = '127.0.0.1', seed = 1 } = options;
  const context: Context = {
    seed,
    apiKey: options.apiKey ?? null,
    routerBillsAborted: options.routerBillsAborted ?? false,
    catalogue: new Catalogue(seed, options.cachedPrices ?? true),
    books: new Books(options.keepBooks ?? true),
    faults: new FaultRules(),
    ids: new Ids(options.idPrefix ?? randomUUID().slice(0, 8)),
    now: options.now ?? (() => new Date()),
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
    openRequests: () => open,
    close: () => close(server),
  };
}

async function handle(context: Context, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const exchange = new Exchange(req, res);
  try {
    const bytes = await readBody(req);
    await dispatch(context, exchange, bytes);
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

async function dispatch(context: Context, exchange: Exchange, bytes: Buffer): Promise<void> {
  const { req } = exchange;
  const path = req.url ?? '/';
  if (req.method === 'POST' && path === '/v1/chat/completions') {
    if (isAuthorized(context, req)) await serveChat(context, exchange, bytes, null);
    else unauthorized(context, exchange);
    return;
  }
  const url = new URL(path, 'http://simulator');
  if (url.pathname.startsWith('/_sim/')) {
    sendError(exchange, answerAdmin(context, req, url, bytes) ?? notFound, {});
    return;
  }
  if (req.method === 'GET' && (await dispatchGet(context, exchange, url.pathname))) return;
  const provider = CHAT_AT_PROVIDER.exec(url.pathname)?.[1];
  if (req.method !== 'POST' || provider === undefined) {
    sendError(exchange, notFound, {});
  } else if (isAuthorized(context, req)) {
    await serveChat(context, exchange, bytes, provider);
  } else {
    unauthorized(context, exchange);
  }
}

/** The catalogue needs no key, as the router's does not. False when the path is not a catalogue's. */
async function dispatchGet(context: Context, exchange: Exchange, path: string): Promise<boolean> {
  if (path === '/v1/models') {
    await serveModels(context, exchange, null);
  } else if (path.startsWith('/v1/models/')) {
    await serveModels(context, exchange, decodeURIComponent(path.slice('/v1/models/'.length)));
  } else if (path.startsWith('/api/models/')) {
    serveHubModel(context, exchange, decodeURIComponent(path.slice('/api/models/'.length)));
  } else {
    return false;
  }
  return true;
}

const notFound = jsonError(404, { error: 'Not Found' });

function isAuthorized(context: Context, req: IncomingMessage): boolean {
  return context.apiKey === null || req.headers.authorization === `Bearer ${context.apiKey}`;
}

function unauthorized(context: Context, exchange: Exchange): void {
  const id = context.ids.unbilled();
  sendError(exchange, invalidCredentials, { 'x-request-id': id });
}

async function readBody(req: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    req.on('data', (part: Buffer) => parts.push(part));
    req.once('end', resolve);
    req.once('error', reject);
  });
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
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
