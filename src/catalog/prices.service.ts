import { Injectable } from '@nestjs/common';
import { refusal, TollgateError } from '../domain/errors.js';
import { formatUsd, type UnitPrice } from '../domain/money.js';
import { ANY_MODEL, type PriceRow } from '../domain/pricing.js';
import type { Actor } from '../http/actor.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import { CatalogService } from './catalog.service.js';
import { Clock } from '../config/clock.js';
import { OpenPriceBook, PriceBookRepository } from './price-book.repository.js';
import { placeRow, type NewPrice, type PendingPrice, type PriceSubject } from './price-plan.js';
import {
  PricesRepository,
  type ListedPending,
  type ListedPrice,
  type PriceFilter,
} from './prices.repository.js';
import { UnpricedEventsService } from './unpriced-events.service.js';

export interface PriceRequest extends PriceSubject, UnitPrice {
  readonly source: PriceRow['source'];
  /** null: as soon as it may. */
  readonly effectiveFrom: Date | null;
}

/** What the serverless tier has always cost: known before any catalogue says it. */
const STARTING_ROW: PriceSubject & UnitPrice & { readonly source: 'manual' } = {
  upstream: DEFAULT_UPSTREAM,
  provider: 'hf-inference',
  model: ANY_MODEL,
  unit: 'compute_ms',
  condition: null,
  picoUsd: 120_000n,
  perUnits: 1n,
  source: 'manual',
};

/** The price book as the operator reads and writes it. */
@Injectable()
export class PricesService {
  constructor(
    private readonly book: PriceBookRepository,
    private readonly prices: PricesRepository,
    private readonly catalog: CatalogService,
    private readonly unpriced: UnpricedEventsService,
    private readonly clock: Clock,
  ) {}

  /** Once in the life of a database; a row of its key that was ever made is the operator's. */
  async makeStartingRow(): Promise<void> {
    const isMade = await this.book.write(async (book) => {
      const rows = await book.rowsAround(STARTING_ROW);
      if (rows.some(({ unit, condition }) => unit === STARTING_ROW.unit && condition === null)) {
        return false;
      }
      const now = this.clock.now();
      await book.insert([{ ...STARTING_ROW, effectiveFrom: now, effectiveTo: null }], now);
      return true;
    });
    if (isMade) await this.catalog.refresh();
  }

  async list(
    filter: PriceFilter,
    page: { readonly limit: number; readonly afterId: number | null },
  ): Promise<readonly ListedPrice[]> {
    return this.prices.list(filter, page.limit, page.afterId);
  }

  /** What waits for a decision, oldest first. */
  async pendings(limit: number, afterId: string | null): Promise<readonly ListedPending[]> {
    return this.prices.pendings(limit, afterId, this.clock.now());
  }

  /**
   * Adds a row. It may end the one in force, 2 s from now at the earliest; in the past it only fills
   * a gap, and then rates the events that waited in it.
   *
   * @throws TollgateError price_in_force.
   */
  async create(request: PriceRequest, actor: Actor): Promise<PriceRow> {
    const row = await this.book.write(async (book) => {
      const now = this.clock.now();
      return place(book, request, request.effectiveFrom, now, actor, 'price.create');
    });
    await this.catalog.refresh();
    if (row.effectiveFrom.getTime() < this.clock.now().getTime()) {
      await this.unpriced.rate({ upstream: row.upstream, provider: row.provider });
    }
    return row;
  }

  /**
   * Lets a waiting price take effect, ending the row that it replaces (a manual one too).
   *
   * @throws TollgateError not_found, conflict (decided before), price_in_force.
   */
  async approve(id: string, actor: Actor): Promise<PriceRow> {
    const row = await this.book.write(async (book) => {
      const now = this.clock.now();
      const pending = await openPending(book, id);
      await book.decide([id], 'approved', now);
      return place(book, pending, null, now, actor, 'price.approve');
    });
    await this.catalog.refresh();
    return row;
  }

  /** The price in force stays. @throws TollgateError not_found, conflict (decided before). */
  async reject(id: string, actor: Actor): Promise<PendingPrice> {
    return this.book.write(async (book) => {
      const now = this.clock.now();
      const pending = await openPending(book, id);
      await book.decide([id], 'rejected', now);
      await book.audit(
        {
          actor,
          action: 'price.reject',
          subject: subjectText(pending),
          before: null,
          after: { pendingId: id, ...amountOf(pending) },
        },
        now,
      );
      return { ...pending, decision: 'rejected' };
    });
  }

  /** A sync that a person asked for. */
  async noteSync(actor: Actor, outcome: object): Promise<void> {
    await this.book.write(async (book) => {
      await book.audit(
        { actor, action: 'price.sync', subject: DEFAULT_UPSTREAM, before: null, after: outcome },
        this.clock.now(),
      );
    });
  }
}

async function place(
  book: OpenPriceBook,
  price: PriceSubject & UnitPrice & { readonly source: PriceRow['source'] },
  from: Date | null,
  now: Date,
  actor: Actor,
  action: string,
): Promise<PriceRow> {
  const placement = placeRow(price, await book.rowsAround(price), from, now);
  if (placement.kind === 'price_in_force') throw priceInForce(placement.row);
  const { effectiveFrom, effectiveTo, closes } = placement;
  if (closes !== null) await book.close([{ rowId: closes.id, effectiveTo: effectiveFrom }]);
  const added: NewPrice = {
    upstream: price.upstream,
    provider: price.provider,
    model: price.model,
    unit: price.unit,
    condition: price.condition,
    picoUsd: price.picoUsd,
    perUnits: price.perUnits,
    source: price.source,
    effectiveFrom,
    effectiveTo,
  };
  const [row] = await book.insert([added], now);
  if (row === undefined) throw new Error('the price row was not written');
  await book.audit(
    {
      actor,
      action,
      subject: subjectText(price),
      before: closes === null ? null : rowNote(closes),
      after: rowNote(row),
    },
    now,
  );
  return row;
}

async function openPending(book: OpenPriceBook, id: string): Promise<PendingPrice> {
  const pending = await book.pending(id);
  if (pending === null) {
    throw new TollgateError(refusal('not_found', 'There is no such pending price.'));
  }
  if (pending.decision !== null) {
    throw new TollgateError(
      refusal('conflict', `The pending price was ${pending.decision} before.`),
    );
  }
  return pending;
}

function priceInForce(row: PriceRow): TollgateError {
  const until =
    row.effectiveTo === null ? 'until it is replaced' : `to ${row.effectiveTo.toISOString()}`;
  return new TollgateError(
    refusal(
      'price_in_force',
      `Price ${row.id} is in force from ${row.effectiveFrom.toISOString()} ${until}. ` +
        'A price may start in the past only where none was in force; leave effectiveFrom out to start as soon as possible.',
      { param: 'effectiveFrom', details: { priceId: row.id.toString() } },
    ),
  );
}

function subjectText({ upstream, provider, model, unit, condition }: PriceSubject): string {
  const what = `${upstream}/${provider}/${model}/${unit}`;
  return condition === null ? what : `${what}/${condition}`;
}

function amountOf({ picoUsd, perUnits }: UnitPrice): { priceUsd: string; perUnits: string } {
  return { priceUsd: formatUsd(picoUsd), perUnits: perUnits.toString() };
}

function rowNote(row: PriceRow): object {
  return {
    id: row.id.toString(),
    ...amountOf(row),
    effectiveFrom: row.effectiveFrom,
    effectiveTo: row.effectiveTo,
    source: row.source,
  };
}
