import { Agent } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../simulator/server.js';
import { Operator } from '../faults/operator.js';
import { freshDatabase, withoutCredit, type TestDatabase } from '../support/database.js';
import {
  MAX_TOKENS,
  send,
  startReplicas,
  usd,
  type Answer,
  type Replicas,
} from './race-fixture.js';

const AT_ONCE = 500;
const FITTING = 50;
/** At USD 2.00 per million. */
const SIXTEEN_TOKENS_PICO_USD = 32_000_000n;

let simulator: Simulator;
const agent = new Agent({ connections: AT_ONCE, pipelining: 1 });

beforeAll(async () => {
  simulator = await startSimulator({ cachedPrices: false });
});

afterAll(async () => {
  await agent.close();
  await simulator.close();
});

describe.each([1, 2])('%i process(es) on one database', (count) => {
  let database: TestDatabase;
  let replicas: Replicas;
  let operator: Operator;

  beforeEach(async () => {
    database = await freshDatabase();
    replicas = await startReplicas(count, simulator.url, database);
    operator = new Operator(replicas.urls[0]!, replicas.adminToken);
  });

  afterEach(async () => {
    await replicas.close();
    await database.drop();
  });

  it.each(['account', 'member', 'token'] as const)(
    `never lets the worst cases of ${AT_ONCE} requests past a limit of %s that covers ${FITTING}`,
    async (scope) => {
      const holdPicoUsd = await measureHold();
      const limitPicoUsd = holdPicoUsd * BigInt(FITTING);
      const token = await createLimited(scope, usd(limitPicoUsd));

      const watch = watchBudget(scope, limitPicoUsd);
      // Slow enough that every admission is decided while the first ones still hold.
      const answers = await sendMany(token, AT_ONCE, 6000);
      const { worstPicoUsd, mostOpen } = await watch.end();

      const accepted = answers.filter(({ status }) => status === 200);
      const refused = answers.filter(({ status }) => status !== 200);
      // Reached, so the watch saw the crowd, and never passed.
      expect(worstPicoUsd).toBe(limitPicoUsd);
      expect(mostOpen).toBe(FITTING);
      expect(accepted).toHaveLength(FITTING);
      for (const { status, headers, body } of refused) {
        expect([status, body.error?.code]).toEqual([402, 'insufficient_funds']);
        expect(body.error?.details).toMatchObject({ scope });
        expect([headers['x-should-retry'], headers['retry-after']]).toEqual(['true', '1']);
      }
      expect(await settledCount()).toBe(FITTING + 1);

      await spendTheRest(scope, token, limitPicoUsd);
    },
    120_000,
  );

  /** On until nobody is admitted any more: the limit is reached, not passed. */
  async function spendTheRest(scope: string, token: string, limitPicoUsd: bigint): Promise<void> {
    const watch = watchBudget(scope, limitPicoUsd);
    let codes: (string | undefined)[] = [];
    for (let wave = 0; wave < 40; wave += 1) {
      const answers = await sendMany(token, 60, 0);
      codes = answers.map(({ body }) => body.error?.code);
      if (answers.every(({ status }) => status === 402)) break;
    }
    const { worstPicoUsd } = await watch.end();
    expect(worstPicoUsd).toBeLessThanOrEqual(limitPicoUsd);
    const [budget] = await budgetOf(scope);
    expect(BigInt(budget!.used)).toBeLessThanOrEqual(limitPicoUsd);
    expect(budget!.held).toBe('0');
    // Less than a worst case is left: none for 16 output tokens, or some that do not suffice.
    const left = limitPicoUsd - BigInt(budget!.used);
    const code = left < SIXTEEN_TOKENS_PICO_USD ? 'spend_limit_reached' : 'insufficient_funds';
    expect(new Set(codes)).toEqual(new Set([code]));
    const [sum] = await database.query<{ cost: string }>(
      `SELECT sum(cost_pico_usd)::text AS cost FROM usage_events e JOIN accounts a ON a.id = e.account_id
       WHERE a.slug = 'limited'`,
    );
    expect(sum!.cost).toBe(budget!.used);
  }

  it('says that a limit is reached once it does not buy 16 output tokens', async () => {
    // One less than SIXTEEN_TOKENS_PICO_USD, in millionths.
    const token = await createLimited('token', '0.000031');
    const [answer] = await sendMany(token, 1, 0);
    expect([answer!.status, answer!.body.error?.code]).toEqual([402, 'spend_limit_reached']);
  });

  /** The worst case of one request of ours, as the journal held it. */
  async function measureHold(): Promise<bigint> {
    await operator.createOrganization('measure');
    const token = await operator.createToken('measure', { name: 'measure' });
    const [answer] = await sendMany(token, 1, 0);
    expect(answer!.status).toBe(200);
    const [event] = await database.query<{ hold: string }>(
      'SELECT hold_pico_usd::text AS hold FROM usage_events',
    );
    return BigInt(event!.hold);
  }

  async function createLimited(scope: string, limitUsd: string): Promise<string> {
    await operator.createOrganization('limited', scope === 'account' ? limitUsd : '100.00');
    await withoutCredit(database, 'limited');
    if (scope === 'account') return await operator.createToken('limited', { name: 'any' });
    if (scope === 'token') {
      return await operator.createToken('limited', { name: 'any', monthlyLimitUsd: limitUsd });
    }
    const memberId = await operator.createMember('limited', 'ada', limitUsd);
    return await operator.createToken('limited', { name: 'any', memberId });
  }

  /** All at once, over the processes in turn. */
  async function sendMany(token: string, many: number, delayMs: number): Promise<Answer[]> {
    const { urls } = replicas;
    const ask = { token, delayMs, outputTokens: MAX_TOKENS, tag: 'crowd' };
    return await Promise.all(
      Array.from({ length: many }, (_, index) => send(agent, urls[index % urls.length]!, ask)),
    );
  }

  async function budgetOf(scope: string): Promise<{ used: string; held: string }[]> {
    return await database.query(
      `SELECT b.used_pico_usd::text AS used, b.held_pico_usd::text AS held
       FROM budgets b JOIN accounts a ON a.id = b.account_id
       WHERE a.slug = 'limited' AND b.scope = $1`,
      [scope],
    );
  }

  /** Looks at the budget, the open events and the simulator all the time, from outside. */
  function watchBudget(
    scope: string,
    limitPicoUsd: bigint,
  ): { end(): Promise<{ worstPicoUsd: bigint; mostOpen: number }> } {
    let isOver = false;
    let worstPicoUsd = 0n;
    let mostOpen = 0;
    const look = async (): Promise<void> => {
      while (!isOver) {
        const [row] = await database.query<{ total: string; book: string }>(
          `SELECT (b.used_pico_usd + b.held_pico_usd)::text AS total,
             (b.used_pico_usd + coalesce((SELECT sum(o.hold_pico_usd) FROM open_events o WHERE o.account_id = a.id), 0))::text AS book
           FROM budgets b JOIN accounts a ON a.id = b.account_id WHERE a.slug = 'limited' AND b.scope = $1`,
          [scope],
        );
        for (const text of [row!.total, row!.book]) {
          const seen = BigInt(text);
          if (seen > worstPicoUsd) worstPicoUsd = seen;
        }
        mostOpen = Math.max(mostOpen, simulator.openRequests());
        if (worstPicoUsd > limitPicoUsd) return;
        await new Promise((wake) => setTimeout(wake, 5));
      }
    };
    const looking = look();
    return {
      end: async () => {
        isOver = true;
        await looking;
        return { worstPicoUsd, mostOpen };
      },
    };
  }

  async function settledCount(): Promise<number> {
    const [row] = await database.query<{ count: string }>(
      `SELECT count(*)::text AS count FROM usage_events WHERE state = 'settled'`,
    );
    return Number(row!.count);
  }
});
