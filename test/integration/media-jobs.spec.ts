import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import {
  addAccount,
  admittedOf,
  budgetOf,
  requestOf,
  settledAt,
  type TestAccount,
} from '../support/journal.js';
import { newJobOf, startJobProcess, until, type JobProcess } from '../support/media-jobs.js';
import { startService, type TestService } from '../support/service.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { AdmittedEvent } from '../../src/metering/journal.js';

let database: TestDatabase;
let one: JobProcess;
let two: JobProcess;

beforeAll(async () => {
  database = await freshDatabase();
  one = await startJobProcess(database.url);
  two = await startJobProcess(database.url);
});

afterAll(async () => {
  await one.close();
  await two.close();
  await database.drop();
});

const admitted = async (
  account: TestAccount,
  process = one,
  holdPicoUsd = 100n,
): Promise<AdmittedEvent> =>
  admittedOf(await process.journal.admit(requestOf(account, holdPicoUsd)));

const ownersOf = (accountId: string): Promise<{ owner_id: string | null }[]> =>
  database.query('SELECT owner_id FROM open_events WHERE account_id = $1 ORDER BY id', [accountId]);

const jobsOf = (accountId: string): Promise<{ state: string; event_id: string }[]> =>
  database.query('SELECT state, event_id FROM media_jobs WHERE account_id = $1 ORDER BY event_id', [
    accountId,
  ]);

const eventsOf = (
  accountId: string,
): Promise<
  { id: string; state: string; outcome: string; cost: string | null; absorbed: string }[]
> =>
  database.query(
    `SELECT id, state, outcome, cost_pico_usd::text AS cost, absorbed_pico_usd::text AS absorbed
     FROM usage_events WHERE account_id = $1 ORDER BY id`,
    [accountId],
  );

describe('the hold of a job', () => {
  it('is taken from the process and given to the job in one commit', async () => {
    const account = await addAccount(database, 1_000n);
    const event = await admitted(account);
    const job = newJobOf(event);
    expect(await one.jobs.handOver(job).done).toBe('handed_over');
    expect(await ownersOf(account.accountId)).toEqual([{ owner_id: null }]);
    expect(await jobsOf(account.accountId)).toMatchObject([{ state: 'running' }]);
    expect(await one.jobs.handOver(job).done).toBe('handed_over');
    expect(await jobsOf(account.accountId)).toHaveLength(1);
    expect((await budgetOf(database, account.accountId)).held).toBe(100n);
  });

  it('is handed over once although the answer to the commit was lost, and although it never arrived', async () => {
    const proxy = await startTcpProxy(Number(new URL(database.url).port));
    const url = new URL(database.url);
    url.port = String(proxy.port);
    const process = await startJobProcess(url.toString());
    try {
      for (const when of ['before', 'after'] as const) {
        const account = await addAccount(database, 1_000n);
        const event = await admitted(account, process);
        proxy.cutAt(event.request.id, when);
        const cuts = proxy.cuts;
        expect(await process.jobs.handOver(newJobOf(event)).done).toBe('handed_over');
        expect(proxy.cuts).toBe(cuts + 1);
        expect(await jobsOf(account.accountId)).toHaveLength(1);
        expect(await ownersOf(account.accountId)).toEqual([{ owner_id: null }]);
      }
    } finally {
      await process.close();
      await proxy.close();
    }
  });

  it('is not handed over where the job is another event’s already, and stays with the process', async () => {
    const account = await addAccount(database, 1_000n);
    const providerJobId = uuidv7();
    const first = await admitted(account);
    const second = await admitted(account);
    expect(await one.jobs.handOver(newJobOf(first, { providerJobId })).done).toBe('handed_over');
    expect(await one.jobs.handOver(newJobOf(second, { providerJobId })).done).toBe('duplicate');
    expect(await ownersOf(account.accountId)).toEqual([
      { owner_id: null },
      { owner_id: one.ownerId },
    ]);
  });

  it('goes to a sweeper or to the job, never to both', async () => {
    const account = await addAccount(database, 10_000n);
    const process = await startJobProcess(database.url);
    const heirId = uuidv7();
    const events: AdmittedEvent[] = [];
    for (let count = 0; count < 20; count += 1) events.push(await admitted(account, process));
    const [taken, ...results] = await Promise.all([
      two.owners.takeOver(process.ownerId, heirId, 100),
      ...events.map((event) => process.jobs.handOver(newJobOf(event)).done),
    ]);
    const takenIds = new Set(taken.map(({ id }) => id));
    results.forEach((result, index) => {
      expect(result).toBe(takenIds.has(events[index]?.request.id ?? '') ? 'lost' : 'handed_over');
    });
    const handedOver = new Set((await jobsOf(account.accountId)).map(({ event_id: id }) => id));
    expect(handedOver.size + takenIds.size).toBe(20);
    expect([...takenIds].some((id) => handedOver.has(id))).toBe(false);
    await process.close();
  });
});

describe('a process that dies', () => {
  let service: TestService;

  beforeAll(async () => {
    service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' }, database);
  });
  afterAll(() => service.close());

  it('leaves what it had not handed over to the sweeper, and its jobs to themselves', async () => {
    const account = await addAccount(database, 1_000n);
    const dying = await startJobProcess(database.url);
    const before = await admitted(account, dying, 100n);
    const after = await admitted(account, dying, 30n);
    const job = newJobOf(after, {
      // Far away: the service's own poller leaves it alone.
      firstPollAt: new Date(Date.now() + 3_600_000),
    });
    expect(await dying.jobs.handOver(job).done).toBe('handed_over');
    await dying.close();
    await database.query(
      `UPDATE open_events SET admitted_at = admitted_at - interval '1 minute' WHERE account_id = $1`,
      [account.accountId],
    );
    await until('the sweep', async () => {
      const events = await eventsOf(account.accountId);
      return events.length === 1 ? events : null;
    });
    expect(await eventsOf(account.accountId)).toMatchObject([
      { id: before.request.id, state: 'released', outcome: 'aborted', cost: null },
    ]);
    expect(await ownersOf(account.accountId)).toEqual([{ owner_id: null }]);
    expect((await budgetOf(database, account.accountId)).held).toBe(30n);
    // Whoever comes next ends it.
    const found = await two.jobs.find(account.accountId, 'fal-ai', job.providerJobId);
    expect(found).not.toBeNull();
    if (found === null) return;
    expect(await two.jobs.settle(found, settledAt(20n))).toMatchObject({
      kind: 'settled',
      costPicoUsd: 20n,
      isLate: false,
    });
    expect((await budgetOf(database, account.accountId)).held).toBe(0n);
  });
});

describe('jobs of two accounts', () => {
  it('are found by their own account and provider alone', async () => {
    const mine = await addAccount(database, 1_000n);
    const other = await addAccount(database, 1_000n);
    const job = newJobOf(await admitted(mine));
    await one.jobs.handOver(job).done;
    expect(await two.jobs.find(mine.accountId, 'fal-ai', job.providerJobId)).toMatchObject({
      event: { id: job.event.id, accountId: mine.accountId, holdPicoUsd: 100n },
      model: 'fal-ai/flux/dev',
      factsJson: '{"n": "1"}',
      state: 'running',
    });
    expect(await two.jobs.find(other.accountId, 'fal-ai', job.providerJobId)).toBeNull();
    expect(await two.jobs.find(mine.accountId, 'replicate', job.providerJobId)).toBeNull();
    expect(await two.jobs.find(mine.accountId, 'fal-ai', `${job.providerJobId}x`)).toBeNull();
  });

  it('are never run under the key of another account', async () => {
    const mine = await addAccount(database, 1_000n);
    const other = await addAccount(database, 1_000n);
    const event = await admitted(mine);
    await expect(
      one.jobs.handOver(newJobOf(event, { keyAccountId: other.accountId })).done,
    ).rejects.toThrow(/media_jobs_key/);
    expect(await ownersOf(mine.accountId)).toEqual([{ owner_id: one.ownerId }]);
  });
});

describe('polling', () => {
  it('is done by one process at a time, and taken over when that one falls silent', async () => {
    const account = await addAccount(database, 100_000n);
    const at = new Date('2026-02-01T00:00:00Z');
    const later = (ms: number): Date => new Date(at.getTime() + ms);
    for (let count = 0; count < 30; count += 1) {
      const event = await admitted(account);
      await one.jobs.handOver(newJobOf(event, { submittedAt: at })).done;
    }
    expect(await one.jobs.claimDue(later(999), later(60_000), 100)).toHaveLength(0);
    const claims = await Promise.all(
      [one, two, one, two].map(({ jobs }) => jobs.claimDue(later(1000), later(31_000), 10)),
    );
    const claimed = claims.flat().map(({ event }) => event.id);
    expect(new Set(claimed).size).toBe(claimed.length);
    expect(claimed.length).toBeGreaterThan(0);
    await one.jobs.claimDue(later(1000), later(31_000), 100);
    expect(await two.jobs.claimDue(later(30_999), later(60_000), 100)).toHaveLength(0);
    const again = await two.jobs.claimDue(later(31_000), later(61_000), 100);
    expect(again).toHaveLength(30);
    const [job] = again;
    expect(job?.polls).toBe(2);
    if (job === undefined) return;
    await two.jobs.pollAgain(job, later(35_000));
    // What was claimed before is no longer this one's to set.
    await one.jobs.pollAgain({ ...job, polls: 1 }, later(32_000));
    expect(await one.jobs.claimDue(later(34_999), later(60_000), 100)).toHaveLength(0);
    expect(await one.jobs.claimDue(later(35_000), later(60_000), 100)).toHaveLength(1);
    await database.query(
      `UPDATE media_jobs SET next_poll_at = now() + interval '1 day' WHERE account_id = $1`,
      [account.accountId],
    );
  });
});

describe('the end of a job', () => {
  const running = async (
    account: TestAccount,
  ): Promise<NonNullable<Awaited<ReturnType<JobProcess['jobs']['find']>>>> => {
    const job = newJobOf(await admitted(account), {
      firstPollAt: new Date(Date.now() + 3_600_000),
    });
    await one.jobs.handOver(job).done;
    const found = await one.jobs.find(account.accountId, 'fal-ai', job.providerJobId);
    if (found === null) throw new Error('the job is not there');
    return found;
  };

  it('comes once, whoever brings the result', async () => {
    const account = await addAccount(database, 1_000n);
    const job = await running(account);
    const ending = settledAt(60n, { provider: 'fal-ai', providerRequestId: job.providerJobId });
    const receipts = await Promise.all([
      one.jobs.settle(job, ending),
      two.jobs.settle(job, ending),
      one.jobs.settle(job, ending),
    ]);
    expect(receipts.filter(({ kind }) => kind === 'settled')).toHaveLength(1);
    expect((await budgetOf(database, account.accountId)).used).toBe(60n);
    expect(await jobsOf(account.accountId)).toMatchObject([{ state: 'settled' }]);
    expect(await eventsOf(account.accountId)).toMatchObject([{ state: 'settled', cost: '60' }]);
    expect(await one.jobs.hasEnded(job)).toBe(true);
  });

  it('is found by the next one where a crash came before it was marked', async () => {
    const account = await addAccount(database, 1_000n);
    const job = await running(account);
    await one.journal.settle(job.event, settledAt(10n)).receipt;
    expect(await jobsOf(account.accountId)).toMatchObject([{ state: 'running' }]);
    expect(await two.jobs.hasEnded(job)).toBe(true);
    expect(await jobsOf(account.accountId)).toMatchObject([{ state: 'settled' }]);
  });

  it('is paid by us where the caller was never told of the job', async () => {
    const account = await addAccount(database, 1_000n);
    const event = await admitted(account);
    const job = newJobOf(event, { submittedAt: new Date('2026-03-01T00:00:00Z') });
    const ticket = one.jobs.handOver(job);
    ticket.withhold();
    expect(await ticket.done).toBe('handed_over');
    const claimed = await until('the mark', async () => {
      const rows = await database.query(
        'SELECT 1 FROM media_jobs WHERE event_id = $1 AND is_withheld',
        [event.request.id],
      );
      if (rows.length === 0) return null;
      const due = await one.jobs.claimDue(
        new Date('2026-03-01T00:00:10Z'),
        new Date('2026-03-01T01:00:00Z'),
        100,
      );
      return due.find((one) => one.event.id === event.request.id) ?? null;
    });
    expect(await one.jobs.find(account.accountId, 'fal-ai', job.providerJobId)).toBeNull();
    expect(await one.jobs.settle(claimed, settledAt(60n))).toMatchObject({
      kind: 'settled',
      costPicoUsd: 0n,
      absorbedPicoUsd: 60n,
    });
    expect(await budgetOf(database, account.accountId)).toMatchObject({ used: 0n, held: 0n });
  });

  it('is final: what a job was cannot be rewritten', async () => {
    const account = await addAccount(database, 1_000n);
    const job = await running(account);
    const change = (sql: string): Promise<unknown> =>
      database.query(`UPDATE media_jobs SET ${sql} WHERE event_id = $1`, [job.event.id]);
    await expect(change(`account_id = '${uuidv7()}'`)).rejects.toThrow('not to be changed');
    await expect(change(`result_path = '/v1/account'`)).rejects.toThrow('not to be changed');
    await one.jobs.settle(job, settledAt(1n));
    await expect(change(`state = 'running', ended_at = NULL`)).rejects.toThrow('not to be changed');
  });
});
