import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { packageRoot } from '../../src/database/package-root.js';
import { runFaultLoop } from '../faults/kill-loop.js';
import { QUIET_RUN } from '../faults/options.js';

// The long runs are `npm run test:faults`; these show on every test run that the promise holds.

// What is killed is the built service: it must not be yesterday's.
beforeAll(() => {
  const script = join(packageRoot(), 'scripts', 'build.mjs');
  const build = spawnSync(process.execPath, [script], { encoding: 'utf8' });
  expect(build.status, build.stdout + build.stderr).toBe(0);
}, 180_000);

it('records every delivered answer once and exactly, through SIGKILLs under load', async () => {
  const run = await runFaultLoop({ ...QUIET_RUN, kills: 6, seed: 11, clients: 16 });
  expect(run.violations).toEqual([]);
  expect(run.kills).toBeGreaterThanOrEqual(6);
  expect(run.comparison.deliveredExact).toBeGreaterThan(100);
}, 120_000);

it('forwards nothing unrecorded while the database is away, and serves again by itself', async () => {
  const run = await runFaultLoop({ ...QUIET_RUN, postgresRestarts: 2, seed: 12, clients: 16 });
  expect(run.violations).toEqual([]);
  expect(run.comparison.deliveredExact).toBeGreaterThan(50);
}, 120_000);
