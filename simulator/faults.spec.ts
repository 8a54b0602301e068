import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BookEntry } from './books.js';
import { statusFaults } from './faults.js';
import { startSimulator, type Simulator } from './server.js';
import {
  answerOf,
  call,
  chat,
  chunksOf,
  dataOf,
  eventually,
  openChat,
  type Received,
} from './spec-client.js';
import { EVERY_DIALECT } from './special-models.js';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ seed: 11 });
});
afterAll(() => simulator.close());
beforeEach(() => {
  simulator.books.reset();
  simulator.faults.clear();
});

/** Together stops billing at abort and reports usage always; groq bills on. */
const STOPS = `${EVERY_DIALECT}:together`;
const BILLS_ON = `${EVERY_DIALECT}:groq`;
const SIZE = 'input=100 output=8 chunks=4 cached=0 reasoning=0';

function line(): BookEntry | undefined {
  return simulator.books.since().at(-1);
}

async function stream(sim: string, model = STOPS): Promise<Received> {
  return chat(simulator, { model, stream: true, sim: `${SIZE} ${sim}` });
}

async function plain(sim: string, model = STOPS): Promise<Received> {
  return chat(simulator, { model, sim: `${SIZE} ${sim}` });
}

describe('error answers', () => {
  it.each(statusFaults)('%s is an answer that nobody bills', async (fault) => {
    const answer = await plain(`fault=${fault}`);
    const status = fault === 'html-error' ? 502 : Number(fault.slice(0, 3));
    expect(answer.status).toBe(status);
    expect(line()).toMatchObject({ status, outcome: 'faulted', billed: false, costPicoUsd: 0n });
    expect(answer.headers['x-request-id']).toBe(line()?.requestId);
  });

  it('have the shapes seen in the wild', async () => {
    expect((await plain('fault=403-spending-limit')).headers['content-type']).toMatch(
      /text\/plain/,
    );
    expect((await plain('fault=504-html')).text).toContain('<html>');
    expect((await plain('fault=429')).headers['retry-after']).toBeUndefined();
    expect((await plain('fault=429-retry-after retry_after=7')).headers['retry-after']).toBe('7');
    expect(JSON.parse((await plain('fault=503-loading')).text)).toEqual({
      error: `Model ${EVERY_DIALECT} is currently loading`,
      estimated_time: 20,
    });
    const problem = await plain('fault=500 shape=problem');
    expect(problem.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse((await plain('fault=500 shape=detail')).text)).toHaveProperty('detail');
  });
});

describe('a broken connection', () => {
  it('before the headers', async () => {
    expect(await plain('fault=reset-before-headers')).toMatchObject({
      status: 0,
      error: 'ECONNRESET',
    });
    expect(line()).toMatchObject({ outcome: 'faulted', billed: false, requestIdSent: false });
  });

  it('in mid-stream bills what was generated', async () => {
    const cut = await stream('fault=reset-mid-stream after=3');
    expect(cut.error).toBe('ECONNRESET');
    expect(chunksOf(cut.text)).toHaveLength(3);
    // The opening chunk has no token, the two pieces have two each.
    expect(line()).toMatchObject({ outcome: 'faulted', completionTokens: 4, promptTokens: 100 });
  });

  it('in the middle of a plain answer', async () => {
    const cut = await plain('fault=reset-mid-stream');
    expect(cut).toMatchObject({ status: 200, error: 'ECONNRESET' });
    expect(cut.bytes.length).toBeLessThan(Number(cut.headers['content-length']));
    expect(line()).toMatchObject({ outcome: 'faulted', completionTokens: 8 });
  });

  it('in good order, without [DONE]', async () => {
    const cut = await stream('fault=end-mid-stream after=2');
    expect(cut.error).toBeNull();
    expect(dataOf(cut.text)).toHaveLength(2);
    expect(line()).toMatchObject({ outcome: 'faulted', completionTokens: 2 });
  });
});

describe('a client that hangs up', () => {
  it('pays what was generated where the provider stops', async () => {
    const open = openChat(simulator, {
      model: STOPS,
      stream: true,
      sim: `${SIZE} fault=hang-mid-stream after=3`,
    });
    await open.firstBytes;
    open.request.destroy();
    await eventually(() => simulator.books.since().length === 1);
    const { completionTokens } = line() ?? { completionTokens: -1 };
    expect(line()).toMatchObject({ outcome: 'client_aborted', billed: true, promptTokens: 100 });
    expect([0, 2, 4]).toContain(completionTokens);
  });

  it('pays the whole answer where the provider bills on', async () => {
    const open = openChat(simulator, {
      model: BILLS_ON,
      stream: true,
      sim: `${SIZE} fault=hang-mid-stream`,
    });
    await open.firstBytes;
    open.request.destroy();
    await eventually(() => simulator.books.since().length === 1);
    expect(line()).toMatchObject({ outcome: 'client_aborted', completionTokens: 8 });
  });

  it.each([
    [STOPS, false],
    [BILLS_ON, true],
  ])('before the first byte at %s: billed %s', async (model, billed) => {
    for (const sim of ['fault=hang-before-headers', 'delay=60000']) {
      simulator.books.reset();
      const open = openChat(simulator, { model, sim: `${SIZE} ${sim}` });
      await eventually(() => simulator.openRequests() === 1);
      open.request.destroy();
      await eventually(() => simulator.books.since().length === 1);
      expect(line()).toMatchObject({ outcome: 'client_aborted', billed, status: 0 });
    }
    await eventually(() => simulator.openRequests() === 0);
  });

  it('after the last byte changes nothing', async () => {
    await stream('');
    expect(simulator.books.since()).toHaveLength(1);
  });
});

describe('errors inside a 200', () => {
  it('as the first event', async () => {
    const chunks = chunksOf((await stream('fault=error-first-event')).text);
    expect(chunks).toHaveLength(1);
    expect(chunks[0]).toHaveProperty('error.message');
    expect(line()).toMatchObject({ billed: false, status: 200, outcome: 'faulted' });
  });

  it('in mid-stream', async () => {
    const chunks = chunksOf((await stream('fault=error-mid-stream after=3')).text);
    expect(chunks).toHaveLength(4);
    expect(chunks.at(-1)).toHaveProperty('error');
    expect(line()).toMatchObject({ completionTokens: 4, outcome: 'faulted' });
  });

  it('as an HTML page', async () => {
    expect((await stream('fault=html-200')).headers['content-type']).toMatch(/text\/html/);
  });

  it('as JSON that does not parse', async () => {
    const { text } = await plain('fault=invalid-json');
    expect(() => JSON.parse(text) as unknown).toThrow();
    const broken = dataOf((await stream('fault=invalid-json after=1')).text);
    expect(() => JSON.parse(broken[1] ?? '') as unknown).toThrow();
  });
});

describe('usage', () => {
  it.each([
    ['usage-negative', 'prompt_tokens', -5],
    ['usage-fractional', 'completion_tokens', 12.5],
    ['usage-string', 'completion_tokens', 'twelve'],
    ['usage-huge', 'prompt_tokens', 1e21],
  ])('%s', async (fault, field, value) => {
    expect(answerOf(await plain(`fault=${fault}`)).usage).toMatchObject({ [field]: value });
    const chunks = chunksOf((await stream(`fault=${fault}`)).text);
    expect(chunks.at(-1)?.usage).toMatchObject({ [field]: value });
    // The books know better.
    expect(line()).toMatchObject({ promptTokens: 100, completionTokens: 8 });
  });

  it('missing', async () => {
    expect(answerOf(await plain('fault=missing-usage'))).not.toHaveProperty('usage');
    expect((await stream('fault=missing-usage', `${EVERY_DIALECT}:novita`)).text).not.toContain(
      'usage',
    );
    expect(line()?.billed).toBe(true);
  });

  it('decreasing', async () => {
    const chunks = chunksOf((await stream('fault=usage-decreasing')).text);
    const counts = chunks.flatMap((chunk) => chunk.usage?.completion_tokens ?? []);
    expect(counts).toEqual([8, 4]);
  });
});

describe('bodies that lie', () => {
  it('content-length longer than the body', async () => {
    const answer = await plain('fault=content-length-longer');
    expect(answer.error).toBe('ECONNRESET');
    expect(Number(answer.headers['content-length'])).toBe(answer.bytes.length + 10);
    expect((await stream('fault=content-length-longer')).error).toBe('ECONNRESET');
  });

  it('content-length shorter than the body', async () => {
    const answer = await plain('fault=content-length-shorter');
    expect(() => JSON.parse(answer.text) as unknown).toThrow();
  });

  it('gzip that nobody asked for', async () => {
    const answer = await plain('fault=gzip');
    expect(answer.headers['content-encoding']).toBe('gzip');
    expect(JSON.parse(gunzipSync(answer.bytes).toString())).toHaveProperty('usage');
    const streamed = await stream('fault=gzip');
    expect(dataOf(gunzipSync(streamed.bytes).toString()).at(-1)).toBe('[DONE]');
  });

  it('a stream answered as plain JSON', async () => {
    const answer = await stream('fault=json-for-stream');
    expect(answer.headers['content-type']).toBe('application/json');
    expect(answerOf(answer).usage?.completion_tokens).toBe(8);
    expect(line()?.stream).toBe(true);
  });

  it('an oversize event and an oversize body', async () => {
    expect((await stream('fault=oversize-event size=300000')).bytes.length).toBeGreaterThan(
      300_000,
    );
    expect((await plain('fault=oversize-event size=300000')).bytes.length).toBeGreaterThan(300_000);
    expect(line()?.completionTokens).toBe(8);
  });
});

describe('framing', () => {
  it('CRLF, several data lines and any byte boundary leave the same events', async () => {
    // By standing order: the text of an answer depends on the message, which must stay the same.
    const straight = chunksOf((await stream('')).text).map((chunk) => chunk.choices);
    for (const faults of [
      [],
      ['crlf'],
      ['multi-line-data'],
      ['crlf', 'multi-line-data'],
    ] as const) {
      for (const split of [null, 1, 'random'] as const) {
        simulator.faults.add({ match: {}, directives: { faults, split }, times: 1 });
        const answer = await stream('');
        expect(chunksOf(answer.text).map((chunk) => chunk.choices)).toEqual(straight);
        expect(answer.text.includes('\r\n')).toBe(faults.some((fault) => fault === 'crlf'));
      }
    }
  });

  it('split=1 sends byte by byte, slow-drip with waits between', async () => {
    const answer = await plain('split=1');
    expect(answer.pieces).toBeGreaterThan(20);
    const dripped = await plain('fault=slow-drip split=100 chunk_delay=2');
    expect(dripped.pieces).toBeGreaterThan(3);
    expect(answerOf(dripped).usage?.completion_tokens).toBe(8);
  });
});

describe('who served, under which id', () => {
  it('names a provider without a price', async () => {
    const answer = await plain('fault=unpriced-provider');
    expect(answer.headers['x-inference-provider']).toBe('unlisted-provider');
  });

  it('repeats the previous request id, or the one chosen', async () => {
    const first = await plain('');
    const second = await plain('fault=duplicate-request-id');
    expect(second.headers['x-request-id']).toBe(first.headers['x-request-id']);
    expect((await plain('request_id=mine')).headers['x-request-id']).toBe('mine');
    expect(simulator.books.since()).toHaveLength(3);
  });

  it('leaves the id out', async () => {
    expect((await plain('fault=no-request-id')).headers['x-request-id']).toBeUndefined();
    expect(line()).toMatchObject({ requestIdSent: false, billed: true });
  });
});

describe('standing orders', () => {
  it('strike the next matching requests and no others', async () => {
    const order = { match: { provider: 'together' }, fault: '500', times: 2 };
    expect((await call(simulator, 'POST', '/_sim/faults', order)).status).toBe(200);
    expect((await plain('', BILLS_ON)).status).toBe(200);
    expect([(await plain('')).status, (await stream('')).status]).toEqual([500, 500]);
    expect((await plain('')).status).toBe(200);
    expect((await call(simulator, 'GET', '/_sim/faults')).text).toBe('{"data":[]}');
  });

  it('strike the catalogue only when told to', async () => {
    simulator.faults.add({ match: {}, directives: { faults: ['500'] }, times: 1 });
    expect((await call(simulator, 'GET', '/v1/models')).status).toBe(200);
    const match = { route: 'models' } as const;
    simulator.faults.add({ match, directives: { faults: ['503'] }, times: 1 });
    expect((await call(simulator, 'GET', '/v1/models')).status).toBe(503);
    expect((await call(simulator, 'GET', '/v1/models')).status).toBe(200);
  });

  it('refuse what they do not understand', async () => {
    const order = { match: {}, fault: 'flood' };
    expect((await call(simulator, 'POST', '/_sim/faults', order)).status).toBe(400);
  });

  it('bill= overrules who is billed', async () => {
    await plain('fault=500 bill=yes');
    expect(line()).toMatchObject({ billed: true, completionTokens: 8 });
    await plain('bill=no');
    expect(line()).toMatchObject({ billed: false, costPicoUsd: 0n, status: 200 });
  });
});
