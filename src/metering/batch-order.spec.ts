import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  account,
  BatchBooks,
  entitled,
  NOVEMBER,
  OCTOBER,
  request,
  settled,
  settlement,
  token,
  TOKEN,
  type Rows,
} from '../../test/support/batch-books.js';
import { usedIn } from '../domain/budget-rows.js';
import { burnedIn, usableIn } from '../domain/credits.js';
import { foldTransfers } from '../domain/ledger.js';
import type { BatchDecision } from './batch-decision.js';

const cost = fc.bigInt(0n, 300n);
const period = fc.constantFrom(OCTOBER, NOVEMBER);

describe('a batch of settlements', () => {
  const batch = fc.array(fc.record({ cost, period, provider: fc.constantFrom('novita', 'groq') }), {
    maxLength: 12,
  });

  it('books every event: its parts sum, and its transfers are shared by payer, provider and source', () => {
    fc.assert(
      fc.property(batch, cost, cost, (list, monthly, promo) => {
        const journal = new BatchBooks(account({ credit: entitled(monthly) }), token());
        if (promo > 0n) journal.grant(promo, 'promotional', 'promo', new Date('2026-10-05'));
        const before = journal.transfers.length;
        const { ended, transfers } = journal.commit(
          list.map((one, index) =>
            settlement(`e${index}`, settled(one.cost, one.provider), { period: one.period }),
          ),
        );
        journal.check();
        ended.forEach((event, index) => {
          expect(event.costPicoUsd! + event.absorbedPicoUsd!).toBe(list[index]!.cost);
          expect(event.creditPicoUsd! >= 0n && event.creditPicoUsd! <= event.costPicoUsd!).toBe(
            true,
          );
          expect(event.transferIds.length > 0).toBe(list[index]!.cost > 0n);
        });
        const named = new Set(ended.flatMap(({ transferIds }) => transferIds));
        const booked = transfers.filter(({ kind }) => kind === 'settlement' || kind === 'absorbed');
        expect(new Set(booked.map(({ id }) => id))).toEqual(named);
        const sum = booked.reduce((all, { amountPicoUsd }) => all + amountPicoUsd, 0n);
        expect(sum).toBe(list.reduce((all, one) => all + one.cost, 0n));
        const keys = booked.map(
          (one) => `${one.kind} ${one.period} ${one.debit} ${one.credit} ${one.grantId ?? ''}`,
        );
        expect(new Set(keys).size).toBe(keys.length);
        expect(journal.transfers.length - before).toBeLessThanOrEqual(2 + 2 * 2 * 3);
      }),
    );
  });

  it('is the same cut anywhere, admissions after it too', () => {
    const holds = fc.array(fc.bigInt(0n, 400n), { maxLength: 5 });
    fc.assert(
      fc.property(
        batch,
        holds,
        fc.nat(),
        cost,
        fc.bigInt(0n, 900n),
        fc.boolean(),
        (list, wanted, at, monthly, limit, isLimited) => {
          const row = isLimited
            ? account({ credit: entitled(monthly), limitPicoUsd: limit, heldPicoUsd: 100_000n })
            : account({ credit: entitled(monthly) });
          const tokenRow = token({ limitPicoUsd: 900n, heldPicoUsd: 100_000n });
          const settlements = list.map((one, index) =>
            settlement(`e${index}`, settled(one.cost, one.provider), {
              period: one.period,
              holdPicoUsd: BigInt(index * 37),
            }),
          );
          const admissions = wanted.map((hold, index) => request(`r${index}`, hold));
          const whole = new BatchBooks(row, tokenRow);
          const all = whole.commit(settlements, admissions);
          const cut = at % (settlements.length + admissions.length + 1);
          const split = new BatchBooks(row, tokenRow);
          const [one, other] = [
            split.commit(
              settlements.slice(0, cut),
              admissions.slice(0, Math.max(0, cut - list.length)),
            ),
            split.commit(settlements.slice(cut), admissions.slice(Math.max(0, cut - list.length))),
          ];
          const plain = ({
            settlement: of,
            transferIds: _ids,
            ...rest
          }: BatchDecision['ended'][0]) => ({
            id: of.event.id,
            ...rest,
          });
          expect([...one.ended, ...other.ended].map(plain)).toEqual(all.ended.map(plain));
          expect([...one.admissions, ...other.admissions]).toEqual(all.admissions);
          expect(withoutIds(split.rows)).toEqual(withoutIds(whole.rows));
          expect(sorted(foldTransfers(split.transfers))).toEqual(
            sorted(foldTransfers(whole.transfers)),
          );
        },
      ),
    );
  });
});

/** The ids of grants depend on how often one was taken. */
function withoutIds(rows: Rows): unknown {
  return [...rows.values()].map((row) => ({
    ...row,
    credit: { ...row.credit, grants: row.credit.grants.map((one) => ({ ...one, id: '' })) },
  }));
}

function sorted(fold: ReadonlyMap<string, bigint>): unknown {
  return [...fold].sort(([one], [other]) => (one < other ? -1 : 1));
}

/** Something that happens to an account in one month. */
type Happening =
  | { readonly kind: 'settle'; readonly id: string; readonly cost: bigint }
  | {
      readonly kind: 'grant';
      readonly id: string;
      readonly amount: bigint;
      readonly of: 'promotional' | 'prepaid';
    }
  | { readonly kind: 'upgrade'; readonly amount: bigint };

const happenings = fc
  .tuple(
    fc.array(cost, { maxLength: 6 }),
    fc.array(fc.tuple(fc.bigInt(1n, 300n), fc.constantFrom('promotional', 'prepaid')), {
      maxLength: 3,
    }),
    fc.array(fc.bigInt(1n, 400n), { maxLength: 2 }),
  )
  .map(([settlements, grants, upgrades]): readonly Happening[] => [
    ...settlements.map((each, index) => ({ kind: 'settle', id: `e${index}`, cost: each }) as const),
    ...grants.map(
      ([amount, of], index) => ({ kind: 'grant', id: `grant${index}`, amount, of }) as const,
    ),
    ...upgrades.map((amount) => ({ kind: 'upgrade', amount }) as const),
  ]);

describe('any order of settlements, grants and upgrades', () => {
  const orders = happenings.chain((list) =>
    fc.tuple(
      fc.constant(list),
      fc.shuffledSubarray([...list], { minLength: list.length, maxLength: list.length }),
    ),
  );

  it('gives the same charges, the same credit used, min(usable, cost), at every commit', () => {
    fc.assert(
      fc.property(orders, cost, ([list, shuffled], monthly) => {
        const figures = [list, shuffled].map((order) => {
          const journal = new BatchBooks(account({ credit: entitled(monthly) }), token());
          const charged = new Map<string, bigint>();
          let total = 0n;
          for (const one of order) {
            if (one.kind === 'grant') journal.grant(one.amount, one.of, one.id);
            else if (one.kind === 'upgrade') {
              const { entitlements } = journal.account.credit;
              const before = entitlements[0]?.amountPicoUsd ?? 0n;
              journal.entitle(one.amount > before ? one.amount : before);
            } else {
              const { ended } = journal.commit([settlement(one.id, settled(one.cost))]);
              charged.set(one.id, ended[0]!.costPicoUsd!);
              total += one.cost;
            }
            journal.check();
            const used = burnedIn(journal.account.credit, NOVEMBER);
            const usable = used + usableIn(journal.account.credit, NOVEMBER);
            if (total > 0n) expect(used).toBe(total < usable ? total : usable);
          }
          journal.entitle(journal.account.credit.entitlements[0]!.amountPicoUsd);
          return {
            charged: [...charged].sort(),
            creditUsed: burnedIn(journal.account.credit, NOVEMBER),
            owed: usedIn(journal.account, NOVEMBER),
            ofToken: usedIn(journal.rows.get(TOKEN)!, NOVEMBER),
            credit: usableIn(journal.account.credit, NOVEMBER),
            payable: foldTransfers(journal.transfers).get('provider_payable:default:novita'),
          };
        });
        expect(figures[1]).toEqual(figures[0]);
      }),
    );
  });

  it('over two open months gives the same sums, and credit that spans both is never idle', () => {
    const events = fc.array(fc.record({ cost, period }), { maxLength: 8 });
    const both = events.chain((list) =>
      fc.tuple(
        fc.constant(list),
        fc.shuffledSubarray([...list], { minLength: list.length, maxLength: list.length }),
      ),
    );
    fc.assert(
      fc.property(both, cost, cost, ([list, shuffled], monthly, promo) => {
        const sums = [list, shuffled].map((order) => {
          const journal = new BatchBooks(account({ credit: entitled(monthly) }), token());
          if (promo > 0n) journal.grant(promo, 'promotional', 'promo', new Date('2026-10-05'));
          for (const [index, one] of order.entries()) {
            journal.commit([settlement(`e${index}`, settled(one.cost), { period: one.period })]);
            journal.check();
          }
          return (
            usedIn(journal.account, OCTOBER) +
            usedIn(journal.account, NOVEMBER) -
            burnedIn(journal.account.credit, OCTOBER) -
            burnedIn(journal.account.credit, NOVEMBER)
          );
        });
        expect(sums[1]).toBe(sums[0]);
      }),
    );
  });
});
