import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../faults/service-process.js';
import { type RunningChild, startChild } from './child-process.js';

export const PORTKEY_VERSION = '1.15.2';

/** Newer ones of these break its streams. */
const PINS = { hono: '4.9.7', '@hono/node-server': '1.13.5', '@hono/node-ws': '1.2.0' };

/** Installs the peer into the cache folder once. Returns why it could not, or null. */
export function installPortkey(folder: string): string | null {
  const home = join(folder, 'portkey');
  if (existsSync(join(home, 'installed'))) return null;
  mkdirSync(home, { recursive: true });
  const manifest = {
    name: 'bench-portkey',
    private: true,
    dependencies: { '@portkey-ai/gateway': PORTKEY_VERSION },
    overrides: PINS,
  };
  writeFileSync(join(home, 'package.json'), JSON.stringify(manifest));
  const { status, stderr, error } = spawnSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'],
    { cwd: home, encoding: 'utf8', timeout: 120_000 },
  );
  if (status !== 0) return error?.message ?? stderr.split('\n')[0] ?? 'npm failed';
  writeFileSync(join(home, 'installed'), PORTKEY_VERSION);
  return null;
}

/** It picks its upstream by the headers of each request. */
export async function startPortkey(folder: string): Promise<RunningChild> {
  const port = await freePort();
  const entry = join(folder, 'portkey/node_modules/@portkey-ai/gateway/build/start-server.js');
  const args = [entry, '--headless', `--port=${port}`];
  return await startChild('portkey', folder, port, process.execPath, args);
}

export function portkeyHeaders(upstreamPort: number): Record<string, string> {
  return {
    authorization: 'Bearer bench',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/v1`,
  };
}
