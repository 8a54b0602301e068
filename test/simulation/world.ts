import pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { CorrectionsRepository } from '../../src/billing/corrections.repository.js';
import { CorrectionsService } from '../../src/billing/corrections.service.js';
import { CreditNotesRepository } from '../../src/billing/credit-notes.repository.js';
import { CreditNotesService } from '../../src/billing/credit-notes.service.js';
import { CreditsRepository } from '../../src/billing/credits.repository.js';
import { CreditsService } from '../../src/billing/credits.service.js';
import { InvoicesRepository } from '../../src/billing/invoices.repository.js';
import { PeriodCloseRepository } from '../../src/billing/period-close.repository.js';
import { PeriodCloseService } from '../../src/billing/period-close.service.js';
import { PlansRepository } from '../../src/billing/plans.repository.js';
import { SubscriptionsRepository } from '../../src/billing/subscriptions.repository.js';
import { SubscriptionsService } from '../../src/billing/subscriptions.service.js';
import { UnpricedEventsRepository } from '../../src/catalog/unpriced-events.repository.js';
import { UnpricedEventsService } from '../../src/catalog/unpriced-events.service.js';
import { loadConfig, type Config } from '../../src/config/config.js';
import { DatabaseService } from '../../src/database/database.service.js';
import { MetricsService } from '../../src/http/metrics.service.js';
import { AccountsRepository } from '../../src/identity/accounts.repository.js';
import { GroupCommitJournal } from '../../src/metering/group-commit.js';
import { JournalRepository } from '../../src/metering/journal.repository.js';
import { OwnersRepository } from '../../src/metering/owners.repository.js';
import { interruptible, Interruption } from './interruption.js';

type Logger = ConstructorParameters<typeof PeriodCloseService>[4];

/** One process of the service: its own connections, its own clock, its own journal. */
export interface Process {
  readonly name: string;
  /** Breaks its transactions of billing. */
  readonly billing: Interruption;
  /** Breaks its transactions of the journal. */
  readonly writing: Interruption;
  readonly database: DatabaseService;
  readonly owners: OwnersRepository;
  readonly accounts: AccountsRepository;
  readonly credits: CreditsService;
  readonly subscriptions: SubscriptionsService;
  readonly closes: PeriodCloseService;
  readonly invoices: InvoicesRepository;
  readonly corrections: CorrectionsService;
  readonly creditNotes: CreditNotesService;
  /** How far its clock is behind. */
  lagMs: number;
  ownerId: string;
  journal: GroupCommitJournal;
  readonly now: () => Date;
}

/** The real code on one database: two processes whose clocks the simulation moves. */
export class World {
  nowMs = 0;
  readonly anomalies: string[] = [];

  private constructor(
    readonly config: Config,
    readonly processes: readonly [Process, Process],
    /** Beside the code under test: set-up and checks. */
    readonly pool: pg.Pool,
    private readonly databases: readonly DatabaseService[],
  ) {}

  static async open(url: string): Promise<World> {
    const config = configOf(url);
    const databases = [await DatabaseService.open(config), await DatabaseService.open(config)];
    const pool = new pg.Pool({ connectionString: url, max: 2, options: '-c TimeZone=UTC' });
    pool.on('error', () => undefined);
    const holder: { world: World | null } = { world: null };
    const processes = databases.map((database, index) =>
      startProcess(index === 0 ? 'A' : 'B', database, config, () => holder.world),
    );
    const world = new World(config, processes as [Process, Process], pool, databases);
    holder.world = world;
    return world;
  }

  async rows<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row>(sql, values)).rows;
  }

  /** The process is gone and a new one stands in its place; its journal may still hold something. */
  restart(process: Process): { readonly ownerId: string; readonly journal: GroupCommitJournal } {
    const dead = { ownerId: process.ownerId, journal: process.journal };
    process.ownerId = uuidv7();
    process.journal = journalOf(process.database, process.ownerId, process.now, this.anomalies);
    return dead;
  }

  /** Rates what waits for a price of one provider, as the price book does when a row arrives. */
  async rateUnpriced(process: Process, upstream: string, provider: string): Promise<number> {
    const service = new UnpricedEventsService(
      new UnpricedEventsRepository(process.database),
      process.journal,
      SILENT,
    );
    return service.rate({ upstream, provider });
  }

  async close(): Promise<void> {
    await this.pool.end();
    await Promise.all(this.databases.map((database) => database.onApplicationShutdown()));
  }
}

function configOf(url: string): Config {
  const loaded = loadConfig({
    DATABASE_URL: url,
    ADMIN_TOKEN: 'x'.repeat(32),
    ENCRYPTION_KEY: '00'.repeat(32),
    UPSTREAM_API_KEY: 'key',
    DATABASE_POOL_MAX: '6',
  });
  if (!loaded.ok) throw new Error(loaded.problems.map(({ problem }) => problem).join('; '));
  return loaded.config;
}

/** What the code logs is told by its answers as well. */
const SILENT = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
} as unknown as Logger;

function startProcess(
  name: string,
  real: DatabaseService,
  config: Config,
  world: () => World | null,
): Process {
  const billing = new Interruption();
  const writing = new Interruption();
  const database = interruptible(real, billing, writing);
  const invoices = new InvoicesRepository(database);
  const clock = { lagMs: 0 };
  const now = (): Date => new Date((world()?.nowMs ?? 0) - clock.lagMs);
  const ownerId = uuidv7();
  const anomalies: string[] = [];
  return {
    name,
    billing,
    writing,
    database,
    owners: new OwnersRepository(database),
    accounts: new AccountsRepository(database),
    credits: new CreditsService(new CreditsRepository(database)),
    subscriptions: new SubscriptionsService(
      new PlansRepository(database),
      new SubscriptionsRepository(database),
    ),
    closes: new PeriodCloseService(
      new PeriodCloseRepository(database),
      invoices,
      new MetricsService(),
      config,
      SILENT,
    ),
    invoices,
    corrections: new CorrectionsService(new CorrectionsRepository(database)),
    creditNotes: new CreditNotesService(new CreditNotesRepository(database)),
    get lagMs(): number {
      return clock.lagMs;
    },
    set lagMs(lagMs: number) {
      clock.lagMs = lagMs;
    },
    ownerId,
    journal: journalOf(database, ownerId, now, anomalies),
    now,
  };
}

function journalOf(
  database: DatabaseService,
  ownerId: string,
  now: () => Date,
  anomalies: string[],
): GroupCommitJournal {
  return new GroupCommitJournal(
    new JournalRepository(database),
    { ownerId, admitWaitMaxMs: 60_000 },
    { now },
    {
      batch: () => undefined,
      spent: () => undefined,
      retry: () => undefined,
      anomaly: (kind) => anomalies.push(kind),
      failure: (message) => anomalies.push(message),
    },
  );
}
