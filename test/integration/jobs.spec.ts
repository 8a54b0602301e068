import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JobQueueService } from '../../src/database/job-queue.service.js';
import { HOLD_SWEEP_JOB, PRICE_SYNC_JOB } from '../../src/jobs/job-names.js';
import { JobRunsService } from '../../src/jobs/job-runs.service.js';
import { SCHEDULED_JOBS, TIMED_JOBS } from '../../src/jobs/jobs.js';
import { JobsService } from '../../src/jobs/jobs.service.js';
import { ApiClient, eventually, type ApiBody } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';

const ENVIRONMENT = { UPSTREAM_BASE_URL: 'http://127.0.0.1:9' };

let service: TestService;
let operator: ApiClient;

beforeAll(async () => {
  service = await startService(ENVIRONMENT);
  operator = new ApiClient(service.url);
});
afterAll(async () => {
  await service.close();
});

function recorderOf(of: TestService): JobRunsService {
  return of.app.get(JobRunsService, { strict: false });
}

async function listed(name: string, from = operator): Promise<ApiBody> {
  const { body } = await from.get('/api/jobs');
  const job = body.data.find((one) => one['name'] === name);
  if (job === undefined) throw new Error(`the job ${name} is not listed`);
  return job;
}

describe('the list of jobs', () => {
  it('is for the operator alone', async () => {
    const { secret } = await operator.addOrganization('curious');
    expect((await operator.as(secret).get('/api/jobs')).status).toBe(403);
    expect((await operator.as(null).get('/api/jobs')).status).toBe(401);
  });

  it('has every job with its schedule, those that never ran too', async () => {
    const { status, body } = await operator.get('/api/jobs');
    expect(status).toBe(200);
    expect(body.nextCursor).toBeNull();
    expect(body.data.map((job) => job['name'])).toEqual(
      [...TIMED_JOBS, ...SCHEDULED_JOBS].map(({ name }) => name),
    );
    expect(await listed('alert-delivery')).toEqual({
      name: 'alert-delivery',
      schedule: '* * * * *',
      lastRunAt: null,
      lastFinishedAt: null,
      lastDurationMs: null,
      lastSucceededAt: null,
      lastFailedAt: null,
      lastError: null,
      runs: 0,
      failures: 0,
      nextRunAt: expect.stringMatching(/:00\.000Z$/) as string,
    });
    expect(await listed(HOLD_SWEEP_JOB)).toMatchObject({
      schedule: 'every 1 s in each process',
      nextRunAt: null,
    });
  });

  it('has no job whose service the application lacks', () => {
    for (const { source } of SCHEDULED_JOBS) {
      expect(service.app.get(source.service, { strict: false })).toBeInstanceOf(source.service);
    }
  });

  it('shows a sync of prices that fails, and why', async () => {
    await eventually(async () => Number((await listed(PRICE_SYNC_JOB))['failures']) > 0);
    expect(await listed(PRICE_SYNC_JOB)).toMatchObject({
      lastError: expect.stringContaining('could not be read') as string,
      lastSucceededAt: null,
    });
  });
});

describe('a job that is due', () => {
  it('runs, is recorded, and counted as a metric', async () => {
    service.app.get(JobsService, { strict: false }).start();
    const queue = service.app.get(JobQueueService, { strict: false });
    await eventually(() => queue.isStarted);
    await queue.request('alert-delivery');
    await eventually(async () => Number((await listed('alert-delivery'))['runs']) > 0, 30_000);
    const job = await listed('alert-delivery');
    expect(job).toMatchObject({ failures: 0, lastError: null, lastFailedAt: null });
    expect(job['lastSucceededAt']).toBe(job['lastFinishedAt']);
    expect(Date.parse(String(job['lastFinishedAt']))).toBeGreaterThanOrEqual(
      Date.parse(String(job['lastRunAt'])),
    );
    const { text } = await metrics();
    expect(text).toMatch(/tollgate_job_runs_total\{job="alert-delivery",outcome="success"\} [1-9]/);
    expect(text).toMatch(/tollgate_job_duration_seconds_count\{job="alert-delivery"\} [1-9]/);
    expect(text).toMatch(
      /tollgate_job_last_success_timestamp_seconds\{job="alert-delivery"\} 1\d{9}/,
    );
  });
});

describe('a run', () => {
  it('that fails is recorded with its error, fails nobody, and keeps its error after a success', async () => {
    const runs = recorderOf(service);
    await runs.record('failing', () => Promise.reject(new Error('no such luck')));
    await runs.record('failing', () => Promise.resolve());
    const [row] = await service.database.query(
      `SELECT runs::int, failures::int, last_error, last_failed_at IS NOT NULL AS has_failed,
         last_succeeded_at >= last_failed_at AS is_mended FROM job_runs WHERE job = 'failing'`,
    );
    expect(row).toEqual({
      runs: 2,
      failures: 1,
      last_error: 'Error: no such luck',
      has_failed: true,
      is_mended: true,
    });
    expect((await metrics()).text).toContain(
      'tollgate_job_runs_total{job="failing",outcome="failure"} 1',
    );
  });

  it('that is under way is seen to have begun', async () => {
    let end: () => void = () => undefined;
    const running = recorderOf(service).record(
      'lasting',
      () => new Promise<void>((resolve) => (end = resolve)),
    );
    const begun = async (): Promise<unknown[]> =>
      service.database.query(
        `SELECT 1 FROM job_runs WHERE job = 'lasting' AND last_started_at IS NOT NULL AND last_finished_at IS NULL`,
      );
    await eventually(async () => (await begun()).length === 1);
    end();
    await running;
    expect(await begun()).toEqual([]);
  });

  it('of a job of every second is not written every second, but lost is none', async () => {
    const second = await startService(ENVIRONMENT, service.database);
    const counts = async (): Promise<unknown> =>
      (
        await service.database.query(
          `SELECT runs::int, failures::int FROM job_runs WHERE job = 'frequent'`,
        )
      )[0];
    const run = { startedAt: new Date(), durationMs: 1, error: null, isNoteworthy: false };
    // The first of each process is written at once; the others wait for their time.
    for (const process of [service, second]) recorderOf(process).ended('frequent', run);
    await eventually(async () => JSON.stringify(await counts()) === '{"runs":2,"failures":0}');
    for (const process of [service, second]) {
      for (let times = 0; times < 50; times += 1) recorderOf(process).ended('frequent', run);
    }
    const failed = { startedAt: new Date(), durationMs: 1, error: 'broken', isNoteworthy: false };
    recorderOf(second).ended('frequent', failed);
    recorderOf(second).ended('frequent', failed);
    await eventually(async () => JSON.stringify(await counts()) === '{"runs":54,"failures":2}');
    recorderOf(second).ended('frequent', failed);
    await second.close();
    expect(await counts()).toEqual({ runs: 55, failures: 3 });
    await recorderOf(service).beforeApplicationShutdown();
    expect(await counts()).toEqual({ runs: 105, failures: 3 });
  });

  it('that cannot be written is written later', async () => {
    const runs = recorderOf(service);
    await service.database.query('ALTER TABLE job_runs RENAME TO job_runs_away');
    await runs.record('unwritten', () => Promise.resolve());
    await service.database.query('ALTER TABLE job_runs_away RENAME TO job_runs');
    await runs.record('unwritten', () => Promise.resolve());
    const [row] = await service.database.query(
      `SELECT runs::int FROM job_runs WHERE job = 'unwritten'`,
    );
    expect(row).toEqual({ runs: 2 });
  });
});

async function metrics(): Promise<{ text: string }> {
  const answer = await fetch(`${service.url}/metrics`, {
    headers: { authorization: 'Bearer test-admin-token-0123456789' },
  });
  return { text: await answer.text() };
}
