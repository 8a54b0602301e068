import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { Catalog } from '../catalog/catalog.js';
import { Health } from '../catalog/health.js';
import { UpstreamDirectoryService } from '../catalog/upstream-directory.service.js';
import type { Config } from '../config/config.js';
import { CONFIG, ENCRYPTION_KEY } from '../config/config.module.js';
import { errorStatus, refusal, TollgateError, type Refusal } from '../domain/errors.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import { billedTo, type Identity } from '../identity/identity.js';
import { IdentityService } from '../identity/identity.service.js';
import { Journal } from '../metering/journal.js';
import { MediaJobsService } from '../metering/media-jobs.service.js';
import { Admissions } from './admissions.js';
import { Spool } from './body/spool.js';
import { BufferBudget } from './buffer-budget.js';
import { Call } from './call.js';
import { CallRegistry } from './call-registry.js';
import { sendRefusal } from './error-answer.js';
import { discardBody } from './discard-body.js';
import { CHAT_COMPLETIONS, type Endpoint } from './endpoints.js';
import { Forwarder } from './forwarder.js';
import { JobRequests, UNKNOWN_ROUTE } from './passthrough/job-requests.js';
import { isJobRoute, matchPassThrough, type MatchedRoute } from './passthrough/match.js';
import { endpointOf } from './passthrough/pass-endpoint.js';
import { PassRouting } from './passthrough/pass-routing.js';
import { isRateLimited } from './rate-limits.js';
import { RateLimitsService } from './rate-limits.service.js';
import * as refusals from './refusals.js';
import { readMarks, secretOf } from './request-headers.js';
import { RequestReader } from './request-reader.js';
import { ServerlessTier } from './serverless/serverless-tier.service.js';
import { WaitingRoom } from './serverless/waiting-room.js';
import { UnavailablePause } from './unavailable-pause.js';
import { Upstreams } from './upstreams.js';

/** So many uploads of the largest size may lie on disk at once. */
const SPOOLED_UPLOADS_MAX = 16;

interface Identified {
  readonly identity: Identity;
  readonly secret: string;
}

/** The life of a proxied request: seven steps, each of which may end it. */
@Injectable()
export class ProxyService implements OnModuleInit {
  private readonly calls = new CallRegistry();
  private readonly buffers: BufferBudget;
  private readonly spool: Spool;
  private readonly reader: RequestReader;
  private readonly admissions: Admissions;
  private readonly jobRequests: JobRequests;
  private readonly forwarder: Forwarder;
  private readonly unavailable = new UnavailablePause();

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ENCRYPTION_KEY) encryptionKey: Buffer,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly identities: IdentityService,
    catalog: Catalog,
    health: Health,
    journal: Journal,
    private readonly metrics: MetricsService,
    private readonly rates: RateLimitsService,
    private readonly serverless: ServerlessTier,
    private readonly waitingRoom: WaitingRoom,
    upstreams: Upstreams,
    directory: UpstreamDirectoryService,
    jobs: MediaJobsService,
  ) {
    this.buffers = new BufferBudget(config.bufferMaxBytes);
    this.spool = new Spool(
      join(config.dataDir, 'spool'),
      SPOOLED_UPLOADS_MAX * config.uploadMaxBytes,
    );
    const passes = new PassRouting(config, catalog, directory);
    this.reader = new RequestReader(config, catalog, this.buffers, passes, this.spool);
    this.jobRequests = new JobRequests({
      jobs,
      catalog,
      upstreams,
      metrics,
      logger,
      settleWaitMaxMs: config.settleWaitMaxMs,
      isDemo: config.isDemo,
    });
    this.admissions = new Admissions(config, journal, encryptionKey);
    serverless.watchLoad(() => this.calls.size);
    this.forwarder = new Forwarder({
      config,
      catalog,
      health,
      journal,
      metrics,
      logger,
      upstreams,
      jobs,
      buffers: this.buffers,
      calls: this.calls,
      serverless,
      waitingRoom,
      beforeUnavailable: (call, { identity }) => this.unavailable.before(call, identity),
    });
  }

  async onModuleInit(): Promise<void> {
    await this.spool.prepare();
  }

  async serve(
    endpoint: Endpoint,
    id: string,
    request: IncomingMessage,
    response: ServerResponse,
    address: string,
    pass: MatchedRoute | null = null,
  ): Promise<void> {
    const call = new Call(id, endpoint, request, response);
    call.pass = pass;
    this.calls.add(call);
    this.metrics.inFlight.inc();
    let identity: Identity | null = null;
    let streamOf: string | null = null;
    try {
      // 1 identify
      const identified = await this.identify(call, address);
      if ('code' in identified) {
        await this.refuse(call, identified, null);
        return;
      }
      identity = identified.identity;
      const marks = readMarks(request.headers);
      if ('code' in marks) {
        await this.refuse(call, marks, identity);
        return;
      }
      const payer = billedTo(identity, marks.billTo);
      if (payer === null) {
        await this.refuse(call, refusals.NOT_A_MEMBER, identity);
        return;
      }
      identity = payer;

      // 2 rate
      if (this.calls.size > this.config.inFlightMax) {
        await this.refuse(call, refusals.OVERLOADED, identity);
        return;
      }
      if (pass !== null && isJobRoute(pass)) {
        const refused = await this.jobRequests.follow(call, pass, identity, identified.secret);
        if (refused !== null) await this.refuse(call, refused, identity);
        return;
      }
      if (isRateLimited(identity)) {
        const limited = await this.rates.take(call, identity);
        if (limited !== null) {
          await this.refuse(call, limited, identity);
          return;
        }
      }

      // 3 read and route
      const read = await this.reader.read(call, { ...identified, identity, marks });
      if (read === null) return;
      if ('code' in read) {
        await this.refuse(call, read, identity);
        return;
      }
      call.model = read.model;
      const routes = await this.serverless.place(call, read);
      if ('code' in routes) {
        await this.refuse(call, routes, identity);
        return;
      }
      const routed = routes === read.routes ? read : { ...read, routes };
      if (routed.facts.stream === true) {
        const isTooMany = this.openStream(identity.tokenId);
        if (isTooMany !== null) {
          await this.refuse(call, isTooMany, identity);
          return;
        }
        streamOf = identity.tokenId;
      }

      // 4 admit
      const refused = await this.admissions.admit(call, routed);
      if (refused !== null) {
        await this.refuse(call, refused, identity);
        return;
      }

      // 5 forward, 6 relay, 7 settle
      const ended = await this.forwarder.forward(call, routed);
      if (ended !== null) await this.refuse(call, ended, identity);
    } catch (error) {
      this.logger.error({ err: error, requestId: call.id }, 'a proxied request failed');
      this.metrics.alarms.inc({ kind: 'internal_error' });
      this.forwarder.release(call);
      sendRefusal(call, refusals.INTERNAL_ERROR, this.config.isDemo);
    } finally {
      if (call.attempts.length === 0) await this.serverless.giveBack(call);
      if (streamOf !== null) this.calls.closeStream(streamOf);
      this.buffers.give(call.heldBodyBytes);
      await call.body?.close();
      this.calls.remove(call);
      this.metrics.inFlight.dec();
      this.metrics.requests.inc({ route: endpoint.name, status: String(response.statusCode) });
      this.logger.info(
        {
          requestId: call.id,
          route: endpoint.name,
          token: identity?.tokenId,
          status: response.statusCode,
          durationMs: call.elapsedMs(),
        },
        'request',
      );
    }
  }

  /** A request to a provider's own route: one of the tables, or none. */
  async servePass(
    id: string,
    request: IncomingMessage,
    response: ServerResponse,
    address: string,
  ): Promise<void> {
    const match = matchPassThrough(request.method ?? '', request.url ?? '');
    if (match.kind === 'matched') {
      await this.serve(endpointOf(match), id, request, response, address, match);
      return;
    }
    const call = new Call(id, CHAT_COMPLETIONS, request, response);
    const refused =
      match.kind === 'unknown'
        ? UNKNOWN_ROUTE
        : refusal('invalid_request', match.problem, { param: match.param });
    await this.refuse(call, refused, null);
  }

  /** Waits for the calls in flight; what is left after `graceMs` is cut, settled and ended. */
  async drain(graceMs: number): Promise<void> {
    this.waitingRoom.close();
    if (await this.calls.empty(graceMs)) return;
    this.logger.warn({ left: this.calls.size }, 'cutting the requests that are still in flight');
    this.calls.cutAll();
    await this.calls.empty(this.config.settleWaitMaxMs);
  }

  private async identify(call: Call, address: string): Promise<Identified | Refusal> {
    const secret = secretOf(call.request.headers);
    if (secret === null) return refusals.INVALID_TOKEN;
    const remembered = this.identities.recall(secret);
    const identity = remembered === undefined ? await this.lookUp(secret, address) : remembered;
    if (identity === null) return refusals.INVALID_TOKEN;
    if ('code' in identity) return identity;
    if (!identity.scopes.has('inference')) {
      if (isRateLimited(identity)) await this.rates.show(call, identity);
      return refusal('insufficient_scope', 'This token lacks the scope `inference`.');
    }
    return { identity, secret };
  }

  /** A token that is not in memory; refused when the address asks too often or the store is away. */
  private async lookUp(secret: string, address: string): Promise<Identity | Refusal | null> {
    try {
      return await this.identities.identify(secret, address);
    } catch (error) {
      if (error instanceof TollgateError) return error.refusal;
      throw error;
    }
  }

  private openStream(tokenId: string): Refusal | null {
    if (this.calls.drainCount >= this.config.drainMaxConcurrent) return refusals.OVERLOADED;
    if (this.calls.openStream(tokenId, this.config.streamsPerTokenMax)) return null;
    return refusal(
      'rate_limit_exceeded',
      `This token has ${this.config.streamsPerTokenMax} streams open already.`,
      { retryAfterS: 1 },
    );
  }

  private async refuse(call: Call, refused: Refusal, identity: Identity | null): Promise<void> {
    this.metrics.refusals.inc({ code: refused.code });
    if (call.attempts.length === 0) await this.serverless.giveBack(call);
    if (errorStatus(refused.code) === 503 && identity !== null)
      await this.unavailable.before(call, identity);
    if (identity !== null && call.rates === null && isRateLimited(identity))
      await this.rates.show(call, identity);
    call.rates?.writeTo(call.response);
    if (!call.request.complete) discardBody(call);
    sendRefusal(call, refused, this.config.isDemo);
  }
}
