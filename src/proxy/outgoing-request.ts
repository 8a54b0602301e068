import { DEFAULT_UPSTREAM, type Route } from '../catalog/catalog.js';
import { TollgateError } from '../domain/errors.js';
import type { RowsByUnit } from '../domain/pricing.js';
import type { AttemptPlan } from './attempt-notes.js';
import type { MaxOutputField } from './body/chat-request.js';
import type { OpenedBody } from './body/request-body.js';
import type { Call, RoutedRequest, Served } from './call.js';
import type { ForwarderParts } from './forwarder-parts.js';
import { passAddressOf } from './passthrough/pass-address.js';
import { upstreamHeaders } from './request-headers.js';
import { providerRequestIdOf } from './response-headers.js';
import { isServerless } from './serverless/serverless-tier.service.js';
import type { AnswerHead, ExchangeStart, UpstreamExchange } from './upstream-exchange.js';
import type { Upstream } from './upstreams.js';

/** There is nobody to call. */
const GONE: ExchangeStart = {
  kind: 'failed',
  failure: 'unreachable',
  isReusedConnection: false,
  message: 'the upstream is no longer configured',
};
const NOTHING_DROPPED: readonly string[] = [];
const NO_ROWS: RowsByUnit = new Map();

/** One request as each upstream is to see it, and who answers. */
export class OutgoingRequest {
  constructor(
    private readonly parts: Pick<ForwarderParts, 'catalog' | 'upstreams' | 'metrics' | 'logger'>,
    private readonly call: Call,
    private readonly routed: RoutedRequest,
  ) {}

  /** Whether a stream over this route is to be asked for its usage. */
  mayAskForUsage({ behaviour }: Route): boolean {
    const { endpoint, facts } = this.routed;
    return (
      endpoint.takesStreamOptions &&
      facts.stream === true &&
      facts.includeUsage !== true &&
      behaviour.streamUsage === 'ask'
    );
  }

  async start(plan: AttemptPlan, exchange: UpstreamExchange): Promise<ExchangeStart> {
    const { call, routed } = this;
    const { route } = plan;
    const upstream = this.upstreamOf(route);
    if (upstream === null) return GONE;
    const { body, sizeBytes } = this.bodyFor(plan);
    const headers = upstreamHeaders(call.request.headers, routed.secret, upstream);
    // Who waits for a model waits here, where there is a bound and an order.
    if (isServerless(route)) delete headers['x-wait-for-model'];
    const { dispatcher, path } =
      call.pass === null
        ? {
            dispatcher: upstream.dispatcher,
            path: `${upstream.basePath}${route.path}${routed.endpoint.pathSuffix}${routed.query}`,
          }
        : passAddressOf(upstream, call.pass);
    return exchange.start(dispatcher, {
      method: 'POST',
      path,
      headers: { ...headers, 'content-length': String(sizeBytes) },
      body,
      headersTimeout: upstream.headersTimeoutMs,
      bodyTimeout: upstream.idleTimeoutMs,
    });
  }

  /** Null: it was taken away since the route was chosen, or its key cannot be opened. */
  private upstreamOf({ upstream, isExternal }: Route): Upstream | null {
    const { parts, call, routed } = this;
    try {
      return parts.upstreams.named(upstream, isExternal ? routed.identity.accountId : null);
    } catch (error) {
      if (!(error instanceof TollgateError)) throw error;
      parts.metrics.alarms.inc({ kind: 'upstream_gone' });
      parts.logger.error(
        { err: error, requestId: call.id, upstream },
        'an upstream cannot be used',
      );
      return null;
    }
  }

  /**
   * Who answered: the router says so; an answer of a pinned route without a name is the pinned one's,
   * and a provider that is called directly is the one that was called.
   */
  servedBy(route: Route, head: AnswerHead): Served {
    const named = head.headers['x-inference-provider'];
    const isNamed =
      route.upstream === DEFAULT_UPSTREAM &&
      typeof named === 'string' &&
      /^[a-z0-9-]{2,40}$/.test(named);
    const provider = isNamed ? named : route.provider;
    return {
      route,
      provider,
      providerRequestId: providerRequestIdOf(head.headers),
      status: head.status,
      headers: head.headers,
      rowsFor: (condition) => this.rowsInForce(route, provider, condition),
    };
  }

  private rowsInForce(
    { upstream }: Route,
    provider: string | null,
    condition: string | null,
  ): RowsByUnit {
    const { event } = this.call;
    if (provider === null || event === null) return NO_ROWS;
    return this.parts.catalog.pricesInForce(upstream, provider, {
      model: this.routed.model,
      condition,
      at: event.admittedAt,
    });
  }

  /** Fields of the body that the provider rejects, where it is we who chose the provider. */
  droppedFor({ behaviour }: Route): readonly string[] {
    const { facts, routes } = this.routed;
    if (behaviour.rejects.length === 0) return NOTHING_DROPPED;
    const isChosenByUs = facts.model?.endsWith(`:${routes[0]?.provider ?? ''}`) !== true;
    if (!isChosenByUs) return NOTHING_DROPPED;
    return behaviour.rejects.filter((field) =>
      facts.layout.members.some(({ name }) => name === field),
    );
  }

  private bodyFor({ route, asksForUsage }: AttemptPlan): OpenedBody {
    const { body, facts } = this.routed;
    const written = this.call.event?.maxOutputTokensWritten ?? null;
    const drop = this.droppedFor(route);
    return body.open({
      // A path that names the model may have a body that names none.
      ...(route.modelSent === (facts.model ?? '') ? {} : { model: route.modelSent }),
      ...(written === null
        ? {}
        : { maxOutput: { field: this.maxOutputFieldOf(route), value: written } }),
      ...(asksForUsage ? { includeUsage: true as const } : {}),
      ...(drop.length === 0 ? {} : { drop }),
    });
  }

  private maxOutputFieldOf({ behaviour }: Route): MaxOutputField {
    const { output } = this.routed.endpoint;
    return output.kind === 'written' && output.field !== 'provider'
      ? output.field
      : (behaviour.maxOutputField as MaxOutputField);
  }
}
