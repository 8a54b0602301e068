import { afterAll, beforeAll, expect, it } from 'vitest';
import { previousPeriod } from '../../src/domain/periods.js';
import { Journal, refOf } from '../../src/metering/journal.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { admittedOf, requestOf, settledAt } from '../support/journal.js';
import { ADMIN_TOKEN, startService, type TestService } from '../support/service.js';
import { addOrganization, addToken, get, type TestOrganization } from './usage-fixture.js';

interface BalanceBody {
  readonly period: string;
  readonly payAsYouGo: {
    readonly enabled: boolean;
    readonly used: string;
    readonly limit: string | null;
  };
  readonly held: string;
}

const PERIOD = new Date().toISOString().slice(0, 7);

let database: TestDatabase;
let service: TestService;
let journal: Journal;

beforeAll(async () => {
  database = await freshDatabase();
  service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' }, database);
  journal = service.app.get(Journal, { strict: false });
});

afterAll(async () => {
  await service.close();
  await database.drop();
});

async function balanceOf({ slug }: TestOrganization): Promise<BalanceBody> {
  const answer = await get<BalanceBody>(service, `/api/organizations/${slug}/balance`);
  expect(answer).toMatchObject({ status: 200 });
  return answer.body;
}

async function admit(
  { id, token }: TestOrganization,
  holdPicoUsd: bigint,
): Promise<ReturnType<typeof admittedOf>> {
  return admittedOf(
    await journal.admit(requestOf({ accountId: id, tokenId: token.id }, holdPicoUsd)),
  );
}

it('tells what is used and held against a limit', async () => {
  const organization = await addOrganization(service, 'limited');
  expect(await balanceOf(organization)).toEqual({
    period: PERIOD,
    currency: 'USD',
    credit: { granted: '0', used: '0', remaining: '0', expiresAt: null, grants: [] },
    payAsYouGo: { enabled: true, used: '0', limit: '100' },
    held: '0',
  });
  const first = await admit(organization, 3_000_000n);
  await admit(organization, 50n);
  expect(await balanceOf(organization)).toMatchObject({
    payAsYouGo: { used: '0' },
    held: '0.00000300005',
  });
  await journal.settle(refOf(first), settledAt(2_000_001n)).receipt;
  expect(await balanceOf(organization)).toMatchObject({
    payAsYouGo: { used: '0.000002000001' },
    held: '0.00000000005',
  });
});

it('sums the open holds of an account without a limit, unpriced ones included', async () => {
  const organization = await addOrganization(service, 'unlimited');
  await database.query(
    'UPDATE budgets SET limit_pico_usd = NULL, held_pico_usd = NULL WHERE subject_id = $1',
    [organization.id],
  );
  const settled = await admit(organization, 1_000n);
  const unpriced = await admit(organization, 20n);
  const quarantined = await admit(organization, 400n);
  await admit(organization, 3n);
  const other = await addOrganization(service, 'unlimited-too');
  await admit(other, 7_000_000n);
  expect(await balanceOf(organization)).toMatchObject({
    payAsYouGo: { limit: null },
    held: '0.000000001423',
  });
  await journal.settle(refOf(settled), settledAt(900n)).receipt;
  await journal.settle(
    refOf(unpriced),
    settledAt(0n, { state: 'unpriced', ratedCostPicoUsd: null }),
  ).receipt;
  await journal.settle(
    refOf(quarantined),
    settledAt(0n, { state: 'quarantined', ratedCostPicoUsd: null }),
  ).receipt;
  expect(await balanceOf(organization)).toMatchObject({
    payAsYouGo: { used: '0.0000000009' },
    held: '0.000000000023',
  });
});

it('tells this month although the budget was last written in an earlier or a later one', async () => {
  const organization = await addOrganization(service, 'rolling');
  const write = (period: string): Promise<unknown> =>
    database.query(
      'UPDATE budgets SET period = $2, used_pico_usd = 5000, previous_used_pico_usd = 70 WHERE subject_id = $1',
      [organization.id, period],
    );
  await write(PERIOD);
  expect(await balanceOf(organization)).toMatchObject({
    period: PERIOD,
    payAsYouGo: { used: '0.000000005' },
  });
  await write(previousPeriod(PERIOD));
  expect(await balanceOf(organization)).toMatchObject({
    period: PERIOD,
    payAsYouGo: { used: '0' },
  });
  await write('2020-01');
  expect(await balanceOf(organization)).toMatchObject({
    period: PERIOD,
    payAsYouGo: { used: '0' },
  });
  const [year = 0, month = 0] = PERIOD.split('-').map(Number);
  const next = new Date(Date.UTC(year, month)).toISOString().slice(0, 7);
  await write(next);
  expect(await balanceOf(organization)).toMatchObject({
    period: PERIOD,
    payAsYouGo: { used: '0.00000000007' },
  });
});

it('shows that pay-as-you-go is off', async () => {
  const organization = await addOrganization(service, 'free', 'free');
  expect(await balanceOf(organization)).toMatchObject({
    payAsYouGo: { enabled: false, used: '0' },
    held: '0',
  });
});

it('is for the operator and tokens of the organization that may read usage or billing', async () => {
  const organization = await addOrganization(service, 'mine');
  const foreign = await addOrganization(service, 'theirs');
  const path = '/api/organizations/mine/balance';
  const statusFor = async (token: string | null): Promise<number> =>
    (await get(service, path, token)).status;
  expect(await statusFor(ADMIN_TOKEN)).toBe(200);
  expect(await statusFor(organization.token.secret)).toBe(200);
  expect(await statusFor((await addToken(service, 'mine', ['billing.read'])).secret)).toBe(200);
  expect(await statusFor((await addToken(service, 'mine', ['inference'])).secret)).toBe(403);
  expect(await statusFor(foreign.token.secret)).toBe(404);
  expect(await statusFor(null)).toBe(401);
  expect((await get(service, '/api/organizations/nobody/balance')).status).toBe(404);
});
