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
} from '../../test/support/batch-books.js';
import { usedIn, viewOf } from '../domain/budget-rows.js';
import { roomOf } from '../domain/budgets.js';
import { burnedIn } from '../domain/credits.js';
import { foldTransfers } from '../domain/ledger.js';

const cost = fc.bigInt(0n, 300n);
const costs = fc.array(cost, { minLength: 1, maxLength: 8 });

describe('a charge', () => {
  it('past its hold is ours, and nobody pays past a limit or owes without pay-as-you-go', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.bigInt(1n, 200n), fc.bigInt(0n, 500n)), {
          minLength: 1,
          maxLength: 8,
        }),
        cost,
        fc.bigInt(0n, 500n),
        fc.boolean(),
        fc.array(fc.nat(), { minLength: 8, maxLength: 8 }),
        (list, monthly, limit, isPayAsYouGo, order) => {
          const credit = entitled(monthly);
          const row = account({ credit, isPayAsYouGo, limitPicoUsd: limit, heldPicoUsd: 0n });
          const journal = new BatchBooks(row, token());
          const { admissions } = journal.commit(
            [],
            list.map(([hold], index) => request(`e${index}`, hold)),
          );
          const held = admissions.flatMap((one, index) =>
            one.kind === 'admitted' ? [{ index, hold: one.holdPicoUsd }] : [],
          );
          const room = (): bigint =>
            roomOf(viewOf(journal.account, NOVEMBER))?.availablePicoUsd ?? 0n;
          expect(room() >= 0n).toBe(true);
          held.sort((one, other) => order[one.index]! - order[other.index]!);
          for (const { index, hold } of held) {
            const rated = list[index]![1];
            const { ended } = journal.commit([
              settlement(`e${index}`, settled(rated), { holdPicoUsd: hold }),
            ]);
            const { costPicoUsd, absorbedPicoUsd, isOverrun } = ended[0]!;
            expect(costPicoUsd! + absorbedPicoUsd!).toBe(rated);
            expect(costPicoUsd! >= (rated < hold ? rated : hold)).toBe(true);
            expect(isOverrun).toBe(absorbedPicoUsd! > 0n);
            const named = new Set(ended[0]!.transferIds);
            const booked = journal.transfers.filter(({ id }) => named.has(id));
            expect(booked.reduce((sum, one) => sum + one.amountPicoUsd, 0n)).toBe(rated);
            expect(room() >= 0n).toBe(true);
            journal.check();
          }
          expect(journal.account.heldPicoUsd).toBe(0n);
          const used = usedIn(journal.account, NOVEMBER);
          expect(used <= (isPayAsYouGo ? limit : 0n)).toBe(true);
        },
      ),
    );
  });

  it('of a withheld answer is ours altogether', () => {
    const journal = new BatchBooks(account({ heldPicoUsd: 50n, limitPicoUsd: 50n }), token());
    const withheld = settlement('e', settled(40n), { holdPicoUsd: 50n, isWithheld: true });
    expect(journal.commit([withheld]).ended).toMatchObject([
      { costPicoUsd: 0n, creditPicoUsd: 0n, absorbedPicoUsd: 40n, isOverrun: false },
    ]);
    expect(journal.account).toMatchObject({ heldPicoUsd: 0n, usedPicoUsd: 0n });
    expect(journal.transfers).toMatchObject([
      { kind: 'absorbed', debit: 'absorbed_cost', credit: 'provider_payable:default:novita' },
    ]);
  });

  it('that arrives after the close of its period is ours and touches no budget', () => {
    const journal = new BatchBooks(
      account({ credit: entitled(90n), closedThrough: OCTOBER }),
      token(),
    );
    const late = settlement('e', settled(40n), { period: OCTOBER, from: 'released' });
    const { ended, budgets, grants } = journal.commit([late]);
    expect(ended).toMatchObject([{ costPicoUsd: 0n, absorbedPicoUsd: 40n }]);
    expect([budgets, grants]).toEqual([[], []]);
    expect(journal.transfers.map(({ kind }) => kind)).toEqual(['absorbed']);
  });

  it('makes the plan grant of its own period, also after that has ended', () => {
    const journal = new BatchBooks(account({ credit: entitled(30n) }), token());
    const { grants } = journal.commit([settlement('e', settled(40n), { period: OCTOBER })]);
    expect(grants).toMatchObject([{ period: OCTOBER, amountPicoUsd: 30n }]);
    expect(grants[0]!.grantedAt < grants[0]!.expiresAt!).toBe(true);
    expect(usedIn(journal.account, OCTOBER)).toBe(10n);
  });
});

describe('a charge that is taken back', () => {
  it('leaves the books as if only the others had been settled, but for what we bear', () => {
    fc.assert(
      fc.property(costs, fc.nat(), cost, cost, (list, at, monthly, promo) => {
        const index = at % list.length;
        const rows = [account({ credit: entitled(monthly) }), token()] as const;
        const run = (withIt: boolean): BatchBooks => {
          const journal = new BatchBooks(...rows);
          if (promo > 0n) journal.grant(promo, 'promotional', 'promo');
          list.forEach((each, place) => {
            const isIt = place === index;
            if (!isIt || withIt) journal.commit([settlement(`e${place}`, settled(each))]);
            else journal.commit([settlement(`e${place}`, settled(0n))]);
          });
          return journal;
        };
        const journal = run(true);
        const taken = list[index]!;
        fc.pre(taken > 0n);
        const { ended } = journal.commit([
          settlement(`e${index}`, settled(taken), {
            from: 'settled',
            isWithheld: true,
            chargedBeforePicoUsd: taken,
          }),
        ]);
        journal.check();
        expect(ended).toMatchObject([{ costPicoUsd: 0n, absorbedPicoUsd: taken }]);
        const without = run(false);
        const figures = ({ rows: of }: BatchBooks): unknown =>
          [...of.values()].map((row) => ({
            used: row.usedPicoUsd,
            burned: burnedIn(row.credit, NOVEMBER),
            left: row.credit.grants.map((one) => one.remainingPicoUsd),
          }));
        expect(figures(journal)).toEqual(figures(without));
        expect(foldTransfers(journal.transfers).get('absorbed_cost')).toBe(taken);
        const back = ended[0]!.transferIds.map((id) =>
          journal.transfers.find((one) => one.id === id)!,
        );
        const sumOf = (kind: string): bigint =>
          back.filter((one) => one.kind === kind).reduce((sum, one) => sum + one.amountPicoUsd, 0n);
        expect([sumOf('taken_back'), sumOf('absorbed')]).toEqual([taken, taken]);
      }),
    );
  });

  it('lets the credit that it gives back cover another open month', () => {
    const journal = new BatchBooks(account(), token());
    journal.grant(100n, 'promotional', 'promo', new Date('2026-10-05T00:00:00Z'));
    journal.commit([settlement('october', settled(100n), { period: OCTOBER })]);
    journal.commit([settlement('november', settled(70n))]);
    expect(usedIn(journal.account, NOVEMBER)).toBe(70n);
    journal.commit([
      settlement('october', settled(100n), {
        period: OCTOBER,
        from: 'settled',
        isWithheld: true,
        chargedBeforePicoUsd: 100n,
      }),
    ]);
    journal.check();
    expect(usedIn(journal.account, NOVEMBER)).toBe(0n);
    expect(burnedIn(journal.account.credit, NOVEMBER)).toBe(70n);
    const covered = journal.transfers.filter(({ kind }) => kind === 'covered');
    expect(covered).toMatchObject([{ period: NOVEMBER, amountPicoUsd: 70n }]);
  });

  it('is never more than is known to have been charged', () => {
    const journal = new BatchBooks(account({ usedPicoUsd: 10n }), token({ usedPicoUsd: 50n }));
    const back = settlement('e', settled(40n), { from: 'settled', chargedBeforePicoUsd: 40n });
    const { ended, transfers } = journal.commit([back]);
    expect(ended).toMatchObject([{ costPicoUsd: 30n, absorbedPicoUsd: 10n }]);
    expect(transfers.map(({ kind, amountPicoUsd }) => [kind, amountPicoUsd])).toEqual([
      ['taken_back', 10n],
      ['absorbed', 10n],
    ]);
    expect(usedIn(journal.account, NOVEMBER)).toBe(0n);
  });
});

describe('the hold of an event', () => {
  it.each([
    ['open', 'settled', true],
    ['open', 'released', true],
    ['open', 'quarantined', true],
    ['open', 'unpriced', false],
    ['unpriced', 'settled', true],
    ['unpriced', 'quarantined', true],
    ['quarantined', 'settled', false],
    ['released', 'settled', false],
    ['released', 'unpriced', false],
  ] as const)('%s -> %s ends: %s', (from, state, endsIt) => {
    const limited = { limitPicoUsd: 1_000n, heldPicoUsd: 60n };
    const journal = new BatchBooks(account(limited), token(limited));
    const ending = { ...settled(10n), state };
    journal.commit([settlement('e', ending, { from, holdPicoUsd: 60n })]);
    const held = [...journal.rows.values()].map(({ heldPicoUsd }) => heldPicoUsd);
    expect(held).toEqual(endsIt ? [0n, 0n] : [60n, 60n]);
    const used = [...journal.rows.values()].map(({ usedPicoUsd }) => usedPicoUsd);
    expect(used).toEqual(state === 'settled' ? [10n, 10n] : [0n, 0n]);
  });
});

describe('an admission', () => {
  it('makes the plan grant of the month, so that it can be spent', () => {
    const row = account({ isPayAsYouGo: false, heldPicoUsd: 0n, credit: entitled(30n) });
    const journal = new BatchBooks({ ...row, period: OCTOBER }, token());
    const { admissions, grants, transfers } = journal.commit(
      [],
      [request('r', 20n), request('s', 20n)],
    );
    expect(admissions.map(({ kind }) => kind)).toEqual(['admitted', 'refused']);
    expect(grants).toMatchObject([{ period: NOVEMBER, amountPicoUsd: 30n }]);
    expect(transfers).toMatchObject([
      { kind: 'plan_grant', idempotencyId: `grant:${grants[0]!.id}` },
    ]);
    expect(journal.account).toMatchObject({ period: NOVEMBER, heldPicoUsd: 20n });
    expect(journal.commit([], [request('t', 10n)]).grants).toEqual([]);
  });

  it('is refused in a period that is closed, whatever the budget, and with a closed token', () => {
    const closed = new BatchBooks(account({ closedThrough: NOVEMBER }), token());
    expect(closed.commit([], [request('r', 0n)]).admissions).toEqual([{ kind: 'period_closed' }]);
    const revoked = new BatchBooks(account(), token({ isClosed: true }));
    expect(revoked.commit([], [request('r', 0n)]).admissions).toEqual([{ kind: 'token_closed' }]);
  });

  it('answers each request by its own place, whatever stood in the way of others', () => {
    const other = { ...token({ isClosed: true }), subjectId: 'closed' };
    const journal = new BatchBooks(account({ limitPicoUsd: 30n, heldPicoUsd: 0n }), token(), other);
    const { admissions } = journal.commit(
      [],
      [
        request('a', 20n),
        { ...request('b', 1n), tokenId: 'closed' },
        request('c', 20n),
        request('d', 10n),
      ],
    );
    expect(admissions.map(({ kind }) => kind)).toEqual([
      'admitted',
      'token_closed',
      'refused',
      'admitted',
    ]);
    expect(admissions[2]).toMatchObject({ resetsAt: new Date('2026-12-01T00:00:00Z') });
  });
});
