import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  allEnded,
  ask,
  chat,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';

let service: SimulatedService;
const MODEL = 'meta-llama/Llama-3.3-70B-Instruct';

beforeAll(async () => {
  service = await startSimulated();
});

afterAll(async () => {
  expect(service.simulator.books.since()).toEqual([]);
  expect(await service.database.query('SELECT id FROM usage_events')).toEqual([]);
  await allEnded(service);
  await service.close();
});

interface ErrorShape {
  readonly error: {
    readonly code: string;
    readonly type: string;
    readonly message: string;
    readonly param: string | null;
    readonly details: Record<string, unknown> | null;
  };
}

const errorOf = async (response: Response): Promise<ErrorShape['error']> =>
  ((await response.json()) as ErrorShape).error;

describe('bodies that are refused before anything is charged', () => {
  const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  const cases: [
    name: string,
    body: string | Uint8Array,
    status: number,
    code: string,
    param: string | null,
  ][] = [
    ['empty', '', 400, 'invalid_json', null],
    ['no JSON', '{"model": ', 400, 'invalid_json', null],
    ['an array', '[]', 400, 'invalid_request', null],
    [
      'a byte-order mark',
      Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(`{"model":"${MODEL}"}`)]),
      400,
      'invalid_json',
      null,
    ],
    [
      'invalid UTF-8',
      Buffer.concat([
        Buffer.from(`{"model":"${MODEL}","x":"`),
        Buffer.from([0xff, 0xfe]),
        Buffer.from('"}'),
      ]),
      400,
      'invalid_json',
      null,
    ],
    ['nesting over 64', `{"model":"${MODEL}","x":${nested(70)}}`, 400, 'invalid_json', null],
    ['a duplicate key', `{"model":"${MODEL}","model":"x"}`, 400, 'invalid_request', 'model'],
    [
      'a duplicate key, escaped',
      `{"model":"${MODEL}","mod\\u0065l":"x"}`,
      400,
      'invalid_request',
      'model',
    ],
    [
      'a duplicate in stream_options',
      `{"model":"${MODEL}","stream_options":{"include_usage":true,"include_usage":false}}`,
      400,
      'invalid_request',
      'stream_options.include_usage',
    ],
    ['no model', '{"messages":[]}', 400, 'invalid_request', 'model'],
    ['a model that is no text', '{"model":7,"messages":[]}', 400, 'invalid_request', 'model'],
    [
      'an unknown model',
      '{"model":"meta-llama/Llama-3.3-70B-Instruc","messages":[]}',
      400,
      'model_not_supported',
      'model',
    ],
    [
      'a provider that does not serve it',
      `{"model":"${MODEL}:cerebras","messages":[]}`,
      400,
      'model_not_supported',
      'model',
    ],
    [
      'stream that is no boolean',
      `{"model":"${MODEL}","stream":"true"}`,
      400,
      'invalid_request',
      'stream',
    ],
    [
      'stream_options that are no object',
      `{"model":"${MODEL}","stream":true,"stream_options":1}`,
      400,
      'invalid_request',
      'stream_options',
    ],
    [
      'a negative maximum',
      `{"model":"${MODEL}","max_tokens":-1}`,
      400,
      'invalid_request',
      'max_tokens',
    ],
    [
      'a fractional maximum',
      `{"model":"${MODEL}","max_completion_tokens":1.5}`,
      400,
      'invalid_request',
      'max_completion_tokens',
    ],
    ['n of zero', `{"model":"${MODEL}","n":0}`, 400, 'invalid_request', 'n'],
    ['background', `{"model":"${MODEL}","background":true}`, 400, 'invalid_request', 'background'],
    [
      'a service tier that is no text',
      `{"model":"${MODEL}","service_tier":{}}`,
      400,
      'invalid_request',
      'service_tier',
    ],
  ];
  it.each(cases)('%s', async (_name, body, status, code, param) => {
    const response = await chat(service, body);
    expect(response.status).toBe(status);
    const error = await errorOf(response);
    expect(error).toMatchObject({ code, param, type: 'invalid_request_error' });
    expect(error.message.length).toBeGreaterThan(10);
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('40 MB', async () => {
    const response = await chat(service, Buffer.alloc(40 * 1024 * 1024, 0x20));
    expect(response.status).toBe(413);
    expect(await errorOf(response)).toMatchObject({ code: 'request_too_large' });
  });

  it('40 MB without saying so first', async () => {
    const status = await new Promise<number>((resolve, reject) => {
      const request = httpRequest(
        `${service.url}/v1/chat/completions`,
        {
          method: 'POST',
          headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
        },
        (response) => {
          resolve(response.statusCode ?? 0);
          response.resume();
        },
      );
      request.on('error', reject);
      for (let sent = 0; sent < 40; sent += 1) request.write(Buffer.alloc(1024 * 1024, 0x20));
      request.end();
    });
    expect(status).toBe(413);
  });

  it('another media type, and a compressed body', async () => {
    for (const headers of [{ 'content-type': 'text/plain' }, { 'content-encoding': 'gzip' }]) {
      const response = await chat(service, ask(MODEL, ''), { headers });
      expect(response.status).toBe(415);
      expect(await errorOf(response)).toMatchObject({ code: 'unsupported_media_type' });
    }
  });

  it('names the closest models, and who serves one that a provider does not', async () => {
    const close = await errorOf(
      await chat(service, { model: 'meta-llama/Llama-3.3-70B-Instruc', messages: [] }),
    );
    expect(close.message).toContain(MODEL);
    const elsewhere = await errorOf(
      await chat(service, { model: `${MODEL}:cerebras`, messages: [] }),
    );
    expect(elsewhere.message).toContain('together');
  });

  it('refuses a model that nobody has a price for', async () => {
    const response = await chat(service, ask('tollgate-sim/unpriced', ''));
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({
      code: 'model_not_supported',
      details: { reason: 'unpriced' },
    });
  });
});

describe('headers that are refused before anything is charged', () => {
  it.each([
    ['X-Tollgate-Tags', 'Bad Key=1'],
    ['X-Tollgate-Tags', Array.from({ length: 11 }, (_, index) => `k${index}=v`).join(',')],
    ['X-Tollgate-Tags', `k=${'v'.repeat(65)}`],
    ['X-Tollgate-Tags', 'k=%zz'],
    ['X-HF-Session-id', 's'.repeat(257)],
    ['Idempotency-Key', 'k'.repeat(256)],
    ['X-Tollgate-Include-Cost', 'maybe'],
  ])('%s: %s', async (name, value) => {
    const response = await chat(service, ask(MODEL, ''), { headers: { [name]: value } });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: 'invalid_request', param: name });
  });

  it('X-HF-Bill-To another organization', async () => {
    const response = await chat(service, ask(MODEL, ''), {
      headers: { 'x-hf-bill-to': 'somebody-else' },
    });
    expect(response.status).toBe(403);
    expect(await errorOf(response)).toMatchObject({ code: 'not_a_member' });
  });
});

describe('tokens', () => {
  it.each([
    ['none', {}],
    ['another scheme', { authorization: 'Basic abc' }],
    ['unknown', { authorization: `Bearer tg_${'a'.repeat(43)}` }],
    ['an upstream key', { authorization: 'Bearer sim-key' }],
  ])('%s', async (_name, headers: Record<string, string>) => {
    const response = await fetch(`${service.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(ask(MODEL, '')),
    });
    expect(response.status).toBe(401);
    expect(await errorOf(response)).toMatchObject({
      code: 'invalid_token',
      type: 'authentication_error',
    });
  });

  it('revoked and expired', async () => {
    const made = await service.api<{ id: string; token: string }>(
      `/organizations/${service.organization}/tokens`,
      { method: 'POST', body: { name: 'short' } },
    );
    expect(
      (await service.api(`/tokens/${made.body.id}`, { method: 'DELETE' })).status,
    ).toBeLessThan(300);
    const response = await chat({ url: service.url, token: made.body.token }, ask(MODEL, ''));
    expect(response.status).toBe(401);
  });

  it('without the scope to call models', async () => {
    const made = await service.api<{ token: string }>(
      `/organizations/${service.organization}/tokens`,
      { method: 'POST', body: { name: 'reader', scopes: ['usage.read'] } },
    );
    const response = await chat({ url: service.url, token: made.body.token }, ask(MODEL, ''));
    expect(response.status).toBe(403);
    expect(await errorOf(response)).toMatchObject({ code: 'insufficient_scope' });
  });
});

it('answers unknown routes in its own error shape', async () => {
  for (const path of ['/v1/nothing', '/nothing', '/together/v1/files']) {
    const response = await fetch(`${service.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
      body: '{}',
    });
    expect(response.status, path).toBe(404);
    expect((await errorOf(response)).code).toBe('unknown_route');
  }
});
