import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request, type Dispatcher } from 'undici';
import { ROUND_PRICES } from '../../simulator/special-models.js';
import {
  ADMIN_TOKEN as PROCESS_ADMIN_TOKEN,
  freePort,
  ServiceProcess,
} from '../faults/service-process.js';
import type { TestDatabase } from '../support/database.js';
import { ADMIN_TOKEN, startService } from '../support/service.js';

export const MAX_TOKENS = 200;

/** Services that share a database, and whom requests go to in turn. */
export interface Replicas {
  readonly urls: readonly string[];
  readonly adminToken: string;
  close(): Promise<void>;
}

/** One service inside the test, or that many real processes of the built one. */
export async function startReplicas(
  count: number,
  upstreamUrl: string,
  database: TestDatabase,
): Promise<Replicas> {
  if (count > 1) return await startProcesses(count, upstreamUrl, database);
  const service = await startService({ UPSTREAM_BASE_URL: upstreamUrl }, database);
  return {
    urls: [service.url],
    adminToken: ADMIN_TOKEN,
    close: () => service.close(),
  };
}

async function startProcesses(
  count: number,
  upstreamUrl: string,
  database: TestDatabase,
): Promise<Replicas> {
  const folder = await mkdtemp(join(tmpdir(), 'tollgate-race-'));
  const services: ServiceProcess[] = [];
  for (let index = 0; index < count; index += 1) {
    services.push(
      new ServiceProcess({
        port: await freePort(),
        logPath: join(folder, `service-${index}.log`),
        environment: {
          DATA_DIR: join(folder, `service-${index}`),
          DATABASE_URL: database.url,
          DATABASE_POOL_MAX: '4',
          UPSTREAM_BASE_URL: upstreamUrl,
          LOG_LEVEL: 'error',
        },
      }),
    );
  }
  const close = async (): Promise<void> => {
    await Promise.all(services.map((service) => service.stop()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all(services.map((service) => service.start()));
  } catch (error) {
    await close();
    throw error;
  }
  return { urls: services.map(({ url }) => url), adminToken: PROCESS_ADMIN_TOKEN, close };
}

export interface Ask {
  /** The secret that it is sent with. */
  readonly token: string;
  /** How long the upstream waits before it answers. */
  readonly delayMs: number;
  /** Of at most MAX_TOKENS. */
  readonly outputTokens: number;
  /** How the simulator's books name it: 8 characters. */
  readonly tag: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: {
    readonly error?: { readonly code: string; readonly details: Record<string, unknown> };
    readonly usage?: { readonly completion_tokens: number };
  };
}

/** Every ask has the same worst case, whatever it says: its body is as long as the others'. */
export async function send(dispatcher: Dispatcher, url: string, ask: Ask): Promise<Answer> {
  const output = String(ask.outputTokens).padStart(3, '0');
  const delay = String(ask.delayMs).padStart(5, '0');
  const content = `[[sim output=${output} reasoning=0 delay=${delay} tag=${ask.tag.padEnd(8, '-')}]]`;
  const answer = await request(`${url}/v1/chat/completions`, {
    dispatcher,
    method: 'POST',
    headers: { authorization: `Bearer ${ask.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: `${ROUND_PRICES}:together`,
      max_tokens: MAX_TOKENS,
      messages: [{ role: 'user', content }],
    }),
  });
  const body = (await answer.body.json()) as Answer['body'];
  return { status: answer.statusCode, headers: answer.headers, body };
}

/** 1234567n -> '0.000001234567' */
export function usd(picoUsd: bigint): string {
  const digits = picoUsd.toString().padStart(13, '0');
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`;
}
