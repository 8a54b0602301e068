import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { UnitPrice } from '../domain/money.js';
import { isInForce, rowsInForce, type PriceRow } from '../domain/pricing.js';
import {
  placeRow,
  planSync,
  REPLACEMENT_LEAD_MS,
  type NewPrice,
  type PendingPrice,
  type PriceSubject,
  type SyncPlan,
} from './price-plan.js';
import type { ListedModel } from './catalogue-entry.js';

const START_MS = Date.parse('2026-06-01T00:00:00Z');
const CONTEXT = { upstream: 'default', source: 'router_catalogue' } as const;
const SUBJECT: PriceSubject = {
  upstream: 'default',
  provider: 'groq',
  model: 'org/name',
  unit: 'input',
  condition: null,
};

function at(ms: number): Date {
  return new Date(START_MS + ms);
}

function row(parts: Partial<PriceRow> = {}): PriceRow {
  return {
    id: 1n,
    ...SUBJECT,
    picoUsd: 100n,
    perUnits: 1n,
    effectiveFrom: at(0),
    effectiveTo: null,
    source: 'router_catalogue',
    ...parts,
  };
}

function catalogue(prices: Readonly<Record<string, bigint>>, provider = 'groq'): ListedModel[] {
  const entries = Object.entries(prices).map(
    ([unit, picoUsd]): [PriceSubject['unit'], UnitPrice] => [
      unit as PriceSubject['unit'],
      { picoUsd, perUnits: 1n },
    ],
  );
  const route = {
    provider,
    status: 'live',
    contextLength: null,
    providerModelId: null,
    entry: {},
  } as const;
  return [{ id: 'org/name', entry: {}, routes: [{ ...route, prices: new Map(entries) }] }];
}

/** The price book in memory, as the database keeps it. */
class Book {
  rows: PriceRow[] = [];
  pendings: PendingPrice[] = [];
  routes = new Map<string, { model: string; provider: string }>();
  private ids = 0n;

  sync(models: ListedModel[], now: Date): SyncPlan {
    const latest = new Map(
      this.pendings.map((pending) => [`${pending.provider} ${pending.unit}`, pending]),
    );
    const plan = planSync(
      models,
      {
        rows: this.rows.filter(({ effectiveTo }) => effectiveTo === null || effectiveTo > now),
        pendings: [...latest.values()],
        routes: [...this.routes.values()],
      },
      { ...CONTEXT, now },
    );
    for (const { rowId, effectiveTo } of plan.closings) this.close(rowId, effectiveTo);
    for (const price of plan.prices) this.insert(price);
    this.pendings = this.pendings.map((pending) =>
      plan.supersededIds.includes(pending.id) ? { ...pending, decision: 'superseded' } : pending,
    );
    for (const pending of plan.pendings) {
      this.ids += 1n;
      this.pendings.push({ ...pending, id: this.ids.toString(), createdAt: now, decision: null });
    }
    for (const { id, routes } of models) {
      for (const { provider } of routes) this.routes.set(provider, { model: id, provider });
    }
    return plan;
  }

  place(
    price: PriceSubject & UnitPrice,
    from: Date | null,
    now: Date,
    source: PriceRow['source'],
  ): boolean {
    const placement = placeRow(price, this.rows, from, now);
    if (placement.kind === 'price_in_force') return false;
    const { effectiveFrom, effectiveTo, closes } = placement;
    if (closes !== null) this.close(closes.id, effectiveFrom);
    this.insert({ ...price, effectiveFrom, effectiveTo, source });
    return true;
  }

  private close(id: bigint, effectiveTo: Date): void {
    this.rows = this.rows.map((one) => {
      if (one.id !== id) return one;
      if (one.effectiveTo !== null) throw new Error('an end is set once');
      if (effectiveTo <= one.effectiveFrom) throw new Error('a row ends after it starts');
      return { ...one, effectiveTo };
    });
  }

  private insert(price: NewPrice): void {
    const overlapping = this.rows.find(
      (one) =>
        one.model === price.model &&
        one.provider === price.provider &&
        one.unit === price.unit &&
        one.condition === price.condition &&
        (one.effectiveTo === null || one.effectiveTo > price.effectiveFrom) &&
        (price.effectiveTo === null || price.effectiveTo > one.effectiveFrom),
    );
    if (overlapping !== undefined) throw new Error('two rows of one key overlap');
    this.ids += 1n;
    this.rows.push({ ...price, id: this.ids });
  }
}

describe('placeRow', () => {
  const price = { ...SUBJECT, picoUsd: 7n, perUnits: 1n };

  it('starts the first row of its key at once, and one that replaces another 2 s ahead', () => {
    expect(placeRow(price, [], null, at(5))).toEqual({
      kind: 'placed',
      effectiveFrom: at(5),
      effectiveTo: null,
      closes: null,
    });
    const old = row();
    expect(placeRow(price, [old], null, at(5))).toEqual({
      kind: 'placed',
      effectiveFrom: at(5 + REPLACEMENT_LEAD_MS),
      effectiveTo: null,
      closes: old,
    });
    const later = placeRow(price, [old], at(60_000), at(5));
    expect(later).toMatchObject({ effectiveFrom: at(60_000), closes: old });
  });

  it('fills a gap of the past up to the next row, and nothing else of the past', () => {
    const next = row({ effectiveFrom: at(1000) });
    expect(placeRow(price, [next], at(100), at(5000))).toMatchObject({
      kind: 'placed',
      effectiveFrom: at(100),
      effectiveTo: at(1000),
      closes: null,
    });
    expect(placeRow(price, [next], at(1000), at(5000)).kind).toBe('price_in_force');
    expect(placeRow(price, [next], at(4999), at(5000)).kind).toBe('price_in_force');
  });

  it('does not reach back over a time in which the model was priced as any model', () => {
    const any = row({ model: '*', unit: 'compute_ms', effectiveFrom: at(1000) });
    expect(placeRow(price, [any], at(2000), at(5000)).kind).toBe('price_in_force');
    // Also when the row of any model began after the instant that was asked for.
    expect(placeRow(price, [any], at(100), at(5000)).kind).toBe('price_in_force');
    const own = row({ unit: 'output', effectiveFrom: at(0) });
    expect(placeRow(price, [any, own], at(100), at(5000)).kind).toBe('placed');
  });

  it('gives the first row that takes a model from `*` its 2 s too', () => {
    const any = row({ model: '*', unit: 'compute_ms' });
    expect(placeRow(price, [any], null, at(5))).toMatchObject({
      effectiveFrom: at(5 + REPLACEMENT_LEAD_MS),
      closes: null,
    });
  });

  it('does not move the end of a row that has one', () => {
    const ending = row({ effectiveTo: at(10_000) });
    const next = row({ id: 2n, effectiveFrom: at(10_000) });
    expect(placeRow(price, [ending, next], at(6000), at(0))).toMatchObject({
      kind: 'price_in_force',
      row: ending,
    });
  });
});

describe('planSync', () => {
  it('takes a new price at once and a changed one 2 s ahead', () => {
    const book = new Book();
    expect(book.sync(catalogue({ input: 100n, output: 200n }), at(0)).prices).toMatchObject([
      { unit: 'input', effectiveFrom: at(0) },
      { unit: 'output', effectiveFrom: at(0) },
    ]);
    const plan = book.sync(catalogue({ input: 110n, output: 200n }), at(1000));
    expect(plan.prices).toMatchObject([{ unit: 'input', picoUsd: 110n, effectiveFrom: at(3000) }]);
    expect(plan.closings).toEqual([{ rowId: 1n, effectiveTo: at(3000) }]);
  });

  it.each([
    [100n, 1000n, null],
    [100n, 10n, null],
    [100n, 1001n, 'large_change'],
    [1001n, 100n, 'large_change'],
    [100n, 0n, 'to_or_from_zero'],
    [0n, 1n, 'to_or_from_zero'],
    [0n, 0n, null],
  ])('a price that goes from %s to %s waits: %s', (before, after, reason) => {
    const book = new Book();
    book.sync(catalogue({ input: before }), at(0));
    const plan = book.sync(catalogue({ input: after }), at(10_000));
    expect(plan.pendings.map((pending) => pending.reason)).toEqual(reason === null ? [] : [reason]);
    expect(plan.prices).toHaveLength(reason === null && before !== after ? 1 : 0);
  });

  it('asks once about a figure, again when it changes, and never when it was rejected', () => {
    const book = new Book();
    book.sync(catalogue({ input: 100n }), at(0));
    expect(book.sync(catalogue({ input: 5000n }), at(1)).pendings).toHaveLength(1);
    expect(book.sync(catalogue({ input: 5000n }), at(2)).pendings).toHaveLength(0);
    const changed = book.sync(catalogue({ input: 6000n }), at(3));
    expect(changed.pendings).toHaveLength(1);
    expect(changed.supersededIds).toHaveLength(1);
    book.pendings = book.pendings.map((one) => ({ ...one, decision: one.decision ?? 'rejected' }));
    expect(book.sync(catalogue({ input: 6000n }), at(4)).pendings).toHaveLength(0);
    expect(book.sync(catalogue({ input: 7000n }), at(5)).pendings).toHaveLength(1);
    // Back within bounds: nothing waits any more.
    expect(book.sync(catalogue({ input: 120n }), at(6))).toMatchObject({
      supersededIds: [expect.any(String)],
      prices: [{ picoUsd: 120n }],
    });
  });

  it('lets a manual row stand and puts a differing figure beside it', () => {
    const book = new Book();
    book.place({ ...SUBJECT, picoUsd: 100n, perUnits: 1n }, at(0), at(0), 'manual');
    expect(book.sync(catalogue({ input: 100n }), at(1))).toMatchObject({
      prices: [],
      pendings: [],
    });
    expect(book.sync(catalogue({ input: 101n }), at(2))).toMatchObject({
      prices: [],
      closings: [],
      pendings: [{ reason: 'differs_from_manual', picoUsd: 101n }],
    });
    expect(book.rows).toHaveLength(1);
  });

  it('flags what the catalogue no longer states, and keeps it', () => {
    const book = new Book();
    book.sync(catalogue({ input: 100n, output: 200n }), at(0));
    const half = book.sync(catalogue({ input: 100n }), at(1));
    expect(half.listedFlags).toEqual([{ model: 'org/name', provider: 'groq', isPriceStale: true }]);
    const gone = book.sync([], at(2));
    expect(gone).toMatchObject({
      closings: [],
      prices: [],
      unlistedFlags: [{ provider: 'groq', isPriceStale: true }],
    });
    const back = book.sync(catalogue({ input: 100n, output: 200n }), at(3));
    expect(back.listedFlags).toMatchObject([{ isPriceStale: false }]);
    expect(book.rows).toHaveLength(2);
  });

  const figure = fc.constantFrom(0n, 1n, 10n, 11n, 100n, 101n, 2000n);
  const step = fc.record({
    waitMs: fc.constantFrom(0, 1, 500, 1999, 2000, 2001, 60_000),
    action: fc.oneof(
      fc.record({
        kind: fc.constant('sync' as const),
        input: fc.option(figure),
        output: fc.option(figure),
        isListed: fc.boolean(),
      }),
      fc.record({
        kind: fc.constant('manual' as const),
        model: fc.constantFrom('org/name', '*'),
        unit: fc.constantFrom('input' as const, 'output' as const),
        picoUsd: figure,
        fromMs: fc.option(fc.integer({ min: -70_000, max: 70_000 })),
      }),
      fc.record({ kind: fc.constant('decide' as const), isApproved: fc.boolean() }),
    ),
  });

  it('keeps the book in order through any sequence of syncs, manual rows and decisions', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const book = new Book();
        // Requests may be on their way to it from the first step on.
        book.routes.set('groq', { model: 'org/name', provider: 'groq' });
        let now = at(0);
        for (const { waitMs, action } of steps) {
          now = new Date(now.getTime() + waitMs);
          const before = [...book.rows];
          if (action.kind === 'sync') {
            const prices = {
              ...(action.input !== null && { input: action.input }),
              ...(action.output !== null && { output: action.output }),
            };
            const models = action.isListed ? catalogue(prices) : [];
            const plan = book.sync(models, now);
            for (const { rowId } of plan.closings) {
              expect(before.find(({ id }) => id === rowId)?.source).toBe('router_catalogue');
            }
            const again = book.sync(models, now);
            expect([again.closings, again.prices, again.pendings, again.supersededIds]).toEqual([
              [],
              [],
              [],
              [],
            ]);
          } else if (action.kind === 'manual') {
            const from = action.fromMs === null ? null : new Date(now.getTime() + action.fromMs);
            const { model, unit, picoUsd } = action;
            book.place({ ...SUBJECT, model, unit, picoUsd, perUnits: 1n }, from, now, 'manual');
          } else {
            const open = book.pendings.find(({ decision }) => decision === null);
            if (open !== undefined) {
              if (action.isApproved) book.place(open, null, now, open.source);
              const decision = action.isApproved ? 'approved' : 'rejected';
              book.pendings = book.pendings.map((one) =>
                one.id === open.id ? { ...one, decision } : one,
              );
            }
          }
          expectUnchangedBehind(before, book.rows, now);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

/** Nothing that a request was, or may have been, priced by until 2 s from now has changed. */
function expectUnchangedBehind(
  before: readonly PriceRow[],
  after: readonly PriceRow[],
  now: Date,
): void {
  const leadMs = now.getTime() + REPLACEMENT_LEAD_MS;
  const boundaries = [...before, ...after].flatMap(({ effectiveFrom, effectiveTo }) => [
    effectiveFrom.getTime(),
    effectiveTo?.getTime() ?? now.getTime(),
  ]);
  for (const ms of new Set([...boundaries, now.getTime(), leadMs - 1])) {
    if (ms >= leadMs) continue;
    const key = { model: 'org/name', condition: null, at: new Date(ms) };
    for (const [unit, was] of rowsInForce(before, key)) {
      expect(rowsInForce(after, key).get(unit)?.id).toBe(was.id);
    }
  }
  for (const one of after) {
    const same = after.filter(
      (other) => isInForce(other, one.effectiveFrom) && other.unit === one.unit,
    );
    expect(same.filter(({ model }) => model === one.model)).toHaveLength(1);
  }
}
