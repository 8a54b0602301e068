import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { live, type Life } from '../simulation/life.js';
import type { Run } from '../simulation/run.js';
import { World } from '../simulation/world.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';

// A short run of what `npm run simulate` does at length.
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
const STEPS = 90;

async function openWorld(): Promise<{ database: TestDatabase; world: World }> {
  const database = await freshDatabase();
  return { database, world: await World.open(database.url) };
}

async function lifeOf(
  world: World,
  seed: number,
  steps = STEPS,
  tamper?: (run: Run) => Promise<unknown>,
): Promise<Life> {
  const options = { steps, keep: null, without: new Set<string>() };
  return live(world, seed, tamper === undefined ? options : { ...options, tamper });
}

// One store for all: a seed lives before the ones that came before it, apart from their accounts.
let opened: Awaited<ReturnType<typeof openWorld>>;
beforeAll(async () => {
  opened = await openWorld();
});
afterAll(async () => {
  await opened.world.close();
  await opened.database.drop();
});

describe('months of accounts, lived in the real code and in a model of the rules', () => {
  it.each(SEEDS)('keep every invariant of money at every step: seed %i', async (seed) => {
    const life = await lifeOf(opened.world, seed);
    expect(life.violations, life.log.join('\n')).toEqual([]);
    expect(life.log.length).toBeGreaterThan(STEPS / 2);
  });
});

describe('the simulation', () => {
  it('lives the same life again from the same seed', async () => {
    const { log } = await lifeOf(opened.world, 11, 60);
    const { database, world } = await openWorld();
    expect((await lifeOf(world, 11, 60)).log).toEqual(log);
    await world.close();
    await database.drop();
  });

  const ANY = `account_id = ANY($1::uuid[])`;
  const one = (table: string, condition: string): string =>
    `ctid = (SELECT ctid FROM ${table} WHERE ${ANY} AND ${condition} ORDER BY ctid LIMIT 1)`;

  it.each([
    {
      seed: 12,
      what: 'a balance that is a pico off',
      sql: `UPDATE ledger_balances SET balance_pico_usd = balance_pico_usd - 1 WHERE ${one('ledger_balances', 'true')}`,
      check: 'invariant 1: each stored balance is the fold of its transfers',
    },
    {
      seed: 13,
      what: 'a hold that was never given back',
      sql: `UPDATE budgets SET held_pico_usd = held_pico_usd + 1 WHERE ${one('budgets', 'held_pico_usd IS NOT NULL')}`,
      check: 'invariant 5: a hold ends once',
    },
    {
      seed: 14,
      what: 'a transfer that disappeared',
      sql: `DELETE FROM ledger_transfers WHERE ${one('ledger_transfers', `kind = 'settlement'`)}`,
      check: 'invariant 2: no transfer changes or disappears',
    },
    {
      seed: 15,
      what: 'a request that was charged a pico more',
      sql: `UPDATE usage_events SET cost_pico_usd = cost_pico_usd + 1, credit_pico_usd = credit_pico_usd + 1
        WHERE ${one('usage_events', `state = 'settled'`)}`,
      check: 'invariant 8: charges are what the rules say',
    },
    {
      seed: 16,
      what: 'an invoice that says something else',
      sql: `UPDATE invoices SET content = content || '{"notes": ["paid"]}' WHERE ${one('invoices', 'true')}`,
      check: 'invariant 16: a finalized invoice never changes',
    },
  ])('finds $what', async ({ seed, sql, check }) => {
    const tamper = async (run: Run): Promise<void> => {
      const client = await opened.world.pool.connect();
      await client.query(`SET session_replication_role = 'replica'`);
      const ids = run.accounts.map(({ id }) => id);
      expect((await client.query(sql, [ids])).rowCount).toBe(1);
      client.release(true);
    };
    const life = await lifeOf(opened.world, seed, 70, tamper);
    expect(life.violations.map((violation) => violation.check)).toContain(check);
  });
});
