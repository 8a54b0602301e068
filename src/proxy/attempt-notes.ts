import type { Route } from '../catalog/catalog.js';
import type { Call, Relayed, RoutedRequest, Served } from './call.js';
import { clean } from './ending.js';
import { isFailoverStatus } from './failover.js';
import type { ForwarderParts } from './forwarder-parts.js';
import { MODEL_LOADING } from './serverless/cold-start-wait.js';
import type { AnswerHead, UpstreamExchange } from './upstream-exchange.js';

/** One call to be made. */
export interface AttemptPlan {
  readonly route: Route;
  readonly asksForUsage: boolean;
  /** This very route was tried once on a connection that turned out to be dead. */
  readonly isSecondTry: boolean;
}

/** An answer whose head is there, and the attempt that brought it. */
export interface Answered {
  readonly plan: AttemptPlan;
  readonly startedAtMs: number;
  readonly exchange: UpstreamExchange;
  readonly head: AnswerHead;
  readonly served: Served;
}

/** How an attempt ended, as far as its status and its failure say so. */
interface AttemptEnd {
  readonly status: number | null;
  readonly error: string | null;
  readonly served: Served | null;
}

/** Notes how attempts went: on the call, in the metrics, and for the health of the provider. */
export class AttemptNotes {
  constructor(
    private readonly parts: Pick<ForwarderParts, 'metrics' | 'health'>,
    private readonly call: Call,
    private readonly routed: RoutedRequest,
  ) {}

  recordAnswer({ plan, startedAtMs, head, served }: Answered, error: string | null): void {
    this.record(plan, startedAtMs, { status: head.status, error, served });
  }

  /** Notes how an attempt went, on the call and in the metrics. */
  record({ route }: AttemptPlan, startedAtMs: number, end: AttemptEnd): void {
    const { status, error, served } = end;
    const provider = served === null ? route.provider : served.provider;
    this.call.attempts.push({
      upstream: route.upstream,
      provider,
      providerRequestId: clean(served?.providerRequestId ?? null),
      status,
      error: clean(error),
      durationMs: Math.round(performance.now() - startedAtMs),
    });
    if (error !== null) this.noteFailure(route, provider, end);
    this.parts.metrics.attempts.inc({
      upstream: route.upstream,
      provider: provider ?? 'unknown',
      result: error === null && status !== null && status < 400 ? 'ok' : 'error',
    });
  }

  /** What a failed attempt says about the provider; nothing, where it was ours or the caller's. */
  noteFailure(
    { upstream, isExternal }: Route,
    provider: string | null,
    { status, error, served }: AttemptEnd,
  ): void {
    const { call, parts, routed } = this;
    if (call.hasLostClient() || call.isCut || error === MODEL_LOADING) return;
    if (status !== null && !isFailoverStatus(status)) return;
    parts.health.note(
      { upstream, provider, model: routed.model, isExternal },
      { kind: 'failed', retryAfterMs: retryAfterMs(served?.headers['retry-after']) },
      new Date(),
    );
  }

  /** How an answer that was relayed to its end speaks for its provider. */
  noteAnswer({ plan, startedAtMs, served }: Answered, relayed: Relayed): void {
    const { call, parts, routed } = this;
    if (call.hasLostClient() || call.isCut || served.status >= 400) return;
    const called = {
      upstream: plan.route.upstream,
      provider: served.provider,
      model: routed.model,
      isExternal: plan.route.isExternal,
    };
    const { outcome, outputTokens } = relayed;
    const firstByteMs = call.firstByteAtMs === null ? null : call.firstByteAtMs - startedAtMs;
    parts.health.note(
      called,
      outcome === 'complete'
        ? { kind: 'ok', firstByteMs, outputTokens, durationMs: performance.now() - startedAtMs }
        : { kind: 'failed', retryAfterMs: null },
      new Date(),
    );
  }

  /** The answer had begun well: its attempt was recorded before it broke. */
  markFailed(error: string): void {
    const { attempts } = this.call;
    const last = attempts.pop();
    if (last !== undefined) attempts.push({ ...last, error: clean(error) });
  }
}

/** `Retry-After` as seconds or a date; null: not given, or not understood. */
function retryAfterMs(header: string | undefined): number | null {
  if (header === undefined) return null;
  const atMs = /^\d{1,7}$/.test(header) ? null : Date.parse(header);
  if (atMs === null) return Number(header) * 1000;
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - Date.now());
}
