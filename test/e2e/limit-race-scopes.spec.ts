import { Agent } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SeededRandom } from '../../simulator/random.js';
import { type Simulator, startSimulator } from '../../simulator/server.js';
import { Operator } from '../faults/operator.js';
import { freshDatabase, withoutCredit, type TestDatabase } from '../support/database.js';
import {
  MAX_TOKENS,
  send,
  startReplicas,
  usd,
  type Answer,
  type Ask,
  type Replicas,
} from './race-fixture.js';

/** One limit inside the other: how many worst cases each of them covers. */
const FITTING = { token: 20, member: 45, account: 60 };
/** Requests per token; 300 in all, and each limit is asked for more than it covers. */
const ASKED = { limited: 135, membered: 135, service: 30 };

type TokenName = keyof typeof ASKED;
type Scope = keyof typeof FITTING;

const TOKENS = Object.keys(ASKED) as TokenName[];
const SCOPES = Object.keys(FITTING) as Scope[];
/** The limits that a token spends from. */
const IN_SCOPE: Readonly<Record<TokenName, readonly Scope[]>> = {
  limited: ['token', 'member', 'account'],
  membered: ['member', 'account'],
  service: ['account'],
};

let simulator: Simulator;
let database: TestDatabase;
let replicas: Replicas;
const agent = new Agent({ connections: 300, pipelining: 1 });

beforeAll(async () => {
  simulator = await startSimulator({ cachedPrices: false });
  database = await freshDatabase();
  replicas = await startReplicas(2, simulator.url, database);
});

afterAll(async () => {
  await agent.close();
  await replicas.close();
  await database.drop();
  await simulator.close();
});

describe('two processes of the service on one database', () => {
  it('keep an account, a member and a token limit at once, and refuse nothing that fits', async () => {
    const operator = new Operator(replicas.urls[0]!, replicas.adminToken);
    const holdPicoUsd = await measureHold(operator);
    const limits = limitsOf(holdPicoUsd);
    const secrets = await createLimited(operator, limits);
    const asks = crowdOf(secrets);

    const watch = watchBudgets(limits);
    const answers = await Promise.all(asks.map(({ ask }, index) => sendTo(index, ask)));
    expect((await watch.end()).passed).toEqual([]);

    // While the crowd was decided on nothing settled, so what was admitted only grew: whoever was
    // refused would be refused still, by a limit that is reached.
    const admitted = countBy(asks.filter((_, index) => answers[index]!.status === 200));
    for (const scope of SCOPES) expect(held(admitted, scope)).toBeLessThanOrEqual(FITTING[scope]);
    expect(held(admitted, 'account')).toBe(FITTING.account);
    const refused = asks.filter((_, index) => answers[index]!.status !== 200);
    answers.forEach(({ status, body }, index) => {
      if (status === 200) return;
      expect([status, body.error?.code]).toEqual([402, 'insufficient_funds']);
      const full = IN_SCOPE[asks[index]!.name].filter(
        (scope) => held(admitted, scope) === FITTING[scope],
      );
      expect(full).not.toEqual([]);
    });
    await booksAgree(limits);

    await retryOneByOne(refused, holdPicoUsd, limits);
    await booksAgree(limits);
  }, 180_000);
});

/** What the simulator billed tells which of the refused fits now: exactly these are served. */
async function retryOneByOne(
  refused: readonly Named[],
  holdPicoUsd: bigint,
  limits: Readonly<Record<Scope, bigint>>,
): Promise<void> {
  let served = 0;
  for (const [index, { name, ask }] of refused.entries()) {
    const used = billed();
    const fits = IN_SCOPE[name].every((scope) => used[scope] + holdPicoUsd <= limits[scope]);
    const { status } = await sendTo(index, { ...ask, delayMs: 0 });
    expect([name, index, status]).toEqual([name, index, fits ? 200 : 402]);
    if (fits) served += 1;
  }
  // The answers of the crowd cost less than their worst cases.
  expect(served).toBeGreaterThan(0);
  expect(served).toBeLessThan(refused.length);
}

interface Named {
  readonly name: TokenName;
  readonly ask: Ask;
}

/** The crowd in an order of no meaning, slow enough that all is decided while the first still hold. */
function crowdOf(secrets: Readonly<Record<TokenName, string>>): readonly Named[] {
  const random = new SeededRandom(300);
  const named = TOKENS.flatMap((name) =>
    Array.from({ length: ASKED[name] }, (): Named & { readonly place: number } => ({
      name,
      ask: {
        token: secrets[name],
        delayMs: 6000,
        outputTokens: random.between(20, MAX_TOKENS),
        tag: tagOf(name),
      },
      place: random.between(0, 1_000_000),
    })),
  );
  return named.sort((one, other) => one.place - other.place);
}

function sendTo(index: number, ask: Ask): Promise<Answer> {
  return send(agent, replicas.urls[index % replicas.urls.length]!, ask);
}

function tagOf(name: string): string {
  return name.slice(0, 8).padEnd(8, '-');
}

function countBy(named: readonly Named[]): Readonly<Record<TokenName, number>> {
  const counts = { limited: 0, membered: 0, service: 0 };
  for (const { name } of named) counts[name] += 1;
  return counts;
}

function held(counts: Readonly<Record<TokenName, number>>, scope: Scope): number {
  return TOKENS.filter((name) => IN_SCOPE[name].includes(scope)).reduce(
    (sum, name) => sum + counts[name],
    0,
  );
}

function limitsOf(holdPicoUsd: bigint): Readonly<Record<Scope, bigint>> {
  return {
    token: holdPicoUsd * BigInt(FITTING.token),
    member: holdPicoUsd * BigInt(FITTING.member),
    account: holdPicoUsd * BigInt(FITTING.account),
  };
}

/** What the simulator billed to the tokens in each limit: the truth from outside. */
function billed(): Record<Scope, bigint> {
  const sums = { token: 0n, member: 0n, account: 0n };
  for (const name of TOKENS) {
    for (const { costPicoUsd } of simulator.books.tagged(tagOf(name))) {
      for (const scope of IN_SCOPE[name]) sums[scope] += costPicoUsd;
    }
  }
  return sums;
}

/** No limit is passed by the simulator's books, and budgets, events and ledger say the same. */
async function booksAgree(limits: Readonly<Record<Scope, bigint>>): Promise<void> {
  const truth = billed();
  for (const scope of SCOPES) expect(truth[scope]).toBeLessThanOrEqual(limits[scope]);
  const budgets = await database.query<{ scope: Scope; used: string; held: string }>(
    `SELECT b.scope, b.used_pico_usd::text AS used, b.held_pico_usd::text AS held
     FROM budgets b JOIN accounts a ON a.id = b.account_id WHERE a.slug = 'limited' AND b.limit_pico_usd = ANY($1::numeric[])`,
    [SCOPES.map((scope) => limits[scope].toString())],
  );
  expect(Object.fromEntries(budgets.map(({ scope, used }) => [scope, BigInt(used)]))).toEqual(
    truth,
  );
  expect(budgets.map((budget) => budget.held)).toEqual(['0', '0', '0']);
  const [sums] = await database.query<{ events: string; booked: string }>(
    `SELECT (SELECT sum(cost_pico_usd) FROM usage_events WHERE account_id = a.id)::text AS events,
       (SELECT sum(amount_pico_usd) FROM ledger_transfers WHERE account_id = a.id AND debit LIKE 'unbilled:%' AND kind = 'settlement')::text AS booked
     FROM accounts a WHERE a.slug = 'limited'`,
  );
  expect(sums).toEqual({
    events: truth.account.toString(),
    booked: truth.account.toString(),
  });
}

/** Looks at the three budgets all the time, from outside; what passed a limit is named. */
function watchBudgets(limits: Readonly<Record<Scope, bigint>>): {
  end(): Promise<{ passed: readonly string[] }>;
} {
  let isOver = false;
  const passed = new Set<string>();
  const look = async (): Promise<void> => {
    while (!isOver) {
      const rows = await database.query<{ scope: Scope; total: string; book: string }>(
        `SELECT b.scope, (b.used_pico_usd + b.held_pico_usd)::text AS total,
           (b.used_pico_usd + coalesce((SELECT sum(o.hold_pico_usd) FROM open_events o WHERE b.subject_id = CASE b.scope
             WHEN 'account' THEN o.account_id WHEN 'member' THEN o.member_id ELSE o.token_id END), 0))::text AS book
         FROM budgets b JOIN accounts a ON a.id = b.account_id WHERE a.slug = 'limited' AND b.limit_pico_usd = ANY($1::numeric[])`,
        [SCOPES.map((scope) => limits[scope].toString())],
      );
      for (const { scope, total, book } of rows) {
        if (BigInt(total) > limits[scope]) passed.add(`${scope}: ${total}`);
        if (BigInt(book) > limits[scope]) passed.add(`${scope} by its events: ${book}`);
      }
      await new Promise((wake) => setTimeout(wake, 5));
    }
  };
  const looking = look();
  return {
    end: async () => {
      isOver = true;
      await looking;
      return { passed: [...passed] };
    },
  };
}

/** The worst case of one request of ours, as the journal held it. */
async function measureHold(operator: Operator): Promise<bigint> {
  await operator.createOrganization('measure');
  const token = await operator.createToken('measure', { name: 'measure' });
  const { status } = await sendTo(0, { token, delayMs: 0, outputTokens: 1, tag: 'measure' });
  expect(status).toBe(200);
  const [event] = await database.query<{ hold: string }>(
    'SELECT hold_pico_usd::text AS hold FROM usage_events',
  );
  return BigInt(event!.hold);
}

async function createLimited(
  operator: Operator,
  limits: Readonly<Record<Scope, bigint>>,
): Promise<Readonly<Record<TokenName, string>>> {
  await operator.createOrganization('limited', usd(limits.account));
  await withoutCredit(database, 'limited');
  const memberId = await operator.createMember('limited', 'ada', usd(limits.member));
  const monthlyLimitUsd = usd(limits.token);
  return {
    limited: await operator.createToken('limited', { name: 'limited', memberId, monthlyLimitUsd }),
    membered: await operator.createToken('limited', { name: 'membered', memberId }),
    service: await operator.createToken('limited', { name: 'service' }),
  };
}
