import { rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { packageRoot } from '../../src/database/package-root.js';
import { Operator } from '../faults/operator.js';
import { PostgresServer } from '../faults/postgres-server.js';
import { ADMIN_TOKEN, freePort, ServiceProcess } from '../faults/service-process.js';

const SETTLE_TIMEOUT_MS = 20_000;

/** Tollgate with everything on, and its own PostgreSQL, fsync on. */
export class Tollgate {
  private constructor(
    private readonly service: ServiceProcess,
    readonly port: number,
    /** Of a token with a limit, of a member with a limit, in an account with a limit. */
    readonly token: string,
    private readonly store: Store,
  ) {}

  static async start(
    folder: string,
    store: Store,
    upstreamPort: number,
    slug: string,
    root = packageRoot(),
  ): Promise<Tollgate> {
    const port = await freePort();
    const service = new ServiceProcess({
      port,
      root,
      logPath: join(folder, 'tollgate.log'),
      environment: {
        DATABASE_URL: store.url,
        DATA_DIR: join(folder, 'tollgate'),
        UPSTREAM_BASE_URL: `http://127.0.0.1:${upstreamPort}`,
        NODE_ENV: 'production',
      },
    });
    await service.start();
    const operator = new Operator(service.url, ADMIN_TOKEN);
    await operator.createOrganization(slug);
    const memberId = await operator.createMember(slug, 'ada', '100.00');
    const token = await operator.createToken(slug, {
      name: 'bench',
      memberId,
      monthlyLimitUsd: '100.00',
    });
    return new Tollgate(service, port, token, store);
  }

  get pid(): number {
    const { pid } = this.service;
    if (pid === null) throw new Error('tollgate is gone: see tollgate.log');
    return pid;
  }

  /** Settled events so far, once nothing is open any more. */
  async settledEvents(): Promise<number> {
    return await this.store.settledEvents();
  }

  async stop(): Promise<void> {
    await this.service.stop();
  }
}

/** The benchmark's PostgreSQL with its meters. */
export class Store {
  private constructor(
    private readonly server: PostgresServer,
    readonly pid: number,
    private readonly client: pg.Client,
  ) {}

  static async start(folder: string): Promise<Store> {
    const dataDir = join(folder, 'database');
    rmSync(dataDir, { recursive: true, force: true });
    const server = await PostgresServer.start(dataDir);
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    return new Store(server, await server.postmasterPid(), client);
  }

  get url(): string {
    return this.server.url;
  }

  /** Bytes written to the WAL so far. */
  async walBytes(): Promise<number> {
    return await this.number(`SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS value`);
  }

  async settledEvents(): Promise<number> {
    const deadline = Date.now() + SETTLE_TIMEOUT_MS;
    while ((await this.number('SELECT count(*) AS value FROM open_events')) > 0) {
      if (Date.now() > deadline) throw new Error('events stay open: the benchmark is void');
      await new Promise((wake) => setTimeout(wake, 20));
    }
    return await this.number(
      `SELECT count(*) AS value FROM usage_events WHERE state = 'settled' AND cost_pico_usd > 0`,
    );
  }

  /** Sets apart what is still to be cleaned up of the runs before. */
  async checkpoint(): Promise<void> {
    await this.client.query('CHECKPOINT');
  }

  async stop(): Promise<void> {
    await this.client.end();
    await this.server.dispose();
  }

  private async number(sql: string): Promise<number> {
    const { rows } = await this.client.query<{ value: string }>(sql);
    return Number(rows[0]?.value);
  }
}
