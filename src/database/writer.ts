import { createHash } from 'node:crypto';
import pg from 'pg';

/** Statements inside one transaction of the journal. */
export interface WriterTransaction {
  /** Runs a prepared statement; `values` are its parameters. */
  rows<Row extends pg.QueryResultRow>(sql: string, ...values: readonly string[]): Promise<Row[]>;
  /** The same for its effect: how many rows were written. */
  count(sql: string, ...values: readonly string[]): Promise<number>;
}

/**
 * Transactions of the journal on connections of their own, with `pg` itself: through Prisma's client
 * the same four round trips cost four times the CPU, which is what a small batch consists of.
 */
export class Writer {
  private readonly pool: pg.Pool;

  constructor(url: string, connections: number, sessionSettings: string) {
    this.pool = new pg.Pool({
      connectionString: url,
      max: connections,
      connectionTimeoutMillis: 3000,
      keepAlive: true,
      application_name: 'tollgate-writer',
      options: sessionSettings,
    });
    // An idle connection that breaks is noticed by the next transaction.
    this.pool.on('error', () => undefined);
  }

  /**
   * Runs `work` in one transaction: committed when it resolves, rolled back when it throws.
   *
   * @throws whatever `work` throws or the database refuses (see `classifySqlFailure`); after a broken
   *   connection it is unknown whether a COMMIT under way took effect.
   */
  async transaction<T>(work: (tx: WriterTransaction) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    let broken: Error | undefined;
    // Between two statements a broken connection has nobody else to tell; the next statement fails.
    const onBroken = (error: Error): void => {
      broken = error;
    };
    client.on('error', onBroken);
    try {
      await client.query('BEGIN');
      const result = await work(new PreparedTransaction(client));
      await client.query('COMMIT');
      return result;
    } catch (error) {
      // On a broken connection this fails too, and the connection is thrown away.
      await client.query('ROLLBACK').catch((failure: unknown) => {
        broken = failure instanceof Error ? failure : new Error(String(failure));
      });
      throw error;
    } finally {
      client.off('error', onBroken);
      client.release(broken);
    }
  }

  async end(): Promise<void> {
    await this.pool.end();
  }
}

class PreparedTransaction implements WriterTransaction {
  constructor(private readonly client: pg.PoolClient) {}

  async rows<Row extends pg.QueryResultRow>(
    sql: string,
    ...values: readonly string[]
  ): Promise<Row[]> {
    return (await this.run<Row>(sql, values)).rows;
  }

  async count(sql: string, ...values: readonly string[]): Promise<number> {
    return (await this.run(sql, values)).rowCount ?? 0;
  }

  private run<Row extends pg.QueryResultRow>(
    sql: string,
    values: readonly string[],
  ): Promise<pg.QueryResult<Row>> {
    return this.client.query<Row>({ name: statementNameOf(sql), text: sql, values: [...values] });
  }
}

const STATEMENT_NAMES_MAX = 2000;
const statementNames = new Map<string, string>();

/** A named statement is planned once per connection instead of once per call. */
export function statementNameOf(sql: string): string {
  let name = statementNames.get(sql);
  if (name === undefined) {
    name = `s${createHash('sha1').update(sql).digest('hex').slice(0, 24)}`;
    // Texts built at run time must not grow this map without end.
    if (statementNames.size < STATEMENT_NAMES_MAX) statementNames.set(sql, name);
  }
  return name;
}
