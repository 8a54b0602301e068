import pg from 'pg';
import { eventually } from './simulated.js';

/** A row that nobody else can write: whoever wants to stands still in the middle of it. */
export interface RowLock {
  /** Resolves when so many sessions wait for this row, one behind the other. */
  untilWaited(sessions?: number): Promise<void>;
  /** Ends the sessions that wait: what they were about to write never happens. */
  endWaiters(): Promise<void>;
  /** The first that waits goes on, whether its process still lives or not. Twice is once. */
  release(): Promise<void>;
}

/** With those that wait behind one that waits. */
const WAITERS = `
WITH RECURSIVE waiting AS (
  SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND $1::int = ANY(pg_blocking_pids(pid))
  UNION
  SELECT a.pid FROM pg_stat_activity a JOIN waiting w ON w.pid = ANY(pg_blocking_pids(a.pid))
  WHERE a.datname = current_database()
)`;

/** Locks the row of an event in one of the two tables that a job lives in. */
export async function lockRow(
  url: string,
  table: 'open_events' | 'media_jobs',
  eventId: string,
): Promise<RowLock> {
  const client = new pg.Client({ connectionString: url });
  // The sessions are looked at from outside: what this one says of itself stays out of its own.
  const looker = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  looker.on('error', () => undefined);
  await Promise.all([client.connect(), looker.connect()]);
  const { rows: own } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const pid = own[0]?.pid;
  await client.query('BEGIN');
  const column = table === 'open_events' ? 'id' : 'event_id';
  const { rowCount } = await client.query(
    `SELECT 1 FROM ${table} WHERE ${column} = $1 FOR UPDATE`,
    [eventId],
  );
  if (rowCount !== 1) throw new Error(`${table} has no ${eventId} to lock`);
  return {
    untilWaited: async (sessions = 1) => {
      await eventually(`${sessions} waiting for ${table} ${eventId}`, async () => {
        const { rows } = await looker.query<{ count: number }>(
          `${WAITERS} SELECT count(*)::int AS count FROM waiting`,
          [pid],
        );
        return (rows[0]?.count ?? 0) >= sessions ? true : null;
      });
    },
    endWaiters: async () => {
      await looker.query(`${WAITERS} SELECT pg_terminate_backend(pid, 5000) FROM waiting`, [pid]);
    },
    release: async () => {
      await Promise.all([client.end(), looker.end()]);
    },
  };
}
