import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DatabaseService } from '../../src/database/database.service.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { startService, type TestService } from '../support/service.js';

/** What is booked and never changed. */
const BOOKED = [
  'ledger_transfers',
  'credit_grants',
  'period_closes',
  'corrections',
  'credit_notes',
  'provider_payments',
  'audit_log',
];

describe('the role that the service works under', () => {
  let service: TestService;
  let database: DatabaseService;

  beforeAll(async () => {
    service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' });
    database = service.app.get(DatabaseService, { strict: false });
  });

  afterAll(async () => {
    await service.close();
  });

  it.each(BOOKED)('cannot change or delete %s', async (table) => {
    for (const sql of [`DELETE FROM ${table}`, `TRUNCATE ${table}`]) {
      await expect(database.prisma.$executeRawUnsafe(sql)).rejects.toThrow(/permission denied/);
    }
    const [column] = await service.database.query<{ name: string }>(
      `SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1 LIMIT 1`,
      [table],
    );
    const update = `UPDATE ${table} SET ${column?.name ?? ''} = ${column?.name ?? ''}`;
    await expect(database.prisma.$executeRawUnsafe(update)).rejects.toThrow(/permission denied/);
  });

  it('is the same for the writer of the journal', async () => {
    const deleting = database.writer.transaction((tx) => tx.count('DELETE FROM ledger_transfers'));
    await expect(deleting).rejects.toThrow(/permission denied/);
  });

  it.each(['usage_events', 'invoices', 'prices', 'budgets', 'accounts', 'plan_changes'])(
    'cannot delete from %s',
    async (table) => {
      const deleting = database.prisma.$executeRawUnsafe(`DELETE FROM ${table}`);
      await expect(deleting).rejects.toThrow(/permission denied/);
    },
  );
});

describe('a role that could rewrite the ledger', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await freshDatabase();
  });

  afterAll(async () => {
    await database.drop();
  });

  it.each(['UPDATE', 'DELETE', 'TRUNCATE'])('with %s is refused at start', async (right) => {
    await database.query(`GRANT ${right} ON ledger_transfers TO tollgate_app`);
    const starting = startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' }, database);
    await expect(starting).rejects.toThrow(/revoke UPDATE, DELETE and TRUNCATE/);
    await database.query(`REVOKE ${right} ON ledger_transfers FROM tollgate_app`);
  });
});
