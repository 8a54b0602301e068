import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterSettlement, splitCharge } from '../../test/support/settled-budget.js';
import { type AccountBudget, roomOf, settlementCharge, withHold } from './budgets.js';

function account(
  creditUsablePicoUsd: bigint,
  payAsYouGo: AccountBudget['payAsYouGo'] = { isOn: false, limitPicoUsd: 50n, usedPicoUsd: 0n },
  heldPicoUsd = 0n,
): AccountBudget {
  return { scope: 'account', creditUsablePicoUsd, payAsYouGo, heldPicoUsd };
}

describe('the room of a budget', () => {
  it('is credit alone without pay-as-you-go', () => {
    expect(roomOf(account(10n, undefined, 4n))).toMatchObject({
      leftPicoUsd: 10n,
      availablePicoUsd: 6n,
    });
  });

  it('is credit plus what the limit leaves, never less than credit', () => {
    const on = { isOn: true, limitPicoUsd: 50n, usedPicoUsd: 20n };
    expect(roomOf(account(10n, on))?.availablePicoUsd).toBe(40n);
    expect(roomOf(account(10n, { ...on, usedPicoUsd: 90n }))?.availablePicoUsd).toBe(10n);
    expect(roomOf(account(10n, { ...on, limitPicoUsd: null }))).toBeNull();
  });
});

describe('settlement', () => {
  it('is paid up to the hold, beyond it from what nobody else holds, the rest is ours', () => {
    const budget = account(100n, undefined, 90n);
    expect(settlementCharge(40n, 50n, budget)).toMatchObject({ chargedPicoUsd: 40n });
    expect(settlementCharge(55n, 50n, budget)).toEqual({
      chargedPicoUsd: 55n,
      absorbedPicoUsd: 0n,
      isOverrun: false,
    });
    expect(settlementCharge(70n, 50n, budget)).toEqual({
      chargedPicoUsd: 60n,
      absorbedPicoUsd: 10n,
      isOverrun: true,
    });
  });

  it('charges the hold even where the budget was cut below it', () => {
    const budget = account(0n, undefined, 50n);
    expect(settlementCharge(60n, 50n, budget)).toMatchObject({ chargedPicoUsd: 50n });
  });

  it('never charges past a limit, whatever the cost, and loses no part of it', () => {
    const money = fc.bigInt(0n, 1_000n);
    const payAsYouGo = fc.record({
      isOn: fc.boolean(),
      limitPicoUsd: fc.option(money),
      usedPicoUsd: money,
    });
    fc.assert(
      fc.property(money, payAsYouGo, money, money, money, (credit, payg, other, hold, cost) => {
        const used = payg.limitPicoUsd ?? payg.usedPicoUsd;
        const bounded = payg.usedPicoUsd < used ? payg.usedPicoUsd : used;
        const usedPicoUsd = payg.isOn ? bounded : 0n;
        const before = account(credit, { ...payg, usedPicoUsd }, other + hold);
        const available = roomOf(before)?.availablePicoUsd ?? null;
        fc.pre(available === null || available >= 0n);
        const charge = settlementCharge(cost, hold, before);
        expect(charge.chargedPicoUsd + charge.absorbedPicoUsd).toBe(cost);
        expect(charge.chargedPicoUsd >= (cost < hold ? cost : hold)).toBe(true);
        const split = splitCharge(charge.chargedPicoUsd, before);
        expect(split.creditPicoUsd + split.payAsYouGoPicoUsd).toBe(charge.chargedPicoUsd);
        const after = afterSettlement(before, hold, charge.chargedPicoUsd) as AccountBudget;
        expect(after.creditUsablePicoUsd >= 0n).toBe(true);
        expect((roomOf(after)?.availablePicoUsd ?? 0n) >= 0n).toBe(true);
        if (!payg.isOn) expect(after.payAsYouGo.usedPicoUsd).toBe(0n);
        else if (payg.limitPicoUsd !== null) {
          expect(after.payAsYouGo.usedPicoUsd <= payg.limitPicoUsd).toBe(true);
        }
        const owesBesideCredit = split.payAsYouGoPicoUsd > 0n && after.creditUsablePicoUsd > 0n;
        expect(owesBesideCredit).toBe(false);
      }),
    );
  });

  it('gives the whole hold back', () => {
    const member = { scope: 'member', limitPicoUsd: 9n, usedPicoUsd: 1n, heldPicoUsd: 0n } as const;
    expect(afterSettlement(withHold(member, 5n), 5n, 3n)).toEqual({ ...member, usedPicoUsd: 4n });
  });
});
