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

interface TestServer {
  /** Connection string of its `postgres` database. */
  readonly url: string;
  stop(): Promise<void>;
}

interface SharedServer {
  readonly server: Promise<TestServer>;
  users: number;
}

/** Every project of a run loads this file anew: what they share hangs on the process. */
const runProcess = globalThis as { tollgateTestServer?: SharedServer };

/** One real PostgreSQL for the whole run, with one migrated template that every file copies. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = (runProcess.tollgateTestServer ??= { server: startTestServer(), users: 0 });
  shared.users += 1;
  const server = await shared.server;
  project.provide('postgresUrl', server.url);
  return async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    delete runProcess.tollgateTestServer;
    await server.stop();
  };
}

async function startTestServer(): Promise<TestServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tollgate-test-'));
  const server = await startEmbeddedPostgres(dataDir);
  const url = server.url.replace(/\/[^/]*$/, '/postgres');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // The files of a test run are thrown away: no need to wait for the disk.
  await client.query('ALTER SYSTEM SET synchronous_commit = off');
  await client.query('SELECT pg_reload_conf()');
  await client.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
  await client.end();
  await migrate(url.replace(/\/postgres$/, `/${TEMPLATE_DATABASE}`));
  return {
    url,
    stop: async () => {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
