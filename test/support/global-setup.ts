import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrate } from '../../src/database/migrations.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Connection string of the test server's `postgres` database. */
    postgresUrl: string;
  }
}

export const TEMPLATE_DATABASE = 'tollgate_template';

/** One real PostgreSQL for the whole run, with one migrated template that every file copies. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tollgate-test-'));
  const server = await startEmbeddedPostgres(dataDir);
  const postgresUrl = server.url.replace(/\/[^/]*$/, '/postgres');
  const client = new pg.Client({ connectionString: postgresUrl });
  await client.connect();
  // The files of a test run are thrown away: no need to wait for the disk.
  await client.query('ALTER SYSTEM SET synchronous_commit = off');
  await client.query('SELECT pg_reload_conf()');
  await client.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
  await client.end();
  await migrate(postgresUrl.replace(/\/postgres$/, `/${TEMPLATE_DATABASE}`));
  project.provide('postgresUrl', postgresUrl);
  return async () => {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
}
