import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Simulator, startSimulator } from './server.js';
import { chat, eventually } from './spec-client.js';
import { EVERY_DIALECT } from './special-models.js';

const MINILM = 'sentence-transformers/all-MiniLM-L6-v2';
const BGE = 'BAAI/bge-small-en-v1.5';
const WHISPER = 'openai/whisper-large-v3';
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ seed: 3 });
});
afterAll(() => simulator.close());
beforeEach(() => {
  simulator.books.reset();
  simulator.coldStarts.reset();
});

async function post(
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${simulator.url}/hf-inference/models/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

describe('a pipeline', () => {
  it('is billed by the compute time that its answer states', async () => {
    const response = await post(`${MINILM}/pipeline/feature-extraction`, {
      inputs: ['one', 'two'],
      note: '[[sim tag=vector quantity=10]]',
    });
    const vectors = (await response.json()) as number[][];
    expect(vectors.map((vector) => vector.length)).toEqual([384, 384]);
    expect(response.headers.get('x-compute-time')).toBe('10');
    expect(response.headers.get('x-compute-type')).toBe('cpu+optimized');
    expect(response.headers.get('x-inference-provider')).toBe('hf-inference');
    const id = response.headers.get('x-request-id');
    expect(simulator.books.tagged('vector')).toMatchObject([
      {
        requestId: id,
        provider: 'hf-inference',
        model: MINILM,
        task: 'inference',
        units: { compute_ms: 10_000n },
        // 10 s at USD 0.00012.
        costPicoUsd: 1_200_000_000n,
        promptTokens: 0,
      },
    ]);
  });

  it('floors a compute time finer than a millisecond', async () => {
    const fine = '[[sim tag=fine quantity=0.2505]]';
    const response = await post(MINILM, {
      inputs: { source_sentence: 'a', sentences: ['a', fine] },
    });
    expect(response.headers.get('x-compute-time')).toBe('0.2505');
    expect(await response.json()).toEqual([1, expect.any(Number)]);
    expect(simulator.books.tagged('fine')[0]?.units).toEqual({ compute_ms: 250n });
  });

  it('takes a file as the body and answers with one', async () => {
    const heard = await fetch(`${simulator.url}/hf-inference/models/${WHISPER}`, {
      method: 'POST',
      headers: { 'content-type': 'audio/wav' },
      body: Buffer.from([82, 73, 70, 70, 0, 255]),
    });
    expect(await heard.json()).toEqual({ text: 'The toll is paid.' });
    const drawn = await post('stabilityai/stable-diffusion-xl-base-1.0', {
      inputs: 'a toll booth',
    });
    expect(drawn.headers.get('content-type')).toBe('image/png');
    expect((await drawn.arrayBuffer()).byteLength).toBeGreaterThan(0);
    expect(simulator.books.since()).toHaveLength(2);
  });

  it('refuses models and tasks that it does not serve, unbilled', async () => {
    expect((await post('none/none', { inputs: '' })).status).toBe(400);
    expect((await post(`${BGE}/pipeline/fill-mask`, { inputs: '' })).status).toBe(400);
    expect((await post(BGE, {})).status).toBe(400);
    expect(simulator.books.since().every((line) => !line.billed)).toBe(true);
  });

  it('is billed on when its caller leaves', async () => {
    const leaving = new AbortController();
    const sent = fetch(`${simulator.url}/hf-inference/models/${BGE}`, {
      method: 'POST',
      body: '{"inputs":"[[sim fault=hang-before-headers tag=left quantity=2]]"}',
      signal: leaving.signal,
    });
    await eventually(() => simulator.openRequests() > 0);
    leaving.abort();
    await expect(sent).rejects.toThrow();
    await eventually(() => simulator.books.tagged('left').length === 1);
    const expected = { billed: true, outcome: 'client_aborted', units: { compute_ms: 2_000n } };
    expect(simulator.books.tagged('left')).toMatchObject([expected]);
  });

  it('leaves the compute time out when told to', async () => {
    const response = await post(BGE, { inputs: '[[sim fault=missing-usage]]' });
    expect(response.headers.has('x-compute-time')).toBe(false);
  });
});

describe('the result cache', () => {
  it('answers the same again in no time and for nothing, unless told not to', async () => {
    const body = { inputs: 'again [[sim tag=cache]]' };
    const first = await post(BGE, body);
    const second = await post(BGE, body);
    const third = await post(BGE, body, { 'x-use-cache': 'false' });
    const types = [first, second, third].map(({ headers }) => headers.get('x-compute-type'));
    expect(types).toEqual(['cpu+optimized', 'cache', 'cpu+optimized']);
    expect(second.headers.get('x-compute-time')).toBe('0.000');
    expect(await second.json()).toEqual(await first.json());
    expect(simulator.books.tagged('cache').map(({ billed }) => billed)).toEqual([
      true,
      false,
      true,
    ]);
  });
});

describe('a cold model', () => {
  it('answers 503 for so many calls, unbilled, and then serves', async () => {
    simulator.coldStarts.makeCold(BGE, { calls: 2 });
    const body = { inputs: 'cold' };
    const first = await post(BGE, body);
    expect(first.status).toBe(503);
    expect(await first.json()).toEqual({
      error: `Model ${BGE} is currently loading`,
      estimated_time: 20,
    });
    expect((await post(BGE, body)).status).toBe(503);
    expect((await post(BGE, body)).status).toBe(200);
    const statuses = simulator.books.since().map(({ status, billed }) => [status, billed]);
    expect(statuses).toEqual([
      [503, false],
      [503, false],
      [200, true],
    ]);
  });

  it('is waited for by who says so', async () => {
    simulator.coldStarts.makeCold(BGE, { ms: 30 });
    const response = await post(BGE, { inputs: 'waits' }, { 'x-wait-for-model': 'true' });
    expect(response.status).toBe(200);
    expect(simulator.coldStarts.list()).toEqual([]);
  });

  it('is loaded once its time is over', async () => {
    let time = 0;
    const clocked = await startSimulator({ now: () => new Date(time) });
    clocked.coldStarts.makeCold(BGE, { ms: 1_000, estimatedS: 1 });
    const call = async (): Promise<number> => {
      const url = `${clocked.url}/hf-inference/models/${BGE}`;
      return (await fetch(url, { method: 'POST', body: '{"inputs":""}' })).status;
    };
    expect(await call()).toBe(503);
    time = 1_000;
    expect(await call()).toBe(200);
    await clocked.close();
  });

  it('is set over HTTP, and keeps chat out too', async () => {
    const put = { model: EVERY_DIALECT, calls: 1, estimatedS: 3 };
    const admin = `${simulator.url}/_sim/cold`;
    await fetch(admin, { method: 'PUT', body: JSON.stringify(put) });
    const listed: unknown = await (await fetch(admin)).json();
    expect(listed).toEqual({ data: [{ model: EVERY_DIALECT, callsLeft: 1, estimatedS: 3 }] });
    const model = `${EVERY_DIALECT}:hf-inference`;
    expect((await chat(simulator, { model })).status).toBe(503);
    expect((await chat(simulator, { model })).status).toBe(200);
    expect((await chat(simulator, { model: `${EVERY_DIALECT}:together` })).status).toBe(200);
  });
});
