import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { packageRoot } from '../../src/database/package-root.js';

const WAIT_MAX_MS = 60_000;
const POLL_MS = 20;

/** How it ended, with everything it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The service as people start it: a child process with a process group of its own, like a terminal's. */
export class StartedService {
  private out = '';
  private err = '';
  private readonly child: ChildProcess;
  private hasEnded = false;
  private readonly ending: Promise<Ended>;

  /** `command` is `npm start`, or what `npm start` runs. */
  constructor(command: 'npm start' | 'node', environment: Readonly<Record<string, string>>) {
    const [program, args] =
      command === 'node' ? [process.execPath, ['scripts/start.mjs']] : ['npm', ['start']];
    this.child = spawn(program, args, {
      cwd: packageRoot(),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    });
    this.child.stdout?.on('data', (part: Buffer) => (this.out += part.toString()));
    this.child.stderr?.on('data', (part: Buffer) => (this.err += part.toString()));
    this.ending = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        this.hasEnded = true;
        resolve({ code, signal, stdout: this.out, stderr: this.err });
      });
    });
  }

  /** The child's id; also the id of its process group. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  get isRunning(): boolean {
    return !this.hasEnded;
  }

  get stdout(): string {
    return this.out;
  }

  /** Waits for what the pattern finds in the output; returns its first group. */
  async prints(pattern: RegExp): Promise<string> {
    const found = await eventually(`output with ${String(pattern)}`, () => {
      const match = pattern.exec(this.out);
      if (match === null && this.hasEnded) throw new Error(`it ended:\n${this.out}${this.err}`);
      return match;
    });
    return found[1] ?? found[0];
  }

  /** To the child alone, as a supervisor does. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** To every process of the group, as Ctrl-C in a terminal does. */
  signalGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }

  async ended(): Promise<Ended> {
    return this.ending;
  }
}

/** Asks until the answer is neither null nor false. Throws when that takes too long. */
export async function eventually<T>(
  what: string,
  ask: () => T | null | false | Promise<T | null | false>,
): Promise<T> {
  const deadline = Date.now() + WAIT_MAX_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== false) return answer;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(POLL_MS);
  }
}

/** Command lines of all processes that belong to the group, or name the folder. */
export function processesOf(group: number, folder?: string): readonly string[] {
  const { stdout } = spawnSync('ps', ['-axo', 'pgid=,stat=,command='], { encoding: 'utf8' });
  const isNamed = (line: string): boolean => folder !== undefined && line.includes(folder);
  return (
    stdout
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.split(/\s+/)[0] === String(group) || isNamed(line))
      // One that nobody waits for in this container, but that has ended.
      .filter((line) => !/^\d+ Z/.test(line))
  );
}

/** The embedded server's process; null when its files name none. */
export function postgresPid(dataDir: string): number | null {
  const file = join(dataDir, 'postgres', 'postmaster.pid');
  if (!existsSync(file)) return null;
  return Number(readFileSync(file, 'utf8').split('\n')[0]);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
