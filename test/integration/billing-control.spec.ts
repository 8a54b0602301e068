import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DailyControlService } from '../../src/billing/daily-control.service.js';
import { MetricsService } from '../../src/http/metrics.service.js';
import {
  FEBRUARY,
  MARCH,
  startBilling,
  type BillingAccount,
  type BillingUnderTest,
} from './billing-fixture.js';

let billing: BillingUnderTest;
let account: BillingAccount;
let control: DailyControlService;
let metrics: MetricsService;

beforeAll(async () => {
  billing = await startBilling();
  control = billing.app.get(DailyControlService, { strict: false });
  metrics = billing.app.get(MetricsService, { strict: false });
  account = await billing.addAccount('controlled', 'team');
  const grant = { amountUsd: '1', kind: 'promotional', reason: 'welcome' };
  await billing.api.post(`${account.path}/credits`, grant);
  await billing.use(account, { input: 5_000_000n, output: 3n });
  await billing.admit(account, 1_000n);
  await billing.addAccount('second', 'free');
});

afterAll(async () => {
  await billing.close();
});

async function published(): Promise<number | undefined> {
  return (await metrics.controlDifferenceUsd.get()).values[0]?.value;
}

async function alarms(): Promise<number> {
  const { values } = await metrics.alarms.get();
  return values.find(({ labels }) => labels.kind === 'daily_control')?.value ?? 0;
}

/** Runs the control while something is wrong, and puts it right again. */
async function foundWhile(wrong: string, right: string): Promise<readonly unknown[]> {
  const change = async (sql: string): Promise<void> => {
    for (const statement of sql.split(';')) await billing.database.query(statement);
  };
  await change(wrong);
  const before = await alarms();
  const { differences, differencePicoUsd } = await control.run(new Date(FEBRUARY));
  expect(differencePicoUsd).toBeGreaterThan(0n);
  expect(await published()).toBeGreaterThan(0);
  expect(await alarms()).toBe(before + 1);
  await change(right);
  await billing.expectBooksAgree();
  expect(await published()).toBe(0);
  return differences.map(({ check }) => check);
}

const ledgerAsIs = (statement: string): string =>
  `ALTER TABLE ledger_transfers DISABLE TRIGGER USER; ${statement}; ALTER TABLE ledger_transfers ENABLE TRIGGER USER`;

describe('the daily control', () => {
  it('finds nothing where nothing is wrong, in open and closed months', async () => {
    await billing.expectBooksAgree();
    expect(await published()).toBe(0);
  });

  it('finds an event whose cost was not booked so', async () => {
    const move = (by: string): string =>
      `UPDATE usage_events SET cost_pico_usd = cost_pico_usd ${by}, pay_as_you_go_pico_usd = pay_as_you_go_pico_usd ${by} WHERE cost_pico_usd > 0`;
    expect(await foundWhile(move('+ 1'), move('- 1'))).toEqual(['charged']);
  });

  it('finds a cost that we bear which was not booked', async () => {
    const set = (pico: number): string =>
      `UPDATE usage_events SET absorbed_pico_usd = ${pico} WHERE state = 'settled'`;
    expect(await foundWhile(set(5), set(0))).toEqual(['absorbed']);
  });

  it('finds a budget that remembers something else', async () => {
    const set = (by: string): string =>
      `UPDATE budgets SET used_pico_usd = used_pico_usd ${by} WHERE subject_id = '${account.id}'`;
    expect(await foundWhile(set('+ 3'), set('- 3'))).toEqual(['pay_as_you_go']);
  });

  it('finds a stored balance that moved without a transfer', async () => {
    const set = (by: string): string =>
      `UPDATE ledger_balances SET balance_pico_usd = balance_pico_usd ${by} WHERE kind = 'unbilled' AND account_id = '${account.id}'`;
    expect(await foundWhile(set('+ 1'), set('- 1'))).toEqual(['balance']);
  });

  it('finds a transfer without its balance, and credit that a grant does not have', async () => {
    const id = '01970000-0000-7000-8000-00000000abcd';
    const wrong = `INSERT INTO ledger_transfers (id, created_at, period, kind, debit, credit, amount_pico_usd, account_id, grant_id)
      SELECT '${id}', now() + interval '5 years', '2027-01', 'promotional_grant', 'promo_cost', 'promo_credit:${account.id}', 7, '${account.id}', id
      FROM credit_grants WHERE account_id = '${account.id}' AND kind = 'promotional'`;
    const right = ledgerAsIs(`DELETE FROM ledger_transfers WHERE id = '${id}'`);
    expect(await foundWhile(wrong, right)).toEqual(['balance', 'grant']);
  });

  it('finds credit that was used without a transfer', async () => {
    const set = (from: string, to: string): string =>
      `UPDATE budgets SET credit = replace(credit::text, '"2027-01": "${from}"', '"2027-01": "${to}"')::jsonb WHERE subject_id = '${account.id}'`;
    const [row] = await billing.database.query<{ used: string }>(
      `SELECT credit->'grants'->0->'burnedPicoUsd'->>'2027-01' AS used FROM budgets WHERE subject_id = $1`,
      [account.id],
    );
    const used = row?.used ?? '';
    const other = (BigInt(used) - 1n).toString();
    expect(await foundWhile(set(used, other), set(other, used))).toEqual(['credit']);
  });

  it('finds what a closed month still owes', async () => {
    await billing.database.query('DELETE FROM open_events');
    await billing.database.query(
      'UPDATE budgets SET held_pico_usd = 0 WHERE held_pico_usd IS NOT NULL',
    );
    billing.setTime(FEBRUARY);
    expect((await billing.closePeriod('2027-01')).body).toMatchObject({ blocked: [], failed: [] });
    await billing.expectBooksAgree();
    const id = '01970000-0000-7000-8000-00000000abce';
    const owed = `unbilled:${account.id}:2027-01`;
    const wrong = `INSERT INTO ledger_transfers (id, created_at, period, kind, debit, credit, amount_pico_usd, account_id)
        VALUES ('${id}', now() + interval '5 years', '2027-01', 'settlement', '${owed}', 'provider_payable:default:together', 9, '${account.id}');
      UPDATE ledger_balances SET balance_pico_usd = balance_pico_usd + 9 WHERE ledger_account = '${owed}'`;
    const right = `${ledgerAsIs(`DELETE FROM ledger_transfers WHERE id = '${id}'`)};
      UPDATE ledger_balances SET balance_pico_usd = balance_pico_usd - 9 WHERE ledger_account = '${owed}'`;
    expect(await foundWhile(wrong, right)).toEqual(['closed_period']);
  });

  it('lists its runs, latest first, to the operator', async () => {
    billing.setTime(MARCH);
    await control.run(new Date(MARCH));
    const { status, body } = await billing.api.get('/api/controls?limit=1');
    expect(status).toBe(200);
    expect(body.data).toEqual([{ at: MARCH, accounts: 2, differenceUsd: '0', differences: [] }]);
    const next = await billing.api.get(`/api/controls?limit=1&cursor=${body.nextCursor ?? ''}`);
    expect(next.body.data).toHaveLength(1);
    expect(next.body.data[0]?.['at']).not.toBe(MARCH);
    expect((await account.reader.get('/api/controls')).status).toBe(403);
  });
});
