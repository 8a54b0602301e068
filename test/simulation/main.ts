import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { readSimulationOptions, type SimulationOptions } from './options.js';
import { SEEDS_A_STORE } from './run.js';
import { startServer, TEMPLATE } from './stores.js';
import type { Report, Task } from './seeds.js';

/**
 * `npm run simulate -- --seeds 1000`: lives so many seeds and compares the money with the model after
 * every step. What fails is shrunk to the steps that it takes, and printed with how to see it again.
 */
async function main(): Promise<void> {
  const options = readSimulationOptions(process.argv.slice(2));
  const startedAt = performance.now();
  const server = await startServer();
  const reports: Report[] = [];
  try {
    const tasks = tasksOf(options, server.adminUrl);
    const workers = Math.min(options.workers, tasks.length);
    await Promise.all(
      Array.from({ length: workers }, () =>
        runWorker(tasks, (report) => {
          reports.push(report);
          if (report.violations.length > 0) print(failureText(report, options));
          else if (options.seeds === 1) print(report.log.join('\n'));
          if (process.stderr.isTTY) process.stderr.write(`\r${reports.length} seeds `);
        }),
      ),
    );
  } finally {
    await server.stop();
  }
  print(summaryText(reports, options, performance.now() - startedAt));
  const isWhole = reports.length === options.seeds;
  if (!isWhole) print(`only ${reports.length} of ${options.seeds} seeds were lived`);
  process.exitCode = isWhole && reports.every(({ violations }) => violations.length === 0) ? 0 : 1;
}

/** Seeds of one store stay together and in order: each lives before the ones it follows. */
function tasksOf(options: SimulationOptions, adminUrl: string): Task[] {
  const tasks: Task[] = [];
  const { steps, keep, without, shrinks } = options;
  let seeds: number[] = [];
  const chunk = Math.min(SEEDS_A_STORE, Math.max(1, Math.ceil(options.seeds / options.workers)));
  for (let seed = options.seed; seed < options.seed + options.seeds; seed += 1) {
    seeds.push(seed);
    const isLast = (seed + 1) % SEEDS_A_STORE === 0 || seed === options.seed + options.seeds - 1;
    if (!isLast && seeds.length < chunk) continue;
    tasks.push({ adminUrl, template: TEMPLATE, seeds, steps, keep, without, shrinks });
    seeds = [];
  }
  return tasks;
}

async function runWorker(tasks: Task[], tell: (report: Report) => void): Promise<void> {
  const child: ChildProcess = fork(fileURLToPath(new URL('./worker.js', import.meta.url)));
  await new Promise<void>((resolve, reject) => {
    const next = (): void => {
      const task = tasks.shift();
      if (task === undefined) child.disconnect();
      else child.send(task);
    };
    child.on('message', (message: { readonly report?: Report }) => {
      if (message.report === undefined) next();
      else tell(message.report);
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code !== 0) print(`a worker ended with ${signal ?? `code ${code ?? 'none'}`}`);
      resolve();
    });
    next();
  });
}

function failureText(report: Report, options: SimulationOptions): string {
  const { seed, violations, log, keep } = report;
  const without = options.without.length === 0 ? '' : ` --without ${options.without.join(',')}`;
  const kept = keep === null || keep.length === 0 ? '' : ` --keep ${keep.join(',')}`;
  return [
    '',
    `SEED ${seed} FAILED`,
    ...violations.slice(0, 12).map(({ check, what }) => `  ${check}\n    ${what}`),
    violations.length > 12 ? `  and ${violations.length - 12} more` : '',
    keep === null ? 'the steps:' : `shrunk to ${keep.length} steps:`,
    ...log.map((line) => `  ${line}`),
    `again: npm run simulate -- --seed ${seed} --steps ${options.steps}${kept}${without}`,
  ].join('\n');
}

function summaryText(
  reports: readonly Report[],
  options: SimulationOptions,
  durationMs: number,
): string {
  const counts = new Map<string, number>();
  for (const report of reports) {
    for (const [kind, count] of report.counts) counts.set(kind, (counts.get(kind) ?? 0) + count);
  }
  const failed = reports.filter(({ violations }) => violations.length > 0);
  const byCheck = new Map<string, number[]>();
  for (const { seed, violations } of failed) {
    for (const check of new Set(violations.map((violation) => violation.check))) {
      byCheck.set(check, [...(byCheck.get(check) ?? []), seed]);
    }
  }
  const steps = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return [
    '',
    `${reports.length} seeds from ${options.seed}, ${steps} steps that did something, in ${(durationMs / 1000).toFixed(1)} s`,
    [...counts].map(([kind, count]) => `${kind} ${count}`).join(', '),
    ...[...byCheck].map(
      ([check, seeds]) => `FAILED ${check}: seeds ${seeds.slice(0, 12).join(' ')}`,
    ),
    `${reports.length - failed.length} seeds passed, ${failed.length} failed`,
  ].join('\n');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
