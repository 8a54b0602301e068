import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addGrant,
  type BudgetRow,
  isClosedIn,
  type NewGrant,
  topUp,
  usedIn,
  viewOf,
} from '../domain/budget-rows.js';
import { roomOf } from '../domain/budgets.js';
import {
  burnedIn,
  type CreditState,
  type GrantKind,
  NO_CREDIT,
  usableIn,
} from '../domain/credits.js';
import { foldTransfers, type Transfer } from '../domain/ledger.js';
import { type BatchDecision, decideBatch, type Settlement } from './batch-decision.js';
import { RELEASED_UNSENT } from './group-commit.js';
import type { AdmissionRequest, Ending } from './journal.js';

const ACCOUNT = 'account';
const TOKEN = 'token';
const OCTOBER = '2026-10';
const NOVEMBER = '2026-11';
const AT = new Date('2026-11-10T12:00:00Z');

type Rows = ReadonlyMap<string, BudgetRow>;

function account(parts: Partial<BudgetRow> = {}): BudgetRow {
  return {
    subjectId: ACCOUNT,
    scope: 'account',
    limitPicoUsd: null,
    isPayAsYouGo: true,
    isClosed: false,
    period: NOVEMBER,
    usedPicoUsd: 0n,
    previousUsedPicoUsd: 0n,
    heldPicoUsd: null,
    credit: NO_CREDIT,
    closedThrough: null,
    ...parts,
  };
}

function token(parts: Partial<BudgetRow> = {}): BudgetRow {
  return { ...account(), subjectId: TOKEN, scope: 'token', isPayAsYouGo: false, ...parts };
}

function rowsOf(...rows: readonly BudgetRow[]): Rows {
  return new Map(rows.map((row) => [row.subjectId, row]));
}

function entitled(amountPicoUsd: bigint): CreditState {
  return { ...NO_CREDIT, entitlements: [{ from: '2026-09', amountPicoUsd }] };
}

function settled(costPicoUsd: bigint, provider = 'novita'): Ending {
  return {
    ...RELEASED_UNSENT,
    state: 'settled',
    outcome: 'complete',
    provider,
    ratedCostPicoUsd: costPicoUsd,
    usageSource: 'provider',
    givesKeyBack: false,
  };
}

function settlement(
  id: string,
  ending: Ending,
  parts: Partial<Settlement['event']> & Partial<Omit<Settlement, 'event' | 'ending'>> = {},
): Settlement {
  const { from = 'open', isWithheld = false, chargedBeforePicoUsd = 0n, ...event } = parts;
  return {
    event: {
      id,
      accountId: ACCOUNT,
      memberId: null,
      tokenId: TOKEN,
      upstream: 'default',
      period: NOVEMBER,
      holdPicoUsd: 0n,
      idempotencyKey: null,
      ...event,
    },
    ending,
    from,
    isWithheld,
    chargedBeforePicoUsd,
  };
}

function request(id: string, holdPicoUsd: bigint): AdmissionRequest {
  return {
    id,
    createdAt: AT,
    accountId: ACCOUNT,
    memberId: null,
    tokenId: TOKEN,
    upstream: 'default',
    model: 'org/model',
    task: 'chat',
    isStream: false,
    tags: null,
    sessionId: null,
    clientRequestId: null,
    hold: { kind: 'fixed', holdPicoUsd },
    idempotency: null,
  };
}

/** Decides batches one after the other, as commits do. */
class Journal {
  rows: Rows;
  readonly transfers: Transfer[] = [];
  private last = 0;
  readonly newId = (): string => `id${String((this.last += 1)).padStart(5, '0')}`;

  constructor(...rows: readonly BudgetRow[]) {
    this.rows = rowsOf(...rows);
  }

  get account(): BudgetRow {
    return this.rows.get(ACCOUNT)!;
  }

  commit(
    settlements: readonly Settlement[],
    admissions: readonly AdmissionRequest[] = [],
    at = AT,
  ): BatchDecision {
    const decision = decideBatch(settlements, admissions, this.rows, { at, newId: this.newId });
    const changed = decision.budgets.map(({ isCreditChanged, ...row }): BudgetRow => {
      const before = this.rows.get(row.subjectId)!;
      // What is not marked is not written.
      return { ...row, credit: isCreditChanged ? row.credit : before.credit };
    });
    this.rows = rowsOf(...this.rows.values(), ...changed);
    this.transfers.push(...decision.transfers);
    return decision;
  }

  grant(amountPicoUsd: bigint, kind: Exclude<GrantKind, 'plan'>, id: string, grantedAt = AT): void {
    const grant: NewGrant = {
      id,
      accountId: ACCOUNT,
      kind,
      amountPicoUsd,
      period: null,
      entitlementPicoUsd: null,
      grantedAt,
      expiresAt: null,
    };
    const made = addGrant(this.account, grant, NOVEMBER, this.newId);
    this.rows = rowsOf(...this.rows.values(), made.row);
    this.transfers.push(...made.transfers);
  }

  entitle(amountPicoUsd: bigint): void {
    const entitlements = [{ from: '2026-09', amountPicoUsd }];
    const row = { ...this.account, credit: { ...this.account.credit, entitlements } };
    const made = topUp(row, NOVEMBER, AT, this.newId);
    this.rows = rowsOf(...this.rows.values(), made.row);
    this.transfers.push(...made.transfers);
  }

  /** Stored balances are the fold of the transfers, and the rows say the same. */
  check(): void {
    const fold = foldTransfers(this.transfers);
    for (const period of [OCTOBER, NOVEMBER]) {
      expect(fold.get(`unbilled:${ACCOUNT}:${period}`) ?? 0n).toBe(usedIn(this.account, period));
      const isOwing =
        usedIn(this.account, period) > 0n && usableIn(this.account.credit, period) > 0n;
      expect(isOwing && !isClosedIn(this.account, period)).toBe(false);
    }
    const credits = [...fold].filter(([code]) => code.includes('_credit:'));
    const { grants } = this.account.credit;
    expect(credits.reduce((sum, [, balance]) => sum - balance, 0n)).toBe(
      grants.reduce((sum, one) => sum + one.remainingPicoUsd, 0n),
    );
    for (const one of grants) expect(one.remainingPicoUsd >= 0n).toBe(true);
    for (const { amountPicoUsd } of this.transfers) expect(amountPicoUsd > 0n).toBe(true);
  }
}

const cost = fc.bigInt(0n, 300n);
const costs = fc.array(cost, { minLength: 1, maxLength: 8 });
const period = fc.constantFrom(OCTOBER, NOVEMBER);

describe('a batch of settlements', () => {
  const batch = fc.array(fc.record({ cost, period, provider: fc.constantFrom('novita', 'groq') }), {
    maxLength: 12,
  });

  it('books every event: its parts sum, and its transfers are shared by payer, provider and source', () => {
    fc.assert(
      fc.property(batch, cost, cost, (list, monthly, promo) => {
        const journal = new Journal(account({ credit: entitled(monthly) }), token());
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
          const whole = new Journal(row, tokenRow);
          const all = whole.commit(settlements, admissions);
          const cut = at % (settlements.length + admissions.length + 1);
          const split = new Journal(row, tokenRow);
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
          const journal = new Journal(account({ credit: entitled(monthly) }), token());
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
          const journal = new Journal(account({ credit: entitled(monthly) }), token());
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
          const journal = new Journal(row, token());
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
    const journal = new Journal(account({ heldPicoUsd: 50n, limitPicoUsd: 50n }), token());
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
    const journal = new Journal(
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
    const journal = new Journal(account({ credit: entitled(30n) }), token());
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
        const run = (withIt: boolean): Journal => {
          const journal = new Journal(...rows);
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
        const figures = ({ rows: of }: Journal): unknown =>
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
    const journal = new Journal(account(), token());
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
    const journal = new Journal(account({ usedPicoUsd: 10n }), token({ usedPicoUsd: 50n }));
    const back = settlement('e', settled(40n), { from: 'settled', chargedBeforePicoUsd: 40n });
    expect(() => journal.commit([back])).toThrow(/charged more than is known/);
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
    const journal = new Journal(account(limited), token(limited));
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
    const journal = new Journal({ ...row, period: OCTOBER }, token());
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
    const closed = new Journal(account({ closedThrough: NOVEMBER }), token());
    expect(closed.commit([], [request('r', 0n)]).admissions).toEqual([{ kind: 'period_closed' }]);
    const revoked = new Journal(account(), token({ isClosed: true }));
    expect(revoked.commit([], [request('r', 0n)]).admissions).toEqual([{ kind: 'token_closed' }]);
  });

  it('answers each request by its own place, whatever stood in the way of others', () => {
    const other = { ...token({ isClosed: true }), subjectId: 'closed' };
    const journal = new Journal(account({ limitPicoUsd: 30n, heldPicoUsd: 0n }), token(), other);
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
