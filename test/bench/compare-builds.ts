import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/database/package-root.js';
import { tableOf } from '../faults/report.js';
import { LoadGenerator } from './load-generator.js';
import { measure, medianOf, type Sample, type Target } from './measure.js';
import { nginxVersion } from './nginx.js';
import type { BenchOptions } from './options.js';
import { plainJobs, promptJobs, STREAM_SCENARIO, streamJob, type Job } from './scenarios.js';
import { startUpstream } from './stage.js';
import { Store, Tollgate } from './tollgate.js';

const WARM_UP_MS = 4000;
const FIGURES = {
  'requests/s': (sample: Sample) => sample.requestsPerSecond,
  'CPU us/request': (sample: Sample) => sample.cpuMicros,
  'PostgreSQL us/request': (sample: Sample) => sample.postgresCpuMicros,
  'WAL B/request': (sample: Sample) => sample.walBytes,
} as const;

interface Comparison {
  readonly options: BenchOptions;
  readonly otherRoot: string;
  readonly folder: string;
}

/** One build under measurement, with a database of its own. */
interface Build {
  readonly store: Store;
  readonly target: Target & { readonly tollgate: Tollgate };
}

/**
 * Sends the same requests through this build and through that of another checkout, both running, in
 * turn: a machine that is slow for a while is slow for both. What counts is the ratio of neighbours.
 *
 * @returns a table: medians of both, and the median of (this / other) over all pairs.
 * @throws when a run of either is void.
 */
export async function compareBuilds(
  options: BenchOptions,
  otherRoot: string,
  folder: string,
): Promise<string> {
  const { only } = options;
  const rows: string[][] = [];
  const comparison = { options, otherRoot, folder };
  if (only.has('plain')) rows.push(...(await compare(comparison, 'canned', plainJobs())));
  const others = [
    ...(only.has('stream') ? [[STREAM_SCENARIO, streamJob()] as const] : []),
    ...(only.has('prompt') ? promptJobs() : []),
  ];
  if (others.length > 0) rows.push(...(await compare(comparison, 'node', others)));
  return tableOf(['scenario', 'figure', 'this', 'other', 'this / other'], rows);
}

async function compare(
  { options, otherRoot, folder }: Comparison,
  kind: 'canned' | 'node',
  jobs: readonly (readonly [name: string, job: Job])[],
): Promise<string[][]> {
  mkdirSync(folder, { recursive: true });
  const generator = new LoadGenerator();
  const upstream = await startUpstream(kind, folder, nginxVersion() !== null);
  const builds: Build[] = [];
  try {
    builds.push(await startBuild(folder, 'this', upstream.port, packageRoot()));
    builds.push(await startBuild(folder, 'other', upstream.port, otherRoot));
    const run = async ({ store, target }: Build, job: Job, durationMs: number): Promise<Sample> => {
      const sample = await measure(generator, store, target, { ...job, durationMs });
      if (sample.void !== null) throw new Error(`${target.name}: ${sample.void}`);
      return sample;
    };
    const rows: string[][] = [];
    for (const [name, job] of jobs) {
      for (const build of builds) await run(build, job, WARM_UP_MS);
      const pairs: [Sample, Sample][] = [];
      for (let round = 0; round < 2 * options.rounds; round += 1) {
        // Either goes first as often as the other.
        const order = round % 2 === 0 ? builds : builds.toReversed();
        const samples = new Map<Build, Sample>();
        for (const build of order) samples.set(build, await run(build, job, options.durationMs));
        const [mine, others] = builds.map((build) => samples.get(build));
        if (mine !== undefined && others !== undefined) pairs.push([mine, others]);
      }
      rows.push(...rowsOf(name, pairs));
    }
    return rows;
  } finally {
    generator.close();
    for (const { target, store } of builds) {
      await target.tollgate.stop();
      await store.stop();
    }
    await upstream.stop();
  }
}

async function startBuild(
  folder: string,
  name: string,
  upstreamPort: number,
  root: string,
): Promise<Build> {
  const own = join(folder, `build-${name}`);
  mkdirSync(own, { recursive: true });
  const store = await Store.start(own);
  const tollgate = await Tollgate.start(own, store, upstreamPort, `bench-${name}`, root);
  const { port, pid } = tollgate;
  const headers = { authorization: `Bearer ${tollgate.token}` };
  return { store, target: { name, port, pid, headers, tollgate } };
}

function rowsOf(scenario: string, pairs: readonly [Sample, Sample][]): string[][] {
  return Object.entries(FIGURES).map(([name, figure]) => {
    const known = pairs.map(([mine, others]) => [figure(mine) ?? 0, figure(others) ?? 0] as const);
    return [
      scenario,
      name,
      medianOf(known.map(([mine]) => mine)).toFixed(0),
      medianOf(known.map(([, others]) => others)).toFixed(0),
      medianOf(known.map(([mine, others]) => mine / others)).toFixed(2),
    ];
  });
}
