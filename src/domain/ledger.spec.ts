import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  balanceChanges,
  foldTransfers,
  payerOf,
  planCredit,
  prepaidCredit,
  promoCredit,
  providerPayable,
  receivable,
  unbilled,
} from './ledger.js';

const payerAccount = fc
  .tuple(fc.constantFrom('a1', 'a2'), fc.constantFrom('2026-10', '2026-11'))
  .chain(([id, period]) =>
    fc.constantFrom(
      planCredit(id, period),
      promoCredit(id),
      prepaidCredit(id),
      unbilled(id, period),
      receivable(id),
    ),
  );
const account = fc.oneof(
  payerAccount,
  fc.constantFrom('promo_cost', 'cash', 'absorbed_cost', providerPayable('default', 'novita')),
);
const transfers = fc.array(
  fc
    .record({ debit: account, credit: account, amountPicoUsd: fc.bigInt(1n, 2n ** 63n - 1n) })
    .filter(({ debit, credit }) => debit !== credit),
  { maxLength: 20 },
);

describe('the fold of transfers', () => {
  it('sums to zero, whatever they are', () => {
    fc.assert(
      fc.property(transfers, (list) => {
        expect([...foldTransfers(list).values()].reduce((sum, one) => sum + one, 0n)).toBe(0n);
      }),
    );
  });

  it('is debits minus credits of each account, in any order and cut anywhere', () => {
    fc.assert(
      fc.property(transfers, fc.nat(), (list, at) => {
        const cut = list.length === 0 ? 0 : at % list.length;
        const [one, other] = [foldTransfers(list.slice(0, cut)), foldTransfers(list.slice(cut))];
        const whole = foldTransfers([...list].reverse());
        for (const code of new Set(list.flatMap(({ debit, credit }) => [debit, credit]))) {
          const of = (side: 'debit' | 'credit'): bigint =>
            list
              .filter((each) => each[side] === code)
              .reduce((sum, { amountPicoUsd }) => sum + amountPicoUsd, 0n);
          expect(whole.get(code)).toBe(of('debit') - of('credit'));
          expect(whole.get(code)).toBe((one.get(code) ?? 0n) + (other.get(code) ?? 0n));
        }
      }),
    );
  });
});

describe('stored balances', () => {
  it('change by the fold of what concerns a payer, sorted, without zeros', () => {
    fc.assert(
      fc.property(transfers, (list) => {
        const changes = balanceChanges(list);
        const fold = foldTransfers(list);
        const codes = changes.map((change) => change.account);
        expect(codes).toEqual([...codes].sort());
        expect(new Set(codes).size).toBe(codes.length);
        for (const [code, balance] of fold) {
          const change = changes.find((each) => each.account === code);
          const isStored = payerOf(code) !== null && balance !== 0n;
          expect(change?.deltaPicoUsd).toBe(isStored ? balance : undefined);
        }
      }),
    );
  });

  it('that come back to where they were do not change', () => {
    const there = { debit: unbilled('a1', '2026-11'), credit: 'cash', amountPicoUsd: 5n };
    const back = { debit: 'cash', credit: unbilled('a1', '2026-11'), amountPicoUsd: 5n };
    expect(balanceChanges([there, back])).toEqual([]);
  });

  it('are those of a payer only', () => {
    expect(payerOf('unbilled:a1:2026-11')).toEqual({ kind: 'unbilled', accountId: 'a1' });
    expect(payerOf('plan_credit:a1:2026-11')).toEqual({ kind: 'plan_credit', accountId: 'a1' });
    expect(payerOf('promo_credit:a1')).toEqual({ kind: 'promo_credit', accountId: 'a1' });
    expect(payerOf('prepaid_credit:a1')).toEqual({ kind: 'prepaid_credit', accountId: 'a1' });
    expect(payerOf('receivable:a1')).toEqual({ kind: 'receivable', accountId: 'a1' });
    expect(payerOf('promo_cost')).toBeNull();
    expect(payerOf(providerPayable('default', 'novita'))).toBeNull();
  });

  it('keep the payable of a provider that an answer did not name apart', () => {
    expect(providerPayable('default', null)).toBe('provider_payable:default:unknown');
    expect(providerPayable('default', 'novita')).toBe('provider_payable:default:novita');
  });
});
