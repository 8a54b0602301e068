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

/** Of this build and of the other, one right after the other. */
type Pair = readonly [mine: Sample, others: Sample];

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
  comparison: Comparison,
  kind: 'canned' | 'node',
  jobs: readonly (readonly [name: string, job: Job])[],
): Promise<string[][]> {
  const { folder } = comparison;
  mkdirSync(folder, { recursive: true });
  const upstream = await startUpstream(kind, folder, nginxVersion() !== null);
  try {
    // What was started first is measured as the slower one, whichever it is: each is, once.
    const runs = [
      await measurePairs(comparison, upstream.port, jobs, true),
      await measurePairs(comparison, upstream.port, jobs, false),
    ];
    return jobs.flatMap(([name]) =>
      rowsOf(
        name,
        runs.flatMap((pairs) => pairs.get(name) ?? []),
      ),
    );
  } finally {
    await upstream.stop();
  }
}

async function measurePairs(
  { options, otherRoot, folder }: Comparison,
  upstreamPort: number,
  jobs: readonly (readonly [name: string, job: Job])[],
  isThisFirst: boolean,
): Promise<ReadonlyMap<string, readonly Pair[]>> {
  const generator = new LoadGenerator();
  const roots: [name: 'this' | 'other', root: string][] = [
    ['this', packageRoot()],
    ['other', otherRoot],
  ];
  const builds = new Map<string, Build>();
  try {
    for (const [name, root] of isThisFirst ? roots : roots.toReversed()) {
      builds.set(name, await startBuild(folder, name, upstreamPort, root));
    }
    const run = async (name: string, job: Job, durationMs: number): Promise<Sample> => {
      const build = builds.get(name);
      if (build === undefined) throw new Error(`${name} was not started`);
      const sample = await measure(generator, build.store, build.target, { ...job, durationMs });
      if (sample.void !== null) throw new Error(`${name}: ${sample.void}`);
      return sample;
    };
    const pairs = new Map<string, Pair[]>();
    for (const [scenario, job] of jobs) {
      await run('this', job, WARM_UP_MS);
      await run('other', job, WARM_UP_MS);
      const ofJob: Pair[] = [];
      for (let round = 0; round < options.rounds; round += 1) {
        // Either goes first as often as the other.
        const early = round % 2 === 0 ? await run('this', job, options.durationMs) : null;
        const other = await run('other', job, options.durationMs);
        ofJob.push([early ?? (await run('this', job, options.durationMs)), other]);
      }
      pairs.set(scenario, ofJob);
    }
    return pairs;
  } finally {
    generator.close();
    for (const { target, store } of builds.values()) {
      await target.tollgate.stop();
      await store.stop();
    }
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

function rowsOf(scenario: string, pairs: readonly Pair[]): string[][] {
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
