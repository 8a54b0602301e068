import pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refOf } from '../../src/metering/journal.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import {
  addAccount,
  admittedOf,
  budgetOf,
  openJournal,
  requestOf,
  settle,
  settledAt,
  type TestJournal,
} from '../support/journal.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

let database: TestDatabase;
let open: TestJournal;

beforeAll(async () => {
  database = await freshDatabase();
  open = await openJournal(database.url);
});

afterAll(async () => {
  await open.close();
  await database.drop();
});

const eventsOf = (
  accountId: string,
): Promise<{ id: string; state: string; cost: string | null; is_late: boolean }[]> =>
  database.query(
    'SELECT id, state, cost_pico_usd::text AS cost, is_late FROM usage_events WHERE account_id = $1 ORDER BY id',
    [accountId],
  );

const openCount = async (accountId: string): Promise<number> =>
  (await database.query('SELECT id FROM open_events WHERE account_id = $1', [accountId])).length;

describe('admission and settlement', () => {
  it('records the request with its hold before it resolves, and replaces the hold by the cost', async () => {
    const account = await addAccount(database, 1_000n);
    const event = admittedOf(await open.journal.admit(requestOf(account, 400n)));
    expect(await openCount(account.accountId)).toBe(1);
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 0n,
      previousUsed: 0n,
      held: 400n,
    });
    const receipt = await settle(open.journal, event, settledAt(250n)).receipt;
    expect(receipt).toEqual({
      kind: 'settled',
      costPicoUsd: 250n,
      absorbedPicoUsd: 0n,
      isLate: false,
    });
    expect(await openCount(account.accountId)).toBe(0);
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 250n,
      previousUsed: 0n,
      held: 0n,
    });
    expect(await budgetOf(database, account.tokenId)).toEqual({
      used: 250n,
      previousUsed: 0n,
      held: null,
    });
    expect(await eventsOf(account.accountId)).toMatchObject([{ state: 'settled', cost: '250' }]);
  });

  it('refuses what does not fit next to the open holds and says why', async () => {
    const account = await addAccount(database, 1_000n);
    const event = admittedOf(await open.journal.admit(requestOf(account, 800n)));
    const refused = await open.journal.admit(requestOf(account, 300n));
    expect(refused).toMatchObject({
      kind: 'refused',
      refused: {
        code: 'insufficient_funds',
        scope: 'account',
        heldPicoUsd: 800n,
        isCausedByOpenHolds: true,
      },
    });
    await settle(open.journal, event, settledAt(100n)).receipt;
    admittedOf(await open.journal.admit(requestOf(account, 300n)));
  });

  it('settles an event once however often it is asked to', async () => {
    const account = await addAccount(database, 1_000n);
    const event = admittedOf(await open.journal.admit(requestOf(account, 100n)));
    const ending = settledAt(70n);
    const receipts = await Promise.all(
      [1, 2, 3].map(() => settle(open.journal, event, ending).receipt),
    );
    expect(receipts.map(({ kind }) => kind).sort()).toEqual([
      'already_ended',
      'already_ended',
      'settled',
    ]);
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 70n,
      previousUsed: 0n,
      held: 0n,
    });
    expect(await eventsOf(account.accountId)).toHaveLength(1);
  });

  it('bears what exceeds the hold and the limit, and never more than that', async () => {
    const account = await addAccount(database, 1_000n);
    const first = admittedOf(await open.journal.admit(requestOf(account, 600n)));
    const second = admittedOf(await open.journal.admit(requestOf(account, 300n)));
    const receipt = await settle(open.journal, second, settledAt(900n)).receipt;
    expect(receipt).toMatchObject({ costPicoUsd: 400n, absorbedPicoUsd: 500n });
    await settle(open.journal, first, settledAt(600n)).receipt;
    expect((await budgetOf(database, account.accountId)).used).toBe(1_000n);
    expect(open.anomalies).toContain('overrun');
  });

  it('refuses a token that was closed after it was looked up', async () => {
    const account = await addAccount(database, 1_000n);
    await database.query('UPDATE budgets SET is_closed = true WHERE subject_id = $1', [
      account.tokenId,
    ]);
    expect(await open.journal.admit(requestOf(account, 1n))).toEqual({ kind: 'token_closed' });
  });

  it('never charges a provider request twice: the second event is quarantined', async () => {
    const account = await addAccount(database, 1_000n);
    const [first, second, third] = await Promise.all(
      [1, 2, 3].map(() => open.journal.admit(requestOf(account, 100n))),
    );
    const providerRequestId = uuidv7();
    await settle(open.journal, admittedOf(first!), settledAt(10n, { providerRequestId })).receipt;
    // Once against what is stored, once within a batch.
    const receipts = await Promise.all([
      settle(open.journal, admittedOf(second!), settledAt(10n, { providerRequestId })).receipt,
      settle(open.journal, admittedOf(third!), settledAt(10n, { providerRequestId })).receipt,
    ]);
    expect(receipts).toEqual([{ kind: 'quarantined' }, { kind: 'quarantined' }]);
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 10n,
      previousUsed: 0n,
      held: 0n,
    });
  });

  it('charges one of two events of one batch that name the same provider request', async () => {
    const account = await addAccount(database, 1_000n);
    const events = (
      await Promise.all([1, 2].map(() => open.journal.admit(requestOf(account, 100n))))
    ).map(admittedOf);
    const providerRequestId = uuidv7();
    const receipts = await Promise.all(
      events.map(
        (event) => settle(open.journal, event, settledAt(10n, { providerRequestId })).receipt,
      ),
    );
    expect(receipts.map(({ kind }) => kind).sort()).toEqual(['quarantined', 'settled']);
    expect((await budgetOf(database, account.accountId)).used).toBe(10n);
  });

  it('books an event of last month into last month', async () => {
    let now = new Date('2026-10-31T23:59:59.900Z');
    const journal = await openJournal(database.url, { now: () => now });
    const account = await addAccount(database, 1_000n, '2026-10');
    const event = admittedOf(await journal.journal.admit(requestOf(account, 400n)));
    now = new Date('2026-11-01T00:00:00.100Z');
    // The new month's limit is whole again but for the hold, which counts in every period.
    const next = admittedOf(await journal.journal.admit(requestOf(account, 600n)));
    expect((await journal.journal.admit(requestOf(account, 1n))).kind).toBe('refused');
    await settle(journal.journal, event, settledAt(300n)).receipt;
    await settle(journal.journal, next, settledAt(50n)).receipt;
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 50n,
      previousUsed: 300n,
      held: 0n,
    });
    const periods = await database.query(
      'SELECT period FROM usage_events WHERE account_id = $1 ORDER BY id',
      [account.accountId],
    );
    expect(periods).toEqual([{ period: '2026-10' }, { period: '2026-11' }]);
    await journal.close();
  });
});

describe('idempotency keys', () => {
  const claim = (key: string, body: string): { key: string; bodyMac: Buffer } => ({
    key,
    bodyMac: Buffer.from(body),
  });

  it('answers a second request with the same key by the state of the first', async () => {
    const account = await addAccount(database, 1_000n);
    const first = requestOf(account, 10n, { idempotency: claim('k', 'body') });
    const event = admittedOf(await open.journal.admit(first));
    const again = (body: string) =>
      open.journal.admit(requestOf(account, 10n, { idempotency: claim('k', body) }));
    expect(await again('body')).toEqual({ kind: 'replayed', of: first.id, is: 'in_progress' });
    expect(await again('other')).toEqual({ kind: 'replayed', of: first.id, is: 'other_body' });
    await settle(open.journal, event, settledAt(5n)).receipt;
    expect(await again('body')).toEqual({ kind: 'replayed', of: first.id, is: 'processed' });
    expect(await openCount(account.accountId)).toBe(0);
  });

  it('gives the key back when nothing was used', async () => {
    const account = await addAccount(database, 1_000n);
    const event = admittedOf(
      await open.journal.admit(requestOf(account, 10n, { idempotency: claim('k', 'body') })),
    );
    const released = settledAt(0n, {
      state: 'released',
      ratedCostPicoUsd: null,
      givesKeyBack: true,
    });
    await settle(open.journal, event, released).receipt;
    admittedOf(
      await open.journal.admit(requestOf(account, 10n, { idempotency: claim('k', 'other') })),
    );
  });

  it('lets one of many simultaneous requests with one key through, in two processes', async () => {
    const account = await addAccount(database, 1_000n);
    const other = await openJournal(database.url);
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        (index % 2 === 0 ? open : other).journal.admit(
          requestOf(account, 1n, { idempotency: claim('same', 'body') }),
        ),
      ),
    );
    expect(results.filter(({ kind }) => kind === 'admitted')).toHaveLength(1);
    expect(results.filter(({ kind }) => kind === 'replayed')).toHaveLength(39);
    await other.close();
  });
});

describe('batch failures', () => {
  it.each(['before', 'after'] as const)(
    'neither doubles nor loses a batch whose COMMIT is cut off %s it arrives',
    async (when) => {
      const port = Number(new URL(database.url).port);
      const proxy = await startTcpProxy(port);
      const through = await openJournal(database.url.replace(`:${port}/`, `:${proxy.port}/`));
      const account = await addAccount(database, 1_000_000n);
      proxy.cutAt('COMMIT', when);
      const events = (
        await Promise.all(
          Array.from({ length: 20 }, () => through.journal.admit(requestOf(account, 100n))),
        )
      ).map(admittedOf);
      expect(proxy.cuts).toBe(1);
      expect(await openCount(account.accountId)).toBe(20);
      expect((await budgetOf(database, account.accountId)).held).toBe(2_000n);
      proxy.cutAt('COMMIT', when);
      const receipts = await Promise.all(
        events.map((event) => settle(through.journal, event, settledAt(30n)).receipt),
      );
      expect(proxy.cuts).toBe(2);
      expect(receipts.every(({ kind }) => kind === 'settled')).toBe(true);
      expect(await budgetOf(database, account.accountId)).toEqual({
        used: 600n,
        previousUsed: 0n,
        held: 0n,
      });
      expect(await eventsOf(account.accountId)).toHaveLength(20);
      await through.close();
      await proxy.close();
    },
  );

  it('isolates one poisoned row: the others of its batch do not notice', async () => {
    const account = await addAccount(database, 1_000_000n);
    const requests = Array.from({ length: 30 }, (_, index) =>
      requestOf(account, 100n, index === 17 ? { model: 'a\0b' } : {}),
    );
    const results = await Promise.all(requests.map((request) => open.journal.admit(request)));
    expect(results[17]).toMatchObject({ kind: 'failed' });
    expect(results.filter(({ kind }) => kind === 'admitted')).toHaveLength(29);
    const events = results.filter((result) => result.kind === 'admitted').map(admittedOf);
    const receipts = await Promise.all(
      events.map(
        (event, index) =>
          settle(
            open.journal,
            event,
            settledAt(10n, index === 5 ? { quantities: { input: 2n ** 70n, output: 1n } } : {}),
          ).receipt,
      ),
    );
    expect(receipts[5]).toEqual({ kind: 'quarantined' });
    expect(receipts.filter(({ kind }) => kind === 'settled')).toHaveLength(28);
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 280n,
      previousUsed: 0n,
      held: 0n,
    });
    const [kept] = await database.query<{ raw_usage: string }>(
      `SELECT raw_usage FROM usage_events WHERE account_id = $1 AND state = 'quarantined'`,
      [account.accountId],
    );
    expect(kept?.raw_usage).toContain((2n ** 70n).toString());
  });

  it('lets an account whose rows are locked wait alone', async () => {
    const locked = await addAccount(database, 1_000n);
    const free = await addAccount(database, 1_000n);
    const locker = new pg.Client({ connectionString: database.url });
    await locker.connect();
    await locker.query('BEGIN');
    await locker.query('SELECT 1 FROM budgets WHERE subject_id = $1 FOR UPDATE', [
      locked.accountId,
    ]);
    let isLockedDone = false;
    const waiting = open.journal.admit(requestOf(locked, 10n)).then((result) => {
      isLockedDone = true;
      return result;
    });
    const started = performance.now();
    // Long past the time after which the locked one is waited for in a lane of its own.
    while (performance.now() - started < 400) {
      const event = admittedOf(await open.journal.admit(requestOf(free, 10n)));
      await settle(open.journal, event, settledAt(1n)).receipt;
    }
    expect(isLockedDone).toBe(false);
    expect((await budgetOf(database, free.accountId)).used).toBeGreaterThan(10n);
    await locker.query('COMMIT');
    await locker.end();
    const event = admittedOf(await waiting);
    expect(await settle(open.journal, event, settledAt(3n)).receipt).toMatchObject({
      costPicoUsd: 3n,
    });
  });

  it('releases an admission that committed after its caller had been told no', async () => {
    const impatient = await openJournal(database.url, { admitWaitMaxMs: 50 });
    const account = await addAccount(database, 1_000n);
    const locker = new pg.Client({ connectionString: database.url });
    await locker.connect();
    await locker.query('BEGIN');
    // The batch waits on its own insert, after its admission was taken from the queue.
    await locker.query('LOCK TABLE open_events IN SHARE MODE');
    expect(await impatient.journal.admit(requestOf(account, 100n))).toEqual({
      kind: 'unavailable',
    });
    await locker.query('COMMIT');
    await locker.end();
    await impatient.journal.idle();
    expect(await openCount(account.accountId)).toBe(0);
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 0n,
      previousUsed: 0n,
      held: 0n,
    });
    expect(await eventsOf(account.accountId)).toMatchObject([{ state: 'released', cost: null }]);
    await impatient.close();
  });

  it('takes a withheld answer back, whether or not its charge had committed', async () => {
    const account = await addAccount(database, 1_000n);
    const first = admittedOf(await open.journal.admit(requestOf(account, 100n)));
    const early = settle(open.journal, first, settledAt(40n));
    early.withhold();
    expect(await early.receipt).toMatchObject({ costPicoUsd: 0n, absorbedPicoUsd: 40n });
    const second = admittedOf(await open.journal.admit(requestOf(account, 100n)));
    const late = settle(open.journal, second, settledAt(40n));
    expect(await late.receipt).toMatchObject({ costPicoUsd: 40n });
    late.withhold();
    await new Promise((wake) => setImmediate(wake));
    await open.journal.idle();
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 0n,
      previousUsed: 0n,
      held: 0n,
    });
    const rows = await database.query(
      'SELECT cost_pico_usd::text AS cost, absorbed_pico_usd::text AS absorbed FROM usage_events WHERE account_id = $1',
      [account.accountId],
    );
    expect(rows).toEqual([
      { cost: '0', absorbed: '40' },
      { cost: '0', absorbed: '40' },
    ]);
  });

  it('books a settlement that arrives after its hold was swept, once', async () => {
    const account = await addAccount(database, 1_000n);
    const event = admittedOf(await open.journal.admit(requestOf(account, 100n)));
    const swept = settledAt(0n, {
      state: 'released',
      outcome: 'aborted',
      ratedCostPicoUsd: null,
      usageSource: 'none',
    });
    const sweeper = await openJournal(database.url);
    expect(await sweeper.journal.settle(refOf(event), swept).receipt).toEqual({ kind: 'released' });
    expect(await settle(open.journal, event, settledAt(60n)).receipt).toMatchObject({
      kind: 'settled',
      costPicoUsd: 60n,
      isLate: true,
    });
    expect(await settle(open.journal, event, settledAt(60n)).receipt).toEqual({
      kind: 'already_ended',
    });
    expect(await budgetOf(database, account.accountId)).toEqual({
      used: 60n,
      previousUsed: 0n,
      held: 0n,
    });
    expect(await eventsOf(account.accountId)).toMatchObject([
      { state: 'settled', cost: '60', is_late: true },
    ]);
    expect(open.anomalies).toContain('late');
    await sweeper.close();
  });
});

describe('several processes', () => {
  it('never admits past a limit, and nothing is left held', async () => {
    const account = await addAccount(database, 5_000n);
    const others = await Promise.all([openJournal(database.url), openJournal(database.url)]);
    const journals = [open, ...others];
    let refused = 0;
    let peak = 0n;
    await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const { journal } = journals[index % journals.length]!;
        const result = await journal.admit(requestOf(account, 100n));
        if (result.kind !== 'admitted') {
          refused += 1;
          return;
        }
        const { used, held } = await budgetOf(database, account.accountId);
        if (used + (held ?? 0n) > peak) peak = used + (held ?? 0n);
        await settle(journal, result.event, settledAt(90n)).receipt;
      }),
    );
    const { used, held } = await budgetOf(database, account.accountId);
    expect(peak).toBeLessThanOrEqual(5_000n);
    expect(refused).toBeGreaterThan(0);
    expect(used).toBe(BigInt(300 - refused) * 90n);
    expect(used).toBeLessThanOrEqual(5_000n);
    expect(held).toBe(0n);
    await Promise.all(others.map(({ close }) => close()));
  });
});
