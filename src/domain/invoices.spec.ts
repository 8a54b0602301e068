import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ADJUSTMENT_UNIT,
  displayCents,
  flooredCents,
  formatCents,
  type InvoiceLine,
  PICO_USD_PER_CENT,
  totalOf,
  type UsageGroup,
  usageLine,
} from './invoices.js';
import { parseUsd } from './money.js';
import { type PriceRow, priceUsage } from './pricing.js';
import { type Unit, UNITS } from './units.js';

const CENT = PICO_USD_PER_CENT;
const MINIMUM = 50n * CENT;

function line(exactPicoUsd: bigint, parts: Partial<InvoiceLine> = {}): InvoiceLine {
  return {
    kind: 'usage',
    description: 'org/model on novita',
    provider: 'novita',
    upstream: 'default',
    model: 'org/model',
    requests: 1,
    priceRowIds: [],
    parts: null,
    exactPicoUsd,
    ...parts,
  };
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((a, b) => a + b, 0n);
}

/** Amounts around whole cents, where floors and ties are, and any others. */
const amount = fc.oneof(
  fc.bigInt(-(10n ** 15n), 10n ** 15n),
  fc
    .tuple(fc.bigInt(-5n, 5n), fc.constantFrom(0n, 1n, -1n, CENT / 2n, CENT / 3n))
    .map(([cents, rest]) => cents * CENT + rest),
);
const amounts = fc.array(amount, { maxLength: 12 });
const minimum = fc.constantFrom(0n, 1n, CENT, MINIMUM, MINIMUM + 1n, 20n * 10n ** 12n);

describe('the line of a group of usage', () => {
  const group: UsageGroup = {
    upstream: 'default',
    provider: 'novita',
    model: 'org/model',
    priceRows: [
      { id: 7n, unit: 'input', picoUsd: 900_000n, perUnits: 1n },
      { id: 9n, unit: 'output', picoUsd: 3_000_000n, perUnits: 1n },
    ],
    requests: 3,
    quantities: new Map([
      ['output', 10n],
      ['input', 1_000n],
    ]),
    costPicoUsd: 930_000_000n,
    isCostStated: false,
  };

  it('has a part per unit, in the order of the units, each quantity x price', () => {
    expect(usageLine(group)).toEqual({
      kind: 'usage',
      description: 'org/model on novita',
      provider: 'novita',
      upstream: 'default',
      model: 'org/model',
      requests: 3,
      priceRowIds: [7n, 9n],
      parts: [
        {
          unit: 'input',
          quantity: 1_000n,
          unitPricePicoUsd: 900_000n,
          perUnits: 1n,
          exactPicoUsd: 900_000_000n,
        },
        {
          unit: 'output',
          quantity: 10n,
          unitPricePicoUsd: 3_000_000n,
          perUnits: 1n,
          exactPicoUsd: 30_000_000n,
        },
      ],
      exactPicoUsd: 930_000_000n,
    });
  });

  it('prices a unit without a row as its parent, and one with a row by it', () => {
    const quantities = new Map<Unit, bigint>([['cached_input', 5n]]);
    const priced = (priceRows: UsageGroup['priceRows']): unknown =>
      usageLine({ ...group, priceRows, quantities }).parts?.[0]?.unitPricePicoUsd;
    expect(priced(group.priceRows)).toBe(900_000n);
    const own = { id: 8n, unit: 'cached_input', picoUsd: 90_000n, perUnits: 1n } as const;
    expect(priced([...group.priceRows, own])).toBe(90_000n);
  });

  it('shows what we bear as an adjustment below 0', () => {
    const { parts, exactPicoUsd } = usageLine({ ...group, costPicoUsd: 900_000_000n });
    expect(exactPicoUsd).toBe(900_000_000n);
    expect(parts?.at(-1)).toEqual({
      unit: ADJUSTMENT_UNIT,
      quantity: 1n,
      unitPricePicoUsd: -30_000_000n,
      perUnits: 1n,
      exactPicoUsd: -30_000_000n,
    });
  });

  it('states what a price is per, and takes back the fractions that each request was spared', () => {
    const line = usageLine({
      ...group,
      priceRows: [{ id: 5n, unit: 'audio_ms', picoUsd: 100n, perUnits: 3n }],
      quantities: new Map([['audio_ms', 3n]]),
      costPicoUsd: 99n,
    });
    expect(line.parts).toEqual([
      {
        unit: 'audio_ms',
        quantity: 3n,
        unitPricePicoUsd: 100n,
        perUnits: 3n,
        exactPicoUsd: 100n,
      },
      expect.objectContaining({ unit: ADJUSTMENT_UNIT, exactPicoUsd: -1n }),
    ]);
  });

  it('has no parts where the provider stated the cost, or nothing has a price', () => {
    const stated = usageLine({ ...group, costPicoUsd: 42n, isCostStated: true });
    expect(stated).toMatchObject({ parts: null, exactPicoUsd: 42n });
    expect(usageLine({ ...group, priceRows: [], costPicoUsd: 42n })).toMatchObject({
      parts: null,
      exactPicoUsd: 42n,
    });
  });

  it('leaves out what was reported as 0', () => {
    const quantities = new Map<Unit, bigint>([
      ['input', 1n],
      ['output', 0n],
      ['image', 0n],
    ]);
    expect(usageLine({ ...group, quantities }).parts?.map(({ unit }) => unit)).toEqual([
      'input',
      ADJUSTMENT_UNIT,
    ]);
  });

  it('sums to the charges of its requests, its parts exactly quantity x price', () => {
    const price = fc.record({
      unit: fc.constantFrom(...UNITS),
      picoUsd: fc.bigInt(0n, 10n ** 8n),
      perUnits: fc.constantFrom(1n, 1_000n, 3_600_000n),
    });
    const prices = fc.uniqueArray(price, { selector: ({ unit }) => unit, minLength: 1 });
    const request = fc.record({
      quantities: fc.array(fc.bigInt(0n, 10n ** 7n), {
        minLength: UNITS.length,
        maxLength: UNITS.length,
      }),
      absorbed: fc.bigInt(0n, 10n ** 6n),
    });
    fc.assert(
      fc.property(prices, fc.array(request, { maxLength: 6 }), (book, requests) => {
        const priceRows = book.map((each, index) => ({ ...each, id: BigInt(index) }));
        const rows = new Map(priceRows.map((each) => [each.unit, each as PriceRow]));
        const quantities = new Map<Unit, bigint>();
        let costPicoUsd = 0n;
        let isExact = true;
        for (const each of requests) {
          const used = Object.fromEntries(
            book.map(({ unit }, index) => [unit, each.quantities[index] ?? 0n]),
          );
          const usage = priceUsage(used, rows);
          if (usage.kind !== 'priced') throw new Error(usage.kind);
          const absorbed = each.absorbed < usage.costPicoUsd ? each.absorbed : 0n;
          costPicoUsd += usage.costPicoUsd - absorbed;
          isExact &&= absorbed === 0n && book.every(({ perUnits }) => perUnits === 1n);
          for (const { unit, quantity } of usage.lines) {
            quantities.set(unit, (quantities.get(unit) ?? 0n) + quantity);
          }
        }
        const { parts, exactPicoUsd } = usageLine({
          ...group,
          priceRows,
          requests: requests.length,
          quantities,
          costPicoUsd,
        });
        expect(exactPicoUsd).toBe(costPicoUsd);
        expect(sum((parts ?? []).map((part) => part.exactPicoUsd))).toBe(costPicoUsd);
        for (const part of parts ?? []) {
          const product = part.quantity * part.unitPricePicoUsd;
          if (part.unit === ADJUSTMENT_UNIT) {
            expect(isExact).toBe(false);
            expect(part.exactPicoUsd < 0n).toBe(true);
          }
          if (part.perUnits === 1n) expect(part.exactPicoUsd).toBe(product);
          else expect(part.exactPicoUsd).toBe(product / part.perUnits);
        }
      }),
    );
  });
});

describe('the total', () => {
  it.each([
    [123_456_789_012_345n, MINIMUM, 12_345n],
    [50n * CENT, MINIMUM, 50n],
    [50n * CENT - 1n, MINIMUM, 0n],
    [50n * CENT + 1n, 50n * CENT + 1n, 0n],
    [51n * CENT, 50n * CENT + 1n, 51n],
    [0n, MINIMUM, 0n],
    [0n, 0n, 0n],
    [CENT - 1n, 0n, 0n],
    [-1n, 0n, 0n],
    [-99n * CENT, 0n, 0n],
  ])('of %s pico-USD with a minimum of %s is %s cents', (exact, minimumPicoUsd, totalCents) => {
    expect(totalOf([line(exact)], minimumPicoUsd)).toEqual({
      exactSumPicoUsd: exact,
      totalCents,
      carriedPicoUsd: exact - totalCents * CENT,
    });
  });

  it('of no lines is 0', () => {
    expect(totalOf([], MINIMUM)).toEqual({
      exactSumPicoUsd: 0n,
      totalCents: 0n,
      carriedPicoUsd: 0n,
    });
  });

  it('over any chain of invoices is what was owed but for what is carried, under a cent once billed', () => {
    fc.assert(
      fc.property(fc.array(amounts, { maxLength: 10 }), minimum, (months, minimumPicoUsd) => {
        let owed = 0n;
        let billed = 0n;
        let carried = 0n;
        for (const month of months) {
          owed += sum(month);
          const lines = [...month.map((each) => line(each)), line(carried, { kind: 'carry' })];
          const total = totalOf(lines, minimumPicoUsd);
          billed += total.totalCents * CENT;
          carried = total.carriedPicoUsd;
          expect(owed - billed).toBe(carried);
          expect(total.totalCents >= 0n).toBe(true);
          if (total.totalCents > 0n) {
            expect(carried >= 0n && carried < CENT).toBe(true);
            expect(total.totalCents * CENT >= minimumPicoUsd).toBe(true);
          } else {
            expect(carried < (minimumPicoUsd > CENT ? minimumPicoUsd + CENT : CENT)).toBe(true);
          }
        }
      }),
    );
  });

  it('does not depend on the order of the lines', () => {
    fc.assert(
      fc.property(amounts, minimum, (parts, minimumPicoUsd) => {
        const lines = parts.map((each) => line(each));
        const reversed = totalOf([...lines].reverse(), minimumPicoUsd);
        expect(reversed).toEqual(totalOf(lines, minimumPicoUsd));
      }),
    );
  });
});

describe('display cents', () => {
  const shown = (...exact: readonly bigint[]): readonly bigint[] =>
    displayCents(exact.map((exactPicoUsd) => ({ exactPicoUsd })));

  it('give the cents that floors lost to the largest remainders, in line order on ties', () => {
    expect(shown(CENT / 2n, CENT / 2n, CENT / 2n)).toEqual([1n, 0n, 0n]);
    expect(shown(CENT / 2n, (3n * CENT) / 4n, CENT / 2n, CENT / 4n)).toEqual([1n, 1n, 0n, 0n]);
    expect(shown()).toEqual([]);
  });

  it('work below 0, for lines and for sums', () => {
    expect(shown(-CENT / 2n)).toEqual([-1n]);
    expect(shown(9n * CENT, -2n * CENT - 1n)).toEqual([9n, -3n]);
    expect(shown(CENT / 4n, -CENT / 2n)).toEqual([0n, -1n]);
    expect(shown((3n * CENT) / 4n, -CENT / 2n)).toEqual([1n, -1n]);
  });

  it('tell remainders apart that a float would not', () => {
    expect(shown(2n ** 80n * CENT + 5n, 2n ** 80n * CENT + CENT - 5n)).toEqual([
      2n ** 80n,
      2n ** 80n + 1n,
    ]);
    expect(shown(CENT - 2n, CENT - 1n, 2n)).toEqual([0n, 1n, 0n]);
  });

  it('sum to the floored sum, each within a cent of its line and never off a whole one', () => {
    fc.assert(
      fc.property(amounts, (exact) => {
        const cents = shown(...exact);
        expect(sum(cents)).toBe(flooredCents(sum(exact)));
        exact.forEach((each, index) => {
          const difference = (cents[index] ?? 0n) * CENT - each;
          expect(difference > -CENT && difference < CENT).toBe(true);
          if (each % CENT === 0n) expect(difference).toBe(0n);
        });
      }),
    );
  });

  it('go to no line before one with a larger remainder or an equal one further up', () => {
    fc.assert(
      fc.property(amounts, (exact) => {
        const cents = shown(...exact);
        const lines = exact.map((each, index) => ({
          remainder: each - flooredCents(each) * CENT,
          isRaised: (cents[index] ?? 0n) > flooredCents(each),
        }));
        lines.forEach((one, at) => {
          lines.forEach((other, otherAt) => {
            if (!one.isRaised || other.isRaised) return;
            expect(one.remainder >= other.remainder).toBe(true);
            if (one.remainder === other.remainder) expect(at < otherAt).toBe(true);
          });
        });
      }),
    );
  });
});

describe('cents', () => {
  it('are floored toward minus infinity', () => {
    expect([CENT, CENT - 1n, 1n, 0n, -1n, -CENT, -CENT - 1n].map(flooredCents)).toEqual([
      1n,
      0n,
      0n,
      0n,
      -1n,
      -1n,
      -2n,
    ]);
  });

  it('are written with two decimals and read back', () => {
    expect([0n, 5n, -5n, 1_230n, -100n].map(formatCents)).toEqual([
      '0.00',
      '0.05',
      '-0.05',
      '12.30',
      '-1.00',
    ]);
    fc.assert(
      fc.property(
        fc.bigInt(-(10n ** 8n), 10n ** 8n),
        (cents) => parseUsd(formatCents(cents)) === cents * CENT,
      ),
    );
  });
});
