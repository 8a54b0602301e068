import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../src/database/package-root.js';
import { compareBuilds } from './compare-builds.js';
import { LoadGenerator } from './load-generator.js';
import { readBenchOptions, type Scenario } from './options.js';
import { figuresTable, memoryLine, verdictLines, voidLines } from './print.js';
import {
  type Bench,
  type MemoryResult,
  type Row,
  runMemory,
  runPlain,
  runPrompt,
  runRate,
  runStream,
  warmUp,
} from './scenarios.js';
import { type Cast, findPeers, openStage } from './stage.js';
import { Store } from './tollgate.js';
import { type Verdict, verdictsOf } from './verdicts.js';

/** Peers, logs, the database of a run and the results; not in git. */
const FOLDER = join(packageRoot(), '.bench');

interface Measured {
  readonly rows: readonly Row[];
  readonly memory: MemoryResult | null;
  readonly offeredPerSecond: number | null;
}

async function run(): Promise<void> {
  const options = readBenchOptions(process.argv.slice(2));
  if (options.against !== null) {
    print(`${machineLine()}, against ${options.against}\n`);
    print(await compareBuilds(options, options.against, FOLDER));
    return;
  }
  const startedAt = new Date();
  mkdirSync(FOLDER, { recursive: true });
  rmSync(join(FOLDER, 'tollgate.log'), { force: true });
  const cast = findPeers(FOLDER);
  const machine = machineLine();
  print([machine, ...cast.notes, ''].join('\n'));
  const store = await Store.start(FOLDER);
  const generator = new LoadGenerator();
  const progress = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  try {
    const measured = await runAll({ options, generator, store, progress }, cast);
    const verdicts = verdictsOf(measured.rows, measured.memory);
    report(measured, verdicts);
    const file = join(FOLDER, `result-${startedAt.toISOString().replaceAll(':', '')}.json`);
    const result = { startedAt, machine, notes: cast.notes, options, ...measured, verdicts };
    writeFileSync(
      file,
      JSON.stringify({ ...result, options: { ...options, only: [...options.only] } }, null, 1),
    );
    print(`\n${file}`);
  } finally {
    generator.close();
    await store.stop();
  }
}

async function runAll(bench: Bench, cast: Cast): Promise<Measured> {
  const wants = (...scenarios: Scenario[]): boolean =>
    scenarios.some((scenario) => bench.options.only.has(scenario));
  const rows: Row[] = [];
  let memory: MemoryResult | null = null;
  let offeredPerSecond: number | null = null;
  if (wants('plain', 'rate')) {
    const stage = await openStage('canned', FOLDER, bench.store, cast);
    try {
      await warmUp(bench, stage, false);
      if (wants('plain')) rows.push(...(await runPlain(bench, stage)));
      if (wants('rate')) {
        const rate = await runRate(bench, stage, rows);
        rows.push(...rate.rows);
        offeredPerSecond = rate.offeredPerSecond;
      }
    } finally {
      await stage.close();
    }
  }
  if (wants('stream', 'prompt', 'memory')) {
    const stage = await openStage('node', FOLDER, bench.store, cast);
    try {
      // First, in a process that has done nothing else yet.
      if (wants('memory')) memory = await runMemory(bench, stage);
      if (wants('stream', 'prompt')) await warmUp(bench, stage, true);
      if (wants('stream')) rows.push(...(await runStream(bench, stage)));
      if (wants('prompt')) rows.push(...(await runPrompt(bench, stage)));
    } finally {
      await stage.close();
    }
  }
  return { rows, memory, offeredPerSecond };
}

function report({ rows, memory, offeredPerSecond }: Measured, verdicts: readonly Verdict[]): void {
  print(figuresTable(rows));
  if (offeredPerSecond !== null) print(`\nhalf of maximum: ${offeredPerSecond} requests/s offered`);
  if (memory !== null) print(memoryLine(memory));
  print(`\n${verdictLines(verdicts)}`);
  const voids = voidLines(rows, memory);
  if (voids.length > 0) {
    print(voids.join('\n'));
    process.exitCode = 1;
  }
}

function machineLine(): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${cpus().length} x ${model}, ${memory}, Node ${process.version}, commit ${commit()}`;
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

await run();
