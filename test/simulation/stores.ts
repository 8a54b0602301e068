import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrate } from '../../src/database/migrations.js';

export const TEMPLATE = 'simulation_template';

/** A PostgreSQL of the simulation's own, thrown away with everything in it. */
export interface Server {
  readonly adminUrl: string;
  stop(): Promise<void>;
}

export async function startServer(): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'tollgate-simulation-'));
  const server = await startEmbeddedPostgres(folder);
  const adminUrl = server.url.replace(/\/[^/]*$/, '/postgres');
  // What is simulated are broken connections and dead processes, not a broken disk.
  for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum']) {
    await once(adminUrl, `ALTER SYSTEM SET ${setting} = off`);
  }
  await once(adminUrl, 'SELECT pg_reload_conf()');
  await once(adminUrl, `CREATE DATABASE ${TEMPLATE}`);
  await migrate(adminUrl.replace(/\/postgres$/, `/${TEMPLATE}`));
  return {
    adminUrl,
    stop: async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Store {
  readonly url: string;
  drop(): Promise<void>;
}

/** A fresh store with the schema and nothing in it. */
export async function createStore(
  adminUrl: string,
  name: string,
  template: string,
): Promise<Store> {
  await once(adminUrl, `CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`);
  return {
    url: adminUrl.replace(/\/postgres$/, `/${name}`),
    drop: () => once(adminUrl, `DROP DATABASE ${name} WITH (FORCE)`),
  };
}

async function once(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    // Two workers may copy the template at once: PostgreSQL refuses while it is being read.
    for (let attempt = 0; ; attempt += 1) {
      try {
        await client.query(sql);
        return;
      } catch (error) {
        if ((error as { code?: string }).code !== '55006' || attempt > 100) throw error;
        await new Promise((wake) => setTimeout(wake, 50));
      }
    }
  } finally {
    await client.end();
  }
}
