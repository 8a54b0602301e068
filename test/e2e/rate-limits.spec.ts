import { connect } from 'node:net';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Clock } from '../../src/config/clock.js';
import { LiveProcessesService } from '../../src/identity/live-processes.service.js';
import { ROUND_PRICES } from '../../simulator/special-models.js';
import { freshDatabase } from '../support/database.js';
import { startRedisServer } from '../support/redis-server.js';
import { ADMIN_TOKEN, startService } from '../support/service.js';
import {
  allEnded,
  ask,
  chat,
  eventually,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';

const MODEL = ROUND_PRICES;
const MINUTE_MS = 60_000;

interface Organization {
  readonly slug: string;
  readonly url: string;
  readonly token: string;
}

interface Refusal {
  readonly error: {
    readonly code: string;
    readonly type: string;
    readonly message: string;
    readonly details: unknown;
  };
}

let service: SimulatedService;
let nowMs = Date.now();
let made = 0;

/** The services' clock stands still, each time 18 s into a minute: no test runs over its end. */
function stopClock(of: SimulatedService['app']): void {
  vi.spyOn(of.get(Clock, { strict: false }), 'now').mockImplementation(() => new Date(nowMs));
}

beforeAll(async () => {
  service = await startSimulated();
  stopClock(service.app);
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

beforeEach(() => {
  nowMs = (Math.floor(nowMs / MINUTE_MS) + 1) * MINUTE_MS + 18_000;
});

async function setLimits(slug: string, limits: Record<string, unknown>): Promise<void> {
  const { status, body } = await service.api(`/organizations/${slug}/limits`, {
    method: 'PUT',
    body: { monthlySpendLimitUsd: '50.00', payAsYouGo: true, ...limits },
  });
  if (status !== 200) throw new Error(JSON.stringify(body));
}

async function newToken(
  slug: string,
  fields: Record<string, unknown> = {},
): Promise<{ url: string; token: string; id: string }> {
  const { body } = await service.api<{ token: string; id: string }>(
    `/organizations/${slug}/tokens`,
    { method: 'POST', body: { name: 'test', ...fields } },
  );
  return { url: service.url, ...body };
}

async function newOrganization(limits: Record<string, unknown> = {}): Promise<Organization> {
  made += 1;
  const slug = `limited-${made}`;
  await service.api('/organizations', { method: 'POST', body: { name: slug, slug, plan: 'pro' } });
  await setLimits(slug, limits);
  return { slug, ...(await newToken(slug)) };
}

/** Sends one after the other and reads them whole. */
async function send(
  to: { readonly url: string; readonly token: string },
  count: number,
  headers: Record<string, string> = {},
): Promise<Response[]> {
  const answers: Response[] = [];
  for (let i = 0; i < count; i += 1) {
    const answer = await chat(to, ask(MODEL, 'output=3'), { headers });
    answers.push(new Response(await answer.arrayBuffer(), answer));
  }
  return answers;
}

const statuses = (answers: readonly Response[]): number[] => answers.map(({ status }) => status);

async function metric(name: string, labels: string): Promise<number> {
  const answer = await fetch(`${service.url}/metrics`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  const lines = (await answer.text()).split('\n');
  const line = lines.find((one) => one.startsWith(`${name}{${labels}}`));
  return Number(line?.split(' ').at(-1) ?? 0);
}

describe('a limit of requests', () => {
  it('lets exactly as many of concurrent requests pass; the others are no events', async () => {
    const organization = await newOrganization({ requestsPerMinute: 5 });
    const before = await service.database.query('SELECT id FROM usage_events');
    const refusedBefore = await metric(
      'tollgate_rate_limit_refusals_total',
      'window="minute",scope="account"',
    );
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => chat(organization, ask(MODEL, 'output=3'))),
    );
    for (const answer of answers) await answer.arrayBuffer();
    expect(statuses(answers).filter((status) => status === 200)).toHaveLength(5);
    expect(statuses(answers).filter((status) => status === 429)).toHaveLength(15);
    await allEnded(service);
    const after = await service.database.query('SELECT id FROM usage_events');
    expect(after.length - before.length).toBe(5);
    const refused = await metric(
      'tollgate_rate_limit_refusals_total',
      'window="minute",scope="account"',
    );
    expect(refused - refusedBefore).toBe(15);
  });

  it('of an organization is shared by its tokens, one of a token is its own', async () => {
    const organization = await newOrganization({ requestsPerMinute: 3 });
    const other = await newToken(organization.slug);
    expect(statuses(await send(organization, 2))).toEqual([200, 200]);
    expect(statuses(await send(other, 2))).toEqual([200, 429]);
    await setLimits(organization.slug, { requestsPerMinute: null });
    const own = await newToken(organization.slug, { requestsPerMinute: 1 });
    expect(statuses(await send(own, 2))).toEqual([200, 429]);
    await eventually('the limit of the organization to be lifted', async () =>
      (await send(organization, 1))[0]?.status === 200 ? true : null,
    );
  });

  it("is the payer's, whoever's token it is", async () => {
    const organization = await newOrganization({ requestsPerMinute: 2 });
    const user = { email: `${organization.slug}@example.com`, name: 'A user' };
    const { body: made } = await service.api<{ id: string }>('/users', {
      method: 'POST',
      body: { ...user, plan: 'pro' },
    });
    await service.api(`/organizations/${organization.slug}/members`, {
      method: 'POST',
      body: { ...user, role: 'member' },
    });
    await service.api(`/users/${made.id}/limits`, {
      method: 'PUT',
      body: { monthlySpendLimitUsd: '50.00', payAsYouGo: true, requestsPerMinute: 1 },
    });
    const { body: token } = await service.api<{ token: string }>(`/users/${made.id}/tokens`, {
      method: 'POST',
      body: { name: 'own' },
    });
    const own = { url: service.url, token: token.token };
    expect(statuses(await send(own, 2))).toEqual([200, 429]);
    const billed = { 'x-hf-bill-to': organization.slug };
    expect(statuses(await send(own, 1, billed))).toEqual([200]);
    expect(statuses(await send(organization, 1))).toEqual([200]);
    const [refused] = await send(own, 1, billed);
    expect(refused?.headers.get('ratelimit-policy')).toBe('"minute";q=2;w=60');
    expect(refused?.status).toBe(429);
    await setLimits(organization.slug, { requestsPerMinute: 3 });
    await eventually('the change to reach the token of the user', async () =>
      (await send(own, 1, billed))[0]?.status === 200 ? true : null,
    );
  });

  it('that refuses takes nothing from the others', async () => {
    const organization = await newOrganization({ requestsPerMinute: 3, requestsPerDay: 4 });
    const narrow = await newToken(organization.slug, { requestsPerMinute: 1 });
    expect(statuses(await send(narrow, 6))).toEqual([200, 429, 429, 429, 429, 429]);
    const [last] = await send(organization, 1);
    expect(last?.headers.get('ratelimit')).toBe(
      `"minute";r=1;t=42, "day";r=2;t=${secondsToMidnight()}`,
    );
  });

  it('is refused before the body is read, with the wait and what is left', async () => {
    const organization = await newOrganization({ requestsPerMinute: 1 });
    await send(organization, 1);
    const answer = await sendHeadOnly(organization);
    expect(answer).toMatch(/^HTTP\/1\.1 429 /);
    expect(answer).toMatch(/^retry-after: 42\r$/im);
    expect(answer).toMatch(/^ratelimit: "minute";r=0;t=42\r$/im);
    expect(answer).toMatch(/^ratelimit-policy: "minute";q=1;w=60\r$/im);
    expect(answer).not.toMatch(/^x-should-retry/im);
    const [refused] = await send(organization, 1);
    expect(((await refused?.json()) as Refusal).error).toMatchObject({
      code: 'rate_limit_exceeded',
      type: 'rate_limit_exceeded',
      message: expect.stringMatching(/limit of 1 request a minute .* 42 s/) as string,
      details: { scope: 'account', window: 'minute', limit: 1 },
    });
  });

  it('opens with the next minute', async () => {
    const organization = await newOrganization({ requestsPerMinute: 1 });
    expect(statuses(await send(organization, 2))).toEqual([200, 429]);
    nowMs += 41_999;
    expect(statuses(await send(organization, 1))).toEqual([429]);
    nowMs += 1;
    expect(statuses(await send(organization, 2))).toEqual([200, 429]);
  });

  it('of 0 refuses everything and of null nothing', async () => {
    const organization = await newOrganization({ requestsPerMinute: 0 });
    const [refused] = await send(organization, 1);
    expect(refused?.status).toBe(429);
    expect(refused?.headers.get('x-should-retry')).toBe('false');
    expect(refused?.headers.get('retry-after')).toBe('42');
    expect(refused?.headers.get('ratelimit-policy')).toBe('"minute";q=0;w=60');
    const closed = await newToken(organization.slug, { requestsPerMinute: 0 });
    await setLimits(organization.slug, { requestsPerMinute: null });
    await eventually('the limit to be lifted', async () =>
      (await send(organization, 1))[0]?.status === 200 ? true : null,
    );
    expect(statuses(await send(closed, 1))).toEqual([429]);
  });

  it('takes effect without a restart when it changes, of an organization and of a token', async () => {
    const organization = await newOrganization();
    const [free] = await send(organization, 1);
    expect(free?.headers.get('ratelimit')).toBeNull();
    expect(free?.headers.get('ratelimit-policy')).toBeNull();
    await setLimits(organization.slug, { requestsPerMinute: 0 });
    await eventually('the limit of the organization', async () =>
      (await send(organization, 1))[0]?.status === 429 ? true : null,
    );
    await setLimits(organization.slug, { requestsPerMinute: null });
    const token = await newToken(organization.slug, { requestsPerMinute: 1 });
    await eventually('the limit of the organization to go', async () =>
      (await send(token, 1))[0]?.status === 200 ? true : null,
    );
    expect(statuses(await send(token, 1))).toEqual([429]);
    await service.api(`/tokens/${token.id}`, { method: 'PATCH', body: { requestsPerMinute: 2 } });
    await eventually('the limit of the token', async () =>
      (await send(token, 1))[0]?.status === 200 ? true : null,
    );
    expect(statuses(await send(token, 1))).toEqual([429]);
  });
});

function secondsToMidnight(): number {
  return 86_400 - Math.floor((nowMs % 86_400_000) / 1000);
}

/** Announces a body, sends none of it, and reads the answer. */
async function sendHeadOnly({ url, token }: Organization): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n` +
      'content-type: application/json\r\ncontent-length: 1000000\r\n\r\n',
  );
  const answer = await new Promise<string>((resolve, reject) => {
    let text = '';
    socket.on('error', reject);
    socket.on('data', (bytes) => {
      text += bytes.toString();
      if (text.includes('\r\n\r\n')) resolve(text);
    });
  });
  socket.destroy();
  return answer;
}

describe('the headers of a limited token', () => {
  it('are on every answer, whatever becomes of the request', async () => {
    const organization = await newOrganization({ requestsPerMinute: 60, requestsPerDay: 1000 });
    const poor = await newToken(organization.slug, { monthlyLimitUsd: '0.00001' });
    const scopeless = await newToken(organization.slug, { scopes: ['usage.read'] });
    const cases: [name: string, counts: boolean, sent: () => Promise<Response>, status: number][] =
      [
        ['plain', true, async () => chat(organization, ask(MODEL, 'output=3')), 200],
        [
          'stream',
          true,
          async () => chat(organization, ask(MODEL, 'output=3', { stream: true })),
          200,
        ],
        ['no JSON', true, async () => chat(organization, '{'), 400],
        ['no such model', true, async () => chat(organization, ask('no/model', '')), 400],
        [
          'bad header',
          false,
          async () => chat(organization, ask(MODEL, ''), { headers: { 'x-tollgate-tags': '=' } }),
          400,
        ],
        [
          "another's bill",
          false,
          async () => chat(organization, ask(MODEL, ''), { headers: { 'x-hf-bill-to': 'nobody' } }),
          403,
        ],
        ['no money', true, async () => chat(poor, ask(MODEL, 'output=3')), 402],
        ['no scope', false, async () => chat(scopeless, ask(MODEL, 'output=3')), 403],
        [
          'no JSON type',
          true,
          async () => chat(organization, 'x', { headers: { 'content-type': 'text/plain' } }),
          415,
        ],
        ['broken upstream', true, async () => chat(organization, ask(MODEL, 'fault=500')), 500],
      ];
    let left = 60;
    for (const [name, counts, sent, status] of cases) {
      const answer = await sent();
      await answer.arrayBuffer();
      if (counts) left -= 1;
      expect([name, answer.status, answer.headers.get('ratelimit')]).toEqual([
        name,
        status,
        `"minute";r=${left};t=42, "day";r=${left + 940};t=${secondsToMidnight()}`,
      ]);
      expect(answer.headers.get('ratelimit-policy')).toBe(
        '"minute";q=60;w=60, "day";q=1000;w=86400',
      );
    }
  });

  it('show of token and organization the one with less left', async () => {
    const organization = await newOrganization({ requestsPerMinute: 10 });
    const narrow = await newToken(organization.slug, { requestsPerMinute: 5 });
    const [first] = await send(narrow, 1);
    expect(first?.headers.get('ratelimit')).toBe('"minute";r=4;t=42');
    expect(first?.headers.get('ratelimit-policy')).toBe('"minute";q=5;w=60');
    await send(organization, 6);
    const [second] = await send(narrow, 1);
    expect(second?.headers.get('ratelimit')).toBe('"minute";r=2;t=42');
    expect(second?.headers.get('ratelimit-policy')).toBe('"minute";q=10;w=60');
  });

  it('count the seconds from when the answer begins, not from when it was asked for', async () => {
    const organization = await newOrganization({ requestsPerMinute: 5 });
    const pending = chat(organization, ask(MODEL, 'output=3 delay=300'));
    await eventually('admission', async () =>
      (await service.database.query('SELECT id FROM open_events')).length > 0 ? true : null,
    );
    nowMs += 30_000;
    const answer = await pending;
    expect(answer.headers.get('ratelimit')).toBe('"minute";r=4;t=12');
    await answer.arrayBuffer();
  });

  it('are on the answer of a full service, and nothing is counted', async () => {
    const organization = await newOrganization({ requestsPerMinute: 5 });
    const full = await startService(
      { UPSTREAM_BASE_URL: service.simulator.url, IN_FLIGHT_MAX: '1' },
      service.database,
    );
    stopClock(full.app);
    const here = { url: full.url, token: organization.token };
    const pending = chat(here, ask(MODEL, 'output=3 delay=500'));
    await eventually('admission', async () =>
      (await service.database.query('SELECT id FROM open_events')).length > 0 ? true : null,
    );
    const refused = await chat(here, ask(MODEL, 'output=3'));
    expect(refused.status).toBe(503);
    expect(refused.headers.get('ratelimit')).toMatch(/^"minute";r=[24];t=42$/);
    await refused.arrayBuffer();
    await (await pending).arrayBuffer();
    await full.close();
  });
});

describe('the official client', () => {
  it('sees a 429 and does not repeat a request that would wait for hours', async () => {
    const organization = await newOrganization({ requestsPerDay: 1 });
    const client = new OpenAI({
      apiKey: organization.token,
      baseURL: `${organization.url}/v1`,
      maxRetries: 3,
    });
    const create = async (): Promise<unknown> =>
      client.chat.completions.create({
        model: MODEL,
        messages: [{ role: 'user', content: 'Hello [[sim output=3]]' }],
      });
    await create();
    const labels = 'window="day",scope="account"';
    const before = await metric('tollgate_rate_limit_refusals_total', labels);
    const error = await create().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    const { status, headers, code } = error as InstanceType<typeof OpenAI.RateLimitError>;
    expect([status, code, headers.get('x-should-retry')]).toEqual([
      429,
      'rate_limit_exceeded',
      'false',
    ]);
    expect(headers.get('retry-after')).toBe(String(secondsToMidnight()));
    expect(await metric('tollgate_rate_limit_refusals_total', labels)).toBe(before + 1);
  });
});

describe('what cannot be a limit', () => {
  it.each([[-1], [1.5], ['60'], [true], [[1]], [2 ** 31], [1e300]])(
    '%j is 400 and says why',
    async (bad) => {
      const { slug } = await newOrganization();
      const fields = [
        ['PUT', `/organizations/${slug}/limits`, 'requestsPerMinute'],
        ['PUT', `/organizations/${slug}/limits`, 'requestsPerDay'],
        ['POST', `/organizations/${slug}/tokens`, 'requestsPerMinute'],
      ] as const;
      for (const [method, path, field] of fields) {
        const rest =
          method === 'PUT' ? { monthlySpendLimitUsd: '50.00', payAsYouGo: true } : { name: 'x' };
        const { status, body } = await service.api(path, {
          method,
          body: { ...rest, [field]: bad },
        });
        expect([status, (body as Refusal).error]).toMatchObject([
          400,
          {
            code: 'invalid_request',
            details: [
              {
                field,
                problem: 'must be a whole number from 0 to 1000000000, or null for no limit',
              },
            ],
          },
        ]);
      }
    },
  );
});

describe('several processes', () => {
  it('without Redis let pass their share of a limit each', async () => {
    const organization = await newOrganization({ requestsPerMinute: 9 });
    const second = await startService(
      { UPSTREAM_BASE_URL: service.simulator.url },
      service.database,
    );
    stopClock(second.app);
    for (const { app } of [service, second]) {
      const processes = app.get(LiveProcessesService, { strict: false });
      await eventually('both to know of both', () => (processes.count === 2 ? true : null));
    }
    const here = await send(organization, 6);
    const there = await send({ ...organization, url: second.url }, 6);
    expect([statuses(here), statuses(there)]).toEqual([
      [200, 200, 200, 200, 200, 429],
      [200, 200, 200, 200, 200, 429],
    ]);
    expect(here[0]?.headers.get('ratelimit')).toBe('"minute";r=4;t=42');
    expect(here[0]?.headers.get('ratelimit-policy')).toBe('"minute";q=9;w=60');
    await second.close();
    await eventually('one to be left', () =>
      service.app.get(LiveProcessesService, { strict: false }).count === 1 ? true : null,
    );
    expect(statuses(await send(organization, 1))).toEqual([200]);
  });

  it('with Redis hold a limit together, and go on without it', async () => {
    const redis = await startRedisServer();
    const database = await freshDatabase();
    const first = await startSimulated({ database, environment: { REDIS_URL: redis.url } });
    const second = await startService(
      { UPSTREAM_BASE_URL: first.simulator.url, REDIS_URL: redis.url },
      database,
    );
    for (const { app } of [first, second]) stopClock(app);
    await first.api(`/organizations/${first.organization}/limits`, {
      method: 'PUT',
      body: { monthlySpendLimitUsd: '50.00', payAsYouGo: true, requestsPerMinute: 7 },
    });
    const there = { url: second.url, token: first.token };
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, i) =>
        chat(i % 2 === 0 ? first : there, ask(MODEL, 'output=3')),
      ),
    );
    for (const answer of answers) await answer.arrayBuffer();
    expect(statuses(answers).filter((status) => status === 200)).toHaveLength(7);
    await redis.stop();
    const [open] = await send(first, 1);
    expect(open?.status).toBe(200);
    expect(open?.headers.get('ratelimit')).toMatch(/^"minute";r=[36];t=42$/);
    await second.close();
    await allEnded(first);
    await first.close();
    await database.drop();
  });
});

// Last: the clock does not go back.
it('a limit of a day opens at UTC midnight', async () => {
  const organization = await newOrganization({ requestsPerDay: 1 });
  expect(statuses(await send(organization, 2))).toEqual([200, 429]);
  nowMs = (Math.floor(nowMs / 86_400_000) + 1) * 86_400_000 - 1;
  const [last] = await send(organization, 1);
  expect([last?.status, last?.headers.get('retry-after')]).toEqual([429, '1']);
  nowMs += 1;
  const [first] = await send(organization, 1);
  expect([first?.status, first?.headers.get('ratelimit')]).toEqual([200, '"day";r=0;t=86400']);
});
