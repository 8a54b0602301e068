import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  eventually,
  freePort,
  isAlive,
  postgresPid,
  processesOf,
  StartedService,
  type Ended,
} from '../support/started-service.js';

// Alone, and quickly: npm run test:e2e -- start

const INSTRUCTIONS_END = /stop +Ctrl-C/;

let dataDir: string;
let port: number;
let started: StartedService[];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tollgate-start-'));
  port = await freePort();
  started = [];
});

afterEach(async () => {
  for (const service of started) if (service.isRunning) service.signalGroup('SIGKILL');
  await Promise.all(started.map((service) => service.ended()));
  const postgres = postgresPid(dataDir);
  if (postgres !== null && isAlive(postgres)) {
    process.kill(postgres, 'SIGQUIT');
    await eventually('the end of PostgreSQL', () => !isAlive(postgres));
  }
  await rm(dataDir, { recursive: true, force: true });
});

function start(
  environment: Readonly<Record<string, string>> = {},
  command: 'npm start' | 'node' = 'node',
): StartedService {
  const service = new StartedService(command, {
    PORT: String(port),
    DATA_DIR: dataDir,
    ...environment,
  });
  started.push(service);
  return service;
}

/** What the demo printed to paste. */
interface Printed {
  readonly chatUrl: string;
  readonly body: string;
  readonly usageUrl: string;
  readonly token: string;
}

async function printedBy(service: StartedService): Promise<Printed> {
  await service.prints(INSTRUCTIONS_END);
  return {
    chatUrl: await service.prints(/curl -N (\S+)/),
    body: await service.prints(/-d '(.+)'/),
    usageUrl: await service.prints(/'(http\S+\/usage\?\S+)'/),
    token: await service.prints(/Bearer (tg_\w+)/),
  };
}

async function chat({ chatUrl, token, body }: Printed, content?: string): Promise<Response> {
  const request = JSON.parse(body) as { messages: { role: string; content: string }[] };
  if (content !== undefined) request.messages = [{ role: 'user', content }];
  return fetch(chatUrl, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
}

interface Usage {
  readonly data: readonly { readonly provider: string; readonly costUsd: string }[];
  readonly totals: { readonly requests: number; readonly costUsd: string };
}

async function usage({ usageUrl, token }: Printed): Promise<Usage> {
  const answer = await fetch(usageUrl, { headers: { authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Usage;
}

async function statusOf(path: string): Promise<number | null> {
  return fetch(`http://127.0.0.1:${port}${path}`).then(
    ({ status }) => status,
    () => null,
  );
}

function expectNothingLeft(service: StartedService): void {
  expect(processesOf(service.pid, dataDir)).toEqual([]);
}

describe('npm start', () => {
  it('serves the printed requests, stops at Ctrl-C, and finds the same data again', async () => {
    const first = start({}, 'npm start');
    const printed = await printedBy(first);
    expect(first.stdout).toContain('DEMO MODE');
    expect(await statusOf('/readyz')).toBe(200);
    const tokenFile = join(dataDir, 'demo-token');
    expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
    expect((await readFile(tokenFile, 'utf8')).trim()).toBe(printed.token);

    const answer = await chat(printed);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-tollgate-demo')).toBe('true');
    expect(await answer.text()).toMatch(/data: \[DONE\]\s*$/);
    const spent = await usage(printed);
    expect(spent.totals.requests).toBe(1);
    expect(spent.data).toHaveLength(1);
    expect(Number(spent.totals.costUsd)).toBeGreaterThan(0);

    first.signalGroup('SIGINT');
    expect(await first.ended()).toMatchObject({ code: 0, signal: null });
    expectNothingLeft(first);

    const second = start({}, 'npm start');
    const again = await printedBy(second);
    expect(again.token).toBe(printed.token);
    expect(await usage(again)).toEqual(spent);
    second.signal('SIGTERM');
    expect(await second.ended()).toMatchObject({ code: 0, signal: null });
    expectNothingLeft(second);
  });

  it('takes over the PostgreSQL that a killed service left running', async () => {
    const first = start();
    const printed = await printedBy(first);
    await (await chat(printed)).text();
    const postgres = postgresPid(dataDir);
    first.signal('SIGKILL');
    await first.ended();
    expect(isAlive(postgres!)).toBe(true);

    const second = start();
    const again = await printedBy(second);
    expect(postgresPid(dataDir)).toBe(postgres);
    expect((await usage(again)).totals.requests).toBe(1);
    second.signal('SIGTERM');
    expect((await second.ended()).code).toBe(0);
    expectNothingLeft(second);
  });

  it('recovers when the service and its PostgreSQL were both killed', async () => {
    const first = start();
    const printed = await printedBy(first);
    await (await chat(printed)).text();
    first.signal('SIGKILL');
    const postgres = postgresPid(dataDir)!;
    process.kill(postgres, 'SIGKILL');
    await first.ended();
    await eventually('the end of PostgreSQL', () => !isAlive(postgres));

    const second = start();
    const again = await printedBy(second);
    expect((await usage(again)).totals.requests).toBe(1);
    second.signal('SIGTERM');
    expect((await second.ended()).code).toBe(0);
    expectNothingLeft(second);
  });
});

describe('a stop', () => {
  it('lets a stream in flight end, while new requests are told to go elsewhere', async () => {
    const service = start({ SHUTDOWN_DELAY_MS: '1' });
    const printed = await printedBy(service);
    const answer = await chat(printed, '[[sim output=60 chunks=30 chunk_delay=20]] slowly');
    const reader = answer.body!.getReader();
    await reader.read();
    service.signal('SIGTERM');
    await eventually('a closed door', async () => (await statusOf('/livez')) === null);
    let text = '';
    for (;;) {
      const part = await reader.read();
      if (part.done) break;
      text += Buffer.from(part.value as Uint8Array).toString();
    }
    expect(text).toMatch(/data: \[DONE\]\s*$/);
    expect(await service.ended()).toMatchObject({ code: 0, stderr: '' });
    expectNothingLeft(service);
  });

  it('goes on serving, not ready, for SHUTDOWN_DELAY_MS', async () => {
    const service = start({ SHUTDOWN_DELAY_MS: '3000' });
    const printed = await printedBy(service);
    service.signal('SIGTERM');
    await eventually('503', async () => (await statusOf('/readyz')) === 503);
    expect(await (await chat(printed)).text()).toMatch(/data: \[DONE\]\s*$/);
    expect((await service.ended()).code).toBe(0);
  });

  it('is over at once at a second Ctrl-C', async () => {
    const service = start();
    const printed = await printedBy(service);
    const answer = await chat(printed, '[[sim fault=hang-mid-stream]] for ever');
    await answer.body!.getReader().read();
    service.signal('SIGINT');
    await eventually('the end', () => {
      if (service.isRunning) service.signal('SIGINT');
      return !service.isRunning;
    });
    expect((await service.ended()).code).toBe(130);
  });
});

describe('a start that cannot be', () => {
  /** One line that names what to mend, no stack, and nothing left behind. */
  async function expectRefusal(service: StartedService, line: RegExp): Promise<void> {
    const { code, stdout, stderr }: Ended = await service.ended();
    expect(stderr).toMatch(line);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stdout).not.toMatch(/"level":(50|60)|\n +at /);
    expect(code).toBe(1);
    expect(processesOf(service.pid)).toEqual([]);
  }

  it('names DATA_DIR and the DATABASE_URL to share when another process uses it', async () => {
    const first = start();
    await printedBy(first);
    await expectRefusal(
      start({ PORT: String(await freePort()) }),
      /^tollgate: DATA_DIR .+ is in use by process \d+\. .+DATABASE_URL="\$\(cat .+\)"/,
    );
    expect(await statusOf('/readyz')).toBe(200);
    first.signal('SIGTERM');
    expect((await first.ended()).code).toBe(0);
  });

  it('names PORT when it is taken, and stops the PostgreSQL it had started', async () => {
    const taken: Server = createServer();
    await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve));
    const service = start();
    await expectRefusal(service, /^tollgate: PORT cannot be used: .+127\.0\.0\.1:\d+/);
    expectNothingLeft(service);
    await new Promise((resolve) => taken.close(resolve));
  });

  it('names HOST when it is no address of this machine', async () => {
    const service = start({ HOST: '192.0.2.1', PUBLIC_URL: 'http://tollgate.example' });
    await expectRefusal(service, /^tollgate: HOST cannot be used/);
    expectNothingLeft(service);
  });

  it('names DATABASE_URL when the database cannot be reached, without its password', async () => {
    const service = start({
      DATABASE_URL: `postgresql://someone:secretword@127.0.0.1:${await freePort()}/x`,
      DEMO: '1',
    });
    await expectRefusal(service, /^tollgate: DATABASE_URL cannot be used: /);
    expect((await service.ended()).stderr).not.toContain('secretword');
  });

  it('names DATA_DIR when it is a file', async () => {
    const file = join(dataDir, 'a-file');
    await writeFile(file, '');
    await expectRefusal(start({ DATA_DIR: file }), /^tollgate: DATA_DIR cannot be used: /);
  });

  it('stops the PostgreSQL it had started when something after it fails', async () => {
    await writeFile(join(dataDir, 'admin-token'), 'short');
    const service = start();
    await expectRefusal(service, /^tollgate: .+admin-token must hold at least/);
    expectNothingLeft(service);
  });

  it.each([
    ['PORT', { PORT: 'eighty' }],
    ['DEMO', { DEMO: '1', UPSTREAM_API_KEY: 'hf_something' }],
    ['UPSTREAM_API_KEY', { DEMO: '0' }],
    ['UPSTREAM_BASE_URL', { UPSTREAM_BASE_URL: 'router.example' }],
  ])('names %s and keeps its value to itself', async (variable, environment) => {
    const service = start(environment);
    await expectRefusal(service, new RegExp(`^tollgate: ${variable} `));
    expect((await service.ended()).stderr).not.toMatch(/eighty|hf_something|router\.example/);
  });

  it('points out a name that is one slip away from one of ours', async () => {
    const { stderr, code } = await start({ DEMO: '0', UPSTREAM_APIKEY: 'x' }).ended();
    expect(stderr).toMatch(/UPSTREAM_APIKEY means nothing here: did you mean UPSTREAM_API_KEY\?/);
    expect(code).toBe(1);
  });
});
