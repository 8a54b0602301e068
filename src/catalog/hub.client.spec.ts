import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { loadConfig, type Config } from '../config/config.js';
import { HubClient } from './hub.client.js';
import type { HubAnswer } from './hub.js';

const never = new AbortController().signal;
const NAMES = JSON.stringify({ inferenceProviderMapping: { groq: { providerId: 'own' } } });

let server: Server | null = null;
let client: HubClient | null = null;

afterEach(async () => {
  await client?.onModuleDestroy();
  server?.closeAllConnections();
  server?.close();
});

function configOf(environment: Readonly<Record<string, string>>): Config {
  const loaded = loadConfig({ DEMO: '0', UPSTREAM_API_KEY: 'key', ...environment });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

async function ask(answer: RequestListener, signal: AbortSignal = never): Promise<HubAnswer> {
  const listening = createServer(answer);
  server = listening;
  await new Promise<void>((done) => listening.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(listening.address() as AddressInfo).port}/`;
  client = new HubClient(configOf({ HUB_URL: url }));
  return client.namesOf('org/name', signal);
}

describe('asking the Hub', () => {
  it('names the model and sends no key', async () => {
    const seen: unknown[] = [];
    const answer = await ask((request, response) => {
      seen.push(request.method, request.url, request.headers.authorization);
      response.end(NAMES);
    });
    expect(answer).toEqual({ kind: 'named', names: new Map([['groq', 'own']]) });
    const path = '/api/models/org/name?expand[]=inferenceProviderMapping';
    expect(seen).toEqual(['GET', path, undefined]);
  });

  it('follows no redirect', async () => {
    let asked = 0;
    const answer = await ask((_request, response) => {
      asked += 1;
      response.writeHead(307, { location: '/elsewhere' }).end(NAMES);
    });
    expect([answer.kind, asked]).toEqual(['failed', 1]);
  });

  it('reads no endless answer', async () => {
    const answer = await ask((_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(' '.repeat(64 * 1024)));
      };
      response.on('drain', more);
      more();
    });
    expect(answer).toEqual({ kind: 'failed', problem: 'the answer is over 262144 bytes' });
  });

  it.each([
    ['an error', 500, NAMES],
    ['a model that is not there', 404, '{"error":"Repository not found"}'],
    ['something else', 200, '<html>'],
    ['bytes that are no UTF-8', 200, Buffer.from([0x22, 0xff, 0x22])],
  ])('takes %s for none', async (_what, status, body) => {
    const answer = await ask((_request, response) => response.writeHead(status).end(body));
    expect(answer.kind).toBe('failed');
  });

  it('gives up a Hub that says nothing', { timeout: 9_000 }, async () => {
    expect((await ask(() => undefined)).kind).toBe('failed');
  });
});

describe('who is asked', () => {
  it.each([
    [{}, 'https://huggingface.co'],
    [{ UPSTREAM_BASE_URL: 'https://router.huggingface.co/' }, 'https://huggingface.co'],
    [{ UPSTREAM_BASE_URL: 'https://other.example' }, null],
    [{ UPSTREAM_BASE_URL: 'https://other.example', HUB_URL: 'http://hub:1/' }, 'http://hub:1'],
  ])('%o: %s', (environment, hubUrl) => {
    expect(configOf(environment).hubUrl).toBe(hubUrl);
  });
});
