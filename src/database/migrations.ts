import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { readMigrations } from './migration-files.js';

/** Processes that start at once migrate one after the other under this session lock. */
const MIGRATION_LOCK = 7_205_011_031n;
const MIGRATE_MAX_MS = 15 * 60_000;

/**
 * Brings the database to our schema. Prisma's engine is asked only when something is missing; it
 * keeps `_prisma_migrations`, so that `prisma migrate deploy` works on the same database. What a
 * newer version has applied beyond our own migrations is left alone.
 *
 * @returns the names of the migrations applied now, in order.
 */
export async function migrate(databaseUrl: string): Promise<readonly string[]> {
  const lock = new pg.Client({ connectionString: databaseUrl });
  lock.on('error', () => undefined);
  await lock.connect();
  try {
    await lock.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    return (await isUpToDate(lock)) ? [] : await applyApart(databaseUrl);
  } finally {
    await lock.end();
  }
}

/** Every migration of ours was applied whole, as it stands in our files, and none is half done. */
async function isUpToDate(client: pg.Client): Promise<boolean> {
  const { rows: tables } = await client.query<{ is_there: boolean }>(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS is_there`,
  );
  if (tables[0]?.is_there !== true) return false;
  const { rows } = await client.query<{ name: string; checksum: string; is_finished: boolean }>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS is_finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL`,
  );
  if (rows.some((row) => !row.is_finished)) return false;
  const applied = new Map(rows.map(({ name, checksum }) => [name, checksum]));
  const ours = await readMigrations();
  return ours.every(
    ({ name, sql }) => applied.get(name) === createHash('sha256').update(sql).digest('hex'),
  );
}

/** In a process of its own, whose memory goes with it; from source (in tests) in this one. */
async function applyApart(databaseUrl: string): Promise<readonly string[]> {
  const program = new URL('./migrate-process.js', import.meta.url);
  if (import.meta.url.endsWith('.ts')) {
    const { applyMigrations } = await import('./schema-engine.js');
    return applyMigrations(databaseUrl);
  }
  return new Promise((resolve, reject) => {
    const child = execFile(
      process.execPath,
      [fileURLToPath(program)],
      { timeout: MIGRATE_MAX_MS, maxBuffer: 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error !== null) reject(new Error(stderr.trim() === '' ? error.message : stderr.trim()));
        else resolve(stdout.split('\n').filter((name) => name !== ''));
      },
    );
    // Not an argument: those are there for every user of the machine to read.
    child.stdin?.end(databaseUrl);
  });
}
