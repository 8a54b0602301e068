import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterSettlement, withoutHold } from '../../test/support/settled-budget.js';
import { admit, admitBatch, type AdmissionRequest, type HoldRequest } from './admission.js';
import {
  type AccountBudget,
  type Budget,
  type LimitBudget,
  roomOf,
  settlementCharge,
} from './budgets.js';
import { holdAt } from './worst-case.js';

function tokens(
  fixedPicoUsd: bigint,
  perToken: bigint,
  parts: Partial<HoldRequest & { kind: 'tokens' }> = {},
): HoldRequest & { kind: 'tokens' } {
  const outputPrice = { picoUsd: perToken, perUnits: 1n };
  const isMaxOurs = parts.maxOutputTokens === undefined;
  const curve = { lines: [{ fixedPicoUsd, outputPrice, outputs: 1n }] };
  return {
    kind: 'tokens',
    curve,
    maxOutputTokens: 16_384,
    isMaxOurs,
    minimumOutputTokens: 256,
    ...parts,
  };
}

function credit(creditUsablePicoUsd: bigint, heldPicoUsd = 0n): AccountBudget {
  const payAsYouGo = { isOn: false, limitPicoUsd: null, usedPicoUsd: 0n };
  return { scope: 'account', creditUsablePicoUsd, payAsYouGo, heldPicoUsd };
}

function limit(
  scope: 'member' | 'token',
  limitPicoUsd: bigint | null,
  usedPicoUsd = 0n,
  heldPicoUsd = 0n,
): LimitBudget {
  return { scope, limitPicoUsd, usedPicoUsd, heldPicoUsd };
}

const UNLIMITED: AccountBudget = {
  ...credit(0n),
  payAsYouGo: { isOn: true, limitPicoUsd: null, usedPicoUsd: 0n },
};

describe('the maximum', () => {
  it('of ours is written whenever a budget in scope is finite', () => {
    expect(admit(tokens(0n, 1n), [credit(20_000n)])).toEqual({
      kind: 'admitted',
      holdPicoUsd: 16_384n,
      maxOutputTokensWritten: 16_384,
    });
    const token = limit('token', 10n ** 12n);
    expect(admit(tokens(0n, 1n), [UNLIMITED, token])).toMatchObject({
      maxOutputTokensWritten: 16_384,
    });
  });

  it('is not written where no budget is finite', () => {
    expect(admit(tokens(0n, 1n), [UNLIMITED, limit('token', null)])).toMatchObject({
      kind: 'admitted',
      maxOutputTokensWritten: null,
    });
  });

  it('of ours is lowered to what fits, not below 256', () => {
    expect(admit(tokens(100n, 2n), [credit(1_000n)])).toEqual({
      kind: 'admitted',
      holdPicoUsd: 1_000n,
      maxOutputTokensWritten: 450,
    });
    expect(admit(tokens(100n, 2n), [credit(612n)])).toMatchObject({ maxOutputTokensWritten: 256 });
    expect(admit(tokens(100n, 2n), [credit(611n)])).toMatchObject({
      kind: 'refused',
      requiredPicoUsd: 612n,
      affordableMaxTokens: 255,
    });
  });

  it('of the caller is never changed and never written', () => {
    const own = tokens(0n, 1n, { maxOutputTokens: 1_000 });
    expect(admit(own, [credit(1_000n)])).toMatchObject({
      holdPicoUsd: 1_000n,
      maxOutputTokensWritten: null,
    });
    expect(admit(own, [credit(999n)])).toMatchObject({
      kind: 'refused',
      code: 'insufficient_funds',
      requiredPicoUsd: 1_000n,
      affordableMaxTokens: 999,
    });
  });
});

describe('a refusal', () => {
  const own = tokens(0n, 10n, { maxOutputTokens: 1_000 });

  it('says exhausted when what is left does not buy 16 output tokens', () => {
    expect(admit(own, [credit(159n)])).toMatchObject({ code: 'credit_exhausted' });
    expect(admit(own, [credit(160n)])).toMatchObject({ code: 'insufficient_funds' });
  });

  it('names the spend limit of an account with pay-as-you-go, a member or a token', () => {
    const payAsYouGo = { isOn: true, limitPicoUsd: 100n, usedPicoUsd: 50n };
    const account = { ...credit(0n), payAsYouGo };
    expect(admit(own, [account])).toMatchObject({
      code: 'spend_limit_reached',
      scope: 'account',
      limitPicoUsd: 100n,
      usedPicoUsd: 50n,
      remainingPicoUsd: 50n,
    });
    expect(admit(own, [UNLIMITED, limit('member', 500n, 490n)])).toMatchObject({
      code: 'spend_limit_reached',
      scope: 'member',
    });
  });

  it('ignores open holds when it says exhausted, and says when only they stand in the way', () => {
    expect(admit(own, [credit(10_000n, 9_999n)])).toMatchObject({
      code: 'insufficient_funds',
      remainingPicoUsd: 1n,
      heldPicoUsd: 9_999n,
      isCausedByOpenHolds: true,
      affordableMaxTokens: 0,
    });
    expect(admit(own, [credit(9_999n, 9_999n)])).toMatchObject({ isCausedByOpenHolds: false });
    const both = [credit(10_000n, 1n), limit('token', 9_999n)];
    expect(admit(own, both)).toMatchObject({ isCausedByOpenHolds: false });
  });

  it('names the budget with least remaining, an exhausted one first', () => {
    const short = [credit(500n), limit('member', 300n), limit('token', 400n)];
    expect(admit(own, short)).toMatchObject({ scope: 'member', affordableMaxTokens: 30 });
    const exhausted = [credit(500n, 500n), limit('token', 100n)];
    expect(admit(own, exhausted)).toMatchObject({ scope: 'token', code: 'spend_limit_reached' });
  });

  it('says exhausted of nothing left, where the cost is not tokens too', () => {
    const fixed = { kind: 'fixed', holdPicoUsd: 5n } as const;
    expect(admit(fixed, [credit(0n)])).toMatchObject({
      code: 'credit_exhausted',
      affordableMaxTokens: null,
    });
    expect(admit(fixed, [credit(4n)])).toMatchObject({ code: 'insufficient_funds' });
  });
});

describe('a hold of 0', () => {
  it('always fits, in a budget below 0 too', () => {
    const empty = [credit(0n, 5n), limit('token', 1n, 9n)];
    expect(admit({ kind: 'fixed', holdPicoUsd: 0n }, empty)).toMatchObject({ kind: 'admitted' });
    expect(admit(tokens(0n, 0n), empty)).toMatchObject({ kind: 'admitted', holdPicoUsd: 0n });
  });
});

it('never takes a budget that is not in the book for unlimited', () => {
  const request = { budgetKeys: ['token:1'], hold: tokens(0n, 1n) };
  expect(() => admitBatch([request], new Map())).toThrow(/token:1/);
});

const amount = fc.bigInt(0n, 20_000n);
const holdRequest: fc.Arbitrary<HoldRequest> = fc.oneof(
  fc.record({ kind: fc.constant('fixed' as const), holdPicoUsd: fc.bigInt(0n, 3_000n) }),
  fc
    .tuple(fc.bigInt(0n, 500n), fc.bigInt(0n, 9n), fc.option(fc.nat(2_000), { nil: undefined }))
    .map(([fixed, price, own]) =>
      own === undefined ? tokens(fixed, price) : tokens(fixed, price, { maxOutputTokens: own }),
    ),
);
const request: fc.Arbitrary<AdmissionRequest> = fc.record({
  budgetKeys: fc
    .tuple(fc.constantFrom('m1', 'm2'), fc.constantFrom('t1', 't2'))
    .map(([member, token]) => ['a', member, token]),
  hold: holdRequest,
});
const book: fc.Arbitrary<ReadonlyMap<string, Budget>> = fc
  .tuple(
    amount,
    fc.boolean(),
    fc.option(amount),
    fc.array(fc.option(amount), { minLength: 4, maxLength: 4 }),
  )
  .map(([usable, isOn, payAsYouGoLimit, limits]) => {
    const payAsYouGo = { isOn, limitPicoUsd: payAsYouGoLimit, usedPicoUsd: 0n };
    const account = { ...credit(usable), payAsYouGo };
    return new Map<string, Budget>([
      ['a', account],
      ['m1', limit('member', limits[0]!)],
      ['m2', limit('member', limits[1]!)],
      ['t1', limit('token', limits[2]!)],
      ['t2', limit('token', limits[3]!)],
    ]);
  });

describe('any sequence of admissions, settlements and releases', () => {
  const step = fc.record({
    request,
    end: fc.constantFrom('open', 'release', 'settle'),
    which: fc.nat(),
    cost: fc.bigInt(0n, 4_000n),
  });

  it('leaves available >= 0 in every budget in scope, and no hold when all have ended', () => {
    fc.assert(
      fc.property(book, fc.array(step, { maxLength: 40 }), (start, steps) => {
        let budgets = start;
        const open: { keys: readonly string[]; hold: bigint }[] = [];
        const end = (which: number, cost: bigint | null): void => {
          const [ended] = open.splice(which % open.length, 1);
          const account = budgets.get('a') as AccountBudget;
          const charge = settlementCharge(cost ?? 0n, ended!.hold, account);
          const next = new Map(budgets);
          for (const key of ended!.keys) {
            const budget = next.get(key)!;
            const after =
              cost === null
                ? withoutHold(budget, ended!.hold)
                : afterSettlement(budget, ended!.hold, charge.chargedPicoUsd);
            next.set(key, after);
          }
          budgets = next;
        };
        for (const { request: asked, end: how, which, cost } of steps) {
          const { admissions, budgets: after } = admitBatch([asked], budgets);
          const admission = admissions[0]!;
          if (admission.kind === 'admitted') {
            open.push({ keys: asked.budgetKeys, hold: admission.holdPicoUsd });
            for (const key of asked.budgetKeys) {
              const available = roomOf(after.get(key)!)?.availablePicoUsd ?? 0n;
              if (admission.holdPicoUsd > 0n) expect(available >= 0n).toBe(true);
            }
          } else expect(after).toEqual(budgets);
          budgets = after;
          if (how !== 'open' && open.length > 0) end(which, how === 'settle' ? cost : null);
          const account = budgets.get('a') as AccountBudget;
          expect((roomOf(account)?.availablePicoUsd ?? 0n) >= 0n).toBe(true);
          expect(account.creditUsablePicoUsd >= 0n).toBe(true);
          if (!account.payAsYouGo.isOn) expect(account.payAsYouGo.usedPicoUsd).toBe(0n);
        }
        while (open.length > 0) end(0, 1n);
        for (const budget of budgets.values()) expect(budget.heldPicoUsd).toBe(0n);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a batch', () => {
  const batch = fc.array(request, { maxLength: 20 });

  it('split anywhere equals the whole, and leaves its argument as it was', () => {
    fc.assert(
      fc.property(book, batch, fc.nat(20), (budgets, requests, at) => {
        const before = new Map(budgets);
        const whole = admitBatch(requests, budgets);
        const first = admitBatch(requests.slice(0, at), budgets);
        const second = admitBatch(requests.slice(at), first.budgets);
        expect([...first.admissions, ...second.admissions]).toEqual(whole.admissions);
        expect(second.budgets).toEqual(whole.budgets);
        expect(budgets).toEqual(before);
      }),
    );
  });

  it('refuses only what does not fit, and writes the largest maximum that does', () => {
    fc.assert(
      fc.property(book, batch, (start, requests) => {
        let budgets = start;
        for (const each of requests) {
          const rooms = each.budgetKeys.map((key) => roomOf(budgets.get(key)!));
          const fits = (hold: bigint): boolean =>
            rooms.every((room) => room === null || hold <= room.availablePicoUsd);
          const { admissions, budgets: after } = admitBatch([each], budgets);
          const admission = admissions[0]!;
          const { hold } = each;
          if (admission.kind === 'refused') {
            expect(fits(admission.requiredPicoUsd)).toBe(false);
            expect(admission.remainingPicoUsd < admission.requiredPicoUsd).toBe(true);
            const most = admission.affordableMaxTokens;
            if (hold.kind === 'tokens' && most !== null) {
              expect(fits(holdAt(hold.curve, most + 1))).toBe(false);
              if (most > 0) expect(fits(holdAt(hold.curve, most))).toBe(true);
            }
          } else if (hold.kind === 'tokens') {
            const written = admission.maxOutputTokensWritten;
            const isFinite = rooms.some((room) => room !== null);
            expect(written !== null).toBe(hold.isMaxOurs && isFinite);
            const maximum = written ?? hold.maxOutputTokens;
            expect(admission.holdPicoUsd).toBe(holdAt(hold.curve, maximum));
            if (written !== null && written < hold.maxOutputTokens) {
              expect(written).toBeGreaterThanOrEqual(256);
              expect(fits(holdAt(hold.curve, written + 1))).toBe(false);
            }
          }
          budgets = after;
        }
      }),
      { numRuns: 300 },
    );
  });
});
