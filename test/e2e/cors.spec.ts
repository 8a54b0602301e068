import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.js';
import { startService, type TestService } from '../support/service.js';
import { ask, chat, startSimulated, type SimulatedService } from '../support/simulated.js';

const APP = 'https://app.example.com';
const LOCAL = 'http://localhost:5173';

const corsHeadersOf = ({ headers }: Response): string[] =>
  [...headers.keys()].filter((name) => name.startsWith('access-control-'));

async function preflight(url: string, path: string, origin: string): Promise<Response> {
  return fetch(url + path, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type, x-stainless-lang',
    },
  });
}

describe('origins that are configured', () => {
  let service: SimulatedService;

  beforeAll(async () => {
    service = await startSimulated({ environment: { CORS_ORIGINS: `${APP}, ${LOCAL}` } });
  });

  afterAll(async () => {
    await service.close();
  });

  it('may ask beforehand, without a token', async () => {
    for (const path of ['/v1/chat/completions', '/v1/models', '/v1/models/a%2Fb', '/v1/messages']) {
      const answer = await preflight(service.url, path, LOCAL);
      expect([path, answer.status, await answer.text()]).toEqual([path, 204, '']);
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'access-control-allow-origin': LOCAL,
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': 'authorization, content-type, x-stainless-lang',
        'access-control-max-age': '7200',
        vary: 'Origin',
      });
      expect(answer.headers.has('access-control-allow-credentials')).toBe(false);
    }
  });

  it('may read answers and our headers: plain, streams, errors, models', async () => {
    const headers = { origin: APP };
    const model = 'meta-llama/Llama-3.3-70B-Instruct';
    const answers = [
      await chat(service, ask(model, 'output=3'), { headers }),
      await chat(service, ask(model, 'output=3', { stream: true }), { headers }),
      await chat(service, '{', { headers }),
      await chat({ url: service.url, token: 'tg_unknown' }, '{', { headers }),
      await fetch(`${service.url}/v1/models`, { headers }),
      await fetch(`${service.url}/v1/nothing`, { headers }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 401, 200, 404]);
    for (const answer of answers) {
      await answer.arrayBuffer();
      expect(answer.headers.get('access-control-allow-origin')).toBe(APP);
      expect(answer.headers.get('vary')).toBe('Origin');
      const exposed = answer.headers.get('access-control-expose-headers')?.split(', ') ?? [];
      expect(exposed).toEqual(
        expect.arrayContaining([
          'x-request-id',
          'x-inference-provider',
          'ratelimit',
          'ratelimit-policy',
          'retry-after',
          'x-should-retry',
          'x-tollgate-cost-usd',
        ]),
      );
    }
  });

  it('may call nothing but /v1', async () => {
    for (const path of ['/api/me', '/api/openapi.json', '/livez', '/v1x', '/metrics']) {
      expect(corsHeadersOf(await preflight(service.url, path, APP))).toEqual([]);
      const answer = await fetch(service.url + path, { headers: { origin: APP } });
      expect([path, corsHeadersOf(answer)]).toEqual([path, []]);
      await answer.arrayBuffer();
    }
  });

  it('are all there are: another may neither ask nor read', async () => {
    for (const origin of ['https://evil.example', `${APP}.evil.example`, 'null', APP + ':444']) {
      expect(corsHeadersOf(await preflight(service.url, '/v1/models', origin))).toEqual([]);
      const answer = await fetch(`${service.url}/v1/models`, { headers: { origin } });
      expect([answer.status, corsHeadersOf(answer)]).toEqual([200, []]);
      // A cache must not hand what it got for one origin to another.
      expect(answer.headers.get('vary')).toBe('Origin');
      await answer.arrayBuffer();
    }
  });
});

it('with * every origin may call, still without cookies', async () => {
  const service = await startService({
    UPSTREAM_BASE_URL: 'http://127.0.0.1:9',
    CORS_ORIGINS: '*',
  });
  const answer = await preflight(service.url, '/v1/chat/completions', 'https://any.example');
  expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([204, '*']);
  expect(answer.headers.has('access-control-allow-credentials')).toBe(false);
  await service.close();
});

describe('without CORS_ORIGINS', () => {
  let service: TestService;

  beforeAll(async () => {
    service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' });
  });

  afterAll(async () => {
    await service.close();
  });

  it('nothing is said to browsers', async () => {
    expect(corsHeadersOf(await preflight(service.url, '/v1/chat/completions', APP))).toEqual([]);
    const answer = await fetch(`${service.url}/v1/models`, { headers: { origin: APP } });
    expect(corsHeadersOf(answer)).toEqual([]);
    await answer.arrayBuffer();
  });
});

describe('CORS_ORIGINS', () => {
  const problemsOf = (value: string): readonly string[] => {
    const loaded = loadConfig({ DEMO: '1', CORS_ORIGINS: value });
    return loaded.ok ? [] : loaded.problems.map(({ variable }) => variable);
  };

  it.each(['https://app.example.com', 'http://localhost:5173,https://a.example', '*', ''])(
    'may be "%s"',
    (value) => {
      expect(problemsOf(value)).toEqual([]);
    },
  );

  it.each([
    'https://app.example.com/',
    'https://app.example.com/path',
    'app.example.com',
    'https://App.example.com',
    'https://app.example.com:443',
    'https://*.example.com',
    'null',
    'https://user@app.example.com',
    'https://good.example, bad',
  ])('"%s" stops the start and is named', (value) => {
    expect(problemsOf(value)).toEqual(['CORS_ORIGINS']);
  });
});
