import type { OutgoingHttpHeaders } from 'node:http';
import type { Logger } from 'pino';
import type { Catalog, Route } from '../catalog/catalog.js';
import type { Config } from '../config/config.js';
import type { Refusal } from '../domain/errors.js';
import type { MetricsService } from '../http/metrics.service.js';
import { refOf, type EventOutcome, type Journal } from '../metering/journal.js';
import { editBody } from './body/edit-body.js';
import type { MaxOutputField } from './body/chat-request.js';
import type { BufferBudget } from './buffer-budget.js';
import type { Call, RoutedRequest, Served } from './call.js';
import type { CallRegistry } from './call-registry.js';
import { clean, endingOf, NOTHING_READ } from './ending.js';
import {
  isAboutOurKey,
  isFailoverFailure,
  isFailoverStatus,
  namesStreamOptions,
} from './failover.js';
import { PlainRelay } from './plain-relay.js';
import * as refusals from './refusals.js';
import { upstreamHeaders } from './request-headers.js';
import {
  encodingOf,
  isEventStream,
  ownHeaders,
  passedHeaders,
  providerRequestIdOf,
  STREAM_HEADERS,
} from './response-headers.js';
import { NOT_RECORDED, settleCall } from './settlement.js';
import { StreamRelay } from './stream-relay.js';
import { UpstreamExchange, type AnswerHead, type UpstreamFailure } from './upstream-exchange.js';
import type { Upstreams } from './upstreams.js';

/** What of an error's body is read to see what it is about. */
const ERROR_TEXT_MAX_BYTES = 64 * 1024;
const ERROR_TEXT_MAX_MS = 5000;

interface AttemptPlan {
  readonly route: Route;
  readonly asksForUsage: boolean;
  /** This very route was tried once on a connection that turned out to be dead. */
  readonly isSecondTry: boolean;
}

/** Notes how an attempt went, on the call and in the metrics. */
type RecordAttempt = (
  status: number | null,
  error: string | null,
  provider: string | null,
  providerRequestId: string | null,
) => void;

/** What is to happen after an attempt. */
type Next =
  | { readonly kind: 'ended'; readonly refusal: Refusal | null }
  | { readonly kind: 'again'; readonly plan: AttemptPlan };

/**
 * Steps 5 to 7: calls providers in the order of the routes, relays the first answer that stands, and
 * settles. Fails over only before the first byte has been passed on.
 */
export class Forwarder {
  constructor(
    private readonly config: Config,
    private readonly catalog: Catalog,
    private readonly journal: Journal,
    private readonly metrics: MetricsService,
    private readonly logger: Logger,
    private readonly upstreams: Upstreams,
    private readonly buffers: BufferBudget,
    private readonly calls: CallRegistry,
    private readonly beforeUnavailable: (call: Call, routed: RoutedRequest) => Promise<void>,
  ) {}

  /** Null when the client was answered (or has left); else what to answer. */
  async forward(call: Call, routed: RoutedRequest): Promise<Refusal | null> {
    const left = [...routed.routes];
    const first = left.shift();
    if (first === undefined) throw new Error('proxy: a routed request without a route');
    let current: AttemptPlan = {
      route: first,
      asksForUsage: this.mayAskForUsage(routed, first),
      isSecondTry: false,
    };
    const endDrain = this.watchClient(call, () => current.route);
    try {
      for (;;) {
        const next = await this.attempt(call, routed, current, left);
        if (next.kind === 'ended') return next.refusal;
        current = next.plan;
      }
    } finally {
      endDrain();
    }
  }

  /** Ends an admitted call of which nothing was used. */
  release(call: Call, outcome: EventOutcome = 'aborted'): void {
    if (call.event === null || call.exchange !== null) return;
    this.journal.settle(
      refOf(call.event),
      endingOf(call, null, NOTHING_READ, { state: 'released' }, outcome),
    );
  }

  private mayAskForUsage({ facts }: RoutedRequest, { behaviour }: Route): boolean {
    return facts.stream === true && facts.includeUsage !== true && behaviour.streamUsage === 'ask';
  }

  private async attempt(
    call: Call,
    routed: RoutedRequest,
    plan: AttemptPlan,
    left: Route[],
  ): Promise<Next> {
    const { route } = plan;
    const startedAtMs = performance.now();
    const exchange = new UpstreamExchange();
    call.exchange = exchange;
    if (call.isClientGone || call.isCut) return this.endUnanswered(call, 'aborted', null);
    const upstream = this.upstreams.named(route.upstream);
    const body = this.bodyFor(call, routed, plan);
    const start = await exchange.start(upstream.dispatcher, {
      method: 'POST',
      path: `${upstream.basePath}/v1/chat/completions`,
      headers: {
        ...upstreamHeaders(call.request.headers, routed.secret, upstream),
        'content-length': String(body.length),
      },
      body,
      headersTimeout: upstream.headersTimeoutMs,
      bodyTimeout: upstream.idleTimeoutMs,
    });
    const record: RecordAttempt = (status, error, provider, providerRequestId) => {
      call.attempts.push({
        upstream: route.upstream,
        provider,
        providerRequestId: clean(providerRequestId),
        status,
        error: clean(error),
        durationMs: Math.round(performance.now() - startedAtMs),
      });
      this.metrics.attempts.inc({
        upstream: route.upstream,
        provider: provider ?? 'unknown',
        result: error === null && status !== null && status < 400 ? 'ok' : 'error',
      });
    };
    if (start.kind === 'failed') {
      record(null, start.failure, route.provider, null);
      const another = this.afterFailure(
        call,
        routed,
        plan,
        left,
        start.failure,
        start.isReusedConnection,
      );
      return another ?? this.endUnanswered(call, start.failure, route);
    }
    const { head } = start;
    const served = this.servedBy(route, head);
    const isLast = left.length === 0 || call.attempts.length + 1 >= this.config.maxAttempts;
    const needsText =
      head.status === 401 ||
      head.status === 402 ||
      head.status === 403 ||
      (plan.asksForUsage && (head.status === 400 || head.status === 422));
    if (head.status >= 400 && isFailoverStatus(head.status) && !isLast && !call.hasLostClient()) {
      record(head.status, `status ${head.status}`, served.provider, served.providerRequestId);
      exchange.abort();
      return { kind: 'again', plan: this.planFor(routed, left) };
    }
    if (needsText) return this.readError(call, routed, plan, left, exchange, head, served, record);
    return this.relay(call, routed, plan, left, exchange, head, served, record, isLast);
  }

  private planFor(routed: RoutedRequest, left: Route[]): AttemptPlan {
    const route = left.shift();
    if (route === undefined) throw new Error('proxy: no route is left');
    return { route, asksForUsage: this.mayAskForUsage(routed, route), isSecondTry: false };
  }

  /** The next plan after a call without an answer; null when there is none. */
  private afterFailure(
    call: Call,
    routed: RoutedRequest,
    plan: AttemptPlan,
    left: Route[],
    failure: UpstreamFailure,
    isReusedConnection: boolean,
  ): Next | null {
    if (call.isClientGone || call.isCut) return null;
    // A kept connection that the other side had closed: the request never arrived.
    if (failure === 'reset' && isReusedConnection && !plan.isSecondTry) {
      return { kind: 'again', plan: { ...plan, isSecondTry: true } };
    }
    if (
      !isFailoverFailure(failure) ||
      left.length === 0 ||
      call.attempts.length >= this.config.maxAttempts
    )
      return null;
    return { kind: 'again', plan: this.planFor(routed, left) };
  }

  /** Ends a call that got no answer: nothing was used. */
  private async endUnanswered(
    call: Call,
    failure: UpstreamFailure,
    route: Route | null,
  ): Promise<Next> {
    const outcome: EventOutcome = call.isCut
      ? 'aborted'
      : call.isClientGone
        ? 'client_gone'
        : 'upstream_error';
    const { event } = call;
    if (event === null) throw new Error('proxy: an attempt before admission');
    const ending = endingOf(call, null, NOTHING_READ, { state: 'released' }, outcome);
    const ticket = this.journal.settle(refOf(event), {
      ...ending,
      provider: route?.provider ?? null,
    });
    // The client learns of the failure when its hold is gone, so that a repetition fits again.
    await Promise.race([
      ticket.receipt,
      new Promise((wake) => setTimeout(wake, this.config.settleWaitMaxMs).unref()),
    ]);
    return { kind: 'ended', refusal: call.isClientGone ? null : refusals.failureRefusal(failure) };
  }

  /** An error that may be about our key, or about what we put into the body: read before it passes. */
  private async readError(
    call: Call,
    routed: RoutedRequest,
    plan: AttemptPlan,
    left: Route[],
    exchange: UpstreamExchange,
    head: AnswerHead,
    served: Served,
    record: RecordAttempt,
  ): Promise<Next> {
    const text = await readText(exchange);
    if (
      plan.asksForUsage &&
      namesStreamOptions(head.status, text.toString('utf8')) &&
      !call.isClientGone
    ) {
      record(head.status, 'stream_options refused', served.provider, served.providerRequestId);
      this.catalog.rememberNoStreamUsage(plan.route.upstream, served.provider);
      return { kind: 'again', plan: { ...plan, asksForUsage: false } };
    }
    if (isAboutOurKey(head.status, text.toString('utf8'))) {
      record(head.status, 'our key was refused', served.provider, served.providerRequestId);
      this.metrics.alarms.inc({ kind: 'upstream_key' });
      this.logger.error(
        { requestId: call.id, upstream: plan.route.upstream, status: head.status },
        'an upstream refused our key',
      );
      await settleCall(
        this.journal,
        call,
        {
          served,
          reading: NOTHING_READ,
          rating: { state: 'released' },
          outcome: 'upstream_error',
          condition: null,
        },
        this.config.settleWaitMaxMs,
      );
      return { kind: 'ended', refusal: refusals.ABOUT_OUR_KEY };
    }
    const replayed = new ReplayedExchange(text);
    return this.relay(call, routed, plan, left, replayed, head, served, record, true);
  }

  private async relay(
    call: Call,
    routed: RoutedRequest,
    plan: AttemptPlan,
    left: Route[],
    exchange: UpstreamExchange,
    head: AnswerHead,
    served: Served,
    record: RecordAttempt,
    isLast: boolean,
  ): Promise<Next> {
    const encoding = encodingOf(head.headers);
    const attemptsBefore = call.attempts.length;
    record(
      head.status,
      head.status >= 400 ? `status ${head.status}` : null,
      served.provider,
      served.providerRequestId,
    );
    const headers = this.answerHeaders(call, routed, served, attemptsBefore + 1);
    if (head.status === 503) await this.beforeUnavailable(call, routed);
    if (isEventStream(head.headers) && head.status < 400) {
      const relay = new StreamRelay(call, routed, served, exchange, {
        journal: this.journal,
        settleWaitMaxMs: this.config.settleWaitMaxMs,
        removesUsageEvent: plan.asksForUsage && !routed.marks.includesCost,
        encoding,
        canFailOver: !isLast,
        sendHead: () => {
          if (call.isClientGone) return;
          call.response.writeHead(head.status, {
            ...passedHeaders(head.headers, false),
            ...headers,
            ...STREAM_HEADERS,
          });
          // With the first event if it is there already, else by itself: the client may wait for it.
          setImmediate(() => {
            if (!call.response.destroyed) call.response.flushHeaders();
          });
        },
      });
      if ((await relay.run()) === 'done') return { kind: 'ended', refusal: null };
      markFailed(call, relay.firstError ?? 'broken before the first event');
      if (call.isClientGone) return this.endUnanswered(call, 'aborted', plan.route);
      return { kind: 'again', plan: this.planFor(routed, left) };
    }
    const relay = new PlainRelay(call, routed, served, exchange, {
      journal: this.journal,
      settleWaitMaxMs: this.config.settleWaitMaxMs,
      holdMaxBytes: this.config.responseHoldMaxBytes,
      budget: this.buffers,
      encoding,
      sendHead: ({ bodyBytes, costUsd }) => {
        if (call.isClientGone) return;
        call.response.writeHead(head.status, {
          ...passedHeaders(head.headers, true),
          ...headers,
          ...(bodyBytes === null ? {} : { 'content-length': bodyBytes }),
          ...(costUsd === null ? {} : { 'x-tollgate-cost-usd': costUsd }),
        });
      },
    });
    const result = await relay.run();
    switch (result.kind) {
      case 'done':
        return { kind: 'ended', refusal: null };
      case 'withheld':
        return { kind: 'ended', refusal: NOT_RECORDED };
      case 'broken':
        markFailed(call, result.failure);
        return { kind: 'ended', refusal: refusals.failureRefusal(result.failure) };
    }
  }

  private answerHeaders(
    call: Call,
    routed: RoutedRequest,
    served: Served,
    attempts: number,
  ): OutgoingHttpHeaders {
    call.rates?.writeTo(call.response);
    const headers = ownHeaders({ requestId: call.id, isDemo: this.config.isDemo });
    if (served.provider !== null) headers['x-inference-provider'] = served.provider;
    headers['x-tollgate-model'] = routed.model;
    headers['x-tollgate-attempts'] = String(attempts);
    const written = call.event?.maxOutputTokensWritten ?? null;
    if (written !== null) headers['x-tollgate-max-tokens'] = String(written);
    return headers;
  }

  /** Who answered: the router says so; an answer of a pinned route without a name is the pinned one's. */
  private servedBy(route: Route, head: AnswerHead): Served {
    const named = head.headers['x-inference-provider'];
    const provider =
      typeof named === 'string' && /^[a-z0-9-]{2,40}$/.test(named) ? named : route.provider;
    return {
      route,
      provider,
      providerRequestId: providerRequestIdOf(head.headers),
      status: head.status,
      priceRows: provider === null ? [] : this.catalog.priceRows(route.upstream, provider),
    };
  }

  private bodyFor(call: Call, routed: RoutedRequest, { route, asksForUsage }: AttemptPlan): Buffer {
    const written = call.event?.maxOutputTokensWritten ?? null;
    return editBody(routed.body, routed.facts, {
      ...(route.modelSent === routed.facts.model ? {} : { model: route.modelSent }),
      ...(written === null
        ? {}
        : {
            maxOutput: { field: route.behaviour.maxOutputField as MaxOutputField, value: written },
          }),
      ...(asksForUsage ? { includeUsage: true as const } : {}),
    });
  }

  /** When the client leaves: read on until the usage is known, or stop where that stops the bill. */
  private watchClient(call: Call, route: () => Route): () => void {
    let timer: NodeJS.Timeout | null = null;
    call.whenClientGone(() => {
      if (route().behaviour.onClientGone === 'abort') {
        call.exchange?.abort();
        return;
      }
      this.calls.drainStarted();
      this.metrics.drains.set(this.calls.drainCount);
      timer = setTimeout(() => call.exchange?.abort(), this.config.drainMaxMs);
      call.exchange?.resume();
    });
    return () => {
      if (timer === null) return;
      clearTimeout(timer);
      this.calls.drainEnded();
      this.metrics.drains.set(this.calls.drainCount);
    };
  }
}

/** The answer had begun well: its attempt was recorded before it broke. */
function markFailed(call: Call, error: string): void {
  const last = call.attempts.pop();
  if (last !== undefined) call.attempts.push({ ...last, error: clean(error) });
}

/** Reads an error's body, bounded in size and time. */
function readText(exchange: UpstreamExchange): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const timer = setTimeout(() => {
      exchange.abort();
    }, ERROR_TEXT_MAX_MS);
    const finish = (): void => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks));
    };
    exchange.pipe({
      data: (chunk) => {
        size += chunk.length;
        chunks.push(chunk);
        if (size > ERROR_TEXT_MAX_BYTES) exchange.abort();
        return true;
      },
      end: finish,
      fail: finish,
    });
  });
}

/** An answer whose body was read already. */
class ReplayedExchange extends UpstreamExchange {
  constructor(private readonly body: Buffer) {
    super();
  }

  override pipe(sink: Parameters<UpstreamExchange['pipe']>[0]): void {
    if (this.body.length > 0) sink.data(this.body);
    sink.end();
  }
}
