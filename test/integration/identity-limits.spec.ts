import pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Journal, refOf, type AdmittedEvent } from '../../src/metering/journal.js';
import { ApiClient, eventually } from '../support/api-client.js';
import { withoutCredit } from '../support/database.js';
import { requestOf, settledAt } from '../support/journal.js';
import { startService, type TestService } from '../support/service.js';

let service: TestService;
let operator: ApiClient;
let journal: Journal;

beforeAll(async () => {
  service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' });
  operator = new ApiClient(service.url);
  journal = service.app.get(Journal, { strict: false });
});
afterAll(async () => {
  await service.close();
});

describe('limits of an organization', () => {
  it('are set whole but for what is optional, and shown with it', async () => {
    await operator.addOrganization('limited');
    const path = '/api/organizations/limited/limits';
    const set = await operator.put(path, {
      monthlySpendLimitUsd: '250.500000000001',
      payAsYouGo: true,
      requestsPerMinute: 10,
      requestsPerDay: 1000,
      maxSpendLimitUsd: '300',
    });
    expect(set.status).toBe(200);
    expect(set.body['limits']).toEqual({
      monthlySpendLimitUsd: '250.500000000001',
      payAsYouGo: true,
      requestsPerMinute: 10,
      requestsPerDay: 1000,
      maxSpendLimitUsd: '300',
    });
    expect((await operator.get('/api/organizations/limited')).body).toEqual(set.body);
    const less = await operator.put(path, { monthlySpendLimitUsd: null, payAsYouGo: false });
    expect(less.body['limits']).toEqual({
      monthlySpendLimitUsd: null,
      payAsYouGo: false,
      requestsPerMinute: 10,
      requestsPerDay: 1000,
      maxSpendLimitUsd: '300',
    });
    const cleared = await operator.put(path, {
      monthlySpendLimitUsd: null,
      payAsYouGo: false,
      requestsPerMinute: null,
      requestsPerDay: null,
    });
    expect(cleared.body['limits']).toMatchObject({ requestsPerMinute: null, requestsPerDay: null });
  });

  it('go past the maximum, or away, only by the word of the operator', async () => {
    const { secret } = await operator.addOrganization('capped', 'pro', ['limits.write']);
    const own = operator.as(secret);
    const path = '/api/organizations/capped/limits';
    const set = (limit: string | null, more: object = {}): Promise<number> =>
      own
        .put(path, { monthlySpendLimitUsd: limit, payAsYouGo: true, ...more })
        .then(({ status }) => status);
    expect(await set('100')).toBe(200);
    expect(await set('100.000000000001')).toBe(403);
    expect(await set(null)).toBe(403);
    expect(await set('50', { maxSpendLimitUsd: '1000' })).toBe(403);
    expect(await set('50', { maxSpendLimitUsd: null })).toBe(403);
    expect(await set('50')).toBe(200);
    const [state] = await service.database.query(
      `SELECT b.limit_pico_usd, a.max_spend_limit_pico_usd FROM accounts a JOIN budgets b ON b.subject_id = a.id WHERE a.slug = 'capped'`,
    );
    expect(state).toEqual({
      limit_pico_usd: '50000000000000',
      max_spend_limit_pico_usd: '100000000000000',
    });
    const refused = await own.put(path, { monthlySpendLimitUsd: '101', payAsYouGo: true });
    expect(refused.body.error).toMatchObject({ code: 'insufficient_scope' });
    expect(refused.body.error.message).toContain('$100');
  });

  it('that the operator raised may be kept and lowered by the organization, not raised', async () => {
    const { secret } = await operator.addOrganization('trusted', 'pro', ['limits.write']);
    const path = '/api/organizations/trusted/limits';
    await operator.put(path, { monthlySpendLimitUsd: '500', payAsYouGo: true });
    const own = operator.as(secret);
    const body = { monthlySpendLimitUsd: '500', payAsYouGo: true };
    expect((await own.put(path, body)).status).toBe(200);
    expect((await own.put(path, { ...body, payAsYouGo: false })).status).toBe(200);
    expect((await own.put(path, body)).status).toBe(403);
    expect(
      (await own.put(path, { ...body, monthlySpendLimitUsd: '400', payAsYouGo: false })).status,
    ).toBe(200);
    expect(
      (await own.put(path, { ...body, monthlySpendLimitUsd: '450', payAsYouGo: false })).status,
    ).toBe(403);
    expect((await own.put(path, { ...body, monthlySpendLimitUsd: '90' })).status).toBe(200);
  });
});

describe('what is held', () => {
  it.each([
    ['an account', 'account'],
    ['a member', 'member'],
    ['a token', 'token'],
  ] as const)(
    'by %s is right when its limit changes, however many requests come and go',
    async (_what, scope) => {
      const slug = `busy-${scope}`;
      const { id: accountId } = (
        await operator.post('/api/organizations', { name: slug, slug, plan: 'team' })
      ).body;
      const person = { email: 'b@example.com', name: 'B', role: 'member' };
      const { id: memberId } = (await operator.post(`/api/organizations/${slug}/members`, person))
        .body;
      const { tokenId } = await operator.addToken(slug, { memberId });
      const unlimited = { monthlySpendLimitUsd: null, payAsYouGo: true };
      await operator.put(`/api/organizations/${slug}/limits`, unlimited);
      const subjectId = { account: accountId, member: memberId, token: tokenId }[scope];
      const setLimit = async (usd: string | null): Promise<void> => {
        const answer =
          scope === 'account'
            ? await operator.put(`/api/organizations/${slug}/limits`, {
                ...unlimited,
                monthlySpendLimitUsd: usd,
              })
            : scope === 'member'
              ? await operator.patch(`/api/organizations/${slug}/members/${memberId}`, {
                  monthlyLimitUsd: usd,
                })
              : await operator.patch(`/api/tokens/${tokenId}`, { monthlyLimitUsd: usd });
        expect(answer.status).toBe(200);
      };

      const open: AdmittedEvent[] = [];
      let isOver = false;
      const traffic = async (): Promise<void> => {
        while (!isOver) {
          const result = await journal.admit(
            requestOf({ accountId, tokenId }, 1000n, { memberId }),
          );
          if (result.kind !== 'admitted') throw new Error(`not admitted: ${result.kind}`);
          open.push(result.event);
          const ended = open.length > 24 ? open.shift() : undefined;
          if (ended !== undefined) await journal.settle(refOf(ended), settledAt(7n)).receipt;
        }
      };
      const callers = Array.from({ length: 12 }, traffic);
      for (let change = 0; change < 12; change += 1)
        await setLimit(change % 2 === 0 ? '9000' : null);
      await setLimit('9000');
      isOver = true;
      await Promise.all(callers);

      expect(await heldAndOpen(subjectId)).toEqual({
        held: String(open.length * 1000),
        open: String(open.length * 1000),
      });
      await Promise.all(open.map((event) => journal.settle(refOf(event), settledAt(7n)).receipt));
      expect(await heldAndOpen(subjectId)).toEqual({ held: '0', open: '0' });
    },
  );

  it('by an admission that has not committed yet is waited for, not missed', async () => {
    const { accountId, tokenId } = await operator.addOrganization('waiting');
    const path = '/api/organizations/waiting/limits';
    await operator.put(path, { monthlySpendLimitUsd: null, payAsYouGo: true });
    // What the journal does with an unlimited budget, stopped before its commit.
    const admission = new pg.Client({ connectionString: service.database.url });
    await admission.connect();
    await admission.query('BEGIN');
    await admission.query('SELECT 1 FROM budgets WHERE subject_id = $1 FOR KEY SHARE', [accountId]);
    await admission.query(
      `INSERT INTO open_events (id, account_id, token_id, created_at, admitted_at, period, upstream, model, task, is_stream, hold_pico_usd)
       VALUES ($1, $2, $3, now(), now(), '2026-11', 'default', 'org/model', 'chat', false, 777)`,
      [uuidv7(), accountId, tokenId],
    );
    let isDone = false;
    const limited = operator
      .put(path, { monthlySpendLimitUsd: '10', payAsYouGo: true })
      .finally(() => (isDone = true));
    await eventually(async () => isDone || (await lockWaiters()) > 0);
    expect(isDone).toBe(false);
    await admission.query('COMMIT');
    await admission.end();
    expect((await limited).status).toBe(200);
    expect(await heldAndOpen(accountId)).toEqual({ held: '777', open: '777' });
  });

  it('by an unpriced request counts when its budget becomes limited', async () => {
    const { accountId, tokenId } = await operator.addOrganization('unpriced');
    const path = '/api/organizations/unpriced/limits';
    await operator.put(path, { monthlySpendLimitUsd: null, payAsYouGo: true });
    const result = await journal.admit(requestOf({ accountId, tokenId }, 4242n));
    if (result.kind !== 'admitted') throw new Error(result.kind);
    await journal.settle(
      refOf(result.event),
      settledAt(1n, { state: 'unpriced', ratedCostPicoUsd: null, priceRowIds: [] }),
    ).receipt;
    await operator.put(path, { monthlySpendLimitUsd: '10', payAsYouGo: true });
    expect((await heldAndOpen(accountId)).held).toBe('4242');
  });

  it('keeps a limit that was set under load: nothing is admitted past it', async () => {
    const { accountId, tokenId } = await operator.addOrganization('tight');
    await withoutCredit(service.database, 'tight');
    const path = '/api/organizations/tight/limits';
    await operator.put(path, { monthlySpendLimitUsd: null, payAsYouGo: true });
    const admit = (): Promise<string> =>
      journal.admit(requestOf({ accountId, tokenId }, 1_000_000_000n)).then(({ kind }) => kind);
    const before = Array.from({ length: 200 }, admit);
    const limited = operator.put(path, { monthlySpendLimitUsd: '0.25', payAsYouGo: true });
    const meanwhile = Array.from({ length: 200 }, admit);
    expect((await limited).status).toBe(200);
    await Promise.all([...before, ...meanwhile]);
    const after = await Promise.all(Array.from({ length: 100 }, admit));
    expect(after.filter((kind) => kind === 'admitted').length).toBeLessThanOrEqual(50);
    const { held, open } = await heldAndOpen(accountId);
    expect(held).toBe(open);
    expect(
      (await Promise.all(Array.from({ length: 5 }, admit))).every((kind) => kind === 'refused'),
    ).toBe(true);
  });
});

/** Sessions of this database that wait for a row another one holds. */
async function lockWaiters(): Promise<number> {
  const rows = await service.database.query(
    `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length;
}

async function heldAndOpen(subjectId: string): Promise<{ held: string; open: string }> {
  const [row] = await service.database.query<{ held: string; open: string }>(
    `SELECT b.held_pico_usd::text AS held, (SELECT coalesce(sum(o.hold_pico_usd), 0)::text FROM open_events o
       WHERE b.subject_id IN (o.account_id, o.member_id, o.token_id)) AS open
     FROM budgets b WHERE b.subject_id = $1`,
    [subjectId],
  );
  if (row === undefined) throw new Error('no budget');
  return row;
}
