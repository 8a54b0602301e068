import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { invoiceHash } from '../../src/billing/invoice-hash.js';
import type { DocumentLine } from '../../src/billing/invoice-document.js';
import type { RecordedInvoice } from '../../src/billing/invoices.repository.js';
import { type PriceRow, priceUsage, rowsInForce } from '../../src/domain/pricing.js';
import type { Unit } from '../../src/domain/units.js';
import type { Quantities } from '../../src/domain/usage.js';
import { type AdmittedEvent, type Ending, refOf } from '../../src/metering/journal.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { requestOf, settledAt } from '../support/journal.js';
import {
  centsText,
  decimal,
  type Decimal,
  floored,
  shownCents,
  sumOf,
  textOf,
} from './decimals.js';
import {
  ACTOR,
  balanceOf,
  bookProblems,
  CENT,
  invoiceOf,
  type MoneyProcess,
  newOrganization,
  openMoney,
  spendOne,
  type TestOrganization,
  USD,
} from './money-fixture.js';

const PRICE_CHANGE = '2026-12-15T12:00:00.000Z';

interface Price {
  readonly id: number;
  readonly provider: string;
  readonly model: string;
  readonly unit: Unit;
  /** As published, and per how many of the unit. */
  readonly usd: string;
  readonly per: bigint;
  /** As it is stored. */
  readonly picoUsd: string;
  readonly perUnits: string;
  readonly from?: string;
  readonly to?: string;
}

function price(
  id: number,
  of: string,
  unit: Unit,
  usd: string,
  picoUsd: string,
  more: Partial<Price> = {},
): Price {
  const [provider = '', model = ''] = of.split(' ');
  return { id, provider, model, unit, usd, per: 1_000_000n, picoUsd, perUnits: '1', ...more };
}

const PRICES: readonly Price[] = [
  price(101, 'novita large', 'input', '0.20', '200000', { to: PRICE_CHANGE }),
  price(102, 'novita large', 'cached_input', '0.021', '21000', { to: PRICE_CHANGE }),
  price(103, 'novita large', 'output', '0.60', '600000', { to: PRICE_CHANGE }),
  price(104, 'novita large', 'input', '0.253', '253000', { from: PRICE_CHANGE }),
  price(105, 'novita large', 'cached_input', '0.03', '30000', { from: PRICE_CHANGE }),
  price(106, 'novita large', 'output', '0.7501', '750100', { from: PRICE_CHANGE }),
  price(110, 'groq large', 'input', '0.59', '590000'),
  price(111, 'groq large', 'output', '0.79', '790000'),
  // An hour of audio: no whole price of a millisecond.
  price(112, 'groq whisper', 'audio_ms', '0.111', '111000000000', {
    per: 3_600_000n,
    perUnits: '3600000',
  }),
  // No price of its own for cached input: priced as input.
  price(120, 'together small', 'input', '0.88', '880000'),
  price(121, 'together small', 'output', '0.88', '880000'),
  price(130, 'fireworks-ai small', 'input', '0.15', '150000'),
  price(131, 'fireworks-ai small', 'cached_input', '0.075', '75000'),
  price(132, 'fireworks-ai small', 'output', '0.60', '600000'),
  price(140, 'hf-inference image', 'compute_ms', '0.00012', '120000', { per: 1_000n }),
];

const ROWS: readonly PriceRow[] = PRICES.map((each) => ({
  id: BigInt(each.id),
  upstream: 'default',
  provider: each.provider,
  model: each.model,
  unit: each.unit,
  condition: null,
  picoUsd: BigInt(each.picoUsd),
  perUnits: BigInt(each.perUnits),
  effectiveFrom: new Date(each.from ?? '2026-01-01T00:00:00Z'),
  effectiveTo: each.to === undefined ? null : new Date(each.to),
  source: 'manual',
}));

/** One request of the script: what it asks and what it uses, by its number alone. */
interface Scripted {
  readonly provider: string;
  readonly model: string;
  readonly quantities: Quantities;
}

function scripted(index: number): Scripted {
  const noise = (index * 7919 + 104_729) % 1_009;
  const input = BigInt(120 + noise);
  const output = BigInt(40 + ((noise * 31) % 700));
  const cached = index % 3 === 0 ? { cached_input: BigInt(noise + 1) } : {};
  switch (index % 8) {
    case 0:
    case 1:
    case 2:
      return { provider: 'novita', model: 'large', quantities: { input, ...cached, output } };
    case 3:
      return { provider: 'groq', model: 'large', quantities: { input, output } };
    case 4:
      return {
        provider: 'groq',
        model: 'whisper',
        quantities: { audio_ms: BigInt(1_001 + noise) },
      };
    case 5:
      return { provider: 'together', model: 'small', quantities: { input, ...cached, output } };
    case 6:
      return { provider: 'fireworks-ai', model: 'small', quantities: { input, ...cached, output } };
    default:
      return {
        provider: 'hf-inference',
        model: 'image',
        quantities: { compute_ms: BigInt(700 + noise) },
      };
  }
}

/** The line of a group of requests, worked out by hand. */
class ExpectedLine {
  requests = 0;
  amount: Decimal = 0n;
  readonly quantities = new Map<Unit, bigint>();

  constructor(
    readonly provider: string,
    readonly model: string,
    readonly prices: ReadonlyMap<Unit, Price>,
  ) {}

  add(quantities: Quantities): void {
    this.requests += 1;
    for (const [unit, quantity] of Object.entries(quantities) as [Unit, bigint][]) {
      this.quantities.set(unit, (this.quantities.get(unit) ?? 0n) + quantity);
      this.amount += this.costOf(unit, quantity);
    }
  }

  /** Of one request, floored to a trillionth. */
  private costOf(unit: Unit, quantity: bigint): Decimal {
    const { usd, per } = this.prices.get(unit)!;
    return floored((decimal(usd) * quantity) / per, 12);
  }

  get shown(): Omit<DocumentLine, 'displayUsd'> {
    const order: readonly Unit[] = ['input', 'cached_input', 'output', 'audio_ms', 'compute_ms'];
    const parts = order.flatMap((unit) => {
      const quantity = this.quantities.get(unit);
      const of = this.prices.get(unit);
      if (quantity === undefined || of === undefined) return [];
      const isPerUnit = of.perUnits === '1';
      return [
        {
          unit,
          quantity: quantity.toString(),
          unitPriceUsd: textOf(isPerUnit ? decimal(of.usd) / of.per : decimal(of.usd)),
          ...(isPerUnit ? {} : { perUnits: of.perUnits }),
          exactUsd: textOf(this.costOf(unit, quantity)),
        },
      ];
    });
    const rest = this.amount - sumOf(parts.map(({ exactUsd }) => decimal(exactUsd)));
    if (rest !== 0n) {
      const exactUsd = textOf(rest);
      parts.push({ unit: 'adjustment' as Unit, quantity: '1', unitPriceUsd: exactUsd, exactUsd });
    }
    const ids = new Set([...this.prices.values()].map(({ id }) => id));
    return {
      kind: 'usage',
      description: `${this.model} on ${this.provider}`,
      upstream: 'default',
      provider: this.provider,
      model: this.model,
      requests: this.requests,
      priceRowIds: [...ids].map(String),
      parts,
      exactUsd: textOf(this.amount),
    };
  }
}

function byProviderModelPrices(one: ExpectedLine, other: ExpectedLine): number {
  // The ids of the price rows have three digits each.
  const keyOf = ({ provider, model, shown }: ExpectedLine): string =>
    `${provider} ${model} ${shown.priceRowIds!.join(' ')}`;
  return keyOf(one) < keyOf(other) ? -1 : 1;
}

/** The usage of a month as it should be billed. */
class Expected {
  private readonly lines = new Map<string, ExpectedLine>();

  add({ provider, model, quantities }: Scripted, admittedAt: string): void {
    const prices = new Map<Unit, Price>();
    const inForce = PRICES.filter(
      (each) =>
        each.provider === provider &&
        each.model === model &&
        (each.from ?? '') <= admittedAt &&
        (each.to === undefined || admittedAt < each.to),
    );
    for (const unit of Object.keys(quantities) as Unit[]) {
      const parent = unit === 'cached_input' ? 'input' : unit;
      const of =
        inForce.find((each) => each.unit === unit) ?? inForce.find((each) => each.unit === parent);
      prices.set(unit, of!);
    }
    const key = `${provider} ${model} ${[...prices.values()].map(({ id }) => id).join(' ')}`;
    // A unit that is priced as its parent makes no set of its own.
    const set = [...new Set(key.split(' '))].join(' ');
    let line = this.lines.get(set);
    if (line === undefined) {
      const own = [...prices].filter(([unit, of]) => of.unit === unit);
      const rest = [...prices].filter(([unit, of]) => of.unit !== unit);
      line = new ExpectedLine(provider, model, new Map([...own, ...rest]));
      this.lines.set(set, line);
    }
    for (const [unit, of] of prices) {
      if (!line.prices.has(unit)) (line.prices as Map<Unit, Price>).set(unit, of);
    }
    line.add(quantities);
  }

  get shown(): Omit<DocumentLine, 'displayUsd'>[] {
    return [...this.lines.values()].sort(byProviderModelPrices).map((line) => line.shown);
  }

  get total(): Decimal {
    return sumOf([...this.lines.values()].map(({ amount }) => amount));
  }
}

let database: TestDatabase;
let money: MoneyProcess;

beforeAll(async () => {
  database = await freshDatabase();
  money = await openMoney(database.url, '2026-11-01T00:00:00Z');
  for (const each of PRICES) {
    await database.query(
      `INSERT INTO prices (id, upstream, provider, model, unit, pico_usd, per_units, effective_from, effective_to, source, imported_at)
       VALUES ($1, 'default', $2, $3, $4, $5, $6, $7, $8, 'manual', '2026-01-01')`,
      [
        each.id,
        each.provider,
        each.model,
        each.unit,
        each.picoUsd,
        each.perUnits,
        each.from ?? '2026-01-01T00:00:00Z',
        each.to ?? null,
      ],
    );
  }
});

afterAll(async () => {
  await money.close();
  await database.drop();
});

/** How the proxy rates an answer: the rows in force when it was admitted. */
function endingOf({ provider, model, quantities }: Scripted, event: AdmittedEvent): Ending {
  const rows = ROWS.filter((row) => row.provider === provider);
  const inForce = rowsInForce(rows, { model, condition: null, at: event.admittedAt });
  const priced = priceUsage(quantities, inForce);
  if (priced.kind !== 'priced') throw new Error(priced.kind);
  return settledAt(priced.costPicoUsd, {
    provider,
    quantities,
    priceRowIds: priced.rowIds,
    isPriceAssumed: priced.isPriceAssumed,
  });
}

async function admit(account: TestOrganization, one: Scripted): Promise<AdmittedEvent> {
  const { model } = one;
  const result = await money.journal.admit(requestOf(account, CENT, { model }));
  if (result.kind !== 'admitted') throw new Error(JSON.stringify(result.kind));
  return result.event;
}

/** Admits many requests at one time and settles them at another, in batches as they gather. */
async function run(
  account: TestOrganization,
  from: number,
  count: number,
  at: string,
  expected: Expected,
  settledAtTime = at,
): Promise<void> {
  money.now = new Date(at);
  const list = Array.from({ length: count }, (_, index) => scripted(from + index));
  const events = await Promise.all(list.map((one) => admit(account, one)));
  money.now = new Date(settledAtTime);
  const receipts = await Promise.all(
    list.map(
      (one, index) =>
        money.journal.settle(refOf(events[index]!), endingOf(one, events[index]!)).receipt,
    ),
  );
  expect(receipts.every(({ kind }) => kind === 'settled')).toBe(true);
  for (const one of list) expected.add(one, at);
}

function line(kind: string, exactUsd: string, description?: string) {
  return { kind, exactUsd, ...(description === undefined ? {} : { description }) };
}

/** The whole invoice, line by line, from what should stand on it. */
function expectInvoice(
  invoice: RecordedInvoice | null,
  lines: readonly { readonly kind: string; readonly exactUsd: string }[],
): { readonly total: Decimal; readonly carried: Decimal } {
  const { content } = invoice!;
  const shown = content.lines.map(({ displayUsd: _shown, ...rest }) => rest);
  const isUsage = ({ kind }: { readonly kind: string }): boolean => kind === 'usage';
  expect(shown.map(({ kind }) => kind)).toEqual(lines.map(({ kind }) => kind));
  expect(shown.filter(isUsage)).toEqual(lines.filter(isUsage));
  expect(shown).toMatchObject(lines);
  const amounts = shown.map(({ exactUsd }) => decimal(exactUsd));
  const sum = sumOf(lines.map(({ exactUsd }) => decimal(exactUsd)));
  const total = floored(sum, 2);
  const carried = sum - total;
  expect(content).toMatchObject({
    exactSumUsd: textOf(sum),
    totalUsd: centsText(total),
    carriedUsd: textOf(carried),
  });
  expect(content.lines.map(({ displayUsd }) => displayUsd)).toEqual(shownCents(amounts));
  expect(invoice!.hash).toBe(invoiceHash(content));
  return { total, carried };
}

describe('a scripted month', () => {
  it('of 40,000 requests is billed to the last trillionth, and so is the next with what came late', async () => {
    const account = await newOrganization(money, {
      plan: 'pro',
      createdAt: '2026-11-01T00:00:00Z',
      limitPicoUsd: 500n * USD,
    });
    const { accountId } = account;

    // November: 9.00 + 3.004321000123 - 2.00 = 10.004321000123, of which 10.00 is asked for.
    await spendOne(money, account, 3_004_321_000_123n, { priceRowIds: [] });
    money.now = new Date('2026-12-01T01:00:00Z');
    await money.closes.close('2026-11', money.now);
    const november = await invoiceOf(money, account, '2026-11');
    expect(november!.content).toMatchObject({ totalUsd: '10.00', carriedUsd: '0.004321000123' });

    // December: 40,000 requests, dearer prices from the 15th, Team from the 19th.
    const expected = new Expected();
    const quarter = 5_000;
    await run(account, 0, quarter, '2026-12-01T00:00:00.000Z', expected);
    await run(account, 5_000, quarter, '2026-12-08T08:00:00.000Z', expected);
    const promotional = {
      kind: 'promotional',
      amountPicoUsd: 1_250_000_000_001n,
      expiresAt: new Date('2026-12-20T00:00:00Z'),
      reason: 'a voucher',
      idempotencyKey: 'voucher',
    } as const;
    await money.credits.grant(accountId, promotional, ACTOR, money.now);
    await run(account, 10_000, quarter, '2026-12-12T23:59:59.999Z', expected);
    // Admitted at the old price, settled when the new one is in force.
    const change = '2026-12-15T12:00:00.000Z';
    await run(account, 15_000, 2_500, '2026-12-15T11:59:59.999Z', expected, change);
    await run(account, 17_500, quarter, change, expected);
    money.now = new Date('2026-12-19T09:30:00Z');
    await money.subscriptions.change(accountId, { plan: 'team', seats: 3 }, ACTOR, money.now);
    await run(account, 22_500, quarter, '2026-12-19T10:00:00.000Z', expected);
    await run(account, 27_500, quarter, '2026-12-24T18:00:00.000Z', expected);
    await run(account, 32_500, quarter, '2026-12-31T20:00:00.000Z', expected);
    // Streams that are open at midnight belong to the year in which they began.
    const open = '2026-12-31T23:59:59.999Z';
    await run(account, 37_500, 2_500, open, expected, '2027-01-01T00:00:07.000Z');
    const january = new Expected();
    await run(account, 40_000, 300, '2027-01-01T00:00:00.000Z', january);
    expect(money.anomalies).toEqual([]);
    expect(await bookProblems(database)).toEqual([]);

    money.now = new Date('2027-01-01T01:00:00Z');
    expect(await money.closes.close('2026-12', money.now)).toMatchObject({ closed: 1, failed: [] });
    // The difference of 3 x 20.00 - 9.00 for 13 of 31 days; credit of 3 x 2.00 for the same days.
    const december = expectInvoice(await invoiceOf(money, account, '2026-12'), [
      line('plan', '9', 'Pro, 2026-12'),
      line(
        'plan',
        textOf(floored((decimal('51') * 13n) / 31n, 12)),
        'Change from Pro to Team (3 seats), 2026-12-19 to end of 2026-12, 13 of 31 days',
      ),
      ...expected.shown,
      line('credit', `-${textOf(floored((decimal('6') * 13n) / 31n, 12))}`),
      line('credit', '-1.250000000001'),
      line('carry', '0.004321000123', 'Carried from 2026-11'),
    ]);
    expect(december.total > decimal('40')).toBe(true);
    const [events] = await database.query<{ cost: string; requests: number }>(
      `SELECT sum(cost_pico_usd)::text AS cost, count(*)::int AS requests FROM usage_events WHERE account_id = $1 AND period = '2026-12'`,
      [accountId],
    );
    expect(events!.requests).toBe(40_000);
    expect(decimal(events!.cost) / 10n ** 12n).toBe(expected.total);

    // January: two late facts of December, and what December carried.
    money.now = new Date('2027-01-12T10:00:00Z');
    for (const [amountPicoUsd, reason] of [
      [734_000_000_007n, 'the provider stated more'],
      [-200_000_000_000n, 'a request that failed was charged'],
    ] as const) {
      const order = {
        amountPicoUsd,
        period: '2026-12',
        reason,
        requestId: null,
        upstream: 'default',
        provider: 'novita',
        idempotencyKey: reason,
      };
      const of = { id: accountId, createdAt: account.createdAt };
      await money.corrections.correct(of, order, ACTOR, money.now);
    }
    money.now = new Date('2027-02-01T01:00:00Z');
    expect(await money.closes.close('2027-01', money.now)).toMatchObject({ closed: 1, failed: [] });
    const next = expectInvoice(await invoiceOf(money, account, '2027-01'), [
      line('plan', '60', 'Team (3 seats), 2027-01'),
      ...january.shown,
      // Less than the 6.00 of the plan: all of it is covered.
      line('credit', `-${textOf(january.total)}`),
      line('correction', '0.734000000007', 'the provider stated more'),
      line('correction', '-0.2', 'a request that failed was charged'),
      line('carry', textOf(december.carried), 'Carried from 2026-12'),
    ]);
    expect(january.total < decimal('6')).toBe(true);
    expect(await balanceOf(database, `unbilled:${accountId}:2027-02`)).toBe(
      next.carried / 10n ** 12n,
    );
    const billed = decimal('10') + december.total + next.total;
    expect(await balanceOf(database, `receivable:${accountId}`)).toBe(billed / 10n ** 12n);
    expect(await bookProblems(database)).toEqual([]);
  });

  it('that begins on Free and goes on with Pro is covered by the credit of both', async () => {
    const account = await newOrganization(money, {
      plan: 'free',
      createdAt: '2027-03-05T15:00:00Z',
      isPayAsYouGo: true,
    });
    const { accountId } = account;
    const expected = new Expected();
    await run(account, 50_000, 600, '2027-03-06T00:00:00.000Z', expected);
    const before = expected.total;
    expect(before > decimal('0.1') && before < decimal('2')).toBe(true);
    expect(await balanceOf(database, `unbilled:${accountId}:2027-03`)).toBe(
      (before - decimal('0.1')) / 10n ** 12n,
    );
    money.now = new Date('2027-03-20T23:59:59.999Z');
    await money.subscriptions.change(accountId, { plan: 'pro', seats: 1 }, ACTOR, money.now);
    expect(await balanceOf(database, `unbilled:${accountId}:2027-03`)).toBe(0n);
    await run(account, 60_000, 4_000, '2027-03-31T23:59:59.999Z', expected);
    expect(expected.total > decimal('2')).toBe(true);
    money.now = new Date('2027-04-01T01:00:00Z');
    await money.closes.close('2027-03', money.now);
    const march = expectInvoice(await invoiceOf(money, account, '2027-03'), [
      line(
        'plan',
        textOf(floored((decimal('9') * 12n) / 31n, 12)),
        'Change from Free to Pro, 2027-03-20 to end of 2027-03, 12 of 31 days',
      ),
      ...expected.shown,
      line('credit', '-2'),
    ]);
    expect(await balanceOf(database, `unbilled:${accountId}:2027-04`)).toBe(
      march.carried / 10n ** 12n,
    );
    expect(await bookProblems(database)).toEqual([]);
  });
});
