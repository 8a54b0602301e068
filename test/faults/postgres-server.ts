import { mkdir, readFile, rm } from 'node:fs/promises';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/database/embedded-postgres.js';

/**
 * A PostgreSQL of the harness (fsync on) behind a gate: a port that stays the same while the server
 * behind it stops and starts, and whose connections can be cut without the server's knowledge.
 */
export class PostgresServer {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly dataDir: string,
    private embedded: EmbeddedPostgres,
    private readonly gate: Server,
    private readonly gatePort: number,
  ) {}

  static async start(dataDir: string): Promise<PostgresServer> {
    await mkdir(dataDir, { recursive: true });
    const embedded = await startEmbeddedPostgres(dataDir);
    const gate = createServer();
    await new Promise<void>((resolve, reject) => {
      gate.once('error', reject);
      gate.listen(0, '127.0.0.1', resolve);
    });
    const address = gate.address();
    if (address === null || typeof address === 'string') throw new Error('the gate has no port');
    const server = new PostgresServer(dataDir, embedded, gate, address.port);
    gate.on('connection', (socket) => {
      server.pass(socket);
    });
    return server;
  }

  /** Straight to the server: for a benchmark, and for the harness itself. */
  get url(): string {
    return this.embedded.url;
  }

  /** Through the gate: for a service that must survive restarts. */
  get gateUrl(): string {
    const url = new URL(this.embedded.url);
    url.port = String(this.gatePort);
    return url.toString();
  }

  /** The process id of the postmaster. Throws when the server does not run. */
  async postmasterPid(): Promise<number> {
    const file = await readFile(join(this.dataDir, 'postgres', 'postmaster.pid'), 'utf8');
    return Number(file.split('\n')[0]);
  }

  /** `immediate`: no checkpoint, no farewell; the next start recovers from the WAL, as after a crash. */
  async stop(how: 'fast' | 'immediate' = 'fast'): Promise<void> {
    if (how === 'immediate') process.kill(await this.postmasterPid(), 'SIGQUIT');
    await this.embedded.stop();
  }

  async startAgain(): Promise<void> {
    this.embedded = await startEmbeddedPostgres(this.dataDir);
  }

  /** Breaks every connection through the gate: whoever waits for a COMMIT never learns of it. */
  cutConnections(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /** Stops everything and removes the files. */
  async dispose(): Promise<void> {
    this.gate.close();
    this.cutConnections();
    await this.embedded.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  private pass(socket: Socket): void {
    const server = connect(Number(new URL(this.embedded.url).port), '127.0.0.1');
    for (const [one, other] of [
      [socket, server],
      [server, socket],
    ] as const) {
      this.sockets.add(one);
      one.setNoDelay(true);
      one.pipe(other);
      one.on('error', () => {
        other.resetAndDestroy();
      });
      one.once('close', () => {
        this.sockets.delete(one);
        other.destroy();
      });
    }
  }
}

/** One statement on a connection of its own. */
export async function queryOnce<Row extends pg.QueryResultRow>(
  url: string,
  sql: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}
