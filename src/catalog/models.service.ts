import { Injectable } from '@nestjs/common';
import { formatUsd, type UnitPrice } from '../domain/money.js';
import type { RowsByUnit } from '../domain/pricing.js';
import { CatalogService } from './catalog.service.js';
import type { ServedModel, ServedRoute } from './catalog-snapshot.js';
import { Health } from './health.js';
import { Clock } from '../config/clock.js';

/** A model in the router's own shape. */
export type ModelView = Readonly<Record<string, unknown>>;

export type FoundModel =
  | { readonly kind: 'found'; readonly model: ModelView }
  | { readonly kind: 'unknown'; readonly closest: readonly string[] };

const MODELS_PER_TURN = 50;
const UNITS_PER_MILLION = 1_000_000n;
/** Lists kept for accounts that switched providers off: most have switched off the same few. */
const LISTS_MAX = 20;

/** What was measured changes with every answer: a list with older figures is good enough. */
const MEASURED_KEPT_MS = 10_000;

interface Listed {
  readonly state: object;
  readonly healthVersion: number;
  readonly madeAtMs: number;
  /** By the providers that are left out. */
  readonly json: Map<string, Promise<Buffer>>;
}

/** The public catalogue: the upstreams' own entries with the prices that we charge. */
@Injectable()
export class ModelsService {
  private listed: Listed | null = null;

  constructor(
    private readonly catalog: CatalogService,
    private readonly health: Health,
    private readonly clock: Clock,
  ) {}

  /**
   * The whole list as JSON: written once for as long as it says the same.
   *
   * @param disabled providers to leave out, and the models that nobody else serves.
   */
  async listJson(disabled: ReadonlySet<string>): Promise<Buffer> {
    const at = this.clock.now();
    const { json } = this.listsAt(at);
    const key = [...disabled].sort().join(' ');
    let list = json.get(key);
    if (list === undefined) {
      if (json.size >= LISTS_MAX) json.clear();
      json.set(key, (list = this.jsonOf(this.catalog.served(at), disabled)));
    }
    return list;
  }

  /** One model by its id, or by its id without slashes. */
  find(id: string, disabled: ReadonlySet<string>): FoundModel {
    const at = this.clock.now();
    const known = this.catalog.servedModel(at, id) ?? this.withoutSlash(id, at);
    return known === null
      ? { kind: 'unknown', closest: this.catalog.closestTo(id) }
      : { kind: 'found', model: this.viewOf(known, disabled) };
  }

  private listsAt(at: Date): Listed {
    const state = this.catalog.stateAt(at);
    const healthVersion = this.health.version;
    const madeAtMs = performance.now();
    const { listed } = this;
    const isGood =
      listed?.state === state &&
      (listed.healthVersion === healthVersion || madeAtMs - listed.madeAtMs < MEASURED_KEPT_MS);
    if (isGood) return listed;
    return (this.listed = { state, healthVersion, madeAtMs, json: new Map() });
  }

  private withoutSlash(text: string, at: Date): ServedModel | null {
    const id = this.catalog.idWithoutSlash(text);
    return id === null ? null : this.catalog.servedModel(at, id);
  }

  /** Requests are served in between: a large catalogue takes long to write. */
  private async jsonOf(
    models: Iterable<ServedModel>,
    disabled: ReadonlySet<string>,
  ): Promise<Buffer> {
    const entries: string[] = [];
    let written = 0;
    for (const model of models) {
      const isLeftOut =
        model.routes.length > 0 && model.routes.every(({ provider }) => disabled.has(provider));
      if (!isLeftOut) entries.push(JSON.stringify(this.viewOf(model, disabled)));
      written += 1;
      if (written % MODELS_PER_TURN === 0) {
        await new Promise<void>((resume) => setImmediate(resume));
      }
    }
    return Buffer.from(`{"object":"list","data":[${entries.join(',')}]}`);
  }

  private viewOf({ model, routes }: ServedModel, disabled: ReadonlySet<string>): ModelView {
    const shown = oneEach(routes.filter(({ provider }) => !disabled.has(provider)));
    const providers = shown.map((route) => ({ ...viewOfRoute(route), ...this.measuredOf(route) }));
    return { ...model.entry, id: model.id, providers };
  }

  /** As it was here, where it was; else what the catalogue says stays. */
  private measuredOf({ upstream, provider, model }: ServedRoute): Readonly<Record<string, number>> {
    const { firstByteMs, throughput } = this.health.measured(upstream, provider, model);
    return {
      ...(firstByteMs !== null && { first_token_latency_ms: Math.round(firstByteMs) }),
      ...(throughput !== null && { throughput: Math.round(throughput * 10) / 10 }),
    };
  }
}

/** A provider that serves a model on two ways is shown once: by the first that is live. */
function oneEach(routes: readonly ServedRoute[]): readonly ServedRoute[] {
  const byProvider = new Map<string, ServedRoute>();
  for (const route of routes) {
    const shown = byProvider.get(route.provider);
    if (shown === undefined || (shown.status !== 'live' && route.status === 'live')) {
      byProvider.set(route.provider, route);
    }
  }
  return [...byProvider.values()];
}

/** The provider's own entry; what it costs is what our price book says. */
function viewOfRoute({ entry, provider, status, prices }: ServedRoute): ModelView {
  const { pricing: _theirs, is_free: isFree, ...own } = entry;
  return {
    ...own,
    provider,
    status,
    ...(prices.size > 0 && { pricing: pricingOf(prices) }),
    ...(isFree !== undefined && { is_free: isFreeOfCharge(prices) }),
  };
}

/** USD per 1M units, as JSON numbers: for reading, not for reckoning. */
function pricingOf(prices: RowsByUnit): Readonly<Record<string, number>> {
  return Object.fromEntries([...prices].map(([unit, price]) => [unit, usdPerMillion(price)]));
}

function usdPerMillion({ picoUsd, perUnits }: UnitPrice): number {
  return Number(formatUsd((picoUsd * UNITS_PER_MILLION) / perUnits));
}

function isFreeOfCharge(prices: RowsByUnit): boolean {
  return prices.size > 0 && [...prices.values()].every(({ picoUsd }) => picoUsd === 0n);
}
