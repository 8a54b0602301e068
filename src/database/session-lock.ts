import pg from 'pg';

const RECONNECT_MS = 250;

/** Two keys of an advisory lock that stand for a UUID. */
function keysOf(id: string): [number, number] {
  const hex = id.replaceAll('-', '');
  return [Number.parseInt(hex.slice(16, 24), 16) | 0, Number.parseInt(hex.slice(24, 32), 16) | 0];
}

/**
 * A session advisory lock held for as long as this process lives: PostgreSQL lets go of it the
 * moment the connection ends. Taken again after a lost connection.
 */
export class SessionLock {
  private client: pg.Client | null = null;
  private retry: NodeJS.Timeout | null = null;
  private isReleased = false;

  constructor(
    private readonly databaseUrl: string,
    private readonly id: string,
  ) {}

  async hold(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.databaseUrl,
      connectionTimeoutMillis: 3000,
      keepAlive: true,
      application_name: 'tollgate-owner',
    });
    this.client = client;
    const lost = (): void => {
      this.onLost(client);
    };
    client.on('error', lost);
    client.on('end', lost);
    try {
      await client.connect();
      await client.query('SELECT pg_advisory_lock($1, $2)', keysOf(this.id));
    } catch {
      this.onLost(client);
    }
  }

  async release(): Promise<void> {
    this.isReleased = true;
    if (this.retry !== null) clearTimeout(this.retry);
    await this.client?.end().catch(() => undefined);
  }

  /**
   * Runs `work` while holding the lock of another id, if it is free (its holder is gone); returns
   * false when it is not.
   */
  async whileHolding(id: string, work: () => Promise<void>): Promise<boolean> {
    const { client } = this;
    if (client === null) return false;
    const keys = keysOf(id);
    const { rows } = await client.query<{ is_free: boolean }>(
      'SELECT pg_try_advisory_lock($1, $2) AS is_free',
      keys,
    );
    if (rows[0]?.is_free !== true) return false;
    try {
      await work();
    } finally {
      await client.query('SELECT pg_advisory_unlock($1, $2)', keys).catch(() => undefined);
    }
    return true;
  }

  private onLost(client: pg.Client): void {
    if (client !== this.client || this.isReleased) return;
    this.client = null;
    void client.end().catch(() => undefined);
    this.retry = setTimeout(() => void this.hold(), RECONNECT_MS);
  }
}
