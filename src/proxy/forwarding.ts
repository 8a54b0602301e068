import type { OutgoingHttpHeaders } from 'node:http';
import type { Route } from '../catalog/catalog.js';
import { isPaidPlan } from '../domain/allowance.js';
import type { Refusal } from '../domain/errors.js';
import { refOf, type EventOutcome } from '../metering/journal.js';
import { AttemptNotes, type Answered, type AttemptPlan } from './attempt-notes.js';
import type { Call, RoutedRequest } from './call.js';
import { callHeaders } from './call-headers.js';
import { endingOf, NOTHING_READ } from './ending.js';
import { readErrorText, ReplayedExchange } from './error-text.js';
import {
  isAboutOurKey,
  isFailoverFailure,
  isFailoverStatus,
  namesStreamOptions,
} from './failover.js';
import type { ForwarderParts } from './forwarder-parts.js';
import { OutgoingRequest } from './outgoing-request.js';
import type { JobShape } from './passthrough/job-shapes.js';
import { SubmitRelay } from './passthrough/submit-relay.js';
import { PlainRelay } from './plain-relay.js';
import * as refusals from './refusals.js';
import { encodingOf, isEventStream, passedHeaders, STREAM_HEADERS } from './response-headers.js';
import {
  coldStartOf,
  loadingRefusal,
  SERVERLESS_PROVIDER,
  type ColdStart,
} from './serverless/cold-start.js';
import { ColdStartWait, MODEL_LOADING } from './serverless/cold-start-wait.js';
import { isServerless } from './serverless/serverless-tier.service.js';
import { NOT_RECORDED, settleCall } from './settlement.js';
import { StreamRelay } from './stream-relay.js';
import { within } from './within.js';
import { UpstreamExchange, type ExchangeStart, type UpstreamFailure } from './upstream-exchange.js';

/** What is to happen after an attempt. */
type Next =
  | { readonly kind: 'ended'; readonly refusal: Refusal | null }
  | { readonly kind: 'again'; readonly plan: AttemptPlan };

/** One admitted request on its way through its routes. */
export class Forwarding {
  private readonly notes: AttemptNotes;
  private readonly outgoing: OutgoingRequest;
  private left: Route[];
  /** From the first answer that says that the model is being loaded. */
  private coldStart: ColdStartWait | null = null;

  constructor(
    private readonly parts: ForwarderParts,
    private readonly call: Call,
    private readonly routed: RoutedRequest,
  ) {
    this.notes = new AttemptNotes(parts, call, routed);
    this.outgoing = new OutgoingRequest(parts, call, routed);
    this.left = [...routed.routes];
  }

  async run(): Promise<Refusal | null> {
    let plan = this.nextPlan();
    const endDrain = this.watchClient(() => plan.route);
    try {
      for (;;) {
        const next = await this.attempt(plan);
        if (next.kind === 'ended') return next.refusal;
        plan = next.plan;
      }
    } finally {
      endDrain();
      this.coldStart?.end(false);
    }
  }

  private nextPlan(): AttemptPlan {
    const route = this.left.shift();
    if (route === undefined) throw new Error('proxy: no route is left');
    return { route, asksForUsage: this.outgoing.mayAskForUsage(route), isSecondTry: false };
  }

  private async attempt(plan: AttemptPlan): Promise<Next> {
    const { call } = this;
    const startedAtMs = performance.now();
    const exchange = new UpstreamExchange();
    call.exchange = exchange;
    if (isServerless(plan.route)) {
      const refused = await this.parts.serverless.takeInstead(call, this.routed.identity);
      if (refused !== null) return this.passOver(plan, refused);
    }
    if (call.isClientGone || call.isCut) return this.endUnanswered('aborted', null);
    const start = await this.outgoing.start(plan, exchange);
    if (start.kind === 'failed') {
      this.notes.record(plan, startedAtMs, { status: null, error: start.failure, served: null });
      return this.afterFailure(plan, start) ?? this.endUnanswered(start.failure, plan.route);
    }
    const { head } = start;
    const served = this.outgoing.servedBy(plan.route, head);
    const answered: Answered = { plan, startedAtMs, exchange, head, served };
    if (head.status < 500) this.coldStart?.end(true);
    if (served.provider === SERVERLESS_PROVIDER && !plan.route.isExternal)
      await this.parts.serverless.countChosen(call, this.routed.identity);
    if (isFailoverStatus(head.status) && !this.isLast(answered) && !call.hasLostClient()) {
      this.notes.recordAnswer(answered, `status ${head.status}`);
      exchange.abort();
      this.left = this.othersThan(plan.route.upstream, served.provider);
      return { kind: 'again', plan: this.nextPlan() };
    }
    return this.needsText(answered) ? this.readError(answered) : this.relay(answered);
  }

  /** An error that may be about our key, about what we put into the body, or about a cold start. */
  private needsText({ plan: { asksForUsage }, head: { status }, served }: Answered): boolean {
    if (status === 503) return served.provider === SERVERLESS_PROVIDER;
    const isAboutAccess = status === 401 || status === 402 || status === 403;
    return isAboutAccess || (asksForUsage && (status === 400 || status === 422));
  }

  /** No other provider may be tried should this attempt, not yet recorded, fail. */
  private isLast({ plan: { route }, served }: Answered): boolean {
    return (
      this.othersThan(route.upstream, served.provider).length === 0 ||
      this.call.attempts.length + 1 >= this.parts.config.maxAttempts
    );
  }

  /** The routes left but for those to a provider that has just failed. */
  private othersThan(upstream: string, provider: string | null): Route[] {
    return this.left.filter((route) => route.upstream !== upstream || route.provider !== provider);
  }

  /** The next plan after a call without an answer, which is recorded; null when there is none. */
  private afterFailure(
    plan: AttemptPlan,
    { failure, isReusedConnection }: Extract<ExchangeStart, { kind: 'failed' }>,
  ): Next | null {
    const { call } = this;
    if (call.isClientGone || call.isCut) return null;
    // A kept connection that the other side had closed: the request never arrived.
    if (failure === 'reset' && isReusedConnection && !plan.isSecondTry) {
      return { kind: 'again', plan: { ...plan, isSecondTry: true } };
    }
    this.left = this.othersThan(plan.route.upstream, plan.route.provider);
    const isSpent = this.left.length === 0 || call.attempts.length >= this.parts.config.maxAttempts;
    if (!isFailoverFailure(failure) || isSpent) return null;
    return { kind: 'again', plan: this.nextPlan() };
  }

  /** Ends a call that got no answer: nothing was used. */
  private async endUnanswered(failure: UpstreamFailure, route: Route | null): Promise<Next> {
    const { call } = this;
    const outcome: EventOutcome = call.isCut
      ? 'aborted'
      : call.isClientGone
        ? 'client_gone'
        : 'upstream_error';
    const { event } = call;
    if (event === null) throw new Error('proxy: an attempt before admission');
    const ending = endingOf(call, null, NOTHING_READ, { state: 'released' }, outcome);
    const ticket = this.parts.journal.settle(refOf(event), {
      ...ending,
      ...(route === null ? {} : { upstream: route.upstream }),
      provider: route?.provider ?? null,
    });
    // The client learns of the failure when its hold is gone, so that a repetition fits again.
    await within(ticket.receipt, this.parts.config.settleWaitMaxMs);
    return { kind: 'ended', refusal: call.isClientGone ? null : refusals.failureRefusal(failure) };
  }

  /** Reads an error before it passes: it may not be the caller's to see, or not an end. */
  private async readError(answered: Answered): Promise<Next> {
    const { plan, exchange, head, served } = answered;
    const body = await readErrorText(exchange);
    const text = body.toString('utf8');
    if (plan.asksForUsage && namesStreamOptions(head.status, text) && !this.call.hasLostClient()) {
      this.notes.recordAnswer(answered, 'stream_options refused');
      this.parts.catalog.rememberNoStreamUsage(plan.route.upstream, served.provider);
      return { kind: 'again', plan: { ...plan, asksForUsage: false } };
    }
    const coldStart = coldStartOf(head.status, text);
    if (coldStart !== null) return this.waitForModel(answered, coldStart);
    if (!plan.route.isExternal && isAboutOurKey(head.status, text)) {
      return this.endForOurKey(answered);
    }
    return this.relay({ ...answered, exchange: new ReplayedExchange(body) });
  }

  /** Past the allowance a route of the serverless tier is no route. */
  private async passOver({ route }: AttemptPlan, refused: Refusal): Promise<Next> {
    if (this.left.length > 0) return { kind: 'again', plan: this.nextPlan() };
    await this.endUnanswered('aborted', route);
    return { kind: 'ended', refusal: refused };
  }

  /** The model is being loaded, which costs nothing: waits for it where the caller wants that. */
  private async waitForModel(answered: Answered, coldStart: ColdStart): Promise<Next> {
    const { call, parts, routed } = this;
    const { plan, startedAtMs } = answered;
    this.notes.recordAnswer(answered, MODEL_LOADING);
    this.coldStart ??= new ColdStartWait(parts.waitingRoom, call, isPaidPlan(routed.identity.plan));
    this.coldStart.fold(call.attempts, startedAtMs);
    const end = await this.coldStart.next(`${plan.route.upstream} ${routed.model}`, coldStart);
    if (end === 'ask_again') return { kind: 'again', plan };
    if (end === 'gone') return this.endUnanswered('aborted', plan.route);
    return this.endReleased(answered, loadingRefusal(routed.model, coldStart, end === 'given_up'));
  }

  private async endForOurKey(answered: Answered): Promise<Next> {
    const { call, parts } = this;
    const { plan, head } = answered;
    this.notes.recordAnswer(answered, 'our key was refused');
    parts.metrics.alarms.inc({ kind: 'upstream_key' });
    parts.logger.error(
      { requestId: call.id, upstream: plan.route.upstream, status: head.status },
      'an upstream refused our key',
    );
    return this.endReleased(answered, refusals.ABOUT_OUR_KEY);
  }

  /** An answer of which nothing is passed on, and which costs nothing. */
  private async endReleased({ served }: Answered, refusal: Refusal): Promise<Next> {
    await settleCall(
      this.parts.journal,
      this.call,
      {
        served,
        reading: NOTHING_READ,
        rating: { state: 'released' },
        outcome: 'upstream_error',
        condition: null,
      },
      this.parts.config.settleWaitMaxMs,
    );
    return { kind: 'ended', refusal };
  }

  private async relay(answered: Answered): Promise<Next> {
    const { head } = answered;
    const isLast = this.isLast(answered);
    this.notes.recordAnswer(answered, head.status >= 400 ? `status ${head.status}` : null);
    const own = this.answerHeaders(answered);
    if (head.status === 503) await this.parts.beforeUnavailable(this.call, this.routed);
    const job = this.call.pass?.route.role === 'submit' ? this.call.pass.route.job : null;
    if (job !== null && head.status < 300) return this.relaySubmit(answered, own, job);
    return isEventStream(head.headers) && head.status < 400
      ? this.relayStream(answered, own, !isLast)
      : this.relayPlain(answered, own);
  }

  private async relayStream(
    answered: Answered,
    own: OutgoingHttpHeaders,
    canFailOver: boolean,
  ): Promise<Next> {
    const { call, routed, parts } = this;
    const { plan, exchange, head, served } = answered;
    const relay = new StreamRelay(call, routed, served, exchange, {
      journal: parts.journal,
      settleWaitMaxMs: parts.config.settleWaitMaxMs,
      removesUsageEvent: plan.asksForUsage && !routed.marks.includesCost,
      encoding: encodingOf(head.headers),
      canFailOver,
      sendHead: () => {
        if (call.isClientGone) return;
        call.response.writeHead(head.status, {
          ...passedHeaders(head.headers, false),
          ...own,
          ...STREAM_HEADERS,
        });
        // With the first event if it is there already, else by itself: the client may wait for it.
        setImmediate(() => {
          if (!call.response.destroyed) call.response.flushHeaders();
        });
      },
    });
    if ((await relay.run()) === 'done') {
      this.notes.noteAnswer(answered, relay.relayed);
      return { kind: 'ended', refusal: null };
    }
    this.notes.noteFailure(plan.route, served.provider, { status: null, error: null, served });
    this.notes.markFailed(relay.firstError ?? 'broken before the first event');
    if (call.isClientGone) return this.endUnanswered('aborted', plan.route);
    this.left = this.othersThan(plan.route.upstream, served.provider);
    return { kind: 'again', plan: this.nextPlan() };
  }

  /** The answer that starts a job, which then owns the event. */
  private async relaySubmit(
    { exchange, head, served }: Answered,
    own: OutgoingHttpHeaders,
    shape: JobShape,
  ): Promise<Next> {
    const { call, routed, parts } = this;
    const { pass, event } = call;
    if (pass === null || event === null) throw new Error('proxy: a job without its request');
    const relay = new SubmitRelay(call, routed, pass, shape, served, {
      jobs: parts.jobs,
      journal: parts.journal,
      jobMaxAgeMs: parts.config.jobMaxAgeMs,
      settleWaitMaxMs: parts.config.settleWaitMaxMs,
      rows: served.rowsFor(null),
      send: (body) => {
        if (call.isClientGone) return;
        call.response.writeHead(head.status, {
          ...passedHeaders(head.headers, false),
          ...own,
          'content-length': body.length,
        });
        call.response.end(body);
      },
    });
    const result = await relay.run(exchange, head.headers);
    switch (result.kind) {
      case 'done':
        return { kind: 'ended', refusal: null };
      case 'refused':
        return { kind: 'ended', refusal: result.refusal };
      case 'broken':
        this.notes.markFailed(result.failure);
        return { kind: 'ended', refusal: refusals.failureRefusal(result.failure) };
    }
  }

  private async relayPlain(answered: Answered, own: OutgoingHttpHeaders): Promise<Next> {
    const { call, routed, parts } = this;
    const { exchange, head, served } = answered;
    const relay = new PlainRelay(call, routed, served, exchange, {
      journal: parts.journal,
      settleWaitMaxMs: parts.config.settleWaitMaxMs,
      holdMaxBytes: parts.config.responseHoldMaxBytes,
      budget: parts.buffers,
      encoding: encodingOf(head.headers),
      markFailed: (failure) => {
        this.notes.markFailed(failure);
      },
      sendHead: ({ bodyBytes, costUsd }) => {
        if (call.isClientGone) return;
        const headers = Object.assign(passedHeaders(head.headers, true), own);
        if (bodyBytes !== null) headers['content-length'] = bodyBytes;
        if (costUsd !== null) headers['x-tollgate-cost-usd'] = costUsd;
        call.response.writeHead(head.status, headers);
      },
    });
    const result = await relay.run();
    switch (result.kind) {
      case 'done':
        this.notes.noteAnswer(answered, relay.relayed);
        return { kind: 'ended', refusal: null };
      case 'withheld':
        return { kind: 'ended', refusal: NOT_RECORDED };
      case 'broken':
        return { kind: 'ended', refusal: refusals.failureRefusal(result.failure) };
    }
  }

  /** Of an answer whose attempt is recorded. */
  private answerHeaders({ plan }: Answered): OutgoingHttpHeaders {
    const { call } = this;
    call.rates?.writeTo(call.response);
    const headers = callHeaders(call, this.parts.config.isDemo);
    const dropped = this.outgoing.droppedFor(plan.route);
    if (dropped.length > 0) headers['x-tollgate-dropped'] = dropped.join(', ');
    return headers;
  }

  /** When the client leaves: read on until the usage is known, or stop where that stops the bill. */
  private watchClient(route: () => Route): () => void {
    const { call, parts } = this;
    const { calls, metrics, config } = parts;
    let timer: NodeJS.Timeout | null = null;
    call.whenClientGone(() => {
      if (route().behaviour.onClientGone === 'abort') {
        call.exchange?.abort();
        return;
      }
      calls.drainStarted();
      metrics.drains.set(calls.drainCount);
      timer = setTimeout(() => call.exchange?.abort(), config.drainMaxMs);
      call.exchange?.resume();
    });
    return () => {
      if (timer === null) return;
      clearTimeout(timer);
      calls.drainEnded();
      metrics.drains.set(calls.drainCount);
    };
  }
}
