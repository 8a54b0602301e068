import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import { ServerlessAllowanceRepository } from '../../src/identity/serverless-allowance.repository.js';
import { Journal } from '../../src/metering/journal.js';
import { WaitingRoom } from '../../src/proxy/serverless/waiting-room.js';
import {
  allEnded,
  ask,
  chat,
  eventOf,
  eventually,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';

const MODEL = `${EVERY_DIALECT}:hf-inference`;
/** The router sends it to the fastest, which is the serverless tier. */
const CHOSEN = 'org/chosen-by-the-router';
/** Somebody is cheaper there than the serverless tier. */
const SECOND = { together: 'org/second-to-together', groq: 'org/second-to-groq' } as const;
const ELSEWHERE = `${EVERY_DIALECT}:together`;
const WAIT = { headers: { 'x-wait-for-model': 'true' } };
/** The simulator says 20 s; here they pass so much faster. */
const FASTER = 100;

interface Caller {
  readonly url: string;
  readonly slug: string;
  readonly accountId: string;
  readonly token: string;
}

interface ErrorAnswer {
  readonly error: {
    readonly code: string;
    readonly type: string;
    readonly message: string;
    readonly details: Record<string, unknown> | null;
  };
  readonly estimated_time?: number;
}

let service: SimulatedService;
let room: WaitingRoom;
let made = 0;

beforeAll(async () => {
  service = await startSimulated();
  for (const [provider, tokensPerSecond] of [
    ['hf-inference', 900],
    ['together', 100],
  ] as const) {
    service.simulator.catalogue.setOffer(CHOSEN, {
      provider,
      inputUsdPerMillion: '1.00',
      outputUsdPerMillion: '2.00',
      tokensPerSecond,
    });
  }
  for (const [cheaper, model] of Object.entries(SECOND)) {
    for (const [provider, price] of [
      ['hf-inference', '3.00'],
      [cheaper, '1.00'],
    ] as const) {
      service.simulator.catalogue.setOffer(model, {
        provider,
        inputUsdPerMillion: price,
        outputUsdPerMillion: price,
      });
    }
  }
  const synced = await service.api('/prices/sync', { method: 'POST' });
  expect(synced.status).toBeLessThan(300);
  room = service.app.get(WaitingRoom, { strict: false });
  const enter = room.enter.bind(room);
  vi.spyOn(room, 'enter').mockImplementation((model, isFirstClass) => {
    const place = enter(model, isFirstClass);
    return place && { ...place, wait: (afterMs, left) => place.wait(afterMs / FASTER, left) };
  });
});
afterEach(async () => {
  service.simulator.faults.clear();
  await allEnded(service);
  expect(room.waiting).toBe(0);
});
afterAll(async () => {
  await service.close();
});

async function newCaller(plan: 'free' | 'pro' = 'pro'): Promise<Caller> {
  made += 1;
  const slug = `serverless-${made}`;
  const { body } = await service.api<{ id: string }>('/organizations', {
    method: 'POST',
    body: { name: slug, slug, plan },
  });
  const token = await service.api<{ token: string }>(`/organizations/${slug}/tokens`, {
    method: 'POST',
    body: { name: 'test' },
  });
  return { url: service.url, slug, accountId: body.id, token: token.body.token };
}

async function usedBy({ accountId }: Caller): Promise<number | null> {
  const [row] = await service.database.query<{ used: number }>(
    'SELECT used FROM serverless_days WHERE account_id = $1',
    [accountId],
  );
  return row?.used ?? null;
}

async function useUp({ accountId }: Caller, used: number): Promise<void> {
  await service.database.query(
    `INSERT INTO serverless_days VALUES ($1, (now() AT TIME ZONE 'UTC')::date, $2)
     ON CONFLICT (account_id, day) DO UPDATE SET used = $2`,
    [accountId, used],
  );
}

async function requestsOf({
  accountId,
}: Caller): Promise<{ state: string; cost: string | null }[]> {
  await allEnded(service);
  return service.database.query(
    `SELECT state, cost_pico_usd::text AS cost FROM usage_events WHERE account_id = $1 ORDER BY created_at`,
    [accountId],
  );
}

/** The next `times` requests find the model not loaded. */
function notLoaded(times: number): void {
  service.simulator.faults.add({
    match: { provider: 'hf-inference' },
    directives: { faults: ['503-loading'] },
    times,
  });
}

const headersOf = (answer: Response): (string | null)[] => [
  answer.headers.get('ratelimit'),
  answer.headers.get('ratelimit-policy'),
];

const errorOf = async (answer: Response): Promise<ErrorAnswer> =>
  (await answer.json()) as ErrorAnswer;

/** A call under way, with what became of it so far. */
function underWay(caller: Caller): { answer: Promise<Response>; status: () => number | null } {
  let status: number | null = null;
  const answer = chat(caller, ask(MODEL, 'output=3'), WAIT).then((response) => {
    status = response.status;
    return response;
  });
  return { answer, status: () => status };
}

const waiting = (count: number): Promise<unknown> =>
  eventually(`${count} to wait`, () => (room.waiting === count ? true : null));

describe('the allowance of the serverless tier', () => {
  it('stands on every answer of a call to it, and on no other', async () => {
    const caller = await newCaller('free');
    const first = await chat(caller, ask(MODEL, 'output=3'));
    expect(first.status).toBe(200);
    expect(headersOf(first)).toEqual([
      expect.stringMatching(/^"day";r=999;t=\d+$/),
      '"day";q=1000;w=86400',
    ]);
    const stream = await chat(caller, ask(MODEL, 'output=3', { stream: true }));
    expect(stream.headers.get('ratelimit')).toMatch(/^"day";r=998;t=\d+$/);
    await Promise.all([first.text(), stream.text()]);
    const elsewhere = await chat(caller, ask(ELSEWHERE, 'output=3'));
    expect(headersOf(elsewhere)).toEqual([null, null]);
    await elsewhere.text();
    expect(await usedBy(caller)).toBe(2);
    const me = await service.api<{ serverless: Record<string, unknown> }>('/me', caller);
    expect(me.body.serverless).toMatchObject({ limit: 1000, used: 2, remaining: 998 });
  });

  it('stands beside the limits of requests of token and account', async () => {
    const caller = await newCaller('pro');
    await service.api(`/organizations/${caller.slug}/limits`, {
      method: 'PUT',
      body: { monthlySpendLimitUsd: '50.00', payAsYouGo: true, requestsPerDay: 5 },
    });
    const answer = await eventually('the limit to be known', async () => {
      const one = await chat(caller, ask(MODEL, 'output=3'));
      await one.text();
      return one.headers.get('ratelimit')?.includes('serverless') === true ? one : null;
    });
    expect(answer.headers.get('ratelimit')).toMatch(
      /^"day";r=\d;t=\d+, "serverless";r=199\d\d;t=\d+$/,
    );
    expect(answer.headers.get('ratelimit-policy')).toBe(
      '"day";q=5;w=86400, "serverless";q=20000;w=86400',
    );
  });

  it('past it is 429 until midnight, no event, and no bar to other providers', async () => {
    const caller = await newCaller('free');
    await useUp(caller, 1000);
    const before = service.simulator.books.seq;
    const refused = await chat(caller, ask(MODEL, 'output=3'));
    expect(refused.status).toBe(429);
    expect(headersOf(refused)).toEqual([
      expect.stringMatching(/^"day";r=0;t=\d+$/),
      '"day";q=1000;w=86400',
    ]);
    const { error } = await errorOf(refused);
    const resetsAt = new Date();
    resetsAt.setUTCHours(24, 0, 0, 0);
    expect(error).toMatchObject({
      code: 'rate_limit_exceeded',
      details: {
        scope: 'account',
        window: 'day',
        limit: 1000,
        resetsAt: resetsAt.toISOString(),
      },
    });
    const waitS = Number(refused.headers.get('retry-after'));
    expect(Math.abs(waitS - (resetsAt.getTime() - Date.now()) / 1000)).toBeLessThan(5);
    expect(refused.headers.get('x-should-retry')).toBe(waitS > 60 ? 'false' : null);
    expect(service.simulator.books.seq).toBe(before);
    expect(await requestsOf(caller)).toEqual([]);
    expect(await usedBy(caller)).toBe(1000);
    const elsewhere = await chat(caller, ask(ELSEWHERE, 'output=3'));
    expect(elsewhere.status).toBe(200);
    await elsewhere.text();
  });

  it('counts what the router sends there by itself, and past it the choice is no longer left to it', async () => {
    const caller = await newCaller('free');
    await useUp(caller, 998);
    const ways: (string | null)[] = [];
    const left: (string | null)[] = [];
    for (let sent = 0; sent < 4; sent += 1) {
      const answer = await chat(caller, ask(CHOSEN, 'output=3'));
      expect(answer.status).toBe(200);
      await answer.text();
      ways.push(answer.headers.get('x-inference-provider'));
      left.push(answer.headers.get('ratelimit')?.replace(/;t=.*/, '') ?? null);
    }
    expect(ways).toEqual(['hf-inference', 'hf-inference', 'together', 'together']);
    expect(left).toEqual(['"day";r=1', '"day";r=0', null, null]);
    expect(await usedBy(caller)).toBe(1000);
    const pinned = await chat(caller, ask(`${CHOSEN}:hf-inference`, 'output=3'));
    expect(pinned.status).toBe(429);
    await pinned.text();
  });

  it('counts a call that comes to it by failover, and past it none does', async () => {
    const caller = await newCaller('free');
    await useUp(caller, 999);
    const sendFailing = (of: Caller, provider: keyof typeof SECOND): Promise<Response> => {
      service.simulator.faults.add({
        match: { provider },
        directives: { faults: ['500'] },
        times: 1,
      });
      return chat(of, ask(`${SECOND[provider]}:cheapest`, 'output=3'));
    };
    const instead = await sendFailing(caller, 'together');
    expect(instead.status).toBe(200);
    expect(instead.headers.get('x-inference-provider')).toBe('hf-inference');
    expect(instead.headers.get('ratelimit')).toMatch(/^"day";r=0;t=\d+$/);
    await instead.text();
    expect(await usedBy(caller)).toBe(1000);
    const other = await newCaller('free');
    await useUp(other, 1000);
    const none = await sendFailing(other, 'groq');
    expect(none.status).toBe(502);
    expect((await errorOf(none)).error).toMatchObject({ code: 'upstream_error' });
    expect(none.headers.get('retry-after')).toBeNull();
    expect(await usedBy(other)).toBe(1000);
    expect(await requestsOf(other)).toEqual([{ state: 'released', cost: null }]);
  });

  it('is not used by a call that we refuse ourselves', async () => {
    const caller = await newCaller('free');
    const headers = { 'idempotency-key': 'once' };
    const first = await chat(caller, ask(MODEL, 'output=3'), { headers });
    await first.text();
    const replay = await chat(caller, ask(MODEL, 'output=3'), { headers });
    expect(replay.status).toBe(409);
    expect(replay.headers.get('ratelimit')).toMatch(/^"day";r=999;t=\d+$/);
    await replay.text();
    expect(await usedBy(caller)).toBe(1);
    await service.database.query(
      `UPDATE budgets SET credit = NULL, is_pay_as_you_go = false WHERE subject_id = $1`,
      [caller.accountId],
    );
    const poor = await chat(caller, ask(MODEL, 'output=3'));
    expect(poor.status).toBe(402);
    expect(poor.headers.get('ratelimit')).toMatch(/^"day";r=999;t=\d+$/);
    await poor.text();
    expect(await usedBy(caller)).toBe(1);
    const journal = service.app.get(Journal, { strict: false });
    vi.spyOn(journal, 'admit').mockRejectedValueOnce(new Error('planted: a broken promise'));
    const failed = await chat(caller, ask(MODEL, 'output=3'));
    expect(failed.status).toBe(500);
    await failed.text();
    await eventually('the call to be given back', async () =>
      (await usedBy(caller)) === 1 ? true : null,
    );
  });

  it('is not guessed while the database is away', async () => {
    const caller = await newCaller('free');
    const repository = service.app.get(ServerlessAllowanceRepository, { strict: false });
    const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    vi.spyOn(repository, 'take').mockRejectedValueOnce(away);
    const refused = await chat(caller, ask(MODEL, 'output=3'));
    expect(refused.status).toBe(503);
    expect((await errorOf(refused)).error.code).toBe('store_unavailable');
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await requestsOf(caller)).toEqual([]);
  });
});

describe('a model that is not loaded', () => {
  it('is 503 model_loading with the estimate, and costs nothing', async () => {
    const caller = await newCaller();
    notLoaded(1);
    const headers = { 'idempotency-key': 'cold' };
    const cold = await chat(caller, ask(MODEL, 'output=3', { stream: true }), { headers });
    expect(cold.status).toBe(503);
    expect(cold.headers.get('retry-after')).toBe('20');
    expect(cold.headers.get('x-should-retry')).toBeNull();
    const body = await errorOf(cold);
    expect(body).toMatchObject({
      estimated_time: 20,
      error: { code: 'model_loading', type: 'model_loading' },
    });
    expect(body.error.message).toContain('x-wait-for-model');
    const event = await eventOf(service, cold.headers.get('x-request-id'));
    expect(event).toMatchObject({
      state: 'released',
      outcome: 'upstream_error',
      attempts: [{ provider: 'hf-inference', status: 503, error: 'model loading' }],
    });
    expect(await requestsOf(caller)).toEqual([{ state: 'released', cost: null }]);
    const warm = await chat(caller, ask(MODEL, 'output=3', { stream: true }), { headers });
    expect(warm.status).toBe(200);
    await warm.text();
    expect(await usedBy(caller)).toBe(2);
  });

  it('is waited for when asked, charged once and recorded as one attempt of waiting', async () => {
    const caller = await newCaller();
    notLoaded(3);
    const before = service.simulator.books.seq;
    const answer = await chat(caller, ask(MODEL, 'output=3'), WAIT);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-tollgate-attempts')).toBe('2');
    await answer.text();
    const event = await eventOf(service, answer.headers.get('x-request-id'));
    expect(event.state).toBe('settled');
    expect(event.attempts).toMatchObject([
      { provider: 'hf-inference', status: 503, error: 'model loading' },
      { provider: 'hf-inference', status: 200, error: null },
    ]);
    const billed = service.simulator.books
      .since(before)
      .reduce((sum, { costPicoUsd }) => sum + costPicoUsd, 0n);
    expect(billed).toBeGreaterThan(0n);
    expect(await requestsOf(caller)).toEqual([{ state: 'settled', cost: billed.toString() }]);
    expect(await usedBy(caller)).toBe(1);
  });

  it('that breaks while it is waited for is answered as it answers, and no seat is left taken', async () => {
    const caller = await newCaller();
    notLoaded(1);
    service.simulator.faults.add({
      match: { provider: 'hf-inference' },
      directives: { faults: ['500'] },
      times: 1,
    });
    const broken = await chat(caller, ask(MODEL, 'output=3'), WAIT);
    expect(broken.status).toBe(500);
    await broken.text();
    expect(room.waiting).toBe(0);
    const { attempts } = await eventOf(service, broken.headers.get('x-request-id'));
    expect(attempts?.map(({ status, error }) => [status, error])).toEqual([
      [503, 'model loading'],
      [500, 'status 500'],
    ]);
  });

  it('is forgotten by a client that leaves', async () => {
    const caller = await newCaller();
    notLoaded(10_000);
    const client = new AbortController();
    const left = chat(caller, ask(MODEL, 'output=3'), { ...WAIT, signal: client.signal });
    await waiting(1);
    client.abort();
    await expect(left).rejects.toThrow();
    await waiting(0);
    await allEnded(service);
    const [event] = await service.database.query(
      'SELECT state, outcome FROM usage_events WHERE account_id = $1',
      [caller.accountId],
    );
    expect(event).toEqual({ state: 'released', outcome: 'client_gone' });
  });

  it('has seats for so many: the paid take those of the free, the others are told to come back', async () => {
    const [free, pro] = [await newCaller('free'), await newCaller('pro')];
    const size = room['size'];
    room['size'] = { ...size, seats: 2 };
    try {
      notLoaded(10_000);
      const first = underWay(free);
      await waiting(1);
      const second = underWay(free);
      await waiting(2);
      const third = await underWay(free).answer;
      expect(third.status).toBe(503);
      expect(await errorOf(third)).toMatchObject({ error: { code: 'model_loading' } });
      const paid = underWay(pro);
      const displaced = await Promise.race([first.answer, second.answer]);
      expect(displaced.status).toBe(503);
      expect((await errorOf(displaced)).estimated_time).toBe(20);
      expect([first.status(), second.status()].sort()).toEqual([503, null]);
      expect(room.waiting).toBe(2);
      service.simulator.faults.clear();
      const answers = await Promise.all([first.answer, second.answer, paid.answer]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 503]);
      expect((await paid.answer).status).toBe(200);
      for (const answer of answers) if (!answer.bodyUsed) await answer.text();
    } finally {
      room['size'] = size;
    }
  });

  it('is told from a service that is broken, whose 503 passes as it is', async () => {
    const caller = await newCaller();
    service.simulator.faults.add({
      match: { provider: 'hf-inference' },
      directives: { faults: ['503'] },
      times: 1,
    });
    const broken = await chat(caller, ask(MODEL, 'output=3'), WAIT);
    expect(broken.status).toBe(503);
    expect(await broken.json()).not.toHaveProperty('estimated_time');
    expect(room.waiting).toBe(0);
  });
});

describe("the tier's own route", () => {
  const SENTIMENT = 'distilbert/distilbert-base-uncased-finetuned-sst-2-english';
  const send = (caller: Caller, text: string, headers: Record<string, string> = {}) =>
    fetch(`${service.url}/hf-inference/models/${SENTIMENT}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${caller.token}`,
        'content-type': 'application/json',
        ...headers,
      },
      body: JSON.stringify({ inputs: text }),
    });

  afterEach(() => {
    service.simulator.coldStarts.reset();
  });

  it('counts, and charges the compute time that the books say', async () => {
    const caller = await newCaller('free');
    const before = service.simulator.books.seq;
    const answer = await send(caller, 'What a day.');
    expect(answer.status).toBe(200);
    await answer.text();
    expect(answer.headers.get('ratelimit')).toMatch(/^"day";r=999;t=\d+$/);
    expect(answer.headers.get('x-compute-time')).toMatch(/^\d+\.\d+$/);
    const billed = service.simulator.books
      .since(before)
      .reduce((sum, { costPicoUsd }) => sum + costPicoUsd, 0n);
    expect(billed).toBeGreaterThan(0n);
    expect(await requestsOf(caller)).toEqual([{ state: 'settled', cost: billed.toString() }]);
  });

  it('passes on whether a result may come from the cache', async () => {
    const caller = await newCaller();
    const types: (string | null)[] = [];
    for (const cache of ['true', 'true', 'false']) {
      const answer = await send(caller, 'The same again.', { 'x-use-cache': cache });
      await answer.text();
      types.push(answer.headers.get('x-compute-type'));
    }
    expect(types.map((type) => type === 'cache')).toEqual([false, true, false]);
  });

  it('says that a model is loading, and waits for it here when asked', async () => {
    const caller = await newCaller('free');
    service.simulator.coldStarts.makeCold(SENTIMENT, { calls: 4, estimatedS: 10.5 });
    const cold = await send(caller, 'Too early.');
    expect(cold.status).toBe(503);
    expect(cold.headers.get('retry-after')).toBe('11');
    expect(await errorOf(cold)).toMatchObject({
      estimated_time: 10.5,
      error: { code: 'model_loading' },
    });
    const warm = await send(caller, 'In time.', { 'x-wait-for-model': 'true' });
    expect(warm.status).toBe(200);
    expect(warm.headers.get('x-tollgate-attempts')).toBe('2');
    await warm.text();
    expect((await requestsOf(caller)).map(({ state }) => state)).toEqual(['released', 'settled']);
    expect(await usedBy(caller)).toBe(2);
  });

  it('past the allowance is 429 and never leaves us', async () => {
    const caller = await newCaller('free');
    await useUp(caller, 1000);
    const before = service.simulator.books.seq;
    const refused = await send(caller, 'One too many.');
    expect(refused.status).toBe(429);
    expect((await errorOf(refused)).error.code).toBe('rate_limit_exceeded');
    expect(service.simulator.books.seq).toBe(before);
    expect(await requestsOf(caller)).toEqual([]);
  });
});
