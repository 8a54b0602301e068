import { Injectable } from '@nestjs/common';
import { formatUsd, type UnitPrice } from '../domain/money.js';
import type { RowsByUnit } from '../domain/pricing.js';
import { CatalogService } from './catalog.service.js';
import type { ServedModel, ServedRoute } from './catalog-snapshot.js';
import { Clock } from '../config/clock.js';

/** A model in the router's own shape. */
export type ModelView = Readonly<Record<string, unknown>>;

export type FoundModel =
  | { readonly kind: 'found'; readonly model: ModelView }
  | { readonly kind: 'unknown'; readonly closest: readonly string[] };

const MODELS_PER_TURN = 50;
const UNITS_PER_MILLION = 1_000_000n;

/** The public catalogue: the upstream's own entries with the prices that we charge. */
@Injectable()
export class ModelsService {
  private listed: { readonly state: object; readonly json: Promise<Buffer> } | null = null;

  constructor(
    private readonly catalog: CatalogService,
    private readonly clock: Clock,
  ) {}

  /** The whole list as JSON: written once for as long as it says the same. */
  async listJson(): Promise<Buffer> {
    const at = this.clock.now();
    const state = this.catalog.stateAt(at);
    if (this.listed?.state !== state) {
      this.listed = { state, json: jsonOf(this.catalog.served(at)) };
    }
    return this.listed.json;
  }

  /** One model by its id, or by its id without slashes. */
  find(id: string): FoundModel {
    const at = this.clock.now();
    const known = this.catalog.servedModel(at, id) ?? this.withoutSlash(id, at);
    return known === null
      ? { kind: 'unknown', closest: this.catalog.closestTo(id) }
      : { kind: 'found', model: viewOfModel(known) };
  }

  private withoutSlash(text: string, at: Date): ServedModel | null {
    const id = this.catalog.idWithoutSlash(text);
    return id === null ? null : this.catalog.servedModel(at, id);
  }
}

/** Requests are served in between: a large catalogue takes long to write. */
async function jsonOf(models: Iterable<ServedModel>): Promise<Buffer> {
  const entries: string[] = [];
  for (const model of models) {
    entries.push(JSON.stringify(viewOfModel(model)));
    if (entries.length % MODELS_PER_TURN === 0) {
      await new Promise<void>((resume) => setImmediate(resume));
    }
  }
  return Buffer.from(`{"object":"list","data":[${entries.join(',')}]}`);
}

function viewOfModel({ model, routes }: ServedModel): ModelView {
  return { ...model.entry, id: model.id, providers: routes.map(viewOfRoute) };
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
