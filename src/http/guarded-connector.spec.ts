import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guardedConnector, type GuardOptions } from './guarded-connector.js';

let server: Server;
let port: number;
let requests = 0;

beforeAll(async () => {
  server = createServer((_request, response) => {
    requests += 1;
    response.end('reached');
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** What a request to the host ends with: the status, or the code of the error. */
async function askFor(host: string, options: Partial<GuardOptions> = {}): Promise<unknown> {
  const client = new Client(`http://${host}:${port}`, {
    connect: guardedConnector({ allowedHosts: [], connectTimeoutMs: 1000, ...options }),
  });
  try {
    const { statusCode, body } = await client.request({ method: 'GET', path: '/' });
    await body.dump();
    return statusCode;
  } catch (error) {
    return (error as { code?: string }).code;
  } finally {
    await client.destroy();
  }
}

const local = { address: '127.0.0.1', family: 4 } as const;

describe('a connection to a host that someone chose', () => {
  it.each(['127.0.0.1', '0x7f.1', '2130706433', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0'])(
    'is not opened to %s',
    async (host) => {
      const before = requests;
      expect(await askFor(host)).toBe('PRIVATE_ADDRESS');
      expect(requests).toBe(before);
    },
  );

  it('is not opened to a name that stands for a private address, or for one among others', async () => {
    const before = requests;
    expect(await askFor('rebound.example', { resolve: () => Promise.resolve([local]) })).toBe(
      'PRIVATE_ADDRESS',
    );
    const mixed = [{ address: '1.1.1.1', family: 4 }, local];
    expect(await askFor('mixed.example', { resolve: () => Promise.resolve(mixed) })).toBe(
      'PRIVATE_ADDRESS',
    );
    expect(requests).toBe(before);
  });

  it('judges the name anew at every connection', async () => {
    const answers = [[{ address: '192.0.2.1', family: 4 }], [local]];
    let asked = 0;
    const resolve: GuardOptions['resolve'] = () => Promise.resolve(answers[asked++] ?? []);
    expect(await askFor('moves.example', { resolve })).toBe('PRIVATE_ADDRESS');
    expect(await askFor('moves.example', { resolve })).toBe('PRIVATE_ADDRESS');
    expect(asked).toBe(2);
  });

  it('fails as any other where the name stands for nothing', async () => {
    expect(await askFor('nothing.example', { resolve: () => Promise.resolve([]) })).toBe(
      'ENOTFOUND',
    );
  });

  it('is opened where the operator named the host', async () => {
    expect(await askFor('127.0.0.1', { allowedHosts: ['127.0.0.1'] })).toBe(200);
    expect(await askFor('LOCALHOST', { allowedHosts: ['localhost'] })).toBe(200);
    expect(await askFor('127.0.0.1', { allowedHosts: ['localhost'] })).toBe('PRIVATE_ADDRESS');
  });
});
