import { beforeEach, describe, expect, it } from 'vitest';
import { refOf } from '../../src/metering/journal.js';
import { requestOf, settledAt } from '../support/journal.js';
import { CLOSING, Closing, linesOf } from './close-fixture.js';
import {
  ACTOR,
  balanceOf,
  bookProblems,
  invoiceOf,
  openMoney,
  openOne,
  settleOne,
  spendOne,
  sweep,
  USD,
} from './money-fixture.js';

let on: Closing;

beforeEach(async () => {
  on = await Closing.open();
  return () => on.end();
});

describe('requests that come while a month is closed', () => {
  it('a late settlement of the month is on the invoice, and is not lost', async () => {
    const account = await on.pro();
    await spendOne(on.money, account, 5n * USD);
    const lates = [await openOne(on.money, account, USD), await openOne(on.money, account, USD)];
    for (const late of lates) await sweep(on.money, late);
    on.money.now = CLOSING;
    let next = 0;
    const report = await on.closeWhile(async () => {
      const receipt = await settleOne(on.money, lates[next]!, USD + BigInt(next));
      expect(receipt).toMatchObject({ kind: 'settled', isLate: true, absorbedPicoUsd: 0n });
      next += 1;
    }, 2);
    expect(report).toMatchObject({ closed: 1, failed: [] });
    const invoice = await invoiceOf(on.money, account, '2026-10');
    expect(linesOf(invoice)).toEqual(['plan 9', 'usage 7.000000000001', 'credit -2']);
    expect(invoice!.content.lines[1]!.requests).toBe(3);
    expect(invoice!.content.number).toBe('INV-000001');
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('a late settlement that burns credit only is on the invoice too', async () => {
    const account = await on.pro();
    await spendOne(on.money, account, USD);
    const late = await openOne(on.money, account, USD / 2n);
    await sweep(on.money, late);
    on.money.now = CLOSING;
    const report = await on.closeWhile(() => settleOne(on.money, late, USD / 2n));
    expect(report).toMatchObject({ closed: 1, failed: [] });
    expect(linesOf(await invoiceOf(on.money, account, '2026-10'))).toEqual([
      'plan 9',
      'usage 1.5',
      'credit -1.5',
    ]);
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('a request that is decided at no cost is on the invoice too, and waits no more', async () => {
    const account = await on.pro();
    await spendOne(on.money, account, USD);
    const event = await openOne(on.money, account, USD);
    const waiting = settledAt(0n, { state: 'unpriced', ratedCostPicoUsd: null });
    await on.money.journal.settle(refOf(event), waiting).receipt;
    on.money.now = CLOSING;
    const report = await on.closeWhile(async () => {
      const receipt = on.money.journal.settleWaiting(refOf(event), settledAt(0n), 'unpriced');
      expect(await receipt).toMatchObject({ kind: 'settled', costPicoUsd: 0n });
    });
    expect(report).toMatchObject({ closed: 1, failed: [], unresolved: [] });
    const invoice = await invoiceOf(on.money, account, '2026-10');
    expect(linesOf(invoice)).toEqual(['plan 9', 'usage 1', 'credit -1']);
    expect(invoice!.content.lines[1]!.requests).toBe(2);
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('requests of the new month go on, and what they burn and are granted is kept', async () => {
    const account = await on.pro();
    const promotional = {
      kind: 'promotional',
      amountPicoUsd: USD,
      expiresAt: null,
      reason: 'hello',
      idempotencyKey: null,
    } as const;
    await on.money.credits.grant(account.accountId, promotional, ACTOR, on.money.now);
    await spendOne(on.money, account, 2n * USD);
    on.money.now = CLOSING;
    const report = await on.closeWhile(() => spendOne(on.money, account, 2n * USD + USD / 4n));
    expect(report).toMatchObject({ closed: 1, failed: [] });
    const { accountId } = account;
    expect(await balanceOf(on.database, `promo_credit:${accountId}`)).toBe(-3n * (USD / 4n));
    expect(await balanceOf(on.database, `plan_credit:${accountId}:2026-11`)).toBe(0n);
    expect(await bookProblems(on.database)).toEqual([]);
    // It burns on from there.
    await spendOne(on.money, account, USD);
    expect(await balanceOf(on.database, `unbilled:${accountId}:2026-11`)).toBe(USD / 4n);
    expect(await bookProblems(on.database)).toEqual([]);
  });

  it('a request that a slow clock admits into the month blocks it; none is admitted afterwards', async () => {
    const account = await on.pro();
    await spendOne(on.money, account, USD);
    const slow = await openMoney(on.database.url, '2026-10-31T23:59:59.999Z');
    let event: Awaited<ReturnType<typeof openOne>> | undefined;
    const report = await on.closeWhile(async () => {
      event = await openOne(slow, account, USD);
    });
    expect(report).toMatchObject({
      closed: 0,
      failed: [],
      blocked: [{ organization: account.slug, open: 1 }],
    });
    await settleOne(slow, event!, USD);
    expect(await on.close()).toMatchObject({ closed: 1, blocked: [] });
    const refused = await slow.journal.admit(requestOf(account, 0n));
    expect(refused.kind === 'failed' && refused.problem).toMatch(/the clock is behind/);
    expect(await bookProblems(on.database)).toEqual([]);
    await slow.close();
  });

  it('a settlement that arrives after the close is ours', async () => {
    const account = await on.pro();
    const event = await openOne(on.money, account, 9n * USD);
    await sweep(on.money, event);
    await on.close();
    const before = await invoiceOf(on.money, account, '2026-10');
    expect(await settleOne(on.money, event, 9n * USD)).toMatchObject({
      kind: 'settled',
      costPicoUsd: 0n,
      absorbedPicoUsd: 9n * USD,
      isLate: true,
    });
    expect(await invoiceOf(on.money, account, '2026-10')).toEqual(before);
    expect(await balanceOf(on.database, `unbilled:${account.accountId}:2026-10`)).toBe(0n);
    expect(await bookProblems(on.database)).toEqual([]);
    // Nor does it turn up on the next invoice.
    await on.close('2026-11', new Date('2026-12-01T01:00:00Z'));
    expect(linesOf(await invoiceOf(on.money, account, '2026-11'))).toEqual(['plan 9']);
  });
});
