import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../config/clock.js';
import {
  circuitOf,
  heldOpen,
  measuredOf,
  NOT_MEASURED,
  noted,
  notedAtProvider,
  UNSEEN,
  UNSEEN_PROVIDER,
  type CallResult,
  type Circuit,
  type Measured,
  type ProviderVitals,
  type Vitals,
} from '../domain/health.js';
import { LOGGER } from '../http/http.module.js';
import { HealthMetrics } from './health-metrics.js';
import { Health, UpstreamProbe, type CalledRoute, type RouteHealth } from './health.js';

/** Names come from answers and catalogues: what is remembered of them must have an end. */
const REMEMBERED_MAX = 5_000;
/** Measurements may change an order, and grow old, at most so often. */
const REORDER_EVERY_MS = 10_000;
const LOOK_EVERY_MS = 1_000;
/** So long before its time is over an open circuit's upstream is looked at. */
const PROBE_LEAD_MS = 1_500;

/** A provider at an upstream, and by model what it does there. */
interface Seen {
  readonly upstream: string;
  readonly provider: string | null;
  whole: ProviderVitals;
  readonly models: Map<string, Vitals>;
}

/** Health of routes from real traffic, in the memory of this process; nothing of it is stored. */
@Injectable()
export class HealthService extends Health implements OnModuleInit, OnModuleDestroy {
  private readonly seen = new Map<string, Seen>();
  private modelsSeen = 0;
  private changes = 0;
  /** When the next open circuit may be tried. */
  private nextTrialMs = Infinity;
  private nextReorderMs = -Infinity;
  private timer: NodeJS.Timeout | null = null;
  private readonly probing = new Set<string>();

  constructor(
    private readonly probe: UpstreamProbe,
    private readonly metrics: HealthMetrics,
    private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    super();
  }

  onModuleInit(): void {
    this.timer = setInterval(() => {
      this.probeOpen(this.clock.now()).catch((error: unknown) => {
        this.logger.error({ err: error }, 'upstreams behind open circuits could not be looked at');
      });
    }, LOOK_EVERY_MS).unref();
  }

  onModuleDestroy(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  override get version(): number {
    return this.changes;
  }

  override versionAt(at: Date): number {
    // Before the first call, and then for all but one in ten seconds: two comparisons.
    const atMs = at.getTime();
    if (atMs >= this.nextTrialMs) {
      this.changes += 1;
      this.nextTrialMs = this.nextTrialAfter(atMs);
    }
    if (atMs >= this.nextReorderMs && this.seen.size > 0) {
      this.changes += 1;
      this.nextReorderMs = atMs + REORDER_EVERY_MS;
    }
    return this.changes;
  }

  override note(route: CalledRoute, result: CallResult, at: Date): void {
    const { upstream, provider, model = null } = route;
    if (route.isExternal === true && result.kind === 'failed') return;
    const atMs = at.getTime();
    this.makeRoom();
    const seen = this.seenAt(upstream, provider);
    const before = seen.whole.vitals;
    seen.whole = notedAtProvider(seen.whole, model, result, atMs);
    this.noteCircuit(seen, null, before, seen.whole.vitals, atMs);
    if (model === null) return;
    const vitals = seen.models.get(model);
    const after = noted(vitals ?? UNSEEN, result, atMs);
    if (vitals === undefined) this.modelsSeen += 1;
    seen.models.set(model, after);
    this.noteCircuit(seen, model, vitals ?? UNSEEN, after, atMs);
  }

  override healthOf(
    upstream: string,
    provider: string | null,
    model: string,
    at: Date,
  ): RouteHealth {
    const seen = this.seen.get(keyOf(upstream, provider));
    if (seen === undefined) return 'healthy';
    const atMs = at.getTime();
    const whole = circuitOf(seen.whole.vitals, atMs);
    const own = circuitOf(seen.models.get(model) ?? UNSEEN, atMs);
    return worse(whole, own);
  }

  override measured(upstream: string, provider: string, model: string): Measured {
    const vitals = this.seen.get(keyOf(upstream, provider))?.models.get(model);
    if (vitals === undefined) return NOT_MEASURED;
    return measuredOf(vitals, this.clock.now().getTime());
  }

  /**
   * Looks at the upstreams whose circuits are about to be tried. Where nobody answers they stay open:
   * no request has to find out.
   */
  async probeOpen(at: Date): Promise<void> {
    if (this.nextTrialMs === Infinity) return;
    const byMs = at.getTime() + PROBE_LEAD_MS;
    const due = [...this.seen.values()].filter(
      (seen) => !this.probing.has(seen.upstream) && isDue(seen, at.getTime(), byMs),
    );
    await Promise.all(
      [...new Set(due.map(({ upstream }) => upstream))].map((one) => this.look(one)),
    );
  }

  private async look(upstream: string): Promise<void> {
    this.probing.add(upstream);
    try {
      const isAnswering = await this.probe.isAnswering(upstream);
      this.metrics.probes.inc({ upstream, result: isAnswering ? 'answers' : 'silent' });
      if (!isAnswering) this.holdOpen(upstream, this.clock.now().getTime());
    } finally {
      this.probing.delete(upstream);
    }
  }

  private holdOpen(upstream: string, atMs: number): void {
    for (const seen of this.seen.values()) {
      if (seen.upstream !== upstream) continue;
      seen.whole = { ...seen.whole, vitals: heldOpen(seen.whole.vitals, atMs) };
      for (const [model, vitals] of seen.models) {
        if (vitals.openUntilMs !== null) seen.models.set(model, heldOpen(vitals, atMs));
      }
    }
    this.changes += 1;
    this.nextTrialMs = this.nextTrialAfter(atMs);
  }

  private noteCircuit(
    { upstream, provider }: Seen,
    model: string | null,
    before: Vitals,
    after: Vitals,
    atMs: number,
  ): void {
    if (before.openUntilMs === after.openUntilMs) return;
    this.changes += 1;
    if (after.openUntilMs !== null && after.openUntilMs < this.nextTrialMs) {
      this.nextTrialMs = after.openUntilMs;
    }
    const labels = { upstream, provider: provider ?? 'unknown' };
    const wasOpen = before.openUntilMs !== null;
    const isOpen = after.openUntilMs !== null;
    if (wasOpen !== isOpen) this.metrics.circuitsOpen.inc(labels, isOpen ? 1 : -1);
    if (after.openings > before.openings) this.metrics.openings.inc(labels);
    if (wasOpen === isOpen) return;
    this.logger.warn(
      { upstream, provider, model, waitMs: Math.round((after.openUntilMs ?? atMs) - atMs) },
      isOpen ? 'a provider fails: others go before it' : 'a provider serves again',
    );
  }

  private nextTrialAfter(atMs: number): number {
    let next = Infinity;
    for (const { whole, models } of this.seen.values()) {
      for (const { openUntilMs } of [whole.vitals, ...models.values()]) {
        if (openUntilMs !== null && openUntilMs > atMs && openUntilMs < next) next = openUntilMs;
      }
    }
    return next;
  }

  private seenAt(upstream: string, provider: string | null): Seen {
    const key = keyOf(upstream, provider);
    let seen = this.seen.get(key);
    if (seen === undefined) {
      seen = { upstream, provider, whole: UNSEEN_PROVIDER, models: new Map() };
      this.seen.set(key, seen);
    }
    return seen;
  }

  /** Forgets everything at once: it is learned again within a few calls. */
  private makeRoom(): void {
    if (this.seen.size + this.modelsSeen < REMEMBERED_MAX) return;
    this.seen.clear();
    this.modelsSeen = 0;
    this.metrics.circuitsOpen.reset();
    this.nextTrialMs = Infinity;
    this.changes += 1;
  }
}

function worse(one: Circuit, other: Circuit): RouteHealth {
  if (one === 'open' || other === 'open') return 'unhealthy';
  return one === 'closed' && other === 'closed' ? 'healthy' : 'trial';
}

function isDue({ whole, models }: Seen, atMs: number, byMs: number): boolean {
  return [whole.vitals, ...models.values()].some(
    ({ openUntilMs }) => openUntilMs !== null && openUntilMs > atMs && openUntilMs <= byMs,
  );
}

/** A slug has no space, so no two keys are the same text. */
function keyOf(upstream: string, provider: string | null): string {
  return `${upstream} ${provider ?? ''}`;
}
