import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import pg from 'pg';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/config.js';
import { StartupError } from '../config/startup-error.js';
import { lockDataDir, type DataDirLock } from './data-dir-lock.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';
import { migrate } from './migrations.js';
import { PrismaClient } from './prisma/client.js';
import { statementNameOf, Writer } from './writer.js';

/** Prisma's adapter writes times without an offset: they are UTC only in a session that is. */
const TIME_ZONE = '-c TimeZone=UTC';
/** A role that can book and cannot change what was booked; made by the migrations. */
const ROLE = 'tollgate_app';
const SESSION_SETTINGS = `${TIME_ZONE} -c role=${ROLE}`;
/** The writer's session: no lock or statement of the journal may hang for ever. */
const WRITER_SETTINGS = `${SESSION_SETTINGS} -c lock_timeout=2000 -c statement_timeout=15000 -c idle_in_transaction_session_timeout=10000`;
const LANE_SETTINGS = WRITER_SETTINGS.replace('lock_timeout=2000', 'lock_timeout=5000');
/** Payers that are waited for apart, at the same time. */
export const LANE_CONNECTIONS = 2;
/** Of `DATABASE_POOL_MAX`: the lanes, and the lock that tells that this process lives. */
const RESERVED_CONNECTIONS = LANE_CONNECTIONS + 1;

/** The connections of this process: Prisma for queries, one client of its own for the writer. */
@Injectable()
export class DatabaseService implements OnApplicationShutdown {
  private constructor(
    readonly url: string,
    /** Queries of every kind but the journal's. */
    readonly prisma: PrismaClient,
    /** The journal's group commit: one connection. */
    readonly writer: Writer,
    /** Transactions of the journal that wait for locked rows, beside the common one. */
    readonly lanes: Writer,
    private readonly embedded: EmbeddedPostgres | null,
    private readonly dataDirLock: DataDirLock | null,
  ) {}

  /**
   * Starts the embedded server if there is no `DATABASE_URL`, migrates, and connects.
   *
   * @throws StartupError when the database cannot be reached or is not usable.
   */
  static async open(config: Config): Promise<DatabaseService> {
    const { url, embedded, lock } = await openServer(config);
    try {
      await migrate(url);
      const prisma = new PrismaClient({
        adapter: adapterFor(url, Math.max(1, config.databasePoolMax - RESERVED_CONNECTIONS)),
      });
      const writer = new Writer(url, 1, WRITER_SETTINGS);
      const lanes = new Writer(url, LANE_CONNECTIONS, LANE_SETTINGS);
      await refuseToRewrite(prisma);
      return new DatabaseService(url, prisma, writer, lanes, embedded, lock);
    } catch (error) {
      await embedded?.stop();
      await lock?.release();
      throw error instanceof StartupError ? error : unusable(config, error);
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled([this.prisma.$disconnect(), this.writer.end(), this.lanes.end()]);
    await this.embedded?.stop();
    await this.dataDirLock?.release();
  }
}

const opening = new WeakMap<Config, Promise<DatabaseService>>();

function openOnce(config: Config): Promise<DatabaseService> {
  const database = DatabaseService.open(config);
  opening.set(config, database);
  return database;
}

/**
 * Closes what was opened for an application that could not be built: nothing else knows of it, and
 * an embedded server would go on running.
 */
export async function closeDatabaseOf(config: Config): Promise<void> {
  const database = await opening.get(config)?.catch(() => undefined);
  await database?.onApplicationShutdown();
}

export const databaseProvider = {
  provide: DatabaseService,
  inject: [CONFIG],
  useFactory: openOnce,
};

async function openServer(
  config: Config,
): Promise<{ url: string; embedded: EmbeddedPostgres | null; lock: DataDirLock | null }> {
  if (config.databaseUrl !== null) {
    return { url: config.databaseUrl, embedded: null, lock: null };
  }
  await makeDataDir(config.dataDir);
  const lock = await lockDataDir(config.dataDir);
  try {
    const embedded = await startEmbeddedPostgres(config.dataDir);
    await lock.writeDatabaseUrl(embedded.url);
    return { url: embedded.url, embedded, lock };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StartupError(
      `DATA_DIR cannot be used: ${resolve(dataDir)} is not a folder that this user can write (${code ?? 'unknown'})`,
    );
  }
}

function adapterFor(url: string, max: number): PrismaPg {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 3000,
    keepAlive: true,
    application_name: 'tollgate',
    options: SESSION_SETTINGS,
  });
  return new PrismaPg(pool, {
    disposeExternalPool: true,
    statementNameGenerator: (query) => statementNameOf(query.sql),
  });
}

/** @throws StartupError when this process could change or delete what the ledger has booked. */
async function refuseToRewrite(prisma: PrismaClient): Promise<void> {
  const [row] = await prisma.$queryRawUnsafe<{ role: string; can_rewrite: boolean }[]>(
    `SELECT current_user::text AS role, has_table_privilege('ledger_transfers', 'UPDATE')
       OR has_table_privilege('ledger_transfers', 'DELETE') OR has_table_privilege('ledger_transfers', 'TRUNCATE') AS can_rewrite`,
  );
  if (row?.can_rewrite !== false) {
    throw new StartupError(
      `DATABASE_URL: the role ${row?.role ?? ROLE} may change ledger_transfers, which are never changed: revoke UPDATE, DELETE and TRUNCATE from it`,
    );
  }
}

function unusable(config: Config, error: unknown): StartupError {
  const reason =
    error instanceof Error
      ? error.message
          .split('\n')
          .filter((line) => line.trim() !== '')
          .at(-1)
      : String(error);
  const source = config.databaseUrl === null ? 'the embedded database' : 'DATABASE_URL';
  return new StartupError(`${source} cannot be used: ${redact(reason ?? 'no reason given')}`);
}

/** Passwords of connection strings never reach a log or a terminal. */
function redact(text: string): string {
  return text.replace(/(postgres(?:ql)?:\/\/[^:@/\s]*):[^@\s]*@/g, '$1:***@');
}
