import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import {
  allEnded,
  ask,
  chat,
  eventOf,
  eventually,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';

const MODEL = `${EVERY_DIALECT}:together`;

describe('what reaches the upstream, and what comes back', () => {
  let upstream: Server;
  let service: SimulatedService;
  let seen: { headers: IncomingHttpHeaders; body: string } | null = null;
  const answer = { status: 200, headers: {} as Record<string, string>, body: '' };

  beforeAll(async () => {
    // The catalogue comes from the simulator; the calls go to a server that shows what it was sent.
    upstream = createServer((request, response) => {
      if (request.method === 'GET') {
        void fetch(`${service_simulator_url}${request.url ?? ''}`).then(async (got) =>
          response.end(await got.text()),
        );
        return;
      }
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        seen = { headers: request.headers, body: Buffer.concat(chunks).toString('utf8') };
        response.writeHead(answer.status, {
          'x-inference-provider': 'together',
          'content-type': 'application/json',
          ...answer.headers,
        });
        response.end(answer.body);
      });
    });
    await new Promise<void>((listening) => upstream.listen(0, '127.0.0.1', listening));
    const { port } = upstream.address() as AddressInfo;
    service = await startSimulated({
      simulator: {
        port: await freePort((free) => (service_simulator_url = `http://127.0.0.1:${free}`)),
      },
      environment: { UPSTREAM_BASE_URL: `http://127.0.0.1:${port}`, UPSTREAM_BILL_TO: 'our-team' },
    });
  });

  afterAll(async () => {
    await service.close();
    upstream.closeAllConnections();
    await new Promise((closed) => upstream.close(closed));
  });

  const USAGE = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
  const plainAnswer = (padding = ''): string =>
    JSON.stringify({
      id: 'x',
      choices: [{ index: 0, message: { content: `hi${padding}` } }],
      usage: USAGE,
    });

  it('sends the allow list of headers, our key and our billing account, and never the token', async () => {
    Object.assign(answer, { status: 200, headers: {}, body: plainAnswer() });
    await chat(service, ask(MODEL, ''), {
      headers: {
        'user-agent': 'my-client/1',
        'x-title': 'mine',
        'http-referer': 'https://example.com',
        prefer: 'wait',
        'x-secret': 'no',
        cookie: 'a=b',
        'x-forwarded-for': '1.2.3.4',
        'x-hf-bill-to': service.organization,
        'openai-beta': service.token,
        'x-hf-session-id': 'session',
        'x-request-id': 'mine',
        'x-tollgate-tags': 'project=a',
      },
    });
    expect(seen?.headers).toMatchObject({
      authorization: 'Bearer sim-key',
      'x-hf-bill-to': 'our-team',
      'user-agent': 'my-client/1',
      'x-title': 'mine',
      'http-referer': 'https://example.com',
      prefer: 'wait',
      'x-hf-session-id': 'session',
      'accept-encoding': 'identity',
    });
    for (const name of [
      'x-secret',
      'cookie',
      'x-forwarded-for',
      'openai-beta',
      'x-request-id',
      'x-tollgate-tags',
    ]) {
      expect(seen?.headers, name).not.toHaveProperty(name);
    }
    expect(JSON.stringify(seen)).not.toContain(service.token.slice(3));
  });

  it('changes no byte of the body but those it has to', async () => {
    const body = `{ "model" : "${MODEL}",\n\t"messages":[ {"role":"user","content":"h\\u00e9 \\ud83d\\ude00"} ], "max_tokens": 5, "unknown": {"z":1,"a":[1.0,2e3]} }`;
    await chat(service, body);
    expect(seen?.body).toBe(body);
    await chat(service, body.replace('"max_tokens": 5', '"stream": true, "max_tokens": 5'));
    expect(seen?.body).toContain('"stream_options":{"include_usage":true}');
    expect(seen?.body).toContain('"unknown": {"z":1,"a":[1.0,2e3]}');
  });

  it('passes back what is on the list and nothing else, with our own headers', async () => {
    Object.assign(answer, {
      status: 200,
      body: plainAnswer(),
      headers: {
        'set-cookie': 'tracking=1',
        server: 'theirs',
        'x-compute-time': '12',
        'fireworks-prompt-tokens': '3',
        'openai-processing-ms': '7',
        'x-request-id': 'theirs-1',
        'access-control-allow-origin': '*',
      },
    });
    const response = await chat(service, ask(MODEL, ''));
    expect(await response.text()).toBe(answer.body);
    const headers = Object.fromEntries(response.headers);
    expect(headers).toMatchObject({
      'x-compute-time': '12',
      'fireworks-prompt-tokens': '3',
      'openai-processing-ms': '7',
      'x-upstream-request-id': 'theirs-1',
      'x-inference-provider': 'together',
      'x-tollgate-model': EVERY_DIALECT,
      'x-tollgate-attempts': '1',
      'x-content-type-options': 'nosniff',
      'content-security-policy': 'sandbox',
      'content-length': String(answer.body.length),
    });
    expect(headers['x-request-id']).toBe(headers['request-id']);
    expect(headers['x-request-id']).toBe(headers['inference-id']);
    expect(Number(headers['x-tollgate-cost-usd'])).toBeGreaterThan(0);
    for (const name of ['set-cookie', 'server', 'access-control-allow-origin'])
      expect(headers, name).not.toHaveProperty(name);
  });

  it('relays an answer of 5 MB as it comes, and still charges its exact usage', async () => {
    Object.assign(answer, {
      status: 200,
      headers: {},
      body: plainAnswer('x'.repeat(5 * 1024 * 1024)),
    });
    const response = await chat(service, ask(MODEL, ''));
    expect((await response.text()) === answer.body).toBe(true);
    expect(await eventOf(service, response.headers.get('x-request-id'))).toMatchObject({
      state: 'settled',
      usageSource: 'provider',
      inputTokens: 10,
      outputTokens: 5,
    });
  });

  it.each([
    ['charges what it states', { usage: USAGE }, 'provider'],
    ['estimates it where it states nothing', {}, 'estimated'],
  ])('lets an answer of 12 MB pass, and %s', async (_, usage, usageSource) => {
    const content = 'x'.repeat(12 * 1024 * 1024);
    const body = JSON.stringify({ choices: [{ index: 0, message: { content } }], ...usage });
    Object.assign(answer, { status: 200, headers: {}, body });
    const response = await chat(service, ask(MODEL, ''));
    expect((await response.text()).length).toBe(body.length);
    expect(await eventOf(service, response.headers.get('x-request-id'))).toMatchObject({
      state: 'settled',
      usageSource,
    });
  });
});

let service_simulator_url = '';

async function freePort(tell: (port: number) => void): Promise<number> {
  const probe = createServer();
  await new Promise<void>((listening) => probe.listen(0, '127.0.0.1', listening));
  const { port } = probe.address() as AddressInfo;
  await new Promise((closed) => probe.close(closed));
  tell(port);
  return port;
}

describe('the store', () => {
  let service: SimulatedService;

  beforeAll(async () => {
    service = await startSimulated({
      environment: { SETTLE_WAIT_MAX_MS: '400', ADMIT_WAIT_MAX_MS: '300' },
    });
    await (await chat(service, ask(MODEL, 'output=1'))).arrayBuffer();
  });

  afterAll(async () => {
    await allEnded(service);
    await service.close();
  });

  /** Runs `work` while every budget row is locked by somebody else. */
  async function whileLocked<T>(work: (unlock: () => Promise<void>) => Promise<T>): Promise<T> {
    const locker = new pg.Client({ connectionString: service.database.url });
    await locker.connect();
    await locker.query('BEGIN');
    await locker.query('SELECT 1 FROM budgets FOR UPDATE');
    try {
      return await work(async () => {
        await locker.query('ROLLBACK');
      });
    } finally {
      await locker.end();
    }
  }

  it('is asked first: nothing is forwarded that could not be recorded', async () => {
    const before = service.simulator.books.seq;
    await whileLocked(async () => {
      const response = await chat(service, ask(MODEL, 'output=3'));
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toBe('1');
      expect(((await response.json()) as { error: { code: string } }).error.code).toBe(
        'store_unavailable',
      );
    });
    expect(service.simulator.books.seq).toBe(before);
  });

  const admitted = (): Promise<true> =>
    eventually('admission', async () =>
      (await service.database.query('SELECT id FROM open_events')).length > 0 ? true : null,
    );

  it('holds a plain answer back until it is recorded, or withholds it and bears its cost', async () => {
    const pending = chat(service, ask(MODEL, 'output=30 delay=300'));
    await admitted();
    const response = await whileLocked(async () => pending);
    expect(response.status).toBe(503);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(response.headers.get('retry-after')).toBeNull();
    await allEnded(service);
    const event = await eventOf(service, response.headers.get('x-request-id'));
    expect(event).toMatchObject({ state: 'settled', costUsd: '0' });
    expect(Number(event.absorbedUsd)).toBeGreaterThan(0);
  });

  it('ends a stream without its end marker when it cannot be recorded, and charges what had passed', async () => {
    const pending = chat(service, ask(MODEL, 'output=30 delay=300', { stream: true }));
    await admitted();
    const [response, text] = await whileLocked(async () => {
      const answered = await pending;
      return [answered, await answered.text()] as const;
    });
    expect(response.status).toBe(200);
    expect(text).not.toContain('[DONE]');
    expect(text).toContain('store_unavailable');
    await allEnded(service);
    const event = await eventOf(service, response.headers.get('x-request-id'));
    expect(Number(event.costUsd)).toBeGreaterThan(0);
  });

  it('has the exact cost before the end marker leaves', async () => {
    const response = await chat(service, ask(MODEL, 'output=40 chunks=10', { stream: true }));
    const reader = response.body!.getReader();
    let text = '';
    while (!text.includes('[DONE]')) {
      const part = (await reader.read()) as { value?: Uint8Array; done: boolean };
      if (part.value === undefined) break;
      text += Buffer.from(part.value).toString('utf8');
    }
    const [row] = await service.database.query<{ state: string }>(
      'SELECT state FROM usage_events WHERE id = $1',
      [response.headers.get('x-request-id')],
    );
    expect(row?.state).toBe('settled');
  });
});

describe('streams', () => {
  let service: SimulatedService;

  beforeAll(async () => {
    service = await startSimulated();
  });

  afterAll(async () => {
    await allEnded(service);
    await service.close();
  });

  it('pass on each event when it comes, not when the next does', async () => {
    const response = await chat(
      service,
      ask(MODEL, 'output=8 chunks=4 chunk_delay=150', { stream: true }),
    );
    const reader = response.body!.getReader();
    const arrivals: number[] = [];
    for (;;) {
      const { done } = await reader.read();
      if (done) break;
      arrivals.push(performance.now());
    }
    expect(arrivals.length).toBeGreaterThanOrEqual(4);
    expect(arrivals.at(-1)! - arrivals[0]!).toBeGreaterThan(300);
    expect(response.headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
  });

  it('show their cost in the final usage when asked to', async () => {
    for (const stream of [true, false]) {
      const response = await chat(service, ask(MODEL, 'output=8 chunks=4', { stream }), {
        headers: { 'x-tollgate-include-cost': 'true' },
      });
      const text = await response.text();
      const event = await eventOf(service, response.headers.get('x-request-id'));
      expect(text).toContain(`"cost":${event.costUsd ?? ''}`);
      expect(text).toContain('"cost_details"');
    }
  });

  it('are bounded per token', async () => {
    const narrow = await startSimulated({ environment: { STREAMS_PER_TOKEN_MAX: '1' } });
    const first = await chat(
      narrow,
      ask(MODEL, 'output=20 chunks=20 chunk_delay=30', { stream: true }),
    );
    const second = await chat(narrow, ask(MODEL, 'output=2', { stream: true }));
    expect(second.status).toBe(429);
    await first.text();
    expect((await chat(narrow, ask(MODEL, 'output=2', { stream: true }))).status).toBe(200);
    await allEnded(narrow);
    await narrow.close();
  });

  it('and requests are bounded per process', async () => {
    const narrow = await startSimulated({ environment: { IN_FLIGHT_MAX: '1' } });
    const first = chat(narrow, ask(MODEL, 'output=2 delay=400'));
    await eventually('admission', async () =>
      (await narrow.database.query('SELECT id FROM open_events')).length > 0 ? true : null,
    );
    const second = await chat(narrow, ask(MODEL, 'output=2'));
    expect(second.status).toBe(503);
    expect(((await second.json()) as { error: { code: string } }).error.code).toBe('overloaded');
    expect((await first).status).toBe(200);
    await narrow.close();
  });
});

describe('Idempotency-Key', () => {
  let service: SimulatedService;
  const headers = { 'idempotency-key': 'once' };

  beforeAll(async () => {
    service = await startSimulated();
  });

  afterAll(async () => {
    await service.close();
  });

  it('lets a request through once', async () => {
    const body = ask(MODEL, 'output=5 delay=300 tag=idem');
    const first = chat(service, body, { headers });
    await eventually('admission', async () =>
      (await service.database.query('SELECT id FROM open_events')).length > 0 ? true : null,
    );
    const during = await chat(service, body, { headers });
    expect(during.status).toBe(409);
    expect(during.headers.get('retry-after')).toBe('1');
    const done = await first;
    await done.arrayBuffer();
    const after = await chat(service, body, { headers });
    expect(after.status).toBe(409);
    expect(after.headers.get('x-should-retry')).toBe('false');
    expect(await after.json()).toMatchObject({
      error: {
        code: 'request_already_processed',
        details: { requestId: done.headers.get('x-request-id') },
      },
    });
    const other = await chat(service, ask(MODEL, 'output=6 tag=idem'), { headers });
    expect(other.status).toBe(422);
    expect(service.simulator.books.tagged('idem')).toHaveLength(1);
  });

  it('is given back when the provider answered with an error', async () => {
    const again = { 'idempotency-key': 'again' };
    expect((await chat(service, ask(MODEL, 'output=5 fault=500'), { headers: again })).status).toBe(
      500,
    );
    await allEnded(service);
    expect((await chat(service, ask(MODEL, 'output=5'), { headers: again })).status).toBe(200);
  });
});
