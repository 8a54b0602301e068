import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const START_TIMEOUT_MS = 30_000;

/** A child of the benchmark that listens on a port. */
export interface RunningChild {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

/** Starts a program and waits until its port answers. Its output goes to `<folder>/<name>.log`. */
export async function startChild(
  name: string,
  folder: string,
  port: number,
  command: string,
  args: readonly string[],
): Promise<RunningChild> {
  const log = openSync(join(folder, `${name}.log`), 'a');
  const child = spawn(command, args, {
    stdio: ['ignore', log, log],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_ENV: 'production' },
  });
  closeSync(log);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} did not start: ${command} cannot be run`);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${name} did not start: see ${join(folder, `${name}.log`)}`);
    }
    await new Promise((wake) => setTimeout(wake, 25));
  }
  return { pid, port, stop: () => stopChild(child) };
}

/** The compiled file beside this one. */
export function programBeside(name: string): string {
  return fileURLToPath(new URL(`./${name}.js`, import.meta.url));
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await exited;
  clearTimeout(timer);
}

async function answers(port: number): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}
