import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MetricsPortService } from '../../src/operation/metrics-port.service.js';
import { ReadinessService } from '../../src/operation/readiness.service.js';
import { ApiClient } from '../support/api-client.js';
import { freshDatabase } from '../support/database.js';
import { startService, type TestService } from '../support/service.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

const UPSTREAM = { UPSTREAM_BASE_URL: 'http://127.0.0.1:9' };

describe('a running service', () => {
  let service: TestService;
  let client: ApiClient;

  beforeAll(async () => {
    service = await startService({ ...UPSTREAM, METRICS_PORT: '0' });
    client = new ApiClient(service.url, null);
  });

  afterAll(async () => {
    await service.close();
  });

  it('is alive without a token', async () => {
    const { status, body } = await client.get('/livez');
    expect([status, body]).toEqual([200, { status: 'ok' }]);
  });

  it('is ready from its start until it is told to stop', async () => {
    const readiness = service.app.get(ReadinessService, { strict: false });
    let isCatalogueThere = false;
    readiness.registerCheck('catalogue', () => isCatalogueThere);
    readiness.markReady();
    const starting = await client.get('/readyz');
    expect([starting.status, starting.body]).toEqual([
      503,
      { status: 'starting', waitingFor: ['catalogue'] },
    ]);
    isCatalogueThere = true;
    expect((await client.get('/readyz')).status).toBe(200);
    isCatalogueThere = false;
    const ready = await client.get('/readyz');
    expect([ready.status, ready.body]).toEqual([200, { status: 'ready' }]);
    expect((await client.get('/readyz?deep=1')).status).toBe(200);
    expect((await client.get('/readyz?deep=yes')).status).toBe(400);
    readiness.markStopping();
    for (const path of ['/readyz', '/readyz?deep=1']) {
      const stopping = await client.get(path);
      expect([stopping.status, stopping.body]).toEqual([503, { status: 'stopping' }]);
    }
    expect((await client.get('/livez')).status).toBe(200);
  });

  it('shows its metrics to the operator only', async () => {
    const { secret } = await new ApiClient(service.url).addOrganization('scraped');
    expect((await client.get('/metrics')).status).toBe(401);
    expect((await client.as(secret).get('/metrics')).status).toBe(403);
    const answer = await fetch(`${service.url}/metrics`, {
      headers: { authorization: 'Bearer test-admin-token-0123456789' },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await answer.text()).toMatch(/^tollgate_store_up 1$/m);
  });

  it('shows its metrics without a token on METRICS_PORT, and nothing else there', async () => {
    const { port } = service.app.get(MetricsPortService, { strict: false });
    const url = `http://127.0.0.1:${(port ?? 0).toString()}`;
    const answer = await fetch(`${url}/metrics?x=1`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await answer.text()).toMatch(/^process_cpu_seconds_total /m);
    for (const path of ['/', '/livez', '/api/me', '/metrics/x']) {
      expect((await fetch(url + path)).status).toBe(404);
    }
    expect((await fetch(`${url}/metrics`, { method: 'POST' })).status).toBe(404);
  });
});

it('stays ready while the store is away, and says so when asked for the store', async () => {
  const database = await freshDatabase();
  const wire = await startTcpProxy(Number(new URL(database.url).port));
  const url = new URL(database.url);
  url.hostname = '127.0.0.1';
  url.port = wire.port.toString();
  const service = await startService(UPSTREAM, { ...database, url: url.toString() });
  const client = new ApiClient(service.url, null);
  service.app.get(ReadinessService, { strict: false }).markReady();
  expect((await client.get('/readyz?deep=1')).status).toBe(200);
  await wire.close();
  expect((await client.get('/readyz')).status).toBe(200);
  const deep = await client.get('/readyz?deep=1');
  expect([deep.status, deep.body]).toEqual([503, { status: 'store_down' }]);
  expect((await client.get('/livez')).status).toBe(200);
  await service.close();
  await database.drop();
});

it('does not start when METRICS_PORT is taken, and names it', async () => {
  const taken = createServer();
  await new Promise<void>((listening) => taken.listen(0, '127.0.0.1', listening));
  const address = taken.address() as { port: number };
  const database = await freshDatabase();
  await expect(
    startService({ ...UPSTREAM, METRICS_PORT: address.port.toString() }, database),
  ).rejects.toThrow(/METRICS_PORT.*EADDRINUSE/);
  await database.drop();
  await new Promise<void>((closed) =>
    taken.close(() => {
      closed();
    }),
  );
});

it('frees METRICS_PORT when it closes', async () => {
  const service = await startService({ ...UPSTREAM, METRICS_PORT: '0' });
  const { port } = service.app.get(MetricsPortService, { strict: false });
  await service.close();
  await expect(fetch(`http://127.0.0.1:${(port ?? 0).toString()}/metrics`)).rejects.toThrow();
});
