import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Simulator, startSimulator } from './server.js';
import { eventually } from './spec-client.js';

const KEY = 'hf_simulated';
const FLUX = 'fal-ai/fal-ai/flux/dev';
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ seed: 3, apiKey: KEY });
});
afterAll(() => simulator.close());
beforeEach(() => {
  simulator.books.reset();
  simulator.faults.clear();
});

type Json = Record<string, unknown>;
interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

async function ask(
  method: string,
  path: string,
  body?: Json,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const response = await fetch(`${simulator.url}/${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: JSON.parse(text) as Json };
}

/** Submits to fal's queue and gives the path of `response_url` at the router. */
async function submitToFal(sim: string, fields: Json = {}): Promise<string> {
  const submitted = await ask('POST', `${FLUX}?_subdomain=queue`, {
    prompt: `a toll booth [[sim ${sim}]]`,
    ...fields,
  });
  expect(submitted.status).toBe(200);
  return `fal-ai${new URL(String(submitted.body['response_url'])).pathname}`;
}

const QUEUE = '?_subdomain=queue';

describe("fal's queue behind the router", () => {
  it('is asked after until it is done, and the result carries the quantity that is billed', async () => {
    const fields = { image_size: { width: 1000, height: 500 }, num_images: 3 };
    const path = await submitToFal('polls=2 tag=fal', fields);
    expect(path).toMatch(/^fal-ai\/fal-ai\/flux\/requests\/[0-9a-f-]{36}$/);
    const early = await ask('GET', `${path}${QUEUE}`);
    expect(early).toMatchObject({ status: 400, body: { detail: 'Request is still in progress' } });
    const seen = [];
    for (let look = 0; look < 3; look += 1) {
      const { status, body } = await ask('GET', `${path}/status${QUEUE}`);
      seen.push([status, body['status']]);
    }
    expect(seen).toEqual([
      [202, 'IN_QUEUE'],
      [202, 'IN_PROGRESS'],
      [200, 'COMPLETED'],
    ]);
    const result = await ask('GET', `${path}${QUEUE}`);
    expect(result.headers.get('x-fal-billable-units')).toBe('1.5');
    expect(result.headers.get('x-inference-provider')).toBe('fal-ai');
    expect(result.body['images']).toHaveLength(3);
    const [line, ...others] = simulator.books.tagged('fal');
    expect(others).toEqual([]);
    expect(line).toMatchObject({
      provider: 'fal-ai',
      model: 'black-forest-labs/FLUX.1-dev',
      providerModelId: 'fal-ai/flux/dev',
      task: 'image',
      units: { pixel: 1_500_000n },
      costPicoUsd: 37_500_000_000n,
      billed: true,
      requestId: result.headers.get('x-fal-request-id'),
    });
  });

  it('names the job in the submit answer as the books do', async () => {
    const submitted = await ask('POST', `${FLUX}${QUEUE}`, { prompt: '[[sim polls=0 tag=id]]' });
    const id = submitted.body['request_id'];
    expect(submitted.headers.get('x-request-id')).toBe(id);
    expect(submitted.body).toMatchObject({
      status: 'IN_QUEUE',
      response_url: `https://queue.fal.run/fal-ai/flux/requests/${String(id)}`,
      status_url: `https://queue.fal.run/fal-ai/flux/requests/${String(id)}/status`,
      cancel_url: `https://queue.fal.run/fal-ai/flux/requests/${String(id)}/cancel`,
    });
    await ask('GET', `fal-ai/fal-ai/flux/requests/${String(id)}/status${QUEUE}`);
    expect(simulator.books.tagged('id')[0]?.requestId).toBe(id);
  });

  it('serves the files of a result itself', async () => {
    const path = await submitToFal('polls=0');
    const { body } = await ask('GET', `${path}${QUEUE}`);
    const [image] = body['images'] as { url: string; content_type: string }[];
    const file = await fetch(image?.url ?? '');
    expect(image?.url.startsWith(simulator.url)).toBe(true);
    expect(file.headers.get('content-type')).toBe('image/png');
    expect((await file.arrayBuffer()).byteLength).toBeGreaterThan(0);
  });

  it('a failed job says so, is not billed and reports no quantity', async () => {
    const path = await submitToFal('polls=0 end=failed tag=failed');
    const status = await ask('GET', `${path}/status${QUEUE}`);
    expect(status.body).toMatchObject({ status: 'COMPLETED', error_type: 'runner_server_error' });
    const result = await ask('GET', `${path}${QUEUE}`);
    expect(result.status).toBe(422);
    expect(result.headers.has('x-fal-billable-units')).toBe(false);
    expect(simulator.books.tagged('failed')).toMatchObject([{ billed: false, costPicoUsd: 0n }]);
  });

  it('can be called off while it runs, and not afterwards', async () => {
    const path = await submitToFal('end=never tag=off');
    const cancelled = await ask('PUT', `${path}/cancel${QUEUE}`);
    expect(cancelled).toMatchObject({ status: 202, body: { status: 'CANCELLATION_REQUESTED' } });
    expect((await ask('GET', `${path}${QUEUE}`)).status).toBe(499);
    const late = await ask('PUT', `${path}/cancel${QUEUE}`);
    expect(late).toMatchObject({ status: 400, body: { status: 'ALREADY_COMPLETED' } });
    expect(simulator.books.tagged('off')).toMatchObject([{ billed: false, units: {} }]);
  });

  it('a job that never ends is never billed; one that is forgotten is unknown', async () => {
    const endless = await submitToFal('end=never tag=endless');
    for (let look = 0; look < 20; look += 1) await ask('GET', `${endless}/status${QUEUE}`);
    expect(simulator.books.tagged('endless')).toEqual([]);
    const lost = await submitToFal('polls=0 end=lost tag=lost');
    expect((await ask('GET', `${lost}/status${QUEUE}`)).status).toBe(404);
    expect((await ask('GET', `${lost}${QUEUE}`)).status).toBe(404);
    expect(simulator.books.tagged('lost')).toMatchObject([{ billed: false }]);
  });

  it('a job that was given a time is billed although nobody looks', async () => {
    await submitToFal('run_ms=5 tag=unseen');
    await eventually(() => simulator.books.tagged('unseen').length === 1);
    expect(simulator.books.tagged('unseen')).toMatchObject([{ billed: true }]);
  });

  it('a job is taken on and billed although its submit answer is lost', async () => {
    const sent = submitToFal('run_ms=0 fault=reset-mid-stream tag=torn');
    await expect(sent).rejects.toThrow();
    await eventually(() => simulator.books.tagged('torn').length === 1);
    expect(simulator.books.tagged('torn')).toMatchObject([{ billed: true }]);
  });

  it('belongs to the key that ordered it', async () => {
    const open = await startSimulator();
    const post = { method: 'POST', body: '{"prompt":"[[sim polls=0]]"}' };
    const submit = await fetch(`${open.url}/${FLUX}${QUEUE}`, {
      ...post,
      headers: { authorization: 'Bearer one' },
    });
    const { response_url: url } = (await submit.json()) as { response_url: string };
    const look = (key: string): Promise<Response> =>
      fetch(`${open.url}/fal-ai${new URL(url).pathname}/status${QUEUE}`, {
        headers: { authorization: `Bearer ${key}` },
      });
    expect((await look('other')).status).toBe(404);
    expect((await look('one')).status).toBe(200);
    await open.close();
  });

  it('reports what quantity= says, or nothing', async () => {
    const told = await submitToFal('polls=0 quantity=2.25 tag=told');
    const result = await ask('GET', `${told}${QUEUE}`);
    expect(result.headers.get('x-fal-billable-units')).toBe('2.25');
    expect(simulator.books.tagged('told')[0]?.units).toEqual({ pixel: 2_250_000n });
    const silent = await submitToFal('polls=0 fault=missing-usage');
    const other = await ask('GET', `${silent}${QUEUE}`);
    expect(other.headers.has('x-fal-billable-units')).toBe(false);
  });

  it('answers at once without the queue, quantity and all', async () => {
    const run = await ask('POST', FLUX, { prompt: '[[sim tag=run]]', image_size: 'square' });
    expect(run.headers.get('x-fal-billable-units')).toBe('0.262144');
    expect(run.body).toHaveProperty('images');
    expect(simulator.books.tagged('run')).toMatchObject([{ units: { pixel: 262_144n } }]);
  });

  it('an awaited job is called off when its caller leaves', async () => {
    const leaving = new AbortController();
    const sent = fetch(`${simulator.url}/${FLUX}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}` },
      body: '{"prompt":"[[sim end=never tag=left]]"}',
      signal: leaving.signal,
    });
    await eventually(() => simulator.jobs.all().some((job) => job.order.asked.tag === 'left'));
    leaving.abort();
    await expect(sent).rejects.toThrow();
    await eventually(() => simulator.books.tagged('left').length === 1);
    const expected = { billed: false, outcome: 'client_aborted' };
    expect(simulator.books.tagged('left')).toMatchObject([expected]);
  });

  it('wants the key, a known model and a directive that exists', async () => {
    const wrong = await ask('POST', FLUX, { prompt: '' }, { authorization: 'Bearer hf_other' });
    expect(wrong.status).toBe(401);
    expect((await ask('POST', 'fal-ai/fal-ai/none', { prompt: '' })).status).toBe(400);
    expect((await ask('POST', FLUX, { prompt: '[[sim end=well]]' })).status).toBe(400);
    expect(simulator.books.since()).toEqual([]);
  });

  it('standing orders strike submits and looks apart', async () => {
    const path = await submitToFal('polls=0');
    simulator.faults.add({
      match: { route: 'job-poll' },
      times: 1,
      directives: { faults: ['500'] },
    });
    expect((await ask('GET', `${path}/status${QUEUE}`)).status).toBe(500);
    expect((await ask('GET', `${path}/status${QUEUE}`)).status).toBe(200);
    simulator.faults.add({ match: { route: 'job' }, times: 1, directives: { faults: ['429'] } });
    expect((await ask('POST', `${FLUX}${QUEUE}`, { prompt: '' })).status).toBe(429);
  });
});

describe('jobs asked after at one address', () => {
  it('together: videos with their length and cost', async () => {
    const submitted = await ask('POST', 'together/v2/videos', {
      model: 'Wan-AI/Wan2.2-T2V-A14B',
      prompt: '[[sim polls=1 tag=together]]',
      seconds: '4',
    });
    expect(submitted.body).toMatchObject({ object: 'video', status: 'queued' });
    const path = `together/v2/videos/${String(submitted.body['id'])}`;
    expect((await ask('GET', path)).body['status']).toBe('queued');
    const { body } = await ask('GET', path);
    expect(body).toMatchObject({ status: 'completed', seconds: '4', outputs: { cost: 0.528 } });
    expect(simulator.books.tagged('together')).toMatchObject([
      { task: 'video', units: { video_ms: 4_000n }, costPicoUsd: 528_000_000_000n },
    ]);
  });

  it('novita: a task id and its result', async () => {
    const submitted = await ask('POST', 'novita/v3/async/wan-t2v', {
      prompt: '[[sim polls=1 tag=novita]]',
    });
    const id = String(submitted.body['task_id']);
    expect(submitted.headers.get('inference-id')).toBe(`inf-${id}`);
    const path = `novita/v3/async/task-result?task_id=${id}`;
    expect((await ask('GET', path)).body['task']).toMatchObject({ status: 'TASK_STATUS_QUEUED' });
    const { body } = await ask('GET', path);
    expect(body['task']).toMatchObject({ status: 'TASK_STATUS_SUCCEED' });
    expect(body['videos']).toMatchObject([{ video_type: 'mp4' }]);
    expect(simulator.books.tagged('novita')[0]?.units).toEqual({ video_ms: 5_000n });
    const missing = await ask('GET', 'novita/v3/async/task-result?task_id=none');
    expect(missing).toMatchObject({ status: 404, body: { reason: 'NOT_FOUND' } });
  });

  it('replicate: awaited, not awaited, and awaited in vain', async () => {
    const path = 'replicate/v1/models/bytedance/sdxl-lightning-4step/predictions';
    const wait = { prefer: 'wait' };
    const order = (sim: string): Json => ({ input: { prompt: `[[sim ${sim}]]` } });
    const awaited = await ask('POST', path, order('tag=awaited quantity=1.5'), wait);
    expect(awaited).toMatchObject({
      status: 201,
      body: { status: 'succeeded', metrics: { predict_time: 1.5 } },
    });
    expect(simulator.books.tagged('awaited')).toMatchObject([
      { units: { gpu_ms: 1_500n }, costPicoUsd: 1_087_500_000n },
    ]);
    const vain = await ask('POST', path, order('polls=0'), wait);
    expect(vain).toMatchObject({ status: 202, body: { status: 'starting', output: null } });
    const later = await ask('GET', `replicate/v1/predictions/${String(vain.body['id'])}`);
    expect(later.body['status']).toBe('succeeded');
    const plain = await ask('POST', path, order('polls=5'));
    expect(plain).toMatchObject({ status: 201, body: { status: 'starting' } });
    const job = `replicate/v1/predictions/${String(plain.body['id'])}`;
    expect((await ask('POST', `${job}/cancel`)).body['status']).toBe('canceled');
  });

  it('z.ai: images in the background', async () => {
    const submitted = await ask('POST', 'zai-org/api/paas/v4/async/images/generations', {
      model: 'glm-image',
      prompt: '[[sim polls=1 tag=zai]]',
    });
    expect(submitted.body['task_status']).toBe('PROCESSING');
    const path = `zai-org/api/paas/v4/async-result/${String(submitted.body['id'])}`;
    expect((await ask('GET', path)).body['task_status']).toBe('PROCESSING');
    const { body } = await ask('GET', path);
    expect(body).toMatchObject({ task_status: 'SUCCESS' });
    expect(body['image_result']).toHaveLength(1);
    expect(simulator.books.tagged('zai')).toMatchObject([
      { units: { image: 1n }, costPicoUsd: 15_000_000_000n },
    ]);
  });

  it('novita: films of MiniMax', async () => {
    const submitted = await ask('POST', 'novita/v3/minimax/v2/video_generation', {
      model: 'MiniMax-H3',
      content: [{ type: 'text', text: 'a toll [[sim polls=0 tag=minimax]]' }],
      duration: 6,
    });
    const id = String(submitted.body['task_id']);
    const { body } = await ask('GET', `novita/v3/minimax/v2/query/video_generation/${id}`);
    expect(body['task']).toMatchObject({
      status: 'succeeded',
      content: { url: expect.any(String) as string },
    });
    expect(simulator.books.tagged('minimax')[0]?.units).toEqual({ video_ms: 6_000n });
  });

  it('Black Forest Labs: a result by its id', async () => {
    const prompt = '[[sim polls=1 tag=bfl]]';
    const submitted = await ask('POST', 'black-forest-labs/v1/flux-dev', { prompt });
    const path = `black-forest-labs/v1/get_result?id=${String(submitted.body['id'])}`;
    expect((await ask('GET', path)).body['status']).toBe('Pending');
    expect((await ask('GET', path)).body).toMatchObject({ status: 'Ready', result: { prompt } });
    expect(simulator.books.tagged('bfl')[0]?.units).toEqual({ image: 1n });
  });

  it('wavespeed: a result below the prediction', async () => {
    const submitted = await ask('POST', 'wavespeed/api/v3/wavespeed-ai/flux-dev', {
      prompt: '[[sim polls=0 end=failed]]',
    });
    const { urls } = submitted.body['data'] as { urls: { get: string } };
    const { pathname } = new URL(urls.get);
    expect(pathname).toMatch(/^\/api\/v3\/predictions\/\w+\/result$/);
    const { body } = await ask('GET', `wavespeed${pathname}`);
    expect(body['data']).toMatchObject({ status: 'failed', outputs: [] });
  });
});

it('jobs are deterministic from prefix and seed', async () => {
  const lines = await Promise.all(
    [1, 2].map(async () => {
      const twin = await startSimulator({ seed: 9, idPrefix: 'same', now: () => new Date(0) });
      await fetch(`${twin.url}/fal-ai/fal-ai/whisper`, { method: 'POST', body: '{"prompt":"x"}' });
      const written = twin.books.since();
      await twin.close();
      return written;
    }),
  );
  expect(lines[0]).toHaveLength(1);
  expect(lines[0]).toEqual(lines[1]);
});

it('the admin routes end jobs, set prices and show both', async () => {
  const path = await submitToFal('end=never tag=admin');
  const id = path.split('/').at(-1);
  const listed = (await ask('GET', '_sim/jobs')).body['data'] as Json[];
  expect(listed.find((job) => job['id'] === id)).toMatchObject({ state: 'queued', unit: 'pixel' });
  await ask('POST', '_sim/jobs', { id });
  expect(simulator.books.tagged('admin')).toMatchObject([{ billed: true }]);
  const provider = 'wavespeed';
  const model = 'black-forest-labs/FLUX.1-dev';
  const price = { provider, model, unit: 'image', usdPerUnit: '0.5' };
  expect((await ask('PUT', '_sim/unit-prices', price)).status).toBe(200);
  const prices = (await ask('GET', '_sim/unit-prices')).body['data'] as Json[];
  expect(prices).toContainEqual({
    ...price,
    providerModelId: 'wavespeed-ai/flux-dev',
    task: 'text-to-image',
  });
  expect((await ask('PUT', '_sim/unit-prices', { ...price, unit: 'mile' })).status).toBe(400);
  simulator.unitOffers.reset();
});
