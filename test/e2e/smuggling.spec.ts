import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startSimulator, type Simulator } from '../../simulator/server.js';
import { ApiClient } from '../support/api-client.js';
import { startCountingProxy, type CountingProxy } from '../support/counting-proxy.js';
import { startService, type TestService } from '../support/service.js';

/** What came back for bytes that no client library would send. */
interface Answer {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
  /** How many answers there were: one for every request that the service saw in the bytes. */
  readonly answers: number;
}

const MODEL = 'meta-llama/Llama-3.3-70B-Instruct';
const CHAT = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'x' }] });
const GIVE_UP_MS = 10_000;

let simulator: Simulator;
let wire: CountingProxy;
let service: TestService;
let token = '';

beforeAll(async () => {
  simulator = await startSimulator({ apiKey: 'sim-key', cachedPrices: false });
  wire = await startCountingProxy(simulator.url);
  service = await startService({ UPSTREAM_BASE_URL: wire.url });
  token = (await new ApiClient(service.url).addOrganization('mine')).secret;
});

/** Whatever was sent: nothing has left, nothing is recorded, and the service is there. */
afterEach(async () => {
  expect(wire.requests).toEqual([]);
  expect(simulator.books.since()).toEqual([]);
  expect(simulator.openRequests()).toBe(0);
  const recorded = 'SELECT id FROM open_events UNION ALL SELECT id FROM usage_events';
  expect(await service.database.query(recorded)).toEqual([]);
  expect(await sent(requestOf('GET', '/livez'))).toMatchObject({ status: 200, answers: 1 });
});

/** And it still serves after all of it. */
afterAll(async () => {
  const answer = await sent(requestOf('POST', '/v1/chat/completions', { body: CHAT }));
  expect(answer).toMatchObject({ status: 200, answers: 1 });
  expect(wire.requests).toEqual(['POST /v1/chat/completions']);
  await service.close();
  await wire.close();
  await simulator.close();
});

/** The bytes to the service, and what it says until it closes the connection. */
function sent(bytes: string | Buffer): Promise<Answer> {
  const { hostname, port } = new URL(service.url);
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = connect({ host: hostname, port: Number(port) });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no end to: ${Buffer.concat(parts).toString('latin1')}`));
    }, GIVE_UP_MS);
    socket.on('data', (part) => parts.push(part));
    // A connection that is broken while we write has still said why.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answerOf(Buffer.concat(parts).toString('utf8')));
    });
    socket.write(bytes);
  });
}

function answerOf(text: string): Answer {
  const headEnd = text.indexOf('\r\n\r\n');
  const headers = text.slice(0, headEnd).toLowerCase();
  const length = /\r\ncontent-length: (\d+)/.exec(headers)?.[1];
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0),
    headers,
    body: text.slice(headEnd + 4, length === undefined ? undefined : headEnd + 4 + Number(length)),
    answers: text.split(/^HTTP\/1\.1 \d{3} /m).length - 1,
  };
}

function requestOf(
  method: string,
  target: string,
  { headers = [], body = null }: { headers?: readonly string[]; body?: string | null } = {},
): string {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'Host: tollgate.example',
    `Authorization: Bearer ${token}`,
    'Connection: close',
    ...headers,
    ...(body === null
      ? []
      : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`;
}

/** One refusal in our shape, and nothing else. */
function expectRefused(answer: Answer, status: number, code = 'invalid_request'): void {
  expect(answer, answer.body).toMatchObject({ status, answers: 1 });
  expect(answer.headers).toContain('content-type: application/json');
  expect(answer.headers).toContain('x-content-type-options: nosniff');
  const { error } = JSON.parse(answer.body) as {
    error: { message: string; type: string; code: string };
  };
  expect(Object.keys(error).sort()).toEqual(['code', 'details', 'message', 'param', 'type']);
  expect(error.code).toBe(code);
  expect(error.message.length).toBeGreaterThan(10);
  expect(answer.body).not.toContain(token);
}

describe('a path that two could read in two ways is refused', () => {
  it.each([
    ['POST', '/v1/../together/v1/files'],
    ['POST', '/together/../v1/chat/completions'],
    ['GET', '/together/v1/../../api/organizations'],
    ['POST', '/together/%2e%2e/v1/chat/completions'],
    ['POST', '/together/.%2E/v1/chat/completions'],
    ['POST', '/together/%2E/v1/chat/completions'],
    ['POST', '/v1/chat/completions/..'],
    ['POST', '/fal-ai/fal-ai/flux/dev/..%2f..%2ftogether/v1/files'],
    ['POST', '/hf-inference/models/..%2f..%2fapi%2fwhoami'],
    ['POST', '/v1%2Fchat%2Fcompletions'],
    ['POST', '/v1/chat%5ccompletions'],
    ['POST', '/v1\\chat\\completions'],
    ['POST', '//v1/chat/completions'],
    ['POST', '/v1//chat/completions'],
    ['POST', '/v1/chat/completions%00'],
    ['POST', '/v1/chat/completions%0d%0aX-Injected:%20yes'],
    ['GET', '/v1/models/%2e%2e'],
    ['GET', '/v1/models/a%2Fb%2F..%2F..%2Fchat/x'],
    ['POST', '/v1/chat/completions%zz'],
  ])('%s %s', async (method, target) => {
    const body = method === 'POST' ? { body: CHAT } : {};
    expectRefused(await sent(requestOf(method, target, body)), 400);
  });

  it.each([
    'http://router.huggingface.co/v1/chat/completions',
    'http://tollgate.example/v1/chat/completions',
    'https://api.together.xyz/v1/chat/completions',
  ])('a whole URL: %s', async (target) => {
    expectRefused(await sent(requestOf('POST', target, { body: CHAT })), 400);
  });

  it('CONNECT, which would be a tunnel', async () => {
    const { status, answers } = await sent(requestOf('CONNECT', 'api.together.xyz:443'));
    expect([status, answers].join()).toMatch(/^(0,0|4\d\d,1)$/);
  });

  it('but not the id of a model, in which the clients of OpenAI encode the slash', async () => {
    for (const id of [MODEL, encodeURIComponent(MODEL)]) {
      const answer = await sent(requestOf('GET', `/v1/models/${id}`));
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.body)).toMatchObject({ id: MODEL });
    }
  });
});

describe('a body whose end two could see in two places is refused', () => {
  const hidden = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`;
  const json = 'Content-Type: application/json';
  const both = [json, 'Transfer-Encoding: chunked', `Content-Length: ${CHAT.length}`];
  const chunked = `${CHAT.length.toString(16)}\r\n${CHAT}\r\n0\r\n\r\n`;

  it.each<[string, readonly string[], string]>([
    ['two different lengths', [json, 'Content-Length: 4', `Content-Length: ${CHAT.length}`], CHAT],
    ['the same length twice', Array<string>(2).fill(`Content-Length: ${CHAT.length}`), CHAT],
    ['lengths in a list', [json, `Content-Length: ${CHAT.length}, ${CHAT.length}`], CHAT],
    ['a negative length', [json, 'Content-Length: -1'], CHAT],
    ['a length with a sign', [json, `Content-Length: +${CHAT.length}`], CHAT],
    ['a length in hexadecimal', [json, 'Content-Length: 0x10'], CHAT],
    ['a length beyond all numbers', [json, `Content-Length: ${'9'.repeat(40)}`], CHAT],
    ['a length and chunks', both, chunked + hidden],
    ['chunks and a length', [...both].reverse(), chunked + hidden],
    ['chunks that end before the length', both, `0\r\n\r\n${hidden}`],
    ['an unknown coding', [json, 'Transfer-Encoding: xchunked'], chunked + hidden],
    ['chunks that are not the last coding', [json, 'Transfer-Encoding: chunked, gzip'], chunked],
    ['two transfer encodings', [json, ...Array<string>(2).fill('Transfer-Encoding: x')], chunked],
    ['a space before the colon', [json, 'Transfer-Encoding : chunked'], chunked + hidden],
    ['a chunk size that is none', [json, 'Transfer-Encoding: chunked'], `zz\r\n${CHAT}\r\n`],
  ])('%s', async (_name, headers, rest) => {
    const bytes = requestOf('POST', '/v1/chat/completions', { headers }) + rest;
    expectRefused(await sent(bytes), 400);
  });
});

describe('headers that are more than headers are refused', () => {
  it.each([
    ['a bare CR in a value', 'X-Title: one\rX-HF-Bill-To: other'],
    ['a NUL in a value', 'X-Title: one\0two'],
    ['a line that is continued', 'X-Title: one\r\n two: three'],
    ['a name with a space', 'X Title: one'],
    ['no colon', 'X-Title'],
    ['an empty name', ': one'],
  ])('%s', async (_name, line) => {
    expectRefused(
      await sent(requestOf('POST', '/v1/chat/completions', { headers: [line], body: CHAT })),
      400,
    );
  });

  it('tags whose encoded value would begin a line of its own stay a value', async () => {
    const headers = ['X-Tollgate-Tags: Bad Key=%0d%0aX-Injected:%20yes'];
    const answer = await sent(requestOf('POST', '/v1/chat/completions', { headers, body: CHAT }));
    expectRefused(answer, 400);
    expect(answer.headers).not.toContain('x-injected');
  });

  it('more than 16 KiB of them', async () => {
    const headers = [`X-Title: ${'x'.repeat(17 * 1024)}`];
    expectRefused(
      await sent(requestOf('POST', '/v1/chat/completions', { headers, body: CHAT })),
      431,
    );
  });

  it('more than a hundred of them: none is left out unseen', async () => {
    const headers = [
      ...Array.from({ length: 120 }, (_, index) => `X-Padding-${index}: x`),
      'X-HF-Bill-To: other',
    ];
    expectRefused(
      await sent(requestOf('POST', '/v1/chat/completions', { headers, body: CHAT })),
      431,
    );
  });

  it('what is not HTTP/1.1 at all', async () => {
    for (const bytes of [
      'GARBAGE\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'POST /v1/chat/completions HTTP/9.9\r\n\r\n',
      Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
    ]) {
      expectRefused(await sent(bytes), 400);
    }
  });
});

it('what follows a request on its connection is a request by itself, with rights of its own', async () => {
  const first = requestOf('GET', '/v1/models').replace('Connection: close\r\n', '');
  const second =
    'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n' +
    `Content-Type: application/json\r\nContent-Length: ${CHAT.length}\r\n\r\n${CHAT}`;
  const { hostname, port } = new URL(service.url);
  const text = await new Promise<string>((resolve) => {
    let all = '';
    const socket = connect({ host: hostname, port: Number(port) }, () => {
      socket.write(first + second);
    });
    socket.on('data', (part) => (all += part.toString('latin1')));
    socket.on('close', () => {
      resolve(all);
    });
  });
  expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 401']);
});
