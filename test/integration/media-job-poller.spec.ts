import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { JobPollerService } from '../../src/proxy/passthrough/job-poller.service.js';
import type { NewMediaJob } from '../../src/metering/media-job.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import {
  addAccount,
  admittedOf,
  budgetOf,
  requestOf,
  type TestAccount,
} from '../support/journal.js';
import { newJobOf, startJobProcess, until, type JobProcess } from '../support/media-jobs.js';
import { ADMIN_TOKEN, startService, type TestService } from '../support/service.js';

interface Told {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
}

/** A provider that says what it is told to, in order; the last again and again. */
let provider: Server;
let asked: { method: string; url: string; authorization: string | undefined }[] = [];
let script: Record<string, Told[]> = {};

let database: TestDatabase;
let service: TestService;
let other: TestService;
let process: JobProcess;

function tell(request: IncomingMessage): Told {
  const url = request.url ?? '';
  // The services read their catalogue by timers of their own.
  if (url === '/v1/models') return { status: 404, body: {} };
  asked.push({
    method: request.method ?? '',
    url,
    authorization: request.headers.authorization,
  });
  const answers = script[url] ?? [];
  const next = answers.length > 1 ? answers.shift() : answers[0];
  return next ?? { status: 404, body: { detail: 'no such thing' } };
}

beforeAll(async () => {
  provider = createServer((request, response) => {
    const { status, body, headers } = tell(request);
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((listening) => provider.listen(0, '127.0.0.1', listening));
  database = await freshDatabase();
  const upstream = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
  const environment = { UPSTREAM_BASE_URL: upstream, JOB_MAX_AGE_S: '86400' };
  service = await startService(environment, database);
  other = await startService(environment, database);
  process = await startJobProcess(database.url);
  for (const [slug, model, unit, usdPerUnit] of [
    ['fal-ai', 'fal-ai/flux/dev', 'megapixel', '0.025'],
    ['together', 'org/video', 'video_second', '0.10'],
  ] as const) {
    const created = await fetch(`${service.url}/api/prices`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ provider: slug, model, unit, usdPerUnit, source: 'manual' }),
    });
    expect(created.status, await created.text()).toBe(201);
  }
});

afterAll(async () => {
  await process.close();
  await service.close();
  await other.close();
  await database.drop();
  provider.closeAllConnections();
  await new Promise((closed) => provider.close(closed));
});

beforeEach(() => {
  asked = [];
  script = {};
});

const pollers = (): JobPollerService[] =>
  [service, other].map(({ app }) => app.get(JobPollerService, { strict: false }));

/** A job that the services' own timers leave alone: due in the future, polled by hand. */
async function submitted(
  account: TestAccount,
  overrides: Partial<NewMediaJob> = {},
): Promise<NewMediaJob> {
  const id = uuidv7();
  const event = admittedOf(await process.journal.admit(requestOf(account, 1_000_000_000_000n)));
  const job = newJobOf(event, {
    admittedAt: new Date(),
    providerJobId: id,
    pollPath: `/fal-ai/flux/requests/${id}/status?_subdomain=queue`,
    resultPath: `/fal-ai/flux/requests/${id}?_subdomain=queue`,
    submittedAt: new Date(FAR.getTime()),
    ...overrides,
  });
  expect(await process.jobs.handOver(job).done).toBe('handed_over');
  return job;
}
/** The clock of the polls in this file. */
const FAR = new Date(Date.now() + 3_600_000);
const far = (ms: number): Date => new Date(FAR.getTime() + ms);

const eventOf = async (
  job: NewMediaJob,
): Promise<{
  state: string;
  cost: string | null;
  units: unknown;
  outcome: string;
  key: string;
}> => {
  const [row] = await database.query<{
    state: string;
    cost: string | null;
    units: unknown;
    outcome: string;
    key: string;
  }>(
    `SELECT state, cost_pico_usd::text AS cost, units, outcome, provider_request_id AS key FROM usage_events WHERE id = $1`,
    [job.event.id],
  );
  return row ?? { state: 'open', cost: null, units: null, outcome: '', key: '' };
};

describe('a job whose caller does not come back', () => {
  it('is polled at 1, 2, 4 ... s, its result fetched and its event settled by the units of the result', async () => {
    const account = await addAccount(database, 10_000_000_000_000n);
    const job = await submitted(account);
    const pollUrl = `/fal-ai${job.pollPath}`;
    const resultUrl = `/fal-ai${job.resultPath}`;
    script = {
      [pollUrl]: [
        { status: 202, body: { status: 'IN_QUEUE' } },
        { status: 503, body: 'busy' },
        { status: 200, body: { status: 'COMPLETED' } },
      ],
      [resultUrl]: [
        { status: 200, body: { images: [] }, headers: { 'x-fal-billable-units': '2' } },
      ],
    };
    const [poller] = pollers();
    expect(await poller?.pollDue(far(999))).toBe(0);
    expect(await poller?.pollDue(far(1000))).toBe(1);
    expect(await poller?.pollDue(far(2999))).toBe(0);
    expect(await poller?.pollDue(far(3000))).toBe(1);
    expect(await poller?.pollDue(far(6999))).toBe(0);
    expect(await eventOf(job)).toMatchObject({ state: 'open' });
    expect(await poller?.pollDue(far(7000))).toBe(1);
    expect(await eventOf(job)).toMatchObject({
      state: 'settled',
      cost: '50000000000',
      units: { pixel: '2000000' },
      outcome: 'complete',
      key: job.providerJobId,
    });
    expect(await poller?.pollDue(far(3_600_000))).toBe(0);
    expect(asked).toEqual([
      ...[1, 2, 3].map(() => ({ method: 'GET', url: pollUrl, authorization: 'Bearer sim-key' })),
      { method: 'GET', url: resultUrl, authorization: 'Bearer sim-key' },
    ]);
    expect(await budgetOf(database, account.accountId)).toMatchObject({ held: 0n });
  });

  it('is settled once by two services that look at the same time', async () => {
    const account = await addAccount(database, 100_000_000_000_000n);
    const jobs: NewMediaJob[] = [];
    for (let count = 0; count < 20; count += 1) {
      const job = await submitted(account);
      jobs.push(job);
      script[`/fal-ai${job.pollPath}`] = [{ status: 200, body: { status: 'COMPLETED' } }];
      script[`/fal-ai${job.resultPath}`] = [
        { status: 200, body: {}, headers: { 'x-fal-billable-units': '1' } },
      ];
    }
    const counts = await Promise.all(
      [...pollers(), ...pollers()].map((poller) => poller.pollDue(far(1000))),
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(20);
    for (const job of jobs) expect(await eventOf(job)).toMatchObject({ state: 'settled' });
    expect(asked).toHaveLength(40);
    expect((await budgetOf(database, account.accountId)).used).toBe(20n * 25_000_000_000n);
  });

  it.each([
    ['failed', { status: 200, body: { status: 'failed', error: 'x' } }, 1],
    ['was cancelled', { status: 200, body: { status: 'cancelled' } }, 1],
    ['is not known', { status: 404, body: {} }, 4],
  ])('is released when the provider says that it %s', async (_what, told, polls) => {
    const account = await addAccount(database, 10_000_000_000_000n);
    const id = uuidv7();
    const path = `/v2/videos/${id}`;
    const job = await submitted(account, {
      provider: 'together',
      shape: 'together',
      providerJobId: id,
      model: 'org/video',
      task: 'video',
      pollPath: path,
      resultPath: path,
    });
    script[`/together${path}`] = [told];
    const [poller] = pollers();
    for (let poll = 1; poll <= polls; poll += 1) {
      expect(await eventOf(job)).toMatchObject({ state: 'open' });
      expect(await poller?.pollDue(far(200_000 * poll))).toBe(1);
    }
    expect(await eventOf(job)).toMatchObject({ state: 'released', cost: null });
    expect(await budgetOf(database, account.accountId)).toMatchObject({ used: 0n, held: 0n });
  });

  it('is released where its result is refused after it ended, and not before', async () => {
    const account = await addAccount(database, 10_000_000_000_000n);
    const job = await submitted(account);
    script[`/fal-ai${job.pollPath}`] = [{ status: 200, body: { status: 'COMPLETED' } }];
    script[`/fal-ai${job.resultPath}`] = [
      { status: 500, body: {} },
      { status: 429, body: {} },
      { status: 401, body: {} },
      { status: 422, body: { detail: 'the model failed' } },
    ];
    const [poller] = pollers();
    for (let poll = 1; poll <= 3; poll += 1) {
      await poller?.pollDue(far(200_000 * poll));
      expect(await eventOf(job)).toMatchObject({ state: 'open' });
    }
    await poller?.pollDue(far(800_000));
    expect(await eventOf(job)).toMatchObject({ state: 'released', outcome: 'upstream_error' });
  });

  it('waits for a provider that is away, and is given up at its age, not before', async () => {
    const account = await addAccount(database, 10_000_000_000_000n);
    const job = await submitted(account, { expiresAt: far(600_000) });
    script[`/fal-ai${job.pollPath}`] = [{ status: 202, body: { status: 'IN_PROGRESS' } }];
    const [poller] = pollers();
    await poller?.pollDue(far(599_999));
    expect(await eventOf(job)).toMatchObject({ state: 'open' });
    expect(await poller?.pollDue(far(600_000))).toBe(1);
    expect(await eventOf(job)).toMatchObject({ state: 'released' });
    expect(await budgetOf(database, account.accountId)).toMatchObject({ held: 0n });
  });

  it('is given up at its age also where its upstream was taken away', async () => {
    const account = await addAccount(database, 10_000_000_000_000n);
    const job = await submitted(account, { upstream: 'nowhere', expiresAt: far(600_000) });
    const [poller] = pollers();
    await poller?.pollDue(far(1000));
    expect(await eventOf(job)).toMatchObject({ state: 'open' });
    await poller?.pollDue(far(600_000));
    expect(await eventOf(job)).toMatchObject({ state: 'released' });
  });

  it('whose units nobody states is quarantined, and costs nothing', async () => {
    const account = await addAccount(database, 10_000_000_000_000n);
    const job = await submitted(account);
    script[`/fal-ai${job.pollPath}`] = [{ status: 200, body: { status: 'COMPLETED' } }];
    script[`/fal-ai${job.resultPath}`] = [
      { status: 200, body: {}, headers: { 'x-fal-billable-units': '-3' } },
    ];
    await pollers()[0]?.pollDue(far(1000));
    expect(await eventOf(job)).toMatchObject({ state: 'quarantined', cost: null });
    expect(await budgetOf(database, account.accountId)).toMatchObject({ used: 0n, held: 0n });
  });

  it('is found by the timer of any service', async () => {
    const account = await addAccount(database, 10_000_000_000_000n);
    const now = new Date();
    const job = await submitted(account, {
      submittedAt: now,
      expiresAt: new Date(now.getTime() + 3_600_000),
      firstPollAt: now,
    });
    script[`/fal-ai${job.pollPath}`] = [{ status: 200, body: { status: 'COMPLETED' } }];
    script[`/fal-ai${job.resultPath}`] = [
      { status: 200, body: {}, headers: { 'x-fal-billable-units': '1' } },
    ];
    await until('the settlement', async () =>
      (await eventOf(job)).state === 'settled' ? true : null,
    );
  });
});
