import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { BookEntry } from '../../simulator/books.js';
import type { Job } from '../../simulator/jobs.js';
import { startSimulator, type Simulator } from '../../simulator/server.js';
import { Operator } from '../faults/operator.js';
import { readRecorded, type Recorded, type RecordedEvent } from '../faults/recorded.js';
import { ADMIN_TOKEN, freePort, ServiceProcess } from '../faults/service-process.js';
import { freshDatabase, type TestDatabase } from './database.js';
import { startHeldWire, type HeldWire } from './held-wire.js';
import { JOB_KINDS, KIND_NAMES, type JobKind } from './job-kinds.js';
import { lockRow, type RowLock } from './row-lock.js';
import { eventually } from './simulated.js';

/** A submit as its caller knows it. */
export interface Submitted {
  readonly kind: JobKind;
  /** The caller's name for it, in the simulator's books and in ours. */
  readonly tag: string;
  /** True: the caller got the answer to the submit. False: the connection broke before. */
  readonly answered: Promise<boolean>;
}

/**
 * The built service as processes that are killed, in front of a simulator that is not; and the three
 * books of it. Jobs end when the test says so.
 */
export class JobCrash {
  private current: ServiceProcess;
  private serial = 0;
  private locks: RowLock[] = [];

  private constructor(
    readonly simulator: Simulator,
    readonly wire: HeldWire,
    readonly database: TestDatabase,
    private readonly services: readonly [ServiceProcess, ServiceProcess],
    private readonly folder: string,
    private token: string,
  ) {
    this.current = services[0];
  }

  static async start(): Promise<JobCrash> {
    const simulator = await startSimulator({ apiKey: 'harness-key', cachedPrices: false });
    const wire = await startHeldWire(simulator.url);
    const database = await freshDatabase();
    const folder = await mkdtemp(join(tmpdir(), 'tollgate-jobs-'));
    const serviceOf = async (name: string): Promise<ServiceProcess> =>
      new ServiceProcess({
        port: await freePort(),
        logPath: join(folder, `${name}.log`),
        environment: {
          DATA_DIR: join(folder, name),
          DATABASE_URL: database.url,
          UPSTREAM_BASE_URL: wire.url,
          LOG_LEVEL: 'error',
        },
      });
    const services = [await serviceOf('first'), await serviceOf('second')] as const;
    const crash = new JobCrash(simulator, wire, database, services, folder, '');
    try {
      await services[0].start();
      await crash.prepare();
    } catch (error) {
      await crash.close();
      throw error;
    }
    return crash;
  }

  /** Whatever a test that failed left behind, the next one finds a process that serves. */
  async recover(): Promise<void> {
    this.wire.clear();
    await Promise.all(this.locks.map((lock) => lock.release()));
    this.locks = [];
    for (const service of this.services) signal(service, 'SIGCONT');
    if (this.current.pid === null) await this.restart();
  }

  async close(): Promise<void> {
    this.wire.clear();
    await Promise.all(this.locks.map((lock) => lock.release()));
    await Promise.all(this.services.map((service) => service.stop()));
    await this.wire.close();
    await this.simulator.close();
    await this.database.drop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The caller submits a job that runs until the test ends it. */
  submit(kind: JobKind, directives = ''): Submitted {
    this.serial += 1;
    const tag = `${kind}-${this.serial}`;
    const { submit, body } = JOB_KINDS[kind];
    const prompt = `x [[sim end=never tag=${tag} ${directives}]]`;
    return { kind, tag, answered: this.isAnswered(tag, submit, { ...body, prompt }) };
  }

  submitEach(): Submitted[] {
    return KIND_NAMES.map((kind) => this.submit(kind));
  }

  /** The process that serves now dies, in the middle of whatever it does. */
  async kill(): Promise<void> {
    await this.current.kill();
  }

  /** It stands still: no heartbeat any more, but it has not died. */
  standStill(): void {
    signal(this.current, 'SIGSTOP');
  }

  /** The other process, beside the one that serves now. */
  async startSuccessor(): Promise<void> {
    await this.other.start();
  }

  /** From now on callers come to the other process. */
  turnToSuccessor(): void {
    this.current = this.other;
  }

  /** What died is started again, and nobody waits until its holds are old. */
  async restart(): Promise<void> {
    await this.beginRestart();
    await this.current.untilReady();
  }

  async untilRestarted(): Promise<void> {
    await this.current.untilReady();
  }

  async beginRestart(): Promise<void> {
    await this.makeStale();
    await this.current.spawn();
  }

  /** Heartbeats of a minute ago. The living are known by their lock. */
  async makeStale(): Promise<void> {
    await this.database.query(
      `UPDATE journal_owners SET heartbeat_at = heartbeat_at - interval '1 minute'`,
    );
  }

  /** What the provider knows of it: null when the submit never reached it. */
  jobOf({ tag }: Submitted): Job | null {
    return this.simulator.jobs.all().find(({ order }) => order.asked.tag === tag) ?? null;
  }

  /** The provider is done with it, and bills it. */
  finish(submitted: Submitted): BookEntry {
    const job = this.jobOf(submitted);
    job?.finish();
    const lines = this.simulator.books.tagged(submitted.tag).filter(({ billed }) => billed);
    expect([submitted.tag, lines.length]).toEqual([submitted.tag, 1]);
    return lines[0]!;
  }

  resultPathOf(submitted: Submitted): string {
    return JOB_KINDS[submitted.kind].result(this.jobOf(submitted)?.id ?? 'no-such-job');
  }

  /** The caller asks for the result: the status, or null where the connection broke. */
  async fetchResult(submitted: Submitted): Promise<number | null> {
    return this.ask('GET', this.resultPathOf(submitted));
  }

  async eventIdOf({ tag }: Submitted): Promise<string> {
    return eventually(`the event of ${tag}`, async () => {
      const [row] = await this.database.query<{ id: string }>(
        `SELECT id::text FROM open_events WHERE client_request_id = $1`,
        [tag],
      );
      return row?.id ?? null;
    });
  }

  async lock(table: 'open_events' | 'media_jobs', submitted: Submitted): Promise<RowLock> {
    const lock = await lockRow(this.database.url, table, await this.eventIdOf(submitted));
    this.locks.push(lock);
    return lock;
  }

  /** Nobody polls it but its caller: what is being polled now is waited for. */
  async keepPollerAway(submitted: Submitted): Promise<void> {
    const id = await this.eventIdOf(submitted);
    await eventually(`${submitted.tag} between two polls`, async () => {
      const rows = await this.database.query(
        `UPDATE media_jobs SET next_poll_at = clock_timestamp() + interval '1 hour'
         WHERE event_id = $1 AND next_poll_at < clock_timestamp() + interval '61 s' RETURNING 1`,
        [id],
      );
      return rows.length === 1 ? true : null;
    });
  }

  /** The poller's next tick takes them, however long their leases are. */
  async makeDue(): Promise<void> {
    await this.database.query(
      `UPDATE media_jobs SET next_poll_at = clock_timestamp() WHERE state = 'running'`,
    );
  }

  async jobState({ tag }: Submitted): Promise<string | null> {
    const [row] = await this.database.query<{ state: string }>(
      `SELECT j.state FROM media_jobs j JOIN (
         SELECT id, client_request_id FROM open_events UNION ALL SELECT id, client_request_id FROM usage_events
       ) e ON e.id = j.event_id WHERE e.client_request_id = $1`,
      [tag],
    );
    return row?.state ?? null;
  }

  /** Waits until nothing is open and no job runs; then the books agree with themselves. */
  async untilAllEnded(): Promise<Recorded> {
    await eventually('the end of every event', async () => {
      const [left] = await this.database.query<{ open: number; jobs: number }>(
        `SELECT (SELECT count(*) FROM open_events)::int AS open,
           (SELECT count(*) FROM media_jobs WHERE state = 'running')::int AS jobs`,
      );
      return left?.open === 0 && left.jobs === 0 ? true : null;
    });
    const recorded = await readRecorded(this.database.url);
    expect(recorded.chargedTwice).toEqual([]);
    expect(recorded.budgets.length).toBeGreaterThanOrEqual(3);
    for (const budget of recorded.budgets) {
      const { scope, heldPicoUsd, usedPicoUsd, bookedPicoUsd, settledPicoUsd } = budget;
      expect([scope, heldPicoUsd ?? 0n]).toEqual([scope, 0n]);
      expect([scope, usedPicoUsd]).toEqual([scope, settledPicoUsd]);
      expect([scope, bookedPicoUsd ?? settledPicoUsd]).toEqual([scope, settledPicoUsd]);
    }
    return recorded;
  }

  /** The one event of a job, which has ended. */
  async eventOf({ tag }: Submitted): Promise<RecordedEvent> {
    const { events } = await readRecorded(this.database.url);
    const its = events.filter(({ clientRequestId }) => clientRequestId === tag);
    expect([tag, its.length]).toEqual([tag, 1]);
    return its[0]!;
  }

  private get other(): ServiceProcess {
    const [first, second] = this.services;
    return this.current === first ? second : first;
  }

  private async isAnswered(tag: string, path: string, body: object): Promise<boolean> {
    const status = await this.ask('POST', path, body, { 'x-client-request-id': tag });
    if (status !== null) expect([tag, status]).toEqual([tag, 200]);
    return status !== null;
  }

  private async ask(
    method: 'GET' | 'POST',
    path: string,
    body?: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<number | null> {
    try {
      const response = await fetch(`${this.current.url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.token}`,
          'content-type': 'application/json',
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      await response.arrayBuffer();
      return response.status;
    } catch {
      return null;
    }
  }

  /** Limits on account, member and token, all far away; and the prices of the three providers. */
  private async prepare(): Promise<void> {
    const { url } = this.current;
    const operator = new Operator(url, ADMIN_TOKEN);
    await operator.createOrganization('acme', '1000.00');
    const memberId = await operator.createMember('acme', 'ada', '900.00');
    const token = { name: 'jobs', memberId, monthlyLimitUsd: '800.00' };
    this.token = await operator.createToken('acme', token);
    for (const { price } of Object.values(JOB_KINDS)) {
      const [provider, model, unit, usdPerUnit] = price;
      const { status } = await fetch(`${url}/api/prices`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({ provider, model, unit, usdPerUnit, source: 'manual' }),
      });
      expect([model, status]).toEqual([model, 201]);
    }
  }
}

function signal({ pid }: ServiceProcess, name: 'SIGSTOP' | 'SIGCONT'): void {
  if (pid !== null) process.kill(pid, name);
}
