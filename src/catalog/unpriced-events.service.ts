import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { estimateUsage } from '../domain/estimate.js';
import { quantitiesInRows } from '../domain/media-rating.js';
import { priceUsage, rowsInForce, type PricedUsage, type RowsByUnit } from '../domain/pricing.js';
import { isTextTask } from '../domain/tasks.js';
import { isUnit, type Unit } from '../domain/units.js';
import { QUANTITY_MAX, type Quantities } from '../domain/usage.js';
import { LOGGER } from '../http/http.module.js';
import { Journal, type Ending, type Receipt } from '../metering/journal.js';
import { conditionInNote } from './unpriced-note.js';
import {
  UnpricedEventsRepository,
  type ImportedPrice,
  type UnpricedEvent,
} from './unpriced-events.repository.js';

const PAGE = 256;
const NIL_UUID = '00000000-0000-0000-0000-000000000000';
/** Bytes of one token in `estimateUsage`. */
const BYTES_PER_TOKEN = 4;
/** A process may have settled by a book that it had read a moment before. */
const READING_DELAY_MS = 10_000;

/**
 * Rates the events that waited for a price, by the rows in force when they were admitted. An event
 * is rated once: the journal lets no state but `unpriced` through.
 */
@Injectable()
export class UnpricedEventsService {
  constructor(
    private readonly repository: UnpricedEventsRepository,
    private readonly journal: Journal,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Of every provider: what an earlier call did not come to. */
  async rateAll(): Promise<number> {
    return this.rate(null);
  }

  /** How many events left the state `unpriced`. */
  async rate(of: { readonly upstream: string; readonly provider: string } | null): Promise<number> {
    const prices = new Map<string, readonly ImportedPrice[]>();
    let rated = 0;
    let afterId = NIL_UUID;
    for (;;) {
      const events = await this.repository.waiting(of, afterId, PAGE);
      const last = events.at(-1);
      if (last === undefined) break;
      afterId = last.id;
      const receipts: Promise<Receipt>[] = [];
      for (const event of events) {
        const key = `${event.upstream} ${event.provider} ${event.model}`;
        let rows = prices.get(key);
        if (rows === undefined) {
          rows = await this.repository.pricesFor(event.upstream, event.provider, event.model);
          prices.set(key, rows);
        }
        const ending = endingFor(event, rows);
        if (ending !== null) {
          receipts.push(
            this.journal.settleWaiting(refOf(event), ending, 'unpriced', event.isWithheld),
          );
        }
      }
      const done = await Promise.all(receipts);
      rated += done.filter(
        ({ kind }) => kind !== 'already_ended' && kind !== 'period_closed',
      ).length;
    }
    if (rated > 0) this.logger.info({ rated, of }, 'events that had waited for a price were rated');
    return rated;
  }
}

/** How the event ends now that there are prices; null: there are still none for it. */
export function endingFor(event: UnpricedEvent, prices: readonly ImportedPrice[]): Ending | null {
  const rows = rowsInForce(
    prices.map(({ row }) => row),
    { model: event.model, condition: conditionInNote(event.rawUsage), at: event.admittedAt },
  );
  const quantities = quantitiesOf(event, rows);
  if (quantities === null) return null;
  const usage = priceUsage(quantities, rows);
  switch (usage.kind) {
    case 'unpriced':
      return null;
    case 'overflow':
      return {
        ...carried(event),
        state: 'quarantined',
        quantities,
        isPriceAssumed: false,
        ratedCostPicoUsd: null,
        priceRowIds: [],
      };
    case 'priced':
      if (!isNews(usage, prices, event)) return null;
      return {
        ...carried(event),
        state: 'settled',
        quantities,
        isPriceAssumed: usage.isPriceAssumed,
        ratedCostPicoUsd: usage.costPicoUsd,
        priceRowIds: usage.rowIds,
      };
  }
}

/**
 * Some row that prices it was written since. Were all of them known when it ended, it was left
 * unpriced for a reason that these rows do not answer, and rating it by them would be wrong.
 */
function isNews(
  usage: PricedUsage & { readonly kind: 'priced' },
  prices: readonly ImportedPrice[],
  event: UnpricedEvent,
): boolean {
  const used = new Set(usage.rowIds);
  const sinceMs = event.settledAt.getTime() - READING_DELAY_MS;
  return prices.some(({ row, importedAt }) => used.has(row.id) && importedAt.getTime() > sinceMs);
}

/**
 * What of the stored units is to be priced. Of text that is all of them: a unit that was used and has
 * no row keeps it waiting. Of media it is what the rows are in, since everything that was known was
 * stored. Null when that is nothing, or when the units cannot be read: a person has to look.
 */
function quantitiesOf(event: UnpricedEvent, rows: RowsByUnit): Quantities | null {
  const quantities: Partial<Record<Unit, bigint>> = {};
  for (const [unit, text] of Object.entries(event.units)) {
    if (!isUnit(unit) || !/^\d{1,19}$/.test(text)) return null;
    quantities[unit] = BigInt(text);
  }
  const within = isTextTask(event.task) ? quantities : quantitiesInRows(quantities, rows);
  if (within === null || event.usageSource !== 'estimated') return within;
  const { input, output } = within;
  // Of a recording or a picture it is the length or the size that nobody stated: it stays.
  if (input === undefined && output === undefined) return within;
  // Estimated tokens are charged at most the hold, and are lowered by their quantities.
  const estimated = estimateUsage({
    inputTextBytes: bytesOf(input ?? 0n),
    outputTextBytes: bytesOf(output ?? 0n),
    holdPicoUsd: event.holdPicoUsd,
    rows,
  });
  return { ...within, ...estimated };
}

function bytesOf(tokens: bigint): number {
  return Number(tokens < QUANTITY_MAX ? tokens : QUANTITY_MAX) * BYTES_PER_TOKEN;
}

function refOf(event: UnpricedEvent): Parameters<Journal['settleWaiting']>[0] {
  return {
    id: event.id,
    accountId: event.accountId,
    memberId: event.memberId,
    tokenId: event.tokenId,
    upstream: event.upstream,
    period: event.period,
    holdPicoUsd: event.holdPicoUsd,
    // Its key, if it had one, was ended with the request.
    idempotencyKey: null,
  };
}

/** What the ending keeps of the event as it was recorded. */
function carried(
  event: UnpricedEvent,
): Omit<Ending, 'state' | 'quantities' | 'isPriceAssumed' | 'ratedCostPicoUsd' | 'priceRowIds'> {
  return {
    outcome: event.outcome,
    servedAt: event.servedAt,
    provider: event.provider,
    providerModelId: event.providerModelId,
    providerRequestId: event.providerRequestId,
    status: event.status,
    reasoningTokens: event.reasoningTokens,
    usageSource: event.usageSource,
    providerReportedPicoUsd: event.providerReportedPicoUsd,
    firstByteMs: event.firstByteMs,
    durationMs: event.durationMs,
    attempts: event.attempts,
    rawUsage: event.rawUsage,
    givesKeyBack: false,
  };
}
