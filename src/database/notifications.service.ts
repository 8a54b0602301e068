import {
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import pg from 'pg';
import { DatabaseService } from './database.service.js';

const CHANNELS = ['tollgate_identity', 'tollgate_catalog', 'tollgate_upstreams'] as const;

/** What one process tells the others about; the payload names what changed. */
export type Channel = (typeof CHANNELS)[number];

export interface Listener {
  /** Something changed. */
  onNotice(payload: string): void;
  /** Notices may have been missed (the connection was lost): forget what was remembered. */
  onGap(): void;
}

const RECONNECT_MS = 250;

/** LISTEN/NOTIFY between the processes on one database, over a connection of its own. */
@Injectable()
export class NotificationsService implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly listeners = new Map<Channel, Listener[]>();
  private client: pg.Client | null = null;
  private isStopping = false;
  private isConnectedNow = false;
  private retry: NodeJS.Timeout | null = null;

  constructor(private readonly database: DatabaseService) {}

  /** False while notices cannot arrive: memory of shared rows must not be trusted then. */
  get isConnected(): boolean {
    return this.isConnectedNow;
  }

  listen(channel: Channel, listener: Listener): void {
    this.listeners.set(channel, [...(this.listeners.get(channel) ?? []), listener]);
  }

  /** Tells every process, this one included. Sent inside a transaction it arrives at its commit. */
  async notify(channel: Channel, payload: string): Promise<void> {
    await this.database.prisma.$queryRawUnsafe('SELECT pg_notify($1, $2)::text', channel, payload);
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.connect();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    if (this.retry !== null) clearTimeout(this.retry);
    await this.client?.end().catch(() => undefined);
  }

  private async connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.database.url,
      connectionTimeoutMillis: 3000,
      keepAlive: true,
      application_name: 'tollgate-listen',
    });
    this.client = client;
    const lost = (): void => {
      this.onLost(client);
    };
    client.on('error', lost);
    client.on('end', lost);
    client.on('notification', ({ channel, payload }) => {
      for (const listener of this.listeners.get(channel as Channel) ?? [])
        listener.onNotice(payload ?? '');
    });
    try {
      await client.connect();
      for (const channel of CHANNELS) {
        await client.query(`LISTEN ${channel}`);
      }
      this.isConnectedNow = true;
      // Whatever was read before LISTEN took effect may have changed in between.
      this.announceGap();
    } catch {
      this.onLost(client);
    }
  }

  private onLost(client: pg.Client): void {
    if (client !== this.client || this.isStopping) return;
    this.client = null;
    if (this.isConnectedNow) {
      this.isConnectedNow = false;
      this.announceGap();
    }
    void client.end().catch(() => undefined);
    this.retry = setTimeout(() => void this.connect(), RECONNECT_MS);
  }

  private announceGap(): void {
    for (const listeners of this.listeners.values())
      for (const listener of listeners) listener.onGap();
  }
}
