import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refOf } from '../../src/metering/journal.js';
import { settledAt } from '../support/journal.js';
import { ADMIN_TOKEN } from '../support/service.js';
import {
  FEBRUARY,
  JANUARY,
  MARCH,
  startBilling,
  usd,
  type BillingUnderTest,
} from './billing-fixture.js';

let billing: BillingUnderTest;

beforeAll(async () => {
  billing = await startBilling();
});

afterAll(async () => {
  await billing.expectBooksAgree();
  await billing.close();
});

async function metric(name: string): Promise<number> {
  const response = await fetch(`${billing.url}/metrics`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  const line = (await response.text()).split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.split(' ')[1]);
}

describe('the close of a month', () => {
  it.each(['2027-1', '2027-13', '0999-12', 'now', '2027-01-01', '%00', '2027-01%0a'])(
    'refuses the month %s',
    async (period) => {
      expect(await billing.closePeriod(period)).toMatchObject({
        status: 400,
        body: { error: { code: 'invalid_request' } },
      });
    },
  );

  it.each([{ dryRun: 'yes' }, { dryRun: 1 }, { dryRun: null }, { force: true }, '[]', '"x"'])(
    'refuses the body %j',
    async (body) => {
      billing.setTime(FEBRUARY);
      const answer = await billing.api.post('/api/periods/2027-01/close', body);
      expect(answer.status).toBe(400);
    },
  );

  it('refuses a month that is not over, for whoever asks', async () => {
    billing.setTime(JANUARY);
    for (const period of ['2027-01', '2027-02', '9999-12']) {
      expect(await billing.closePeriod(period)).toMatchObject({
        status: 409,
        body: { error: { code: 'period_not_over' } },
      });
    }
    const ahead = await billing.api.post('/api/periods/2027-02/close', { dryRun: true });
    expect(ahead).toMatchObject({ status: 409, body: { error: { code: 'period_not_over' } } });
    const account = await billing.addAccount('not-an-operator');
    const refused = await account.reader.post('/api/periods/2026-12/close');
    expect(refused).toMatchObject({ status: 403, body: { error: { code: 'insufficient_scope' } } });
  });

  it('shows the running month as it would be, and writes nothing', async () => {
    billing.setTime(JANUARY);
    const account = await billing.addAccount('dry', 'team');
    await billing.use(account, { input: 5_000_000n, output: 0n });
    const dry = await billing.api.post('/api/periods/2027-01/close', { dryRun: true });
    expect(dry).toMatchObject({ status: 200, body: { period: '2027-01', closed: 0, failed: [] } });
    expect(dry.body['invoices']).toContainEqual({
      organization: 'dry',
      id: null,
      number: null,
      // The fee and the credit of a team of one from the 5th, and 4.50 of usage.
      totalUsd: '20.17',
    });
    const [written] = await billing.database.query<{ count: string }>(
      'SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM period_closes) AS count',
    );
    expect(Number(written?.count)).toBe(0);
  });

  it('waits for requests in flight, lists what is for a person, and goes on later', async () => {
    billing.setTime(JANUARY);
    const busy = await billing.addAccount('busy', 'team');
    const waiting = await billing.addAccount('waiting', 'team');
    const open = await billing.admit(busy, 1_000n);
    await billing.use(
      waiting,
      { input: 1n, output: 1n },
      { state: 'quarantined', ratedCostPicoUsd: null, priceRowIds: [], quantities: null },
    );
    billing.setTime(FEBRUARY);
    const issuedBefore = await metric('tollgate_invoices_issued_total');
    const first = await billing.closePeriod('2027-01');
    expect(first).toMatchObject({
      status: 200,
      body: {
        period: '2027-01',
        blocked: [{ organization: 'busy', open: 1, pending: 0 }],
        unresolved: [{ organization: 'waiting', unpriced: 0, quarantined: 1 }],
        failed: [],
      },
    });
    const organizations = (first.body['invoices'] as { organization: string }[]).map(
      ({ organization }) => organization,
    );
    expect(organizations).toContain('waiting');
    expect(organizations).not.toContain('busy');
    expect(await metric('tollgate_closes_blocked')).toBe(1);
    expect(await metric('tollgate_invoices_issued_total')).toBe(
      issuedBefore + organizations.length,
    );

    await billing.journal.settle(refOf(open), settledAt(1_000n)).receipt;
    const second = await billing.closePeriod('2027-01');
    expect(second.body).toMatchObject({
      blocked: [],
      closed: (first.body['closed'] as number) + 1,
    });
    expect(await metric('tollgate_closes_blocked')).toBe(0);
    const third = await billing.closePeriod('2027-01');
    expect(third.body).toEqual(second.body);
  });

  it('makes one invoice when two closes run at once, with numbers without a gap', async () => {
    billing.setTime(MARCH);
    const reports = await Promise.all([
      billing.closePeriod('2027-02'),
      billing.closePeriod('2027-02'),
      billing.closePeriod('2027-02'),
    ]);
    expect(reports.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(reports.map(({ body }) => body['failed'])).toEqual([[], [], []]);
    const rows = await billing.database.query<{ number: number }>(
      'SELECT number FROM invoices ORDER BY number',
    );
    expect(rows.map(({ number }) => number)).toEqual(rows.map((_row, index) => index + 1));
    const [double] = await billing.database.query<{ count: string }>(
      'SELECT count(*) AS count FROM (SELECT 1 FROM invoices GROUP BY account_id, period HAVING count(*) > 1) d',
    );
    expect(Number(double?.count)).toBe(0);
  });

  it('stands in the audit log with who asked for it', async () => {
    const { body } = await billing.api.get('/api/audit-log?limit=3');
    expect(body.data).toContainEqual(
      expect.objectContaining({
        action: 'period.close',
        actor: 'operator',
        subject: 'period:2027-02',
      }),
    );
  });

  it('leaves every account where its next month begins', async () => {
    const { body } = await billing.api.get('/api/organizations?limit=200');
    for (const { slug } of body.data as unknown as { slug: string }[]) {
      const invoices = await billing.api.get(`/api/organizations/${slug}/invoices`);
      for (const invoice of invoices.body.data) {
        expect(usd(invoice['totalUsd']) + usd(invoice['carriedUsd'])).toBe(
          usd(invoice['exactSumUsd']),
        );
      }
    }
  });
});
