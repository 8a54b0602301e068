import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { RowsByUnit } from '../domain/pricing.js';
import type { MediaRequestFacts } from '../domain/media.js';
import type { Identity } from '../identity/identity.js';
import type { AdmittedEvent, Attempt, EventOutcome } from '../metering/journal.js';
import type { Route } from '../catalog/catalog.js';
import type { ChatRequestFacts } from './body/chat-request.js';
import type { RequestBody } from './body/request-body.js';
import type { Endpoint } from './endpoints.js';
import type { MatchedRoute } from './passthrough/match.js';
import type { RateStanding } from './rate-standing.js';
import type { RequestMarks } from './request-headers.js';
import type { UpstreamExchange } from './upstream-exchange.js';

/** A client that reads nothing for this long is gone. */
const CLIENT_STALL_MS = 60_000;

/** A request that was read, checked and routed; what admission and forwarding need of it. */
export interface RoutedRequest {
  readonly identity: Identity;
  readonly secret: string;
  readonly marks: RequestMarks;
  readonly endpoint: Endpoint;
  readonly body: RequestBody;
  readonly facts: ChatRequestFacts;
  readonly model: string;
  readonly routes: readonly Route[];
  /** What it says about media that it asks for or brings. */
  readonly media: MediaRequestFacts;
  /** UTF-8 bytes of its text, for an estimate where no usage is reported. */
  readonly textBytes: number;
  /** Behind the path at the upstream: empty, or from the `?` on. */
  readonly query: string;
}

/** The route and the answer that a call ended on. */
export interface Served {
  readonly route: Route;
  readonly provider: string | null;
  readonly providerRequestId: string | null;
  readonly status: number;
  /** Of the answer. */
  readonly headers: IncomingHttpHeaders;
  /** The provider's rows for the model, in force at admission, under a price condition. */
  readonly rowsFor: (condition: string | null) => RowsByUnit;
}

/** What a relayed answer says about its provider. */
export interface Relayed {
  readonly outcome: EventOutcome;
  /** null: not counted. */
  readonly outputTokens: number | null;
}

/** One request on its way through the proxy: what happened to it so far. */
export class Call {
  readonly createdAt = new Date();
  readonly startedAtMs = performance.now();
  readonly attempts: Attempt[] = [];
  firstByteAtMs: number | null = null;
  exchange: UpstreamExchange | null = null;
  /** What it was routed for, without a suffix; null: it did not come so far. */
  model: string | null = null;
  event: AdmittedEvent | null = null;
  /** Of a request to a provider's own route. */
  pass: MatchedRoute | null = null;
  isClientGone = false;
  /** The process is stopping and cannot wait any longer. */
  isCut = false;
  /** Of a token or payer with limits of requests. */
  rates: RateStanding | null = null;
  /** Closed at the end of the call, whatever became of it. */
  body: RequestBody | null = null;
  /** Bytes of the body that count in the buffer budget. */
  heldBodyBytes = 0;
  private onGone: (() => void) | null = null;
  private stall: NodeJS.Timeout | null = null;

  constructor(
    readonly id: string,
    readonly endpoint: Endpoint,
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
  ) {
    response.on('close', () => {
      if (this.stall !== null) clearTimeout(this.stall);
      if (!response.writableFinished) this.leave();
    });
  }

  /** Calls back once when the client leaves; at once when it has left. */
  whenClientGone(callback: () => void): void {
    this.onGone = callback;
    if (this.isClientGone) callback();
  }

  /**
   * Writes to the client. False: it is behind; `drained` is called when it has caught up. One that
   * reads nothing for a minute is taken for gone.
   */
  write(bytes: Buffer, drained: () => void): boolean {
    if (this.isClientGone) return true;
    if (this.response.write(bytes)) return true;
    // Written while it was behind already: it will catch up with all of it at once.
    if (this.stall !== null) return false;
    this.stall = setTimeout(() => {
      this.leave();
      this.response.destroy();
    }, CLIENT_STALL_MS);
    this.response.once('drain', () => {
      if (this.stall !== null) clearTimeout(this.stall);
      this.stall = null;
      drained();
    });
    return false;
  }

  /** As `isClientGone`, asked anew: it changes while others wait. */
  hasLostClient(): boolean {
    return this.isClientGone;
  }

  elapsedMs(): number {
    return Math.round(performance.now() - this.startedAtMs);
  }

  private leave(): void {
    if (this.isClientGone) return;
    this.isClientGone = true;
    this.onGone?.();
  }
}
