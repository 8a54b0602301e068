import { uuidv7 } from 'uuidv7';
import { pino } from 'pino';
import { loadConfig } from '../../src/config/config.js';
import { DatabaseService } from '../../src/database/database.service.js';
import { GroupCommitJournal } from '../../src/metering/group-commit.js';
import type { JobRunsService } from '../../src/jobs/job-runs.service.js';
import { JournalRepository } from '../../src/metering/journal.repository.js';
import { refOf, type AdmittedEvent } from '../../src/metering/journal.js';
import type { NewMediaJob } from '../../src/metering/media-job.js';
import { MediaJobsRepository } from '../../src/metering/media-jobs.repository.js';
import { MediaJobsService } from '../../src/metering/media-jobs.service.js';
import { OwnersRepository } from '../../src/metering/owners.repository.js';

/** Nobody looks at the runs of the poller here. */
const NO_RUNS = { ended: () => undefined } as unknown as JobRunsService;

/** A process as far as jobs are concerned: an owner of holds without a heartbeat. */
export interface JobProcess {
  readonly ownerId: string;
  readonly journal: GroupCommitJournal;
  readonly jobs: MediaJobsService;
  readonly owners: OwnersRepository;
  readonly anomalies: string[];
  close(): Promise<void>;
}

export async function startJobProcess(
  url: string,
  now: () => Date = () => new Date(),
): Promise<JobProcess> {
  const loaded = loadConfig({
    DATABASE_URL: url,
    ADMIN_TOKEN: 'x'.repeat(32),
    ENCRYPTION_KEY: '00'.repeat(32),
    UPSTREAM_API_KEY: 'key',
    DATABASE_POOL_MAX: '4',
  });
  if (!loaded.ok) throw new Error(loaded.problems.map(({ problem }) => problem).join('; '));
  const database = await DatabaseService.open(loaded.config);
  const ownerId = uuidv7();
  const anomalies: string[] = [];
  const clock = { now };
  const journal = new GroupCommitJournal(
    new JournalRepository(database),
    { ownerId, admitWaitMaxMs: 10_000 },
    clock,
    {
      batch: () => undefined,
      spent: () => undefined,
      retry: () => undefined,
      anomaly: (kind) => anomalies.push(kind),
      failure: () => undefined,
    },
  );
  return {
    ownerId,
    journal,
    anomalies,
    owners: new OwnersRepository(database),
    jobs: new MediaJobsService(
      new MediaJobsRepository(database),
      journal,
      clock,
      NO_RUNS,
      ownerId,
      pino({ level: 'silent' }),
    ),
    close: () => database.onApplicationShutdown(),
  };
}

export function newJobOf(event: AdmittedEvent, overrides: Partial<NewMediaJob> = {}): NewMediaJob {
  const at = overrides.submittedAt ?? new Date();
  return {
    event: refOf(event),
    admittedAt: event.admittedAt,
    upstream: 'default',
    keyAccountId: null,
    provider: 'fal-ai',
    providerJobId: uuidv7(),
    shape: 'fal',
    pollPath: '/fal-ai/fal-ai/flux/requests/x/status?_subdomain=queue',
    resultPath: '/fal-ai/fal-ai/flux/requests/x?_subdomain=queue',
    cancelPath: null,
    task: 'image',
    model: 'fal-ai/flux/dev',
    factsJson: '{"n":"1"}',
    attempts: [],
    submittedAt: at,
    expiresAt: new Date(at.getTime() + 86_400_000),
    firstPollAt: new Date(at.getTime() + 1000),
    ...overrides,
  };
}

/** Waits for something that happens soon, asking again and again. */
export async function until<T>(what: string, ask: () => Promise<T | null>): Promise<T> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() > deadline) throw new Error(`${what} did not happen`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}
