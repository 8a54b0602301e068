import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { request } from 'undici';
import { packageRoot } from '../../src/database/package-root.js';

export const ADMIN_TOKEN = 'harness-admin-token-0123456789';

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 5;
const STOP_TIMEOUT_MS = 30_000;

export interface ServiceOptions {
  readonly port: number;
  /** Given on top of what every service of a harness gets. */
  readonly environment: Readonly<Record<string, string>>;
  /** The checkout whose build runs; without it this one. */
  readonly root?: string;
  /** Where its output goes, appended over all its lives. */
  readonly logPath: string;
}

/** The built service as a real child process on a fixed port, through many lives. */
export class ServiceProcess {
  readonly url: string;
  private child: ChildProcess | null = null;
  private exited: Promise<number | null> = Promise.resolve(null);

  constructor(private readonly options: ServiceOptions) {
    this.url = `http://127.0.0.1:${options.port}`;
  }

  /** The id of the process of this life; null while there is none. */
  get pid(): number | null {
    return this.child?.pid ?? null;
  }

  /** Starts a life and returns at once. */
  async spawn(): Promise<void> {
    const { root = packageRoot() } = this.options;
    const log = await open(this.options.logPath, 'a');
    const child = spawn(process.execPath, [builtEntry(root)], {
      cwd: root,
      stdio: ['ignore', log.fd, log.fd],
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        HOST: '127.0.0.1',
        PORT: String(this.options.port),
        DEMO: '0',
        ADMIN_TOKEN,
        ENCRYPTION_KEY: '00'.repeat(32),
        UPSTREAM_API_KEY: 'harness-key',
        ...this.options.environment,
      },
    });
    await log.close();
    this.child = child;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code) => {
        if (this.child === child) this.child = null;
        resolve(code);
      });
    });
  }

  /**
   * Waits until `/readyz` answers 200. Throws when the process ends before that, with the last
   * lines of its log.
   */
  async untilReady(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (Date.now() < deadline) {
      if (this.child === null) throw new Error(`the service ended at start:\n${this.logTail()}`);
      if (await this.isReady()) return;
      await new Promise((wake) => setTimeout(wake, READY_POLL_MS));
    }
    throw new Error(`the service was not ready in time:\n${this.logTail()}`);
  }

  async start(): Promise<void> {
    await this.spawn();
    await this.untilReady();
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  /** SIGTERM; resolves with the exit code, null when it had to be killed. */
  async stop(): Promise<number | null> {
    this.child?.kill('SIGTERM');
    const timer = setTimeout(() => this.child?.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  private async isReady(): Promise<boolean> {
    try {
      const { statusCode, body } = await request(`${this.url}/readyz`);
      await body.dump();
      return statusCode === 200;
    } catch {
      return false;
    }
  }

  private logTail(): string {
    if (!existsSync(this.options.logPath)) return '(no log)';
    return readFileSync(this.options.logPath, 'utf8').split('\n').slice(-15).join('\n');
  }
}

/** `dist/src/main.js`. Throws when the service is not built. */
export function builtEntry(root = packageRoot()): string {
  const entry = join(root, 'dist', 'src', 'main.js');
  if (!existsSync(entry)) throw new Error(`${root} is not built: run "npm run build" there first`);
  return entry;
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
