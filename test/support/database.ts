import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { TEMPLATE_DATABASE } from './global-setup.js';

export interface TestDatabase {
  readonly url: string;
  /** Runs one statement with `pg`, beside the code under test. */
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>;
  drop(): Promise<void>;
}

/** A fresh copy of the migrated template. */
export async function freshDatabase(): Promise<TestDatabase> {
  const adminUrl = inject('postgresUrl');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await once(adminUrl, `CREATE DATABASE ${name} TEMPLATE ${TEMPLATE_DATABASE}`);
  const url = adminUrl.replace(/\/postgres$/, `/${name}`);
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on('error', () => undefined);
  return {
    url,
    query: async <Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []) =>
      (await pool.query<Row>(sql, values)).rows,
    drop: async () => {
      await pool.end();
      await once(adminUrl, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

/** Takes away an organization's credit, present and to come: it has its limit and nothing else. */
export async function withoutCredit(database: TestDatabase, slug: string): Promise<void> {
  await database.query(
    `UPDATE budgets SET credit = NULL WHERE subject_id = (SELECT id FROM accounts WHERE slug = $1)`,
    [slug],
  );
}

async function once(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // Two files may copy the template at once: PostgreSQL refuses while it is being read.
  for (let attempt = 0; ; attempt += 1) {
    try {
      await client.query(sql);
      break;
    } catch (error) {
      if ((error as { code?: string }).code !== '55006' || attempt > 100) throw error;
      await new Promise((wake) => setTimeout(wake, 50));
    }
  }
  await client.end();
}
