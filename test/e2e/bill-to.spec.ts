import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type Server,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ROUND_PRICES } from '../../simulator/special-models.js';
import { freePort } from '../support/started-service.js';
import {
  allEnded,
  ask,
  chat,
  eventually,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';

// round-prices: USD 1.00 a million input tokens, 2.00 a million output tokens.
const MODEL = `${ROUND_PRICES}:together`;
const MAX_TOKENS = 200;

let upstream: Server;
let seen: IncomingHttpHeaders[] = [];
let service: SimulatedService;
let made = 0;

beforeAll(async () => {
  const simulatorPort = await freePort();
  upstream = createServer((request, response) => {
    if (request.method === 'POST') seen.push(request.headers);
    const { method, url, headers } = request;
    const onward = httpRequest(
      { host: '127.0.0.1', port: simulatorPort, method, path: url, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((listening) => upstream.listen(0, '127.0.0.1', listening));
  const { port } = upstream.address() as AddressInfo;
  service = await startSimulated({
    simulator: { port: simulatorPort },
    environment: { UPSTREAM_BASE_URL: `http://127.0.0.1:${port}` },
  });
});

afterEach(async () => {
  await allEnded(service);
});

afterAll(async () => {
  await service.close();
  upstream.closeAllConnections();
  await new Promise((closed) => upstream.close(closed));
});

interface Person {
  readonly userId: string;
  readonly email: string;
  readonly token: string;
  readonly tokenId: string;
  readonly url: string;
}

interface Employer {
  readonly slug: string;
  readonly accountId: string;
  readonly memberId: string;
}

async function create<Body = { id: string }>(path: string, body: unknown): Promise<Body> {
  const answer = await service.api<Body>(path, { method: 'POST', body });
  if (answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

async function ownToken(
  userId: string,
  fields: Readonly<Record<string, unknown>> = {},
): Promise<{ id: string; token: string }> {
  return create(`/users/${userId}/tokens`, { name: 'own', ...fields });
}

/** A user with an own account on Pro, and a token of it. */
async function addPerson(fields: Readonly<Record<string, unknown>> = {}): Promise<Person> {
  made += 1;
  const email = `person-${made}@example.com`;
  const { id: userId } = await create('/users', { email, name: 'P', plan: 'pro' });
  const { id: tokenId, token } = await ownToken(userId, fields);
  return { userId, email, token, tokenId, url: service.url };
}

/** An organization that the person belongs to. */
async function addEmployer(
  { email }: { readonly email: string },
  fields: Readonly<Record<string, unknown>> = {},
): Promise<Employer> {
  made += 1;
  const slug = `employer-${made}`;
  const { id: accountId } = await create('/organizations', { name: 'E', slug, plan: 'pro' });
  const person = { email: email.toUpperCase(), name: 'P', role: 'member', ...fields };
  const { id: memberId } = await create(`/organizations/${slug}/members`, person);
  return { slug, accountId, memberId };
}

function send(
  caller: { readonly url: string; readonly token: string },
  billTo: string | null,
  directives = 'output=20 reasoning=0',
  more: Record<string, unknown> = {},
): Promise<Response> {
  return chat(caller, ask(MODEL, directives, { max_tokens: MAX_TOKENS, ...more }), {
    headers: billTo === null ? {} : { 'x-hf-bill-to': billTo },
  });
}

/** Sends, reads the whole answer, and returns the id of the request. */
async function spend(
  caller: Parameters<typeof send>[0],
  billTo: string | null,
  ...more: [directives?: string, more?: Record<string, unknown>]
): Promise<string> {
  const response = await send(caller, billTo, ...more);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${text}`);
  return response.headers.get('x-request-id') ?? '';
}

interface Shown {
  readonly id: string;
  readonly organization: string | null;
  readonly userId: string | null;
  readonly memberId: string | null;
  readonly tokenId: string;
  readonly costUsd: string;
}

/** What the events of a budget's scope cost, and what the budget itself counts. */
async function spentBy(scope: 'account' | 'member' | 'token', id: string): Promise<bigint> {
  const [row] = await service.database.query<{ cost: string; held: string | null }>(
    `SELECT (SELECT coalesce(sum(e.cost_pico_usd), 0) FROM usage_events e WHERE e.${scope}_id = b.subject_id)::text AS cost,
       b.held_pico_usd::text AS held
     FROM budgets b WHERE b.subject_id = $1 AND b.scope = $2`,
    [id, scope],
  );
  if (row === undefined) throw new Error(`no budget ${id}`);
  expect(row.held ?? '0').toBe('0');
  return BigInt(row.cost);
}

/** What a member's or token's budget has counted: it takes no part in credit. */
async function usedIn(subjectId: string): Promise<bigint> {
  const [row] = await service.database.query<{ used: string }>(
    'SELECT used_pico_usd::text AS used FROM budgets WHERE subject_id = $1',
    [subjectId],
  );
  return BigInt(row?.used ?? '-1');
}

async function requestsOf(path: string, token?: string): Promise<readonly Shown[]> {
  const { status, body } = await service.api<{ data: readonly Shown[] }>(
    `${path}/requests`,
    token === undefined ? {} : { token },
  );
  expect(status).toBe(200);
  return body.data;
}

describe("a user's own token", () => {
  it('pays from his own account, also where he belongs to organizations', async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    const id = await spend(person, null);
    const [event, ...others] = await requestsOf('/me', person.token);
    expect(others).toEqual([]);
    expect(event).toMatchObject({
      id,
      organization: null,
      userId: person.userId,
      memberId: null,
      tokenId: person.tokenId,
      tokenName: 'own',
    });
    expect(await requestsOf(`/organizations/${employer.slug}`)).toEqual([]);
    const cost = await spentBy('account', person.userId);
    expect(cost).toBeGreaterThan(0n);
    expect(await usedIn(person.tokenId)).toBe(cost);
    expect(await spentBy('account', employer.accountId)).toBe(0n);
    expect(await usedIn(employer.memberId)).toBe(0n);
  });

  it('makes an organization pay that he belongs to: its event, its usage, its budgets', async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    const ids = [
      await spend(person, employer.slug),
      await spend(person, employer.slug, 'output=30 reasoning=0', { stream: true }),
    ];
    const path = `/organizations/${employer.slug}`;
    const events = await requestsOf(path);
    expect(events.map(({ id }) => id).sort()).toEqual([...ids].sort());
    for (const event of events) {
      expect(event).toMatchObject({
        organization: employer.slug,
        userId: null,
        memberId: employer.memberId,
        tokenId: person.tokenId,
        tokenName: 'own',
      });
    }
    // In no view of his own account.
    expect(await requestsOf('/me', person.token)).toEqual([]);
    const own = await service.api<{ data: unknown[]; totals: { requests: number } }>('/me/usage', {
      token: person.token,
    });
    expect([own.body.data, own.body.totals.requests]).toEqual([[], 0]);
    expect((await service.api(`/requests/${ids[0] ?? ''}`, { token: person.token })).status).toBe(
      404,
    );
    // The organization sees whom and what it paid for.
    const theirs = await create<{ token: string }>(`${path}/tokens`, { name: 'theirs' });
    const grouped = await service.api<{
      data: { member: string; token: string; requests: number }[];
    }>(`${path}/usage?bucket=month&groupBy=member,token`, { token: theirs.token });
    expect(grouped.body.data).toMatchObject([
      { member: employer.memberId, token: person.tokenId, requests: 2 },
    ]);
    expect((await service.api(`/requests/${ids[0] ?? ''}`, { token: theirs.token })).status).toBe(
      200,
    );
    const cost = await spentBy('account', employer.accountId);
    expect(cost).toBeGreaterThan(0n);
    expect(await usedIn(employer.memberId)).toBe(cost);
    expect(await usedIn(person.tokenId)).toBe(cost);
    expect(await spentBy('account', person.userId)).toBe(0n);
  });

  it('keeps two payers apart while both pay at once, and its own limit counts over both', async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    const asked = Array.from({ length: 30 }, (_, index) =>
      spend(person, index % 3 === 0 ? null : employer.slug),
    );
    await Promise.all(asked);
    await allEnded(service);
    expect(await requestsOf('/me', person.token)).toHaveLength(10);
    expect(await requestsOf(`/organizations/${employer.slug}`)).toHaveLength(20);
    const own = await spentBy('account', person.userId);
    const employers = await spentBy('account', employer.accountId);
    expect(await usedIn(employer.memberId)).toBe(employers);
    expect(await usedIn(person.tokenId)).toBe(own + employers);
  });

  it('never passes the name of who pays on to the upstream', async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    seen = [];
    await spend(person, employer.slug);
    await spend(person, employer.slug, 'output=5 reasoning=0', { stream: true });
    expect(seen).toHaveLength(2);
    for (const headers of seen) {
      expect(headers).not.toHaveProperty('x-hf-bill-to');
      expect(JSON.stringify(headers)).not.toContain(employer.slug);
    }
  });
});

describe('the budgets in scope', () => {
  it.each([
    ['member', { monthlyLimitUsd: '0.00001' }, {}],
    ['token', {}, { monthlyLimitUsd: '0.00001' }],
  ] as const)('of a redirected request have that of the %s', async (scope, member, token) => {
    const person = await addPerson(token);
    const employer = await addEmployer(person, member);
    const response = await send(person, employer.slug);
    expect(response.status).toBe(402);
    expect(await response.json()).toMatchObject({
      error: { code: 'spend_limit_reached', details: { scope } },
    });
  });

  it("have the payer's, and not the user's own account", async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    // Nothing is left of his own account: credit and pay-as-you-go.
    await exhaust(person.userId);
    expect((await send(person, null)).status).toBe(402);
    await spend(person, employer.slug);
    await exhaust(employer.accountId);
    const response = await send(person, employer.slug);
    expect(response.status).toBe(402);
    expect(await response.json()).toMatchObject({ error: { details: { scope: 'account' } } });
  });

  it('never let many own tokens at once past the limit of the member that they are', async () => {
    const person = await addPerson();
    const probe = await addEmployer(person);
    await spend(person, probe.slug, `output=${MAX_TOKENS} reasoning=0 delay=00000`);
    const [held] = await service.database.query<{ hold: string }>(
      'SELECT hold_pico_usd::text AS hold FROM usage_events WHERE account_id = $1',
      [probe.accountId],
    );
    const fitting = 7;
    const limit = BigInt(held?.hold ?? '0') * BigInt(fitting);
    const employer = await addEmployer(person, { monthlyLimitUsd: usd(limit) });
    const tokens = await Promise.all(
      Array.from({ length: 4 }, async () => (await ownToken(person.userId)).token),
    );
    // Slow enough that every admission is decided while the first ones still hold.
    const directives = `output=${MAX_TOKENS} reasoning=0 delay=03000`;
    const answers = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const token = tokens[index % tokens.length] ?? '';
        const response = await send({ url: service.url, token }, employer.slug, directives);
        return { status: response.status, body: (await response.json()) as unknown };
      }),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(fitting);
    for (const { status, body } of answers.filter(({ status }) => status !== 200)) {
      expect([status, body]).toMatchObject([402, { error: { details: { scope: 'member' } } }]);
    }
    await allEnded(service);
    expect(await usedIn(employer.memberId)).toBeLessThanOrEqual(limit);
    expect(await usedIn(employer.memberId)).toBe(await spentBy('account', employer.accountId));
  });

  it("have the payer's limits of requests, and not the user's own", async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    const body = { monthlySpendLimitUsd: '100', payAsYouGo: true, requestsPerDay: 1 };
    await service.api(`/organizations/${employer.slug}/limits`, { method: 'PUT', body });
    await eventually('the limit', async () => {
      const { status } = await send(person, employer.slug);
      return status === 429 ? true : null;
    });
    await spend(person, null);
  });
});

describe('whom a token cannot spend for', () => {
  it('is the same 403 to the byte, whether there is such an organization or not', async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    const stranger = await addPerson();
    const foreign = await addEmployer(stranger);
    const left = await addEmployer(person);
    await remove(left);
    const { id: bossId } = await create(`/organizations/${employer.slug}/members`, {
      email: stranger.email,
      name: 'B',
      role: 'owner',
    });
    const theirs = await create<{ token: string }>(`/organizations/${employer.slug}/tokens`, {
      name: 'for a member',
      memberId: bossId,
    });
    await eventually('the notice of the removal', async () => {
      const response = await send(person, left.slug);
      return response.status === 403 ? true : null;
    });
    await allEnded(service);
    const before = await countEvents();
    seen = [];
    const organizationToken = { url: service.url, token: theirs.token };
    const refused: string[] = [];
    for (const [caller, billTo] of [
      [person, 'no-such-organization'],
      [person, foreign.slug],
      [person, left.slug],
      [person, stranger.userId],
      [person, `user:${stranger.userId}`],
      [person, employer.slug.toUpperCase()],
      [person, `${employer.slug}, ${foreign.slug}`],
      [person, '../admin'],
      [person, '__proto__'],
      [person, 'x'.repeat(2000)],
      [organizationToken, 'no-such-organization'],
      // Its member is a user who belongs there: what counts is whose token it is.
      [organizationToken, foreign.slug],
      [organizationToken, `user:${stranger.userId}`],
    ] as const) {
      refused.push(await wholeAnswer(await send(caller, billTo)));
    }
    expect(new Set(refused)).toEqual(new Set(refused.slice(0, 1)));
    expect(refused[0]).toContain('403');
    expect(refused[0]).toContain('"code":"not_a_member"');
    expect(seen).toEqual([]);
    expect(await countEvents()).toBe(before);
  });

  it("may be repeated by an organization's token: its own", async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    const path = `/organizations/${employer.slug}`;
    const theirs = await create<{ id: string; token: string }>(`${path}/tokens`, { name: 'x' });
    const id = await spend({ url: service.url, token: theirs.token }, employer.slug);
    expect(await requestsOf(path)).toMatchObject([
      { id, organization: employer.slug, memberId: null, tokenId: theirs.id },
    ]);
  });
});

describe('a member who is removed', () => {
  it('spends nothing of the organization from then on, and goes on with his own account', async () => {
    const person = await addPerson();
    const employer = await addEmployer(person);
    await spend(person, employer.slug);
    const spent = await spentBy('account', employer.accountId);
    await remove(employer);
    const removedAt = performance.now();
    // Also before any process has heard of it.
    const atOnce = await Promise.all(Array.from({ length: 10 }, () => send(person, employer.slug)));
    expect(atOnce.filter(({ status }) => status !== 401 && status !== 403)).toEqual([]);
    await eventually(
      'the refusal',
      async () => {
        const response = await send(person, employer.slug);
        return response.status === 403 ? true : null;
      },
      1000,
    );
    expect(performance.now() - removedAt).toBeLessThan(1000);
    await spend(person, null);
    await allEnded(service);
    expect(await spentBy('account', employer.accountId)).toBe(spent);
  });

  it('has what was under way charged to the organization to the end', async () => {
    const person = await addPerson();
    const employer = await addEmployer(person, { monthlyLimitUsd: '1.00' });
    const running = spend(person, employer.slug, 'output=20 reasoning=0 delay=1500');
    await eventually('the admission', async () => {
      const open = await service.database.query(
        'SELECT id FROM open_events WHERE account_id = $1',
        [employer.accountId],
      );
      return open.length === 1 ? true : null;
    });
    await remove(employer);
    const id = await running;
    await allEnded(service);
    const [event] = await requestsOf(`/organizations/${employer.slug}`);
    expect(event).toMatchObject({ id, state: 'settled', memberId: employer.memberId });
    const cost = await spentBy('account', employer.accountId);
    expect(cost).toBeGreaterThan(0n);
    expect(await usedIn(employer.memberId)).toBe(cost);
  });
});

async function remove({ slug, memberId }: Employer): Promise<void> {
  const path = `/organizations/${slug}/members/${memberId}`;
  expect((await service.api(path, { method: 'DELETE' })).status).toBe(204);
}

/** Leaves an account neither credit nor pay-as-you-go, by spending it all in the books. */
async function exhaust(accountId: string): Promise<void> {
  await service.database.query(
    `UPDATE budgets SET limit_pico_usd = used_pico_usd, credit = NULL, held_pico_usd = coalesce(held_pico_usd, 0)
     WHERE subject_id = $1`,
    [accountId],
  );
}

async function countEvents(): Promise<string | undefined> {
  const [row] = await service.database.query<{ count: string }>(
    'SELECT (SELECT count(*) FROM usage_events) + (SELECT count(*) FROM open_events) AS count',
  );
  return row?.count;
}

/**
 * Status, headers and body, without what is new on every answer (its id, the time of day) or of the
 * connection (kept when the body had arrived by then).
 */
async function wholeAnswer(response: Response): Promise<string> {
  const passing = [
    'x-request-id',
    'request-id',
    'inference-id',
    'date',
    'connection',
    'keep-alive',
  ];
  const headers = [...response.headers].filter(([name]) => !passing.includes(name));
  return `${response.status}\n${headers.map(([name, value]) => `${name}: ${value}`).join('\n')}\n${await response.text()}`;
}

/** 1234567n -> '0.000001234567' */
function usd(picoUsd: bigint): string {
  const digits = picoUsd.toString().padStart(13, '0');
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`;
}
