import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refOf } from '../../src/metering/journal.js';
import { settledAt } from '../support/journal.js';
import { ADMIN_TOKEN } from '../support/service.js';
import {
  FEBRUARY,
  JANUARY,
  startBilling,
  usd,
  type BillingAccount,
  type BillingUnderTest,
} from './billing-fixture.js';

interface BalanceBody {
  readonly period: string;
  readonly credit: {
    readonly granted: string;
    readonly used: string;
    readonly remaining: string;
    readonly expiresAt: string | null;
    readonly grants: readonly {
      readonly kind: string;
      readonly granted: string;
      readonly remaining: string;
    }[];
  };
  readonly payAsYouGo: { readonly used: string };
}

let billing: BillingUnderTest;

beforeAll(async () => {
  billing = await startBilling();
});

afterAll(async () => {
  await billing.close();
});

async function balanceOf({ path }: Pick<BillingAccount, 'path'>): Promise<BalanceBody> {
  const { status, body } = await billing.api.get(`${path}/balance`);
  expect(status).toBe(200);
  const balance = body as unknown as BalanceBody;
  const { credit } = balance;
  const sum = (of: 'granted' | 'remaining'): bigint =>
    credit.grants.reduce((total, grant) => total + usd(grant[of]), 0n);
  // Whatever happened: the figures of the grants are those of the sum.
  expect(usd(credit.granted)).toBe(sum('granted'));
  expect(usd(credit.remaining)).toBe(sum('remaining'));
  expect(usd(credit.used) + usd(credit.remaining)).toBe(usd(credit.granted));
  return balance;
}

/** Admits a request and settles it at its worst case. */
async function spend(account: BillingAccount, costPicoUsd: bigint): Promise<void> {
  const event = await billing.admit(account, costPicoUsd);
  await billing.journal.settle(refOf(event), settledAt(costPicoUsd)).receipt;
}

it('makes the plan credit of the month when it is first asked for, and burns it first', async () => {
  billing.setTime(JANUARY);
  const account = await billing.addAccount('fresh');
  expect(await balanceOf(account)).toEqual({
    period: '2027-01',
    currency: 'USD',
    credit: {
      granted: '2',
      used: '0',
      remaining: '2',
      expiresAt: '2027-02-01T00:00:00.000Z',
      grants: [
        { kind: 'plan', granted: '2', remaining: '2', expiresAt: '2027-02-01T00:00:00.000Z' },
      ],
    },
    payAsYouGo: { enabled: true, used: '0', limit: '100' },
    held: '0',
  });
  await spend(account, 1_500_000_000_001n);
  expect((await balanceOf(account)).credit).toMatchObject({
    granted: '2',
    used: '1.500000000001',
    remaining: '0.499999999999',
  });
  await spend(account, 1_000_000_000_000n);
  expect(await balanceOf(account)).toMatchObject({
    credit: { granted: '2', used: '2', remaining: '0', expiresAt: null },
    payAsYouGo: { used: '0.500000000001' },
  });
});

it('shows of a grant what it amounts to in this month, and begins each month anew', async () => {
  billing.setTime(JANUARY);
  const account = await billing.addAccount('two-months');
  const grant = { amountUsd: '10', kind: 'prepaid', reason: 'top-up' };
  expect((await billing.api.post(`${account.path}/credits`, grant)).status).toBe(201);
  await spend(account, 5_000_000_000_000n);
  expect((await balanceOf(account)).credit).toMatchObject({
    granted: '12',
    used: '5',
    remaining: '7',
    expiresAt: null,
    grants: [
      { kind: 'plan', granted: '2', remaining: '0' },
      { kind: 'prepaid', granted: '10', remaining: '7' },
    ],
  });
  billing.setTime(FEBRUARY);
  expect(await balanceOf(account)).toMatchObject({
    period: '2027-02',
    credit: {
      granted: '9',
      used: '0',
      remaining: '9',
      expiresAt: '2027-03-01T00:00:00.000Z',
      grants: [
        { kind: 'plan', granted: '2', remaining: '2' },
        { kind: 'prepaid', granted: '7', remaining: '7' },
      ],
    },
    payAsYouGo: { used: '0' },
  });
});

it('counts credit of another month in that month only, also while it is not closed', async () => {
  billing.setTime(JANUARY);
  const account = await billing.addAccount('thrifty');
  await spend(account, 500_000_000_000n);
  expect((await balanceOf(account)).credit).toMatchObject({ remaining: '1.5' });
  billing.setTime(FEBRUARY);
  expect((await balanceOf(account)).credit).toMatchObject({
    granted: '2',
    used: '0',
    remaining: '2',
    grants: [{ kind: 'plan', granted: '2', remaining: '2' }],
  });
});

it('tells what is held, of an account without a limit too', async () => {
  billing.setTime(JANUARY);
  const limited = await billing.addAccount('holding');
  const first = await billing.admit(limited, 3_000_000n);
  await billing.admit(limited, 50n);
  expect(await balanceOf(limited)).toMatchObject({ held: '0.00000300005' });
  await billing.journal.settle(refOf(first), settledAt(2_000_001n)).receipt;
  expect(await balanceOf(limited)).toMatchObject({
    credit: { used: '0.000002000001' },
    held: '0.00000000005',
  });

  const unlimited = await billing.addAccount('unlimited');
  const limits = { monthlySpendLimitUsd: null, payAsYouGo: true };
  expect((await billing.api.put(`${unlimited.path}/limits`, limits)).status).toBe(200);
  const unpriced = await billing.admit(unlimited, 20n);
  const quarantined = await billing.admit(unlimited, 400n);
  await billing.admit(unlimited, 3n);
  const waiting = { ratedCostPicoUsd: null, priceRowIds: [] };
  await billing.journal.settle(refOf(unpriced), settledAt(0n, { state: 'unpriced', ...waiting }))
    .receipt;
  await billing.journal.settle(
    refOf(quarantined),
    settledAt(0n, { state: 'quarantined', ...waiting }),
  ).receipt;
  expect(await balanceOf(unlimited)).toMatchObject({
    payAsYouGo: { limit: null },
    held: '0.000000000023',
  });
});

describe('who may read it', () => {
  it('the operator and tokens of the account that may read usage or billing', async () => {
    billing.setTime(JANUARY);
    const account = await billing.addAccount('mine');
    const foreign = await billing.addAccount('theirs');
    const path = `${account.path}/balance`;
    const statusFor = async (scopes: readonly string[]): Promise<number> => {
      const { secret } = await billing.api.addToken('mine', { scopes });
      return (await billing.api.as(secret).get(path)).status;
    };
    expect((await billing.api.as(ADMIN_TOKEN).get(path)).status).toBe(200);
    expect(await statusFor(['billing.read'])).toBe(200);
    expect(await statusFor(['usage.read'])).toBe(200);
    expect(await statusFor(['inference'])).toBe(403);
    expect((await foreign.reader.get(path)).status).toBe(404);
    expect((await billing.api.as(null).get(path)).status).toBe(401);
    expect((await billing.api.get('/api/organizations/nobody/balance')).status).toBe(404);
  });

  it("a user's own account has one too", async () => {
    billing.setTime(JANUARY);
    const made = await billing.api.post('/api/users', { email: 'one@example.com', name: 'One' });
    expect(made.status).toBe(201);
    expect(await balanceOf({ path: `/api/users/${made.body.id}` })).toMatchObject({
      credit: { granted: '0.1', remaining: '0.1' },
      payAsYouGo: { enabled: false },
    });
    const token = await billing.api.post(`/api/users/${made.body.id}/tokens`, { name: 'mine' });
    const own = await billing.api.as(token.body.token).get('/api/me/balance');
    expect(own).toMatchObject({ status: 200, body: { credit: { remaining: '0.1' } } });
    expect((await billing.api.get('/api/me/balance')).status).toBe(404);
  });
});

it('agrees with the ledger after all of this', async () => {
  await billing.expectBooksAgree();
});
