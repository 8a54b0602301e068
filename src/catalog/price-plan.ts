import { groupBy } from '../domain/group.js';
import type { UnitPrice } from '../domain/money.js';
import { ANY_MODEL, isInForce, type PriceRow } from '../domain/pricing.js';
import type { Unit } from '../domain/units.js';
import type { ListedModel, ListedRoute } from './catalogue-entry.js';

/** A row that replaces another starts this much ahead, so that every replica knows it by then. */
export const REPLACEMENT_LEAD_MS = 2_000;
/** A change beyond this factor waits for a person. */
const LARGE_CHANGE = 10n;

/** What a price is a price of. */
export interface PriceSubject {
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly unit: Unit;
  /** null: the ordinary price. */
  readonly condition: string | null;
}

export interface NewPrice extends PriceSubject, UnitPrice {
  readonly effectiveFrom: Date;
  readonly effectiveTo: Date | null;
  readonly source: PriceRow['source'];
}

/** The end of a row that was open: set once. */
export interface RowClosing {
  readonly rowId: bigint;
  readonly effectiveTo: Date;
}

export type PendingReason = 'large_change' | 'to_or_from_zero' | 'differs_from_manual';

export interface NewPending extends PriceSubject, UnitPrice {
  readonly source: PriceRow['source'];
  readonly reason: PendingReason;
}

export interface PendingPrice extends NewPending {
  readonly id: string;
  readonly createdAt: Date;
  /** null: waits for a decision. */
  readonly decision: 'approved' | 'rejected' | 'superseded' | null;
}

export type Placement =
  | {
      readonly kind: 'placed';
      readonly effectiveFrom: Date;
      readonly effectiveTo: Date | null;
      /** The row that ends where the new one starts. */
      readonly closes: PriceRow | null;
    }
  /** A row that was, is or will be in force stands in the way. */
  | { readonly kind: 'price_in_force'; readonly row: PriceRow };

/**
 * Where on the time line a new row may stand.
 *
 * In the past it fills a gap, up to the next row: never where a row was in force, nor where the
 * model was priced as `*`, for those requests are settled. From now on it may end a row whose end is
 * open, and then starts at least `REPLACEMENT_LEAD_MS` ahead; so does the first row that a model gets
 * of its own while `*` prices it.
 *
 * @param rows every row, past and future, of the subject's provider with its model or `*`.
 * @param from where it is to start; null: as soon as it may.
 */
export function placeRow(
  subject: PriceSubject,
  rows: readonly PriceRow[],
  from: Date | null,
  now: Date,
  leadMs = REPLACEMENT_LEAD_MS,
): Placement {
  const own = rows.filter(({ model }) => model === subject.model);
  const any = rows.filter(({ model }) => model === ANY_MODEL && subject.model !== ANY_MODEL);
  const ofKey = own.filter(
    (row) => row.unit === subject.unit && row.condition === subject.condition,
  );
  const pricingAt = (at: Date): PriceRow | undefined => {
    const inForce = ofKey.find((row) => isInForce(row, at));
    if (inForce !== undefined || own.some((row) => isInForce(row, at))) return inForce;
    return any.find((row) => isInForce(row, at));
  };
  const lead = new Date(now.getTime() + leadMs);
  let start = from ?? now;
  const isPast = start.getTime() < now.getTime();
  const isSoon = !isPast && start.getTime() < lead.getTime();
  if (isSoon && firstIn(pricingAt, rows, start, lead) !== null) start = lead;
  const next = startOfNext(ofKey, start);
  const placed = { kind: 'placed', effectiveFrom: start, effectiveTo: next } as const;
  if (isPast) {
    const inTheWay = firstIn(pricingAt, rows, start, earlier(next, lead));
    return inTheWay === null
      ? { ...placed, closes: null }
      : { kind: 'price_in_force', row: inTheWay };
  }
  const replaced = ofKey.find((row) => isInForce(row, start));
  if (replaced === undefined) return { ...placed, closes: null };
  const canEnd =
    replaced.effectiveTo === null && replaced.effectiveFrom.getTime() < start.getTime();
  return canEnd ? { ...placed, closes: replaced } : { kind: 'price_in_force', row: replaced };
}

function startOfNext(rows: readonly PriceRow[], after: Date): Date | null {
  let next: Date | null = null;
  for (const { effectiveFrom } of rows) {
    if (effectiveFrom.getTime() <= after.getTime()) continue;
    if (next === null || effectiveFrom.getTime() < next.getTime()) next = effectiveFrom;
  }
  return next;
}

/** The first row that prices the subject somewhere in [start, end): it changes only where one does. */
function firstIn(
  pricingAt: (at: Date) => PriceRow | undefined,
  rows: readonly PriceRow[],
  start: Date,
  end: Date,
): PriceRow | null {
  const instants = rows
    .flatMap(({ effectiveFrom, effectiveTo }) => [effectiveFrom, effectiveTo])
    .filter((at) => at !== null && at.getTime() > start.getTime() && at.getTime() < end.getTime());
  for (const at of [start, ...instants]) {
    const row = at === null ? undefined : pricingAt(at);
    if (row !== undefined) return row;
  }
  return null;
}

function earlier(one: Date | null, other: Date): Date {
  return one !== null && one.getTime() < other.getTime() ? one : other;
}

/** What the store holds of one upstream when a catalogue is taken over. */
export interface BookState {
  /** Rows of the upstream that have not ended. */
  readonly rows: readonly PriceRow[];
  /** Of each subject the latest row that waits or waited for a decision. */
  readonly pendings: readonly PendingPrice[];
  readonly routes: readonly { readonly model: string; readonly provider: string }[];
}

export interface RouteFlags {
  readonly model: string;
  readonly provider: string;
  readonly isPriceStale: boolean;
}

/** What taking over a catalogue writes to the price book. */
export interface SyncPlan {
  readonly closings: readonly RowClosing[];
  readonly prices: readonly NewPrice[];
  readonly supersededIds: readonly string[];
  readonly pendings: readonly NewPending[];
  /** Of listed routes and of those that are no longer listed. */
  readonly listedFlags: readonly RouteFlags[];
  readonly unlistedFlags: readonly RouteFlags[];
}

/**
 * Compares a catalogue with the price book. Writes only rows of its own upstream and source; a row
 * of another source is never ended, a figure that differs from it waits beside it. A figure that
 * changes by more than 10x, or to or from 0, waits for approval; one that was rejected is not asked
 * about again until it changes. A price that the catalogue no longer states stays in force and is
 * flagged stale. The same document again plans nothing.
 */
export function planSync(
  models: readonly ListedModel[],
  state: BookState,
  context: {
    readonly upstream: string;
    readonly source: PriceRow['source'];
    readonly now: Date;
    /** At least `REPLACEMENT_LEAD_MS`; more where writing takes long. */
    readonly leadMs?: number;
  },
): SyncPlan {
  const { upstream, source, now, leadMs = REPLACEMENT_LEAD_MS } = context;
  const plan = {
    closings: [] as RowClosing[],
    prices: [] as NewPrice[],
    supersededIds: [] as string[],
    pendings: [] as NewPending[],
    listedFlags: [] as RouteFlags[],
    unlistedFlags: [] as RouteFlags[],
  };
  const byRoute = groupBy(state.rows, routeKey);
  const pendings = new Map(state.pendings.map((pending) => [subjectKey(pending), pending]));
  const known = new Set(state.routes.map(routeKey));
  const listed = new Set<string>();
  for (const model of models) {
    for (const route of model.routes) {
      const key = routeKey({ model: model.id, provider: route.provider });
      listed.add(key);
      const own = byRoute.get(key) ?? [];
      const any = byRoute.get(routeKey({ model: ANY_MODEL, provider: route.provider })) ?? [];
      // Nobody can have been sent to a route that is new, so nobody was charged by `*` there.
      const rows = known.has(key) ? [...own, ...any] : own;
      for (const [unit, price] of route.prices) {
        const subject = {
          upstream,
          provider: route.provider,
          model: model.id,
          unit,
          condition: null,
        };
        planOne(
          { ...subject, ...price, source },
          rows,
          pendings.get(subjectKey(subject)),
          { now, leadMs },
          plan,
        );
      }
      plan.listedFlags.push({
        model: model.id,
        provider: route.provider,
        isPriceStale: hasVanished(own, route, source),
      });
    }
  }
  for (const { model, provider } of state.routes) {
    const key = routeKey({ model, provider });
    if (listed.has(key)) continue;
    const isPriceStale = (byRoute.get(key) ?? []).some((row) => row.source === source);
    plan.unlistedFlags.push({ model, provider, isPriceStale });
  }
  return plan;
}

interface OpenPlan {
  readonly closings: RowClosing[];
  readonly prices: NewPrice[];
  readonly supersededIds: string[];
  readonly pendings: NewPending[];
}

function planOne(
  stated: Omit<NewPending, 'reason'>,
  rows: readonly PriceRow[],
  pending: PendingPrice | undefined,
  { now, leadMs }: { readonly now: Date; readonly leadMs: number },
  plan: OpenPlan,
): void {
  const head = lastOf(
    rows.filter(
      (row) =>
        row.model === stated.model &&
        row.unit === stated.unit &&
        row.condition === stated.condition,
    ),
  );
  const reason = head === null ? null : reasonToWait(head, stated);
  if (reason !== null) {
    if (pending !== undefined && isAskedAlready(pending, stated, reason)) return;
    if (pending?.decision === null) plan.supersededIds.push(pending.id);
    plan.pendings.push({ ...stated, reason });
    return;
  }
  if (pending?.decision === null) plan.supersededIds.push(pending.id);
  if (head !== null && isSame(head, stated)) return;
  // A row that is still to come is ended after it began, not before.
  const start = head === null ? null : later(new Date(head.effectiveFrom.getTime() + 1), now);
  const placement = placeRow(stated, rows, start, now, leadMs);
  if (placement.kind === 'price_in_force') {
    // The row has an end already: take its place there.
    const end = placement.row.effectiveTo;
    if (end === null) return;
    plan.prices.push({ ...stated, effectiveFrom: end, effectiveTo: null });
    return;
  }
  if (placement.closes !== null) {
    plan.closings.push({ rowId: placement.closes.id, effectiveTo: placement.effectiveFrom });
  }
  plan.prices.push({
    ...stated,
    effectiveFrom: placement.effectiveFrom,
    effectiveTo: placement.effectiveTo,
  });
}

/** Why a stated figure may not take the place of a row by itself; null: it may, or it is the same. */
function reasonToWait(head: PriceRow, stated: Omit<NewPending, 'reason'>): PendingReason | null {
  if (isSame(head, stated)) return null;
  if (head.source !== stated.source) return 'differs_from_manual';
  if (head.picoUsd === 0n || stated.picoUsd === 0n) return 'to_or_from_zero';
  const before = head.picoUsd * stated.perUnits;
  const after = stated.picoUsd * head.perUnits;
  const isLarge = after > before * LARGE_CHANGE || before > after * LARGE_CHANGE;
  return isLarge ? 'large_change' : null;
}

/** Waits for a decision, or was rejected. */
function isAskedAlready(pending: PendingPrice, stated: UnitPrice, reason: PendingReason): boolean {
  const counts = pending.decision === null || pending.decision === 'rejected';
  return counts && pending.reason === reason && isSame(pending, stated);
}

function isSame(one: UnitPrice, other: UnitPrice): boolean {
  return one.picoUsd * other.perUnits === other.picoUsd * one.perUnits;
}

/** A price of the catalogue's is in force that the catalogue no longer states. */
function hasVanished(
  rows: readonly PriceRow[],
  route: ListedRoute,
  source: PriceRow['source'],
): boolean {
  return rows.some((row) => row.source === source && !route.prices.has(row.unit));
}

function lastOf(rows: readonly PriceRow[]): PriceRow | null {
  let last: PriceRow | null = null;
  for (const row of rows) {
    if (last === null || row.effectiveFrom.getTime() > last.effectiveFrom.getTime()) last = row;
  }
  return last;
}

function later(one: Date, other: Date): Date {
  return one.getTime() > other.getTime() ? one : other;
}

/** Neither a provider nor a model id has a space in it. */
function routeKey({
  model,
  provider,
}: {
  readonly model: string;
  readonly provider: string;
}): string {
  return `${provider} ${model}`;
}

function subjectKey({ provider, model, unit, condition }: PriceSubject): string {
  return `${provider} ${model} ${unit} ${condition ?? ''}`;
}
